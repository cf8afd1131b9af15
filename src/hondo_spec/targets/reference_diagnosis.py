"""The reference's diagnosis of a chain, in float64 NumPy."""

import math
from typing import Any, NamedTuple

import numpy as np

from hondo_spec.draws import double
from hondo_spec.operations.diagnosis import Batch, Rows, Squares
from hondo_spec.operations.shapes import Array
from hondo_spec.targets.reference_chains import CURVES

LOCAL, TOTAL = math.log(10), math.log(100)
FALSE_ALARM = 1e-6
Verdict = tuple[str, int]
Sizes = dict[str, Array]


class Measured(NamedTuple):
    """The chain run forwards and backwards; lists over the layers.

    Attributes:
        inputs: h.
        responses: z.
        outputs: φ(z); z for the last layer.
        gradients: of z.
        input_gradients: of h.
        arriving: of φ(z), before it is stopped; of z for the last layer.
        slopes: φ'(z).
    """

    inputs: list[Array]
    responses: list[Array]
    outputs: list[Array]
    gradients: list[Array]
    input_gradients: list[Array]
    arriving: list[Array]
    slopes: list[Array]


def run_chain(
    x: Batch, weights: Squares, biases: Rows, activation: str, g: Batch, stop: int
) -> Measured:
    """Forwards z = h w + b, h = φ(z); backwards g ← (g · φ'(z)) wᵀ, cut behind φ of the layer."""
    h, inputs, responses, outputs, slopes = double(x), [], [], [], []
    for layer, (w, b) in enumerate(zip(double(weights), double(biases), strict=True)):
        z = h @ w + b
        y, slope = (f(z) for f in CURVES[activation if layer < len(weights) - 1 else "identity"])
        inputs, responses = [*inputs, h], [*responses, z]
        outputs, slopes, h = [*outputs, y], [*slopes, slope], y
    back, gradients, input_gradients, arriving = double(g), [], [], []
    for layer in reversed(range(len(weights))):
        arriving.insert(0, back)
        gradients.insert(0, back * slopes[layer] * (layer != stop))
        back = gradients[0] @ double(weights[layer]).T
        input_gradients.insert(0, back)
    return Measured(inputs, responses, outputs, gradients, input_gradients, arriving, slopes)


def diagnose_chain(
    x: Batch, weights: Squares, biases: Rows, activation: str, g: Batch, stop: int, scanned: bool
) -> dict[str, Any]:
    """Root mean squares in float64; there is one program, scanned or not."""
    with np.errstate(all="ignore"):
        run = run_chain(x, weights, biases, activation, g, stop)
        sizes = {name: rms(arrays) for name, arrays in run._asdict().items()}
        least = np.max(CURVES[activation][1](np.arange(2.0))) / 10
        off = np.array([np.all(slope <= least, axis=0).mean() for slope in run.slopes[:-1]])
        return {
            "loss": np.sum(double(g) * run.responses[-1]), "off": off,
            "input_rms": sizes["inputs"], "response_rms": sizes["responses"],
            "gradient_rms": sizes["gradients"], "gain": sizes["responses"] / sizes["inputs"],
            "activation_gain": (sizes["outputs"] / sizes["responses"])[:-1],
            "verdicts": judge(weights, sizes, off, stop >= 0),
        }  # fmt: skip


def rms(arrays: list[Array]) -> Array:
    """The root mean square of each."""
    return np.array([np.sqrt(np.mean(np.square(each))) for each in arrays])


def judge(weights: Squares, s: Sizes, off: Array, is_stopped: bool) -> tuple[Verdict, ...]:
    """Not finite hides all else, a dead layer every size, a stopped gradient its own."""
    finite = np.isfinite(s["responses"]) & np.isfinite(weights).all(axis=(1, 2))
    if not finite.all():
        return (("nonfinite_response", int(np.argmin(finite))),)
    dead = np.flatnonzero(off > dead_limit(weights.shape[-1]))
    if len(dead):
        return (("dead", int(dead[0])),)
    back = s["input_gradients"]
    alone = [
        *one_layer("response", s["responses"] / s["inputs"], s["outputs"] / s["inputs"]),
        *one_layer("gradient", back / s["gradients"], back / s["arriving"]),
    ]
    # What the hidden layers pass on, in the direction in which it travels.
    places = np.arange(len(weights) - 1)
    forward = whole_depth("response", places, s["outputs"][:-1])
    backward = whole_depth("gradient", places[::-1], s["arriving"][-2::-1])
    found = alone or [*forward, *backward]
    if not is_stopped:
        return tuple(found)
    cut = int(np.flatnonzero(s["gradients"] == 0)[-1])
    return ("detached", cut), *(verdict for verdict in found if "gradient" not in verdict[0])


def one_layer(name: str, own: Array, passed: Array) -> list[Verdict]:
    """Layers whose own gain is off 1, off the median one, and passed on, each by more than 10."""
    gains = np.log([own, own / np.median(own), passed])
    return [
        (f"{change}_{name}", int(layer))
        for change, sign in (("vanishing", -1), ("exploding", 1))
        for layer in np.flatnonzero(np.all(sign * gains > LOCAL, axis=0))
    ]


def whole_depth(name: str, places: Array, sizes: Array) -> list[Verdict]:
    """The first layer that is off the one where the signal starts by more than 100."""
    change = np.log(sizes / sizes[0])
    beyond = np.flatnonzero(np.abs(change) > TOTAL)
    return [
        (f"{'vanishing' if change[first] < 0 else 'exploding'}_{name}", int(places[first]))
        for first in beyond[:1]
    ]


def dead_limit(units: int) -> float:
    """Each unit is off for a whole batch with probability at most ½: Hoeffding's bound."""
    return min(0.5 + math.sqrt(-math.log(FALSE_ALARM) / (2 * units)), 1 - 0.5 / units)


def diagnosis_size(layers: int) -> int:
    """NumPy has no program that could grow."""
    return 1


def mean_field(
    activation: str, weight_variance: float, bias_variance: float
) -> tuple[float, float]:
    """The fixed point by iteration, the means by 64 points of Gauss and Hermite."""
    nodes, parts = np.polynomial.hermite.hermgauss(64)
    u, parts = np.sqrt(2) * nodes, parts / np.sqrt(np.pi)
    q, chi, (curve, slope) = 1.0, 0.0, CURVES[activation]
    for _ in range(300):
        z = np.sqrt(q) * u
        q = weight_variance * float(parts @ curve(z) ** 2) + bias_variance
        chi = weight_variance * float(parts @ slope(z) ** 2)
    return q, chi
