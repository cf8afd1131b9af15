r"""Theory of signals in wide random networks: gains, fixed points, depth scales.

Layers $z = W\varphi(h) + b$ with weights of variance $\sigma_w^2/n$ and biases of $\sigma_b^2$.
All expectations are over Gaussians, in float64.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from hondo._numerics.checks import check_range
from hondo.gradients.activations import ACTIVATIONS, Activation, find_activation

Elementwise = Callable[[Array], Array]

# The midpoint rule: it errs by the square of the step at a kink, and less where there is none.
_STEP = 16.0 / 2**12
_NODES = -8.0 + _STEP * (np.arange(2**12) + 0.5)
_WEIGHTS = np.exp(-(_NODES**2) / 2) / math.sqrt(2 * math.pi) * _STEP


def _function(activation: str | Activation | Elementwise) -> Elementwise:
    if isinstance(activation, str):
        activation = find_activation(activation)
    return activation.function if isinstance(activation, Activation) else activation


def _evaluate(activation: Elementwise, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """φ and φ' in float64, whatever precision JAX has."""
    with jax.ensure_compile_time_eval():
        x = jnp.asarray(z, jnp.float32)
        value, slope = jax.jvp(activation, (x,), (jnp.ones_like(x),))
        return np.asarray(value, np.float64), np.asarray(slope, np.float64)


def moments(activation: str | Activation | Elementwise, q: float) -> tuple[float, float]:
    r"""Computes $\mathrm{E}[\varphi(z)^2]$ and $\mathrm{E}[\varphi'(z)^2]$ for $z\sim N(0, q)$.

    Args:
        activation: a name of `hondo.ACTIVATIONS`, an entry, or any elementwise function.
        q: the variance, above 0.

    Returns:
        Both, as Python floats.

    Raises:
        ValueError: an unknown name; q not above 0.

    Example:
        >>> from hondo.diagnosis import moments
        >>> [round(moment, 4) for moment in moments("relu", 2.0)]
        [1.0, 0.5]

    References:
        Poole et al. 2016, equation 3; slide 14.
    """
    check_range("q", q, 0.0, open_low=True)
    value, slope = _evaluate(_function(activation), math.sqrt(q) * _NODES)
    return float(_WEIGHTS @ value**2), float(_WEIGHTS @ slope**2)


def activation_gains(name: str, log_rms: float) -> tuple[float, float]:
    """The gains of a named activation for inputs of this RMS; NaN where the theory has none."""
    if name not in ACTIVATIONS or not math.isfinite(log_rms):
        return math.nan, math.nan
    if abs(log_rms) > 40:
        log_rms = math.copysign(40.0, log_rms)
    q = math.exp(2 * log_rms)
    value, slope = moments(name, q)
    return math.sqrt(value / q), math.sqrt(slope)
