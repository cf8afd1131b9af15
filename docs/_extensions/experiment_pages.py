"""The pages of the experiments: `python docs/_extensions/experiment_pages.py docs/lecture`.

The folder's own folder `results` has what `hondo lecture` wrote of those that ran in full.
"""

import sys
from pathlib import Path

from hondo.lecture import PLANS, experiments, words
from hondo.lecture.outcome import file_stem, write_statement
from hondo.lecture.plan import Plan
from hondo.lecture.words import Lang, Text

_HEAD = Text(
    """# Criteria of the twelve experiments
Written down before any of them ran in full; this page is made of the plans that the program
decides by, and its history says what changed when. A verdict is *reproduced* if every criterion
of the claim is, *contradicted* if one is, else *inconclusive*. Seeds are the unit, compared by
pairs of seeds; p-values are two-sided and adjusted by Holm over an experiment's tests;
validation data is part of the training data, and the test data is looked at once. What depends
on chance is inconclusive with any other number of seeds. A criterion of *the slide as printed*
is the letter of a slide that the literature corrects; it has a verdict of its own.
""",
    """# Criterios de los doce experimentos
Se escribieron antes de ejecutarlos completos; esta página se genera de los planes con los que
decide el programa, y su historia dice qué cambió y cuándo. El veredicto es *reproducido* si se
cumplen todos los criterios de la afirmación, *contradicho* si alguno se contradice y, si no,
*no concluyente*. La unidad es la semilla y se compara por pares de semillas; los valores p son
bilaterales, ajustados con Holm sobre las pruebas de cada experimento; la validación sale de los
datos de entrenamiento y los de prueba se miran una sola vez. Lo que depende del azar no es
concluyente con cualquier otro número de semillas. Un criterio de *la diapositiva tal como está
impresa* es la letra de una diapositiva que la literatura corrige; tiene su propio veredicto.
""",
)


def criteria_page(lang: Lang) -> str:
    """All the plans as Markdown."""
    return "\n".join([_HEAD.to(lang), *(_section(plan, lang) for plan in PLANS)])


def _section(plan: Plan, lang: Lang) -> str:
    slides = words.name_slides(plan.slides, lang)
    head = (words.CRITERION.to(lang), words.RULE.to(lang))
    lines = [
        f"## {plan.number} · {plan.title.to(lang)} ({slides})",
        f"**{plan.claim.to(lang)}**\n",
        f"{plan.protocol.to(lang)} {words.name_seeds(plan.seeds, lang)}.\n",
        f"| {head[0]} | {head[1]} |",
        "|---|---|",
    ]
    lines += [
        f"| {write_statement(criterion, lang)} | {criterion.rule.says().to(lang)} |"
        for criterion in plan.criteria
    ]
    return "\n".join([*lines, ""])


_RESULTS = Text(
    """# The twelve experiments
Each claim of the lecture, put to the test by [criteria](criteria.md) that were written down first;
`hondo lecture 7 --out folder` runs one. [En español](experimentos.md).
""",
    """# Los doce experimentos
Cada afirmación de la clase, puesta a prueba con [criterios](criterios.md) escritos de antemano;
`hondo lecture 7 --lang es --out carpeta` ejecuta uno. [In English](experiments.md).
""",
)
_EXPERIMENT = Text("experiment", "experimento")
_NOT_RUN = Text("not run in full yet", "aún no se ejecuta completo")


def results_page(folder: Path, lang: Lang) -> str:
    """The verdicts of those that ran in full, with links to their pages."""
    titles = (words.SLIDE, _EXPERIMENT, words.VERDICT, words.AS_PRINTED, words.SEEDS)
    head = f"| # | {' | '.join(title.to(lang) for title in titles)} |"
    lines = [head, "|---" * 6 + "|"]
    lines += [_result(folder, plan, lang) for plan in PLANS]
    found = [plan for plan in PLANS if _has_run(folder, plan)]
    stems = [f"results/{file_stem(plan, quick=False, lang=lang)}" for plan in found]
    tree = ["", "```{toctree}", ":hidden:", *stems, "```", ""]
    return "\n".join([_RESULTS.to(lang), *lines, *tree])


def _has_run(folder: Path, plan: Plan) -> bool:
    return (folder / f"{file_stem(plan, quick=False)}.seeds.jsonl").exists()


def _result(folder: Path, plan: Plan, lang: Lang) -> str:
    slides, title = ", ".join(map(str, plan.slides)), plan.title.to(lang)
    if not _has_run(folder, plan):
        return f"| {plan.number} | {slides} | {title} | {_NOT_RUN.to(lang)} | | {plan.seeds} |"
    outcome = experiments[plan.number].read(folder)
    verdict = words.VERDICTS[outcome.verdict].to(lang)
    printed = outcome.slide_verdict and words.VERDICTS[outcome.slide_verdict].to(lang)
    link = f"[{title}](results/{outcome.stem(lang)}.md)"
    cells = (plan.number, slides, link, f"**{verdict}**", printed or "", len(outcome.rows))
    return f"| {' | '.join(map(str, cells))} |"


def write_pages(folder: Path) -> None:
    """Writes criteria and results in both languages, and each result's own page and picture."""
    for lang in words.LANGUAGES:
        for name, page in pages(folder, lang).items():
            (folder / name).write_text(page, encoding="utf-8")
    for record in (folder / "results").glob("*.seeds.jsonl"):
        outcome = experiments[int(record.name[:2])].read(record.parent)
        for lang in words.LANGUAGES:
            outcome.save(record.parent, lang, kinds=("svg", "md"))


def pages(folder: Path, lang: Lang) -> dict[str, str]:
    """The two pages of a language by their files' names."""
    criteria, results = _NAMES[lang]
    return {criteria: criteria_page(lang), results: results_page(folder / "results", lang)}


_NAMES: dict[Lang, tuple[str, str]] = {
    "en": ("criteria.md", "experiments.md"),
    "es": ("criterios.md", "experimentos.md"),
}


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
