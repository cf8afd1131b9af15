"""What several libraries fail, such as by a variance in one pass, at inputs that show it."""

from collections.abc import Callable, Mapping

import numpy as np

from hondo_spec.draws import Made, hard_columns, lattice_of, normal, present, single
from hondo_spec.operations.shapes import Tree
from hondo_spec.target import Known

ONE_PASS = "the variance is computed as E[x²] − E[x]², which cancels where the mean is large"

# Of shapes that properties draw, since a new one is a new compilation in every target.
_COLUMNS = Made(hard_columns, {"seed": 0, "shape": (7, 33), "columns": [("offset", 1.0, 1e3)]})
_NORMAL = Made(normal, {"seed": 0, "shape": (7, 33)})
_WHOLE = Made(lattice_of, {"seed": 0, "shape": (3, 8), "low": -16, "high": 16})
_INPUTS = {
    "BNT-02": {"x": _COLUMNS, "epsilon": 1e-5}, "BNT-03": {"x": _COLUMNS, "epsilon": 1e-5},
    "BNT-04": {"x": _COLUMNS, "seed": 0}, "BNT-10": {"x": _COLUMNS, "seed": 0},
    "BNT-08": {"kappa": 1e3, "spread": 1.0, "seed": 0}, "BNF-02": {"x": _WHOLE, "shift": 64.0},
    "BNT-11": {"x": _NORMAL, "seed": 1, "kappa": 1e4},
    "BNT-12": {"seed": 0, "shape": (3, 8), "offset": 8.0, "dtype": "float16"},
    "BNI-03": {"x": Made(normal, {"seed": 24504, "shape": (2, 9)})},
    "BNR-01": {"x": _COLUMNS, "seed": 0, "decay": 0.5}, "BNR-03": {"x": _WHOLE},
    "NRM-01": {"x": _NORMAL, "kappa": 1e4, "epsilon": 2.0**-10},
    "NRM-02": {"seed": 0, "case": ((2, 4, 4, 6), 2, "float32"), "kappa": 1e4},
    "NRM-06": {"x": Made(normal, {"seed": 36323, "shape": (33, 3)}), "seed": 0},
    "NRM-08": {"x": _NORMAL, "seed": 0, "kappa": 1e4},
    "NRM-09": {"seed": 0, "case": ((2, 4, 4, 6), 2, "float32"), "kappa": 1e4},
}  # fmt: skip

_HALF = Made(normal, {"seed": 0, "shape": (3, 8), "offset": 8.0, "dtype": "float16"})
_CENTERED = Made(normal, {"seed": 1, "shape": (3, 8), "dtype": "float16"})
_OF_HALVES = {
    "BNT-12": {"seed": 0, "shape": (256, 3), "offset": 8.0, "dtype": "float16"},
    "BNI-01": {"x": _HALF, "seed": 0, "epsilon": 2.0**-10},
    "NRM-01": {"x": _HALF, "kappa": 0.0, "epsilon": 2.0**-10},
    "NRM-02": {"seed": 0, "case": ((2, 4, 4, 6), 2, "float16"), "kappa": 0.0},
    "NRM-03": {"x": _HALF, "offset": 0.0, "epsilon": 2.0**-10},
    "NRM-08": {"x": _CENTERED, "seed": 0, "kappa": 0.0},
    "NRM-09": {"seed": 8, "case": ((2, 4, 4, 6), 2, "float16"), "kappa": 0.0},
    "NRM-10": {"x": _CENTERED, "seed": 8, "offset": 0.0},
    "CLP-10": {"w": _HALF, "seed": 0, "ratio": 0.01},
}
_HALF_CASES: Mapping[str, Callable[..., bool]] = {
    **dict.fromkeys(_OF_HALVES, lambda x: x.dtype.itemsize == 2),
    "BNT-12": lambda dtype: dtype != "float32",
    "CLP-10": lambda w: w.dtype.itemsize == 2,
    **dict.fromkeys(("NRM-02", "NRM-09"), lambda case: case[2] != "float32"),
}


def stops(what: str) -> bool:
    """Where of what a value is, and of which comes first, nothing else is excused."""
    return what.startswith("stop")


def cancels(x: np.ndarray) -> bool:
    """Whether some column is far from zero beside what it varies, also from one example to none."""
    rows = np.float64(x).reshape(-1, x.shape[-1])
    return bool(np.any(np.abs(rows.mean(axis=0)) > 4 * rows.std(axis=0)))


def is_far(offset: float, seed: int, shape: tuple[int, ...]) -> bool:
    """Of what BNT-12 draws, by its offset or by chance."""
    return offset > 0 or cancels(normal(seed, shape))


def _is_nothing_or_cancels(x: np.ndarray, kept: int) -> bool:
    """Of what the mask of BNT-13 leaves."""
    rows = x.reshape(-1, x.shape[-1])
    return not kept or cancels(rows[present(len(rows), kept)])


_CASES: Mapping[str, Callable[..., bool]] = {
    # Halves are 8 from zero whatever κ is, and a group of three entries may be so by chance.
    "NRM-02": lambda kappa, case: kappa or case[2] != "float32" or np.prod(case[0][1:-1]) < 4,
    # torch's gradient of instance norm of one image in channels-last order is wrong.
    "NRM-09": lambda kappa, case: kappa or np.prod(case[0][1:-1]) < 4,
    "BNT-12": is_far,
    "BNF-02": lambda shift: abs(shift) > 8,
    "NRM-06": lambda x: cancels(x.reshape(-1, x.shape[-1]).T),
    # Equal entries have no variance: anything is far beside it.
    "NRM-08": lambda kappa, what: kappa > 0 or what == "gx of equal entries",
    "BNT-11": lambda x, kappa: kappa > 0 and cancels(x + kappa),
    **dict.fromkeys(("NRM-01", "BNT-08"), lambda kappa: kappa > 0),
}


def infinite_entry(limit: float, link: str = "", avoid: str = "") -> dict[str, Known]:
    """The failure of what divides by an infinite norm."""
    reason = "with an infinite entry the finite ones become 0 and that one NaN"
    return {"CLP-08": Known(reason, {"bad": np.inf, "limit": limit}, link, avoid)}


def retyped(reason: str, avoid: str = "") -> dict[str, Known]:
    """The failure of what gives another dtype than it was given, or keeps statistics in halves."""
    return {"XCT-02": Known(reason, {"dtype": "float16", "shape": (4, 3)}, avoid=avoid)}


OVERFLOWS = {
    "NRM-07": Known("squares of float32 overflow from 2^64 on", {"scale": 2.0**80, "seed": 0}),
    "BNR-07": Known(
        "the sum of squares of float32 overflows where the variance does not: the output is 0",
        {"seed": 0, "scale": 2.0**62, "decay": 0.0}, case=lambda scale: scale > 1,
    ),
}  # fmt: skip
_ADDED = "1e-6 is added to the norm, which shows where the limit is small"


def _is_short(tree: Tree) -> bool:
    return sum(float(np.sum(np.float64(leaf) ** 2)) for leaf in tree.values()) < 1


# Of masks that multiply, and of clipping by a norm of plain squares, to which something is added.
PLAIN = {
    **OVERFLOWS,
    "DRP-13": Known(
        "x is multiplied by the mask: 0 · ∞ is NaN", {"bad": np.inf, "dtype": "float16"},
        case=lambda what: what.startswith("dropped"),
    ),
    "CLP-03": Known(
        _ADDED, {"tree": {"a": single([1e-6])}, "factor": 1.001}, case=lambda factor: factor < 1.5
    ),
    "CLP-05": Known(_ADDED, {"tree": {"a": single([0.125])}, "factor": 1e-3}, case=_is_short),
    "CLP-07": Known(
        "squares overflow, and the gradient is 0", {"case": ("float32", (3e19, 4e19), 1.0)}
    ),
    "CLP-09": Known(_ADDED, {"values": single([1, 0, 0, 0, 0, 0]), "power": -8}),
    **infinite_entry(10.0),
    "GRD-05": Known(
        "squares over- and underflow",
        {"tree": {"a": single([1])}, "case": ("float32", (3e19, 4e19), 1.0)},
    ),
}  # fmt: skip
LENGTHS = Known(
    "squares under- and overflow, and lengths below 1e-12 count as 1e-12, which is 0 in "
    "float16: 0/0; halves are divided by a length that is rounded to halves",
    {"seed": 0, "case": ((3, 8), "float32"), "power": -80},
    "https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.normalize.html",
    avoid="an input in float32 of ordinary size",
    case=lambda case, power: power != 0 or case[1] != "float32",
)
PROMOTION = retyped("batch norm of half-precision data gives the dtype of its parameters")
NO_SUCH_CLASS = Known(
    "a class that does not exist has no loss: its one-hot vector is 0", {"bad": -1, "place": 0}
)
NAN_IS_RIGHT = Known(
    "the largest of NaN is the first: outputs of NaN are right where the class is 0",
    {"shape": (16, 33), "seed": 0, "lost": 99}, case=lambda lost: lost > 0,
)  # fmt: skip


def one_pass(ids: str, link: str = "", avoid: str = "") -> dict[str, Known]:
    """The failures of these properties, whose ids are separated by spaces."""
    return {
        id: Known(ONE_PASS, _INPUTS[id], link, avoid, case=_CASES.get(id, cancels))
        for id in ids.split()
    }


def next_seed(shuffled: str, link: str) -> dict[str, Known]:
    """The failure of what goes by seed + epoch; `shuffled` says what does."""
    reason = f"{shuffled} by seed + epoch: the next seed has the same orders, one epoch earlier"
    inputs = {"other": (1, -1), "seed": 0}
    return {"STR-11": Known(reason, inputs, link, case=lambda other: sum(other) == 0)}


def in_halves(ids: str, reason: str, avoid: str = "") -> dict[str, Known]:
    """The failures of these properties at half-precision data, whatever else they draw."""
    return {k: Known(reason, _OF_HALVES[k], avoid=avoid, case=_HALF_CASES[k]) for k in ids.split()}


def fast_variance(link: str) -> dict[str, Known]:
    """What Flax's norms fail; the rest of it whatever the option is."""
    ids = "BNT-02 BNT-03 BNT-04 BNT-08 BNT-10 BNR-01 BNR-03 BNF-02 BNI-03 "
    avoidable = one_pass(ids + "NRM-01 NRM-06 NRM-08", link, "use_fast_variance=False")
    empty = {"x": Made(normal, {"seed": 0, "shape": (16, 3)}), "kept": 0, "hole": 0.0}
    nothing = f"where the mask leaves nothing, the statistics become 0/0: NaN; {ONE_PASS}"
    masked = Known(nothing, empty, link, case=_is_nothing_or_cancels)
    others = one_pass("BNT-11 BNT-12 NRM-02 NRM-09", link)
    return avoidable | others | {"BNT-13": masked} | OVERFLOWS
