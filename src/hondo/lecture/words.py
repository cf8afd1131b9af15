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


VERDICTS = {
    "reproduced": Text("reproduced", "reproducido"),
    "contradicted": Text("contradicted", "contradicho"),
    "inconclusive": Text("inconclusive", "no concluyente"),
    "reported": Text("reported", "informado"),
}
SEED, SEEDS = Text("seed", "semilla"), Text("seeds", "semillas")
SLIDE, SLIDES = Text("slide", "diapositiva"), Text("slides", "diapositivas")
CRITERION = Text("criterion", "criterio")
EFFECT = Text("effect", "efecto")
INTERVAL = Text("interval", "intervalo")
VERDICT = Text("verdict", "veredicto")
# In several pictures.
CHANCE, EPOCH, LAYER = Text("chance", "azar"), Text("epoch", "época"), Text("layer", "capa")
RULE = Text("decided by", "se decide por")
AS_PRINTED = Text("the slide as printed", "la diapositiva tal como está impresa")
QUICK = Text(
    "Not as planned, in sizes or number of seeds: what depends on chance is not decided here.",
    "Con otros tamaños u otro número de semillas que los planeados: nada que dependa del azar se "
    "decide aquí.",
)


def name_seeds(count: int, lang: Lang) -> str:
    """So many seeds.

    Example:
        >>> name_seeds(1, "en"), name_seeds(30, "es")
        ('1 seed', '30 semillas')
    """
    return f"{count} {(SEED if count == 1 else SEEDS).to(lang)}"


def name_slides(slides: tuple[int, ...], lang: Lang) -> str:
    """The slides by their numbers.

    Example:
        >>> name_slides((9, 10), "en"), name_slides((4,), "es")
        ('slides 9, 10', 'diapositiva 4')
    """
    return f"{(SLIDE if len(slides) == 1 else SLIDES).to(lang)} {', '.join(map(str, slides))}"
