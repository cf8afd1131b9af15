"""The activations under the generic laws."""

from laws import Case

import hondo


def _activate(entry):
    return lambda key, x: entry.function(x)


CASES = (
    # The smooth ones are made of exp, log1p and tanh: XLA has other kernels for them inside a
    # fusion, each within 4 ulps of the truth.
    *(
        Case("ACTIVATIONS", _activate(entry), label=name, ulps=8)
        for name, entry in hondo.ACTIVATIONS.items()
    ),
    Case(
        "saturated",
        lambda key, x: hondo.saturated(x, activation="tanh"),
        keeps=False,
        differentiable=False,
    ),
)
EXEMPT = {
    "Activation": "an entry of ACTIVATIONS",
    "find_activation": "looks a name up",
    "gain": "gives a Python float",
}
