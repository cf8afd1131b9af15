"""What cures each sickness, in words: the remedies of slides 11 to 19."""

import numpy as np

from hondo.diagnosis.rows import Row, Values

_GRADIENT = {
    "nonfinite_gradient": "Guard the input of the division or root behind it, not its result; or "
    "clip with a policy for what is not finite.",
    "detached": "No gradient comes to it: a stop_gradient behind it, a comparison or a rounding, "
    "frozen weights, or an output that the loss does not use.",
    "dead": "Its units are off for the whole batch. Take smaller biases, a smaller step, "
    "hondo.he_normal, or an activation with a slope on both sides, as leaky_relu.",
    "saturated": "Its activation is flat for more than half of the entries. Take smaller weights "
    "(hondo.glorot_normal), batch norm before the activation, or relu.",
}


def remedy(kind: str, row: Row, values: Values, place: int) -> str:
    """What to do about a verdict on the row at this place."""
    if kind == "nonfinite_response":
        return _nonfinite(row, values, place)
    if kind in _GRADIENT:
        return _GRADIENT[kind]
    return _size(kind, row, values, place)


def _nonfinite(row: Row, values: Values, place: int) -> str:
    weights, inputs = (float(s.nonfinite[place]) for s in (values.weight, values.input))
    if weights > 0:
        return (
            f"Its weights have {weights:.0f} entries that are not finite: the step before "
            'was too large. Take a smaller step, or clip with nonfinite="skip".'
        )
    if inputs > 0:
        return "It is not finite as it comes in: look at the batch, and at what stands before."
    return (
        f"Finite inputs and weights overflow {row.dtype}, or a bias is not finite. Take a wider "
        "dtype or weights of a smaller scale."
    )


def _size(kind: str, row: Row, values: Values, place: int) -> str:
    if float(values.weight.log_rms[place]) == -np.inf:
        return "Its weights are all zero, so nothing passes. Initialize them at random."
    direction = "larger" if kind.startswith("vanishing") else "smaller"
    found = np.asarray(values.flat)
    bounded = any(name > 0.2 for name in found[np.isfinite(found)]) and row.saturating
    if bounded:
        return "Take relu with hondo.he_normal, or batch norm before each activation."
    return (
        f"Give it weights of a {direction} scale: hondo.he_normal for relu, hondo.glorot_normal "
        "for tanh. What remains over a great depth, residual connections with norm cure."
    )
