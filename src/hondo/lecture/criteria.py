"""The page of the criteria: `python -m hondo.lecture.criteria docs/lecture` writes it."""

import sys
from pathlib import Path

from hondo.lecture import words
from hondo.lecture.plan import Plan
from hondo.lecture.plans import PLANS
from hondo.lecture.words import Lang, Text

FILES: dict[Lang, str] = {"en": "criteria.md", "es": "criterios.md"}
_HEAD = Text(
    """# Criteria of the twelve experiments
Written down before any of them ran in full; this page is made of the plans that the program
decides by, and its history says what changed when. A verdict is *reproduced* if every criterion
of the claim is, *contradicted* if one is, else *inconclusive*. Seeds are the unit, compared by
pairs of seeds; p-values are two-sided and adjusted by Holm over an experiment's tests;
validation data is part of the training data, and the test data is looked at once. What depends
on chance is inconclusive with fewer seeds than planned. A criterion of *the slide as printed*
is the letter of a slide that the literature corrects; it has a verdict of its own.
""",
    """# Criterios de los doce experimentos
Se escribieron antes de ejecutarlos completos; esta página se genera de los planes con los que
decide el programa, y su historia dice qué cambió y cuándo. El veredicto es *reproducido* si se
cumplen todos los criterios de la afirmación, *contradicho* si alguno se contradice y, si no,
*no concluyente*. La unidad es la semilla y se compara por pares de semillas; los valores p son
bilaterales, ajustados con Holm sobre las pruebas de cada experimento; la validación sale de los
datos de entrenamiento y los de prueba se miran una sola vez. Lo que depende del azar no es
concluyente con menos semillas de las planeadas. Un criterio de *la diapositiva tal como está
impresa* es la letra de una diapositiva que la literatura corrige; tiene su propio veredicto.
""",
)


def criteria_page(lang: Lang) -> str:
    """All the plans as Markdown."""
    return "\n".join([_HEAD.to(lang), *(_section(plan, lang) for plan in PLANS)])


def _section(plan: Plan, lang: Lang) -> str:
    slides = f"{words.SLIDE.to(lang)} {', '.join(map(str, plan.slides))}"
    head = (words.CRITERION.to(lang), words.RULE.to(lang))
    lines = [
        f"## {plan.number} · {plan.title.to(lang)} ({slides})",
        f"**{plan.claim.to(lang)}**\n",
        f"{plan.protocol.to(lang)} {plan.seeds} {_seeds(plan.seeds, lang)}.\n",
        f"| {head[0]} | {head[1]} |",
        "|---|---|",
    ]
    for criterion in plan.criteria:
        says = criterion.says.to(lang).replace("|", "\\|")
        printed = f" ({words.AS_PRINTED.to(lang)})" if criterion.reading == "slide" else ""
        lines.append(f"| {says}{printed} | {criterion.rule.says().to(lang)} |")
    return "\n".join([*lines, ""])


def _seeds(count: int, lang: Lang) -> str:
    return (words.SEED if count == 1 else words.SEEDS).to(lang)


if __name__ == "__main__":
    for language, name in FILES.items():
        (Path(sys.argv[1]) / name).write_text(criteria_page(language), encoding="utf-8")
