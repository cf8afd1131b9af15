"""What was seen in the full runs that no criterion says; written after them, deciding nothing."""

from hondo.lecture.words import Text

REMARKS: dict[int, Text] = {
    7: Text(
        "With four hidden layers the median ratio is 134.3, and the criterion ends at 133.65; its "
        "interval, 117 to 150, only just leaves the closed form 116.2 out.",
        "Con cuatro capas ocultas la mediana es 134.3 y el criterio termina en 133.65; su "
        "intervalo, de 117 a 150, por poco no contiene la forma cerrada 116.2.",
    ),
    9: Text(
        "With skips, 44 layers end 0.050 above 8, at the criterion's edge of 0.05; without them, "
        "1.23 above.",
        "Con conexiones residuales, 44 capas terminan 0.050 por encima de 8, justo en el límite "
        "de 0.05 del criterio; sin ellas, 1.23 por encima.",
    ),
    12: Text(
        "At rate ×5, with noise and without, every seed reaches the goal within its first epoch, "
        "so that steps counted in epochs cannot tell the two apart: the effect of 0 on the slide's "
        "letter is the end of the scale, not a measured equality. At rate ×30 the network of 3 "
        "layers trains without norm too.",
        "Con tasa ×5, con ruido y sin él, todas las semillas alcanzan la meta en su "
        "primera época, así que los pasos contados por épocas no las distinguen: el efecto 0 "
        "sobre la letra de la diapositiva es el final de la escala, no una igualdad medida. Con "
        "tasa ×30 la red de 3 capas también entrena sin normalizar.",
    ),
}
