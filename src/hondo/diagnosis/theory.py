r"""Theory of signals in wide random networks: gains, fixed points, depth scales.

Layers $z = W\varphi(h) + b$ with weights of variance $\sigma_w^2/n$ and biases of $\sigma_b^2$.
All expectations are over Gaussians, in float64.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

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


class MeanField(NamedTuple):
    r"""A wide random network far from its input; Poole et al. 2016, Schoenholz et al. 2017.

    Attributes:
        variance: $q^*$, the fixed point of $q \mapsto \sigma_w^2\mathrm{E}[\varphi^2] +
            \sigma_b^2$; the q given where every q is one, as for relu with $\sigma_w^2 = 2$.
        chi: $\chi = \sigma_w^2\mathrm{E}[\varphi'^2]$, by which the squared gradient grows a layer;
            1 is the edge of chaos.
        gradient_depth: $\xi_\nabla = 1/|\ln\chi|$ layers until it has changed by a factor of e.
        correlation: $c^*$, where two different inputs end.
        correlation_depth: $\xi_c = -1/\ln\chi_c$ with the slope $\chi_c$ of the map of
            correlations there.

    Example:
        >>> from hondo.diagnosis import mean_field
        >>> chaos = mean_field("tanh", weight_variance=4.0)
        >>> chaos.chi > 1, chaos.correlation < 1
        (True, True)
    """

    variance: float
    chi: float
    gradient_depth: float
    correlation: float
    correlation_depth: float


def mean_field(
    activation: str | Activation | Elementwise,
    *,
    weight_variance: float,
    bias_variance: float = 0.0,
    q: float = 1.0,
) -> MeanField:
    r"""Computes where a wide random network goes, and how deep a signal reaches.

    $$ q_{l+1} = \sigma_w^2\,\mathrm{E}[\varphi(\sqrt{q_l} z)^2] + \sigma_b^2, \qquad
       c_{l+1} = \frac{\sigma_w^2\,\mathrm{E}[\varphi(u)\varphi(v)] + \sigma_b^2}{q^*} $$

    Args:
        activation: a name of `hondo.ACTIVATIONS`, an entry, or any elementwise function.
        weight_variance: $\sigma_w^2$, the variance of a weight times the fan-in, above 0.
        bias_variance: $\sigma_b^2$, of a bias, at least 0.
        q: the variance at the input, above 0.

    Returns:
        Fixed points and depth scales; a variance that vanishes or explodes gives 0 or infinity,
        and the rest for the limit of small or at the last finite variance.

    Raises:
        ValueError: a number outside its range, an unknown name.

    Example:
        >>> from hondo.diagnosis import mean_field
        >>> edge = mean_field("relu", weight_variance=2.0)
        >>> round(edge.chi, 4), round(edge.variance, 4)
        (1.0, 1.0)
        >>> sigmoid = mean_field("sigmoid", weight_variance=1.0, bias_variance=1.0)
        >>> round(sigmoid.chi ** -0.5, 4)
        4.8818

    References:
        Poole et al. 2016, equations 3 and 5; Schoenholz et al. 2017, equations 8 and 11.
    """
    check_range("weight_variance", weight_variance, 0.0, open_low=True)
    check_range("bias_variance", bias_variance, 0.0)
    check_range("q", q, 0.0, open_low=True)
    function = _function(activation)
    variance = _fixed_variance(function, weight_variance, bias_variance, q)
    inside = min(max(variance, 1e-12), 1e12)
    chi = weight_variance * moments(function, inside)[1]
    correlation = _fixed_correlation(function, weight_variance, bias_variance, inside)
    slope = _correlation_slope(function, correlation, inside, weight_variance, bias_variance)
    return MeanField(variance, chi, _depth(chi), correlation, _depth(slope))


def _correlation_slope(
    function: Elementwise,
    correlation: float,
    q: float,
    weight_variance: float,
    bias_variance: float,
) -> float:
    if correlation < 1:
        return correlation_map(function, correlation, q, weight_variance, bias_variance)[1]
    value, slope = moments(function, q)
    return weight_variance * slope * q / (weight_variance * value + bias_variance)


def _depth(factor: float) -> float:
    if factor <= 0:
        return 0.0
    return math.inf if abs(math.log(factor)) < 1e-6 else 1 / abs(math.log(factor))


def _fixed_variance(
    function: Elementwise, weight_variance: float, bias_variance: float, q: float
) -> float:
    for _ in range(2000):
        if not 1e-12 < q < 1e12:
            return 0.0 if q < 1 else math.inf
        following = weight_variance * moments(function, q)[0] + bias_variance
        if abs(following - q) < 1e-9 * q:
            return following
        q = following
    return _slow_fixed_variance(function, weight_variance, bias_variance, q)


def _slow_fixed_variance(
    function: Elementwise, weight_variance: float, bias_variance: float, q: float
) -> float:
    """The fixed point that iteration nears slower than any power, as at the edge of chaos."""

    def grows(q: float) -> bool:
        return weight_variance * moments(function, q)[0] + bias_variance > q

    low, high = (q, 1e12) if grows(q) else (1e-6, q)
    if grows(high):
        return math.inf
    if not grows(low):
        return 0.0
    for _ in range(100):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if grows(middle) else (low, middle)
    return low


def correlation_map(
    activation: str | Activation | Elementwise,
    correlation: float,
    q: float,
    weight_variance: float,
    bias_variance: float = 0.0,
) -> tuple[float, float]:
    r"""Computes the map of correlations $c \mapsto c'$ and its slope.

    $$ c' = \frac{\sigma_w^2\,\mathrm{E}[\varphi(u)\varphi(v)] + \sigma_b^2}
                {\sigma_w^2\,\mathrm{E}[\varphi(u)^2] + \sigma_b^2}, \qquad
       \frac{dc'}{dc} \propto \sigma_w^2\,\mathrm{E}[\varphi'(u)\varphi'(v)] $$

    for $u, v$ of variance q and correlation c; where q is a fixed point the denominator is q.

    Args:
        activation: a name of `hondo.ACTIVATIONS`, an entry, or any elementwise function.
        correlation: c in [-1, 1].
        q: the variance, above 0.
        weight_variance: $\sigma_w^2$, above 0.
        bias_variance: $\sigma_b^2$, at least 0.

    Returns:
        $c'$ and its slope at c.

    Raises:
        ValueError: a number outside its range, an unknown name.

    Example:
        >>> from hondo.diagnosis import correlation_map
        >>> round(correlation_map("relu", 0.0, 1.0, 2.0)[0], 3)  # 1/π
        0.318

    References:
        Poole et al. 2016, equation 5; Cho and Saul 2009 for relu.
    """
    check_range("correlation", correlation, -1.0, 1.0)
    check_range("q", q, 0.0, open_low=True)
    check_range("weight_variance", weight_variance, 0.0, open_low=True)
    function = _function(activation)
    u = math.sqrt(q) * _COARSE[:, None]
    across = math.sqrt(1 - correlation**2) * math.sqrt(q) * _COARSE[None]
    (value_u, slope_u), (value_v, slope_v) = (
        _evaluate(function, z) for z in (u + 0 * across, correlation * u + across)
    )
    weights = np.outer(_COARSE_WEIGHTS, _COARSE_WEIGHTS)
    total = weight_variance * np.sum(weights * value_u**2) + bias_variance
    mixed = weight_variance * np.sum(weights * value_u * value_v) + bias_variance
    slope = weight_variance * np.sum(weights * slope_u * slope_v)
    return float(mixed / total), float(slope * q / total)


_COARSE = _NODES[8::16]
_COARSE_WEIGHTS = np.exp(-(_COARSE**2) / 2) / np.sum(np.exp(-(_COARSE**2) / 2))


def _fixed_correlation(
    function: Elementwise, weight_variance: float, bias_variance: float, q: float
) -> float:
    """1, where its slope is at most 1; else where the map meets the diagonal below."""
    if weight_variance * moments(function, q)[1] <= 1 + 1e-6:
        return 1.0
    correlation = 0.5
    for _ in range(200):
        following, _ = correlation_map(function, correlation, q, weight_variance, bias_variance)
        if abs(following - correlation) < 1e-7:
            break
        correlation = min(max(following, -1.0), 1.0)
    return correlation


def batch_norm_growth(batch: int = 0) -> float:
    r"""Computes by how much batch norm before relu grows the squared gradient in a layer.

    $$ \frac{\pi}{\pi - 1} = 1.467 $$

    for wide layers without residual connections as the batch grows; linear layers have
    $(B-2)/(B-3)$ for batches of B examples.

    Args:
        batch: B above 3 for linear layers; 0 for relu and a large batch.

    Returns:
        The factor.

    Raises:
        ValueError: B from 1 to 3, where there is none.

    Example:
        >>> from hondo.diagnosis import batch_norm_growth
        >>> round(batch_norm_growth(), 3), batch_norm_growth(5)
        (1.467, 1.5)

    References:
        Slide 19; Yang et al. 2019, theorem 3.9 and corollary 3.5.
    """
    if not batch:
        return math.pi / (math.pi - 1)
    check_range("batch", batch, 4.0)
    return (batch - 2) / (batch - 3)


def residual_growth(blocks: int, *, normalized: bool) -> float:
    r"""Computes the variance of the residual stream after so many blocks, beside that before.

    $$ 2^l \text{ for branches that keep the variance they get}, \qquad
       l + 1 \text{ for branches behind a norm} $$

    Args:
        blocks: l, at least 0.
        normalized: whether a norm stands at the start of each branch.

    Returns:
        The factor.

    Raises:
        ValueError: fewer than 0 blocks.

    Example:
        >>> from hondo.diagnosis import residual_growth
        >>> residual_growth(10, normalized=False), residual_growth(10, normalized=True)
        (1024.0, 11.0)

    References:
        Slide 13; De and Smith 2020, section 2.
    """
    check_range("blocks", blocks, 0.0)
    return float(blocks + 1) if normalized else 2.0**blocks
