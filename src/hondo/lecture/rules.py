"""How a criterion is decided: each rule makes an estimate of one value a seed, and judges it."""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from hondo._pictures import write_number
from hondo.lecture.statistics import (
    Estimate,
    fisher,
    mean_interval,
    median_interval,
    share_interval,
    signed_rank,
)
from hondo.lecture.words import Text

Number = float | int
Verdict = Literal["reproduced", "contradicted", "inconclusive", "reported"]


class Rule(Protocol):
    """How the values of all seeds, one each, become an effect and a verdict."""

    @property
    def by_chance(self) -> bool:
        """Whether other seeds might decide otherwise, so that a few are not enough."""
        ...

    def estimate(self, values: Sequence[Any]) -> Estimate:
        """The effect with its interval."""
        ...

    def judge(self, found: Estimate) -> Verdict:
        """The verdict; `found.p` is what Holm made of it."""
        ...

    def says(self) -> Text:
        """The rule in words."""
        ...


class Below(NamedTuple):
    """No seed's value is above the bound."""

    bound: Number
    by_chance: bool = False

    def estimate(self, values: Sequence[Number]) -> Estimate:
        """The largest value, and the range."""
        least, most = _ends(values)
        return Estimate(most, least, most)

    def judge(self, found: Estimate) -> Verdict:
        """Reproduced at most at the bound; NaN is above every bound."""
        return "reproduced" if found.effect <= self.bound else "contradicted"

    def says(self) -> Text:
        """The rule in words."""
        bound = write_number(self.bound)
        return Text(f"largest value ≤ {bound}", f"valor máximo ≤ {bound}")


class Above(NamedTuple):
    """No seed's value is below the bound."""

    bound: Number
    by_chance: bool = False

    def estimate(self, values: Sequence[Number]) -> Estimate:
        """The smallest value, and the range."""
        least, most = _ends(values)
        return Estimate(least, least, most)

    def judge(self, found: Estimate) -> Verdict:
        """Reproduced at least at the bound."""
        return "reproduced" if found.effect >= self.bound else "contradicted"

    def says(self) -> Text:
        """The rule in words."""
        bound = write_number(self.bound)
        return Text(f"smallest value ≥ {bound}", f"valor mínimo ≥ {bound}")


class Within(NamedTuple):
    """The interval of the mean lies inside of these bounds; level 0.9 makes it two 5 % tests."""

    low: Number
    high: Number
    level: float = 0.95
    by_chance: bool = True

    def estimate(self, values: Sequence[Number]) -> Estimate:
        """The mean and Student's interval."""
        return mean_interval(values, self.level)

    def judge(self, found: Estimate) -> Verdict:
        """Reproduced inside, contradicted wholly outside, else inconclusive."""
        return _of_interval(found, self.low, self.high)

    def says(self) -> Text:
        """The rule in words."""
        inside, level = _range(self.low, self.high), f"{100 * self.level:g} %"
        return Text(
            f"{level} interval of the mean {inside}", f"intervalo del {level} de la media {inside}"
        )


class MedianWithin(NamedTuple):
    """The median of the seeds lies inside of these bounds."""

    low: Number
    high: Number
    by_chance: bool = True

    def estimate(self, values: Sequence[Number]) -> Estimate:
        """The median and its interval."""
        return median_interval(values)

    def judge(self, found: Estimate) -> Verdict:
        """Reproduced if the median is inside, contradicted if its whole interval is outside."""
        if self.low <= found.effect <= self.high:
            return "reproduced"
        verdict = _of_interval(found, self.low, self.high)
        return "contradicted" if verdict == "contradicted" else "inconclusive"

    def says(self) -> Text:
        """The rule in words."""
        inside = _range(self.low, self.high)
        return Text(f"median {inside}", f"mediana {inside}")


class Covers(NamedTuple):
    """A published value lies in the central 95 % of the seeds' values."""

    published: Number
    by_chance: bool = True

    def estimate(self, values: Sequence[Number]) -> Estimate:
        """The median and the central 95 % of the values."""
        low, middle, high = np.quantile(values, [0.025, 0.5, 0.975])
        return Estimate(float(middle), float(low), float(high))

    def judge(self, found: Estimate) -> Verdict:
        """Reproduced inside, else contradicted."""
        inside = found.low <= self.published <= found.high
        return "reproduced" if inside else "contradicted"

    def says(self) -> Text:
        """The rule in words."""
        value = write_number(self.published)
        return Text(
            f"published {value} in the central 95 % of the seeds",
            f"valor publicado {value} en el 95 % central de las semillas",
        )


class PairedTest(NamedTuple):
    """Wilcoxon's test says that the paired difference is above 0."""

    alpha: Number
    by_chance: bool = True

    def estimate(self, values: Sequence[Number]) -> Estimate:
        """Hodges and Lehmann's shift with its interval and the p-value."""
        return signed_rank(values)

    def judge(self, found: Estimate) -> Verdict:
        """By the sign of what is significant."""
        return _of_test(found, self.alpha)

    def says(self) -> Text:
        """The rule in words."""
        return Text(
            f"difference > 0, Wilcoxon by pairs of seeds, Holm, p < {self.alpha:g}",
            f"diferencia > 0, Wilcoxon por pares de semillas, Holm, p < {self.alpha:g}",
        )


class CountTest(NamedTuple):
    """Fisher's test says that the first of two outcomes is more frequent; a value is a pair."""

    alpha: Number
    by_chance: bool = True

    def estimate(self, values: Sequence[Sequence[Number]]) -> Estimate:
        """The difference of the two shares."""
        first, second = zip(*values, strict=True)
        return fisher([bool(x) for x in first], [bool(x) for x in second])

    def judge(self, found: Estimate) -> Verdict:
        """By the sign of what is significant."""
        return _of_test(found, self.alpha)

    def says(self) -> Text:
        """The rule in words."""
        return Text(
            f"first share > second, Fisher, Holm, p < {self.alpha:g}",
            f"primera proporción > segunda, Fisher, Holm, p < {self.alpha:g}",
        )


class Share(NamedTuple):
    """At least this share of the seeds has it."""

    least: Number
    by_chance: bool = True

    def estimate(self, values: Sequence[Number]) -> Estimate:
        """The share and Wilson's interval."""
        return share_interval([bool(x) for x in values])

    def judge(self, found: Estimate) -> Verdict:
        """Reproduced from that share on, contradicted if the interval rules it out."""
        if found.effect >= self.least:
            return "reproduced"
        return "contradicted" if found.high < self.least else "inconclusive"

    def says(self) -> Text:
        """The rule in words."""
        least = f"{100 * self.least:g} %"
        return Text(f"in ≥ {least} of the seeds", f"en ≥ {least} de las semillas")


class StandardErrors(NamedTuple):
    """The mean over the seeds is 0 up to so many of its own standard errors."""

    most: Number = 3
    by_chance: bool = True

    def estimate(self, values: Sequence[Number]) -> Estimate:
        """The mean, and the interval of so many standard errors."""
        mean, count = float(np.mean(values)), len(values)
        if count < 2:
            return Estimate(mean, -math.inf, math.inf)
        half = self.most * float(np.std(values, ddof=1)) / math.sqrt(count)
        return Estimate(mean, mean - half, mean + half)

    def judge(self, found: Estimate) -> Verdict:
        """Reproduced if the interval holds 0."""
        return "reproduced" if found.low <= 0 <= found.high else "contradicted"

    def says(self) -> Text:
        """The rule in words."""
        return Text(
            f"mean within {self.most:g} standard errors of 0",
            f"media a menos de {self.most:g} errores estándar de 0",
        )


class Reported(NamedTuple):
    """A number that is told, and decides nothing."""

    by_chance: bool = True

    def estimate(self, values: Sequence[Number]) -> Estimate:
        """The median and the quartiles."""
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
        return Estimate(float(middle), float(low), float(high))

    def judge(self, found: Estimate) -> Verdict:
        """None."""
        return "reported"

    def says(self) -> Text:
        """The rule in words."""
        return Text("median and quartiles, no criterion", "mediana y cuartiles, sin criterio")


def _ends(values: Sequence[Number]) -> tuple[float, float]:
    """The smallest and the largest value; NaN, which is within no bound, if there is one."""
    return float(np.min(values)), float(np.max(values))


def _of_interval(found: Estimate, low: Number, high: Number) -> Verdict:
    if low < found.low and found.high < high:
        return "reproduced"
    return "contradicted" if found.high <= low or found.low >= high else "inconclusive"


def _of_test(found: Estimate, alpha: float) -> Verdict:
    if found.p is None or not found.p < alpha:
        return "inconclusive"
    return "reproduced" if found.effect > 0 else "contradicted"


def _range(low: Number, high: Number) -> str:
    if math.isinf(high):
        return f"> {write_number(low)}"
    if math.isinf(low):
        return f"< {write_number(high)}"
    return f"∈ ({write_number(low)}, {write_number(high)})"
