"""`hondo show`: one picture that explains a technique."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from hondo._numerics.checks import error

if TYPE_CHECKING:
    from hondo.show import Option

KINDS = ("png", "svg")
_OWN = ("technique", "out", "seed", "cache")


@dataclass(frozen=True)
class ShowConfig:
    """Draws one picture that explains a technique, computed by its own functions.

    For example `hondo show dropout --keep-prob 0.8` or `hondo show gaussian --variance 1 -o
    gaussian.svg`. `hondo show` alone lists what can be shown, each with its options; an option
    that the technique has not is refused.

    Attributes:
        technique: its name in `hondo list`.
        out: the file to write, .png or .svg; one that exists is replaced. By default
            <technique>.png.
        seed: of everything random, an integer in [0, 2^63).
        activation: a name such as relu.
        alpha: α of Beta(α, α), from which the share of each of two images is drawn.
        amount: ε, the share of a label that all classes get.
        angle: between two tasks' gradients, in degrees.
        batch: examples of a batch.
        decay: the weight of the old in a moving average.
        depth: layers or blocks.
        epsilon: ε beside the variance.
        groups: of the features of an example, which they divide.
        keep_prob: P, the probability that a unit, weight or branch is kept.
        l1_strength: λ of the elastic net's (λ/2)‖W‖₁.
        l2_strength: λ of the elastic net's (λ/2)‖W‖₂².
        limit: the largest norm or entry.
        magnitude: g, the length of a unit's weights.
        max_angle: the largest turn of an image, in degrees.
        max_shift: the largest shift of an image, in pixels.
        members: of an ensemble.
        min_delta: what counts as an improvement.
        n_samples: masks of a Monte-Carlo average.
        padding: pixels around an image.
        patience: epochs without improvement.
        probability: that an image is mirrored.
        ratio: λ, the share of a unit's weights that its gradient may have.
        size: of the square that is left out, in pixels.
        std: σ of noise or of pre-activations.
        strength: λ of a penalty.
        variance: σ² of the weights.
        weight: of the second task's loss.
        width: units of a layer.
        cache: keep what is compiled in your cache folder, for the next command.
    """

    technique: tyro.conf.Positional[str | None] = None
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    seed: int = 0
    activation: str | None = None
    alpha: float | None = None
    amount: float | None = None
    angle: float | None = None
    batch: int | None = None
    decay: float | None = None
    depth: int | None = None
    epsilon: float | None = None
    groups: int | None = None
    keep_prob: float | None = None
    l1_strength: float | None = None
    l2_strength: float | None = None
    limit: float | None = None
    magnitude: float | None = None
    max_angle: float | None = None
    max_shift: int | None = None
    members: int | None = None
    min_delta: float | None = None
    n_samples: int | None = None
    padding: int | None = None
    patience: int | None = None
    probability: float | None = None
    ratio: float | None = None
    size: int | None = None
    std: float | None = None
    strength: float | None = None
    variance: float | None = None
    weight: float | None = None
    width: int | None = None
    cache: bool = True


def prepare(config: ShowConfig) -> Callable[[], int]:
    """Checks what is to be shown; returns the work that is left.

    Raises:
        ValueError: an unknown technique, an option that it has not, a file of another kind.
    """
    options = given_options(config)
    if config.technique is None:
        if options or config.out is not None:
            repair = "`hondo show` alone lists what can be shown."
            raise error("technique", None, "named, such as dropout", repair)
        return print_list
    from hondo.show import check_options

    technique = config.technique.replace("-", "_")
    check_options(technique, options)
    if not 0 <= config.seed < 2**63:
        raise error("seed", config.seed, "an integer in [0, 2^63)")
    out = config.out or Path(f"{technique}.png")
    if out.suffix.lower().lstrip(".") not in KINDS:
        raise error("out", str(out), "a file .png or .svg", f"Name it {technique}.png.")
    if not out.parent.is_dir():
        raise error("out", str(out), "in a folder that exists", f"mkdir -p {out.parent} makes it.")
    return partial(run, technique, config.seed, options, out)


def given_options(config: ShowConfig) -> "dict[str, Option]":
    """The technique's hyperparameters that the user gave."""
    values = {name: value for name, value in asdict(config).items() if name not in _OWN}
    return {name: value for name, value in values.items() if value is not None}


def print_list() -> int:
    """Prints every technique that can be shown, with its options and their defaults."""
    from hondo.show import options_of
    from hondo.show.table import PICTURES

    width = max(map(len, PICTURES))
    for technique in PICTURES:
        print(f"{technique:<{width}}  {_as_flags(options_of(technique))}".rstrip())
    return 0


def _as_flags(options: "dict[str, Option | None]") -> str:
    return " ".join(
        f"--{name.replace('_', '-')} {'NAME' if value is None else value}"
        for name, value in options.items()
    )


def run(technique: str, seed: int, options: "dict[str, Option]", out: Path) -> int:
    """Draws the picture, writes it whole or not at all, and says where."""
    from hondo._pictures import as_bytes
    from hondo.show import picture
    from hondo.training.saving.files import write_whole

    figure = picture(technique, seed=seed, **options)
    write_whole(out, as_bytes(figure, out.suffix.lower().lstrip(".")))
    print(f"written to {out}")
    return 0
