"""What a variance in one pass fails, at inputs that show it."""

from hondo_spec.draws import hard_columns, normal, single
from hondo_spec.target import Known

ONE_PASS = "the variance is computed as E[x²] − E[x]², which cancels where the mean is large"

_COLUMN = single([[300.1], [300.2], [300.4]])
_OFFSETS = hard_columns(0, 64, [("offset", 1.0, 1e4)] * 3)
_INPUTS = {
    "BNT-02": {"x": _COLUMN, "epsilon": 1e-5},
    "BNT-03": {"x": _COLUMN, "epsilon": 1e-5},
    "BNT-04": {"x": _COLUMN, "seed": 0},
    "BNT-08": {"kappa": 1e3, "spread": 1.0, "seed": 0},
    "BNT-11": {"x": normal(0, (64, 4)), "g": normal(1, (64, 4)), "kappa": 1e4},
    "BNR-01": {"x": _OFFSETS, "decay": 0.5, "shape": (64, 3)},
    "NRM-01": {"kappa": 1e4, "seed": 0},
    "NRM-02": {"x": normal(0, (2, 4, 4, 6)), "groups": 2, "kappa": 1e4},
}


OVERFLOWS = {
    "NRM-07": Known("squares of float32 overflow from 2^64 on", {"scale": 2.0**80, "seed": 0})
}


def one_pass(ids: str, link: str = "", avoid: str = "") -> dict[str, Known]:
    """The failures of these properties, whose ids are separated by spaces."""
    return {id: Known(ONE_PASS, _INPUTS[id], link, avoid) for id in ids.split()}


def fast_variance(link: str) -> dict[str, Known]:
    """What Flax's norms fail; two of them whatever the option is, since these do not take it."""
    option = "use_fast_variance=False"
    avoidable = one_pass("BNT-02 BNT-03 BNT-04 BNT-08 BNR-01 NRM-01", link, option)
    return avoidable | one_pass("BNT-11 NRM-02", link) | OVERFLOWS
