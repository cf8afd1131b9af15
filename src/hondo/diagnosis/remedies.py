"""What cures each sickness, in words: the remedies of slides 11 to 19."""

from collections.abc import Sequence

import numpy as np

from hondo.diagnosis.rows import Row, Values

_BY_KIND = {
    "nonfinite_gradient": "Guard the input of the division or root behind it, not its result; "
    "hondo.diagnosis.find_nonfinite names the line.",
    "detached": "No gradient comes to it: a stop_gradient, a comparison or a rounding behind it, "
    "frozen weights, or an output that the loss does not use.",
    "dead": "Its units are off for the whole batch. Take smaller biases, a smaller step, "
    "hondo.he_normal, or an activation with a slope on both sides, as leaky_relu.",
    "saturated": "Its activation is flat for more than half of the entries. Take smaller weights "
    "(hondo.glorot_normal), batch norm before the activation, or relu with hondo.he_normal.",
}


def remedy(kind: str, rows: Sequence[Row], values: Values, place: int, is_total: bool) -> str:
    """What to do about a verdict on the row at this place, or that names it for the whole depth."""
    if kind in _BY_KIND:
        return _BY_KIND[kind]
    if kind == "nonfinite_response":
        return _nonfinite(rows[place], values, place)
    if float(values.weight.log_rms[place]) == -np.inf:
        return "Its weights are all zero, so nothing passes. Initialize them at random."
    gradients = values.output_gradient, values.input_gradient
    if kind == "vanishing_gradient" and any(g.log_rms[place] == -np.inf for g in gradients):
        return (
            f"The gradient comes to nothing there: it underflows {rows[place].dtype}. Multiply the "
            "loss and divide the gradient by the same factor, or compute in bfloat16."
        )
    direction = "larger" if kind.startswith("vanishing") else "smaller"
    if not is_total:
        return f"It alone is out of scale: initialize it with weights of a {direction} scale."
    return _over_depth(kind, rows, direction)


def _nonfinite(row: Row, values: Values, place: int) -> str:
    weights, inputs = (float(s.nonfinite[place]) for s in (values.weight, values.input))
    if weights > 0:
        return (
            "Its weights are not finite: the step before was too large. Take a smaller step, or "
            'hondo.clip_by_global_norm(…, nonfinite="skip").'
        )
    if inputs > 0:
        return (
            "It is not finite as it comes in: look at the batch, and at what stands before; "
            "hondo.diagnosis.find_nonfinite names the line."
        )
    return (
        f"Its input and weights are finite, its response overflows {row.dtype} or its bias is not "
        "finite. Take a wider dtype or a smaller scale."
    )


def _over_depth(kind: str, rows: Sequence[Row], direction: str) -> str:
    """By cause: an activation that damps, a norm without residuals, or weights of a wrong scale."""
    if any(row.saturating for row in rows):
        return (
            f"A saturating activation, or weights that should be {direction}: take relu with "
            "hondo.he_normal, tanh with hondo.glorot_normal, or batch norm before each activation."
        )
    if kind == "exploding_gradient":
        return (
            "Where a norm keeps the responses, residual connections keep the gradients; without a "
            "norm the weights should be smaller: hondo.he_normal for relu."
        )
    return (
        f"Each layer changes the scale; its weights should be {direction}: hondo.he_normal for "
        "relu, or a norm before each activation, with residual connections over a great depth."
    )
