"""What is said in Spanish and in English."""

from typing import Literal, NamedTuple

Lang = Literal["en", "es"]
LANGUAGES: tuple[Lang, ...] = ("en", "es")


class Text(NamedTuple):
    """The same words in both languages.

    Example:
        >>> Text("layer", "capa").to("es")
        'capa'
    """

    en: str
    es: str

    def to(self, lang: Lang) -> str:
        """The words in this language."""
        return self.es if lang == "es" else self.en


REPRODUCED = Text("reproduced", "reproducido")
CONTRADICTED = Text("contradicted", "contradicho")
INCONCLUSIVE = Text("inconclusive", "no concluyente")
REPORTED = Text("reported", "informado")
VERDICTS = {
    "reproduced": REPRODUCED,
    "contradicted": CONTRADICTED,
    "inconclusive": INCONCLUSIVE,
    "reported": REPORTED,
}
SEED, SEEDS = Text("seed", "semilla"), Text("seeds", "semillas")
SLIDE, SLIDES = Text("slide", "diapositiva"), Text("slides", "diapositivas")
CRITERION = Text("criterion", "criterio")
EFFECT = Text("effect", "efecto")
INTERVAL = Text("interval", "intervalo")
VERDICT = Text("verdict", "veredicto")
RULE = Text("decided by", "se decide por")
AS_PRINTED = Text("the slide as printed", "la diapositiva tal como está impresa")
QUICK = Text(
    "A first look, with smaller sizes or fewer seeds than planned: chance decides nothing here.",
    "Un primer vistazo, con tamaños menores o menos semillas de las planeadas: nada que dependa "
    "del azar se decide aquí.",
)


def name_slides(slides: tuple[int, ...], lang: Lang) -> str:
    """The slides by their numbers.

    Example:
        >>> name_slides((9, 10), "en"), name_slides((4,), "es")
        ('slides 9, 10', 'diapositiva 4')
    """
    return f"{(SLIDE if len(slides) == 1 else SLIDES).to(lang)} {', '.join(map(str, slides))}"
