"""What several libraries fail, such as by a variance in one pass, at inputs that show it."""

import numpy as np

from hondo_spec.draws import hard_columns, lattice_of, normal, single
from hondo_spec.target import Known

ONE_PASS = "the variance is computed as E[x²] − E[x]², which cancels where the mean is large"

_COLUMN = single([[300.1], [300.2], [300.4]])
_OFFSETS = hard_columns(0, (64, 3), [("offset", 1.0, 1e4)])
_INPUTS = {
    "BNT-02": {"x": _COLUMN, "epsilon": 1e-5},
    "BNT-03": {"x": _COLUMN, "epsilon": 1e-5},
    "BNT-04": {"x": _COLUMN, "seed": 0},
    "BNT-08": {"kappa": 1e3, "spread": 1.0, "seed": 0},
    "BNT-10": {"x": _COLUMN, "seed": 0},
    "BNT-11": {"x": normal(0, (64, 4)), "seed": 1, "kappa": 1e4},
    "BNR-01": {"x": _OFFSETS, "seed": 0, "decay": 0.5},
    "NRM-01": {"x": normal(0, (4, 64)), "kappa": 1e4, "epsilon": 2.0**-10},
    "NRM-02": {"seed": 0, "case": ((2, 4, 4, 6), 2, "float32"), "kappa": 1e4},
    "NRM-08": {"x": normal(0, (4, 64)), "seed": 0, "kappa": 1e4},
    "NRM-09": {"seed": 0, "case": ((2, 4, 4, 6), 2, "float32"), "kappa": 1e4},
}


def _cancels(x: np.ndarray) -> bool:
    """Whether some column is far from zero beside what it varies, also from one example to none."""
    rows = np.float64(x).reshape(-1, x.shape[-1])
    return bool(np.any(np.abs(rows.mean(axis=0)) > 4 * rows.std(axis=0)))


def _is_far(kappa: float) -> bool:
    return kappa > 0


OVERFLOWS = {
    "NRM-07": Known("squares of float32 overflow from 2^64 on", {"scale": 2.0**80, "seed": 0}),
    "BNR-07": Known(
        "the sum of squares of float32 overflows where the variance does not: the output is 0",
        {"seed": 0, "scale": 2.0**62, "decay": 0.0},
        case=lambda scale: scale > 1,
    ),
}
ADDED = "1e-6 is added to the norm, which shows where the limit is small"
# Of clipping by a norm of plain squares, to which something is added.
PLAIN_CLIPPING = {
    "CLP-03": Known(
        ADDED, {"tree": {"a": single([1e-6])}, "factor": 1.001}, case=lambda factor: factor < 1.5
    ),
    "CLP-07": Known(
        "squares overflow, and the gradient is 0", {"case": ("float32", (3e19, 4e19), 1.0)}
    ),
    "CLP-09": Known(ADDED, {"values": single([1, 0, 0, 0, 0, 0]), "power": -8}),
    "GRD-05": Known(
        "squares over- and underflow",
        {"tree": {"a": single([1])}, "case": ("float32", (3e19, 4e19), 1.0)},
    ),
}
NAN_IS_RIGHT = Known(
    "the largest of NaN is the first: outputs of NaN are right where the class is 0",
    {"shape": (16, 33), "seed": 0, "lost": 99},
    case=lambda lost: lost > 0,
)


def one_pass(ids: str, link: str = "", avoid: str = "") -> dict[str, Known]:
    """The failures of these properties, whose ids are separated by spaces."""
    return {
        id: Known(
            ONE_PASS, _INPUTS[id], link, avoid, case=_is_far if "kappa" in _INPUTS[id] else _cancels
        )
        for id in ids.split()
    }


def fast_variance(link: str) -> dict[str, Known]:
    """What Flax's norms fail; the rest of it whatever the option is."""
    option = "use_fast_variance=False"
    ids = "BNT-02 BNT-03 BNT-04 BNT-08 BNT-10 BNR-01 NRM-01 NRM-08"
    avoidable = one_pass(ids, link, option)
    avoidable["BNT-12"] = Known(
        ONE_PASS,
        {"seed": 0, "shape": (3, 8), "offset": 8.0, "dtype": "float16"},
        link,
        option,
        case=lambda offset: offset > 0,
    )
    avoidable["BNF-02"] = Known(
        ONE_PASS,
        {"x": lattice_of(0, (3, 8), -16, 16), "shift": 64.0},
        link,
        option,
        case=lambda shift: abs(shift) > 8,
    )
    empty = {"x": normal(0, (16, 3)), "kept": 0, "hole": 0.0}
    nothing = "where the mask leaves nothing, the statistics become 0/0: NaN"
    masked = Known(nothing, empty, link, case=lambda kept: kept == 0)
    return avoidable | one_pass("BNT-11 NRM-02 NRM-09", link) | {"BNT-13": masked} | OVERFLOWS
