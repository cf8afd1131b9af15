"""What an experiment came to: findings, verdict, table, picture."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hondo._pictures import as_bytes, new_figure, style, write_number
from hondo.lecture import words
from hondo.lecture.plan import Criterion, Plan
from hondo.lecture.record import Row
from hondo.lecture.remarks import REMARKS
from hondo.lecture.rules import Verdict
from hondo.lecture.statistics import Estimate, holm
from hondo.lecture.words import Lang

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Draw = Callable[["Figure", Sequence[Row], Lang], None]


class Finding(NamedTuple):
    """One criterion, decided.

    Attributes:
        criterion: which.
        found: its effect and interval; `p` is adjusted by Holm over the experiment's tests.
        verdict: what came of it.
    """

    criterion: Criterion
    found: Estimate
    verdict: Verdict


class Outcome(NamedTuple):
    """What an experiment came to.

    Attributes:
        plan: which experiment.
        rows: what each seed measured.
        findings: each criterion, decided.
        design: seeds, sizes and versions.
        draw: draws the picture.
        seconds: how long all the seeds took.
        is_full: whether the planned seeds ran at full size, so that chance may decide.
    """

    plan: Plan
    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]
    design: dict[str, Any]
    draw: Draw
    seconds: float
    is_full: bool

    @property
    def verdict(self) -> Verdict:
        """Reproduced if every criterion is, contradicted if one is, else inconclusive."""
        return combine([f.verdict for f in self.findings if f.criterion.reading == "claim"])

    @property
    def slide_verdict(self) -> Verdict | None:
        """The same of the slide's letter, where the literature corrects it."""
        letter = [f for f in self.findings if f.criterion.reading == "slide"]
        return combine([f.verdict for f in letter]) if letter else None

    def figure(self, lang: Lang = "en") -> "Figure":
        """The picture, ready for a slide."""
        with style():
            figure = new_figure()
            self.draw(figure, self.rows, lang)
            figure.suptitle(f"{self.plan.title.to(lang)}: {words.VERDICTS[self.verdict].to(lang)}")
        return figure

    def table(self, lang: Lang = "en") -> str:
        """The criteria as a table of Markdown."""
        said = (words.CRITERION, words.EFFECT, words.INTERVAL, words.RULE, words.VERDICT)
        head = " | ".join(word.to(lang) for word in said)
        lines = [f"| {head} |", "|---|---|---|---|---|"]
        return "\n".join(lines + [_row(finding, lang) for finding in self.findings])

    def page(self, lang: Lang = "en") -> str:
        """Claim, protocol, verdict and table in Markdown."""
        plan, remark = self.plan, REMARKS.get(self.plan.number)
        seeds = words.name_seeds(len(self.rows), lang)
        verdict = f"{words.VERDICT.to(lang)}: {words.VERDICTS[self.verdict].to(lang)}"
        printed = f"{words.AS_PRINTED.to(lang)}: " if self.slide_verdict else ""
        printed += words.VERDICTS[self.slide_verdict].to(lang) if self.slide_verdict else ""
        parts = (
            f"# {plan.number} · {plan.title.to(lang)} ({words.name_slides(plan.slides, lang)})",
            plan.claim.to(lang),
            plan.protocol.to(lang),
            f"**{verdict}**" + (f" · {printed}" if printed else ""),
            "" if self.is_full else words.QUICK.to(lang),
            f"![{plan.title.to(lang)}]({self.stem(lang)}.svg)",
            self.table(lang),
            remark.to(lang) if remark and self.is_full else "",
            f"{seeds}, {self.seconds:.0f} s. {_describe(self.design)}",
        )
        return "\n\n".join(filter(None, parts)) + "\n"

    def stem(self, lang: Lang) -> str:
        """The name of its files in this language, without a suffix."""
        return file_stem(self.plan, quick=not self.is_full, lang=lang)

    def summary(self, lang: Lang = "en") -> str:
        """The verdict and a line for each criterion, for a terminal."""
        verdict = words.VERDICTS[self.verdict].to(lang)
        lines = [f"{self.plan.number:>2}  {self.plan.title.to(lang)}: {verdict}"]
        if not self.is_full:
            lines.append(f"    {words.QUICK.to(lang)}")
        for criterion, found, decided in self.findings:
            effect = f"{_short(found.effect)} ({_short(found.low)} … {_short(found.high)})"
            says = f"{criterion.says.to(lang)}: {effect}"
            lines.append(f"    {words.VERDICTS[decided].to(lang):<15} {says}")
        return "\n".join(lines)

    def save(
        self, folder: Path | str, lang: Lang = "en", kinds: Sequence[str] = ("svg", "png", "md")
    ) -> list[Path]:
        """Writes the picture as SVG and PNG, and the page; returns the files."""
        from hondo.training.saving.files import write_whole

        folder, figure = Path(folder), self.figure(lang)
        folder.mkdir(parents=True, exist_ok=True)
        stem = self.stem(lang)
        paths = [folder / f"{stem}.{kind}" for kind in kinds]
        for path, kind in zip(paths, kinds, strict=True):
            content = self.page(lang) if kind == "md" else as_bytes(figure, kind)
            write_whole(path, content)
        return paths


def file_stem(plan: Plan, *, quick: bool, lang: Lang = "en") -> str:
    """The name of an experiment's files in this language, without a suffix.

    Example:
        >>> from hondo.lecture import PLANS
        >>> file_stem(PLANS[6], quick=True)
        '07-vanishing-quick'
    """
    in_language = "" if lang == "en" else f".{lang}"
    return f"{plan.number:02}-{plan.name}{'-quick' if quick else ''}{in_language}"


def find(plan: Plan, rows: Sequence[Row], *, is_full: bool) -> tuple[Finding, ...]:
    """Decides every criterion by what the seeds measured, Holm over those that have a p-value."""
    raw = [c.rule.estimate([row[c.name] for row in rows]) for c in plan.criteria]
    tested = [i for i, found in enumerate(raw) if found.p is not None]
    for place, p in zip(tested, holm([raw[i].p or 0.0 for i in tested]), strict=True):
        raw[place] = raw[place]._replace(p=p)
    return tuple(
        Finding(criterion, found, _judge(criterion, found, is_full))
        for criterion, found in zip(plan.criteria, raw, strict=True)
    )


def _judge(criterion: Criterion, found: Estimate, is_full: bool) -> Verdict:
    verdict = criterion.rule.judge(found)
    undecided = criterion.rule.by_chance and not is_full and verdict != "reported"
    return "inconclusive" if undecided else verdict


def combine(verdicts: Sequence[Verdict]) -> Verdict:
    """Contradicted if one is, reproduced if all are; what is only reported does not count.

    Example:
        >>> combine(["reproduced", "reported"]), combine(["reproduced", "inconclusive"])
        ('reproduced', 'inconclusive')
    """
    counted = {verdict for verdict in verdicts if verdict != "reported"}
    if "contradicted" in counted:
        return "contradicted"
    return "reproduced" if counted == {"reproduced"} else "inconclusive"


def _row(finding: Finding, lang: Lang) -> str:
    criterion, found, verdict = finding
    interval = f"{_short(found.low)} … {_short(found.high)}"
    rule = criterion.rule.says().to(lang)
    rule += "" if found.p is None else f" (p = {found.p:.2g})"
    said, decided = write_statement(criterion, lang), words.VERDICTS[verdict].to(lang)
    cells = (said, _short(found.effect), interval, rule, decided)
    return f"| {' | '.join(cells)} |"


def write_statement(criterion: Criterion, lang: Lang) -> str:
    """The statement of a criterion as a cell of a table, and whether it is the slide's letter."""
    printed = f" ({words.AS_PRINTED.to(lang)})" if criterion.reading == "slide" else ""
    return criterion.says.to(lang).replace("|", "\\|") + printed


def _short(value: float | int) -> str:
    return write_number(float(f"{value:.4g}"))


def _describe(design: dict[str, Any]) -> str:
    sizes = ", ".join(f"{name} {value}" for name, value in design["sizes"].items())
    versions = ", ".join(f"{name} {value}" for name, value in design["versions"].items())
    return "; ".join(filter(None, (sizes, versions))) + "."
