"""A diagnosis as a picture: response and gradient over depth."""

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hondo._pictures import BLUE, GRAY, RED, integer_marks, log_axis, new_figure, style
from hondo.diagnosis.report import Diagnosis, LayerReport, Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MEASURED, _CULPRIT, _THEORY, _BAND = BLUE, RED, GRAY, "#e8e8e8"


def draw(path: str | Path, report: Diagnosis, *, title: str = "") -> None:
    """Draws response and gradient of every layer over depth, with the theory and the culprits.

    On logarithmic axes: what was measured, as points; what the theory predicts from the weights as
    they are, as a line that starts at the first layer forwards and at the last one backwards; the
    band within which a signal may spread; and each layer that a verdict names.

    Args:
        path: of the picture; its suffix says which kind.
        report: of one network.
        title: above the picture.

    Raises:
        ValueError: a report inside jit, of an ensemble, or without layers.

    Example:
        >>> import hondo, jax, jax.numpy as jnp, tempfile
        >>> from flax import linen
        >>> net = linen.Sequential([linen.Dense(8), linen.relu, linen.Dense(3)])
        >>> problem = hondo.supervised(net, loss="cross_entropy")
        >>> batch = jnp.ones((4, 5)), jnp.zeros(4, int)
        >>> report = hondo.diagnose(problem, batch=batch, key=jax.random.key(0))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     hondo.diagnosis.draw(f"{folder}/diagnosis.png", report)

    References:
        Slides 9, 10 and 14; Glorot and Bengio 2010, figures 6 and 7.
    """
    if not report.layers:
        raise ValueError("report must have a layer to draw, got none: nothing was recognized.")
    with style():
        figure = new_figure(7.2, 5.6)
        headline = draw_report(figure, report)
        figure.suptitle(title or headline, fontsize="medium")
        figure.savefig(path, dpi=150)


def draw_report(figure: "Figure", report: Diagnosis) -> str:
    """Draws the panels of `draw` into a figure; returns what they show in a few words."""
    layers = report.layers
    above, below = figure.subplots(2, 1, sharex=True)
    forward, backward = _predictions(layers)
    responses = np.array([layer.response_rms for layer in layers])
    gradients = np.array([layer.gradient_rms for layer in layers])
    _panel(above, responses, forward, report, "response")
    _panel(below, gradients, backward, report, "gradient")
    above.set_ylabel("RMS of the response z")
    below.set_ylabel("RMS of the gradient by z")
    below.set_xlabel("layer, in the order of execution")
    above.legend(frameon=True)
    return _headline(report.verdicts)


def _headline(verdicts: tuple[Verdict, ...]) -> str:
    if not verdicts:
        return "healthy"
    first, more = verdicts[0], len(verdicts) - 1
    kind = first.kind.replace("_", " ")
    return f"{kind} at {first.name}" + (f", and {more} more" if more else "")


def _predictions(layers: tuple[LayerReport, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Responses from each layer's own input, gradients from the next layer's own gradient."""
    forward = np.array([layer.input_rms * layer.predicted_forward_gain for layer in layers])
    passed = [layer.gradient_rms * layer.predicted_backward_gain for layer in layers[1:]]
    lost = [
        layer.gradient_rms / following.input_gradient_rms
        if following.input_gradient_rms
        else np.nan
        for layer, following in pairwise(layers)
    ]
    return forward, np.append(np.array(passed) * np.array(lost), np.nan)


def _panel(
    axes: "Axes", measured: np.ndarray, predicted: np.ndarray, report: Diagnosis, kind: str
) -> None:
    depth = np.arange(1, len(measured) + 1)
    usable = np.isfinite(measured) & (measured > 0)
    shown = np.where(usable, measured, np.nan)
    # A signal starts at the first layer, a gradient at the last hidden one.
    start = 0 if kind == "response" else max(len(measured) - 2, 0)
    if usable[start]:
        factor = report.tolerance.total
        low, high = measured[start] / factor, measured[start] * factor
        axes.axhspan(low, high, color=_BAND, label="tolerated")
    is_known = np.isfinite(predicted) & (predicted > 0)
    axes.plot(depth, np.where(is_known, predicted, np.nan), color=_THEORY, label="theory")
    axes.plot(depth, shown, "o", color=_MEASURED, markersize=4, label="measured")
    for place in _culprits(report, kind):
        axes.axvline(depth[place], color=_CULPRIT, linestyle=":")
        if usable[place]:
            axes.plot(depth[place], shown[place], "o", color=_CULPRIT, markersize=7)
    log_axis(axes)
    integer_marks(axes)


def _culprits(report: Diagnosis, kind: str) -> list[int]:
    """The places of the layers that a verdict names, in the panel where it belongs."""
    other = "gradient" if kind == "response" else "response"
    named = {(v.layer, v.index) for v in report.verdicts if not v.kind.endswith(other)}
    return [i for i, layer in enumerate(report.layers) if (layer.layer, layer.index) in named]
