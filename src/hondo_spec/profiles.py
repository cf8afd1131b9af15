"""How much is drawn: examples for a property, samples for a statistic."""

from typing import NamedTuple

from hondo_spec.corpus import CORPUS, Row


class Profile(NamedTuple):
    """The size of a run.

    Attributes:
        examples: inputs that are drawn for each property, or a few more: each search, which is
            for one case of them, has as many as the others.
        samples: random numbers that each statistic looks at.
        level: the false-alarm rate of one statistical assertion.
        fresh: whether every run draws anew; otherwise all runs draw the same.
        seconds: how long one property may take before it counts as hanging.
        shrink: whether the inputs of a failure are made as small as possible; it takes longer.
        seed: of the drawn inputs; None for the same in all runs, or new ones if `fresh`.
        corpus: what is tried before anything is drawn.
    """

    examples: int
    samples: int
    level: float = 1e-9
    fresh: bool = False
    seconds: float = 120.0
    shrink: bool = True
    seed: int | None = None
    corpus: tuple[Row, ...] = CORPUS


# False alarms of a whole run, which the sum over all statistical assertions must not exceed.
LEDGER = 1e-6

PROFILES = {
    "dev": Profile(examples=25, samples=2**14),
    "spec-ci": Profile(examples=100, samples=2**18),
    "deep": Profile(examples=2000, samples=2**22, level=1e-12, fresh=True, seconds=3600.0),
}
