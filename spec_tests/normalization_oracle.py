"""Float64 oracles of the normalizations, the error that arithmetic allows, and hard inputs.

With u the unit roundoff, γ_k = ku/(1-ku), m entries of mean μ, variance v, s² = v + ε:

* Any summation order: δμ = γ_m mean|x|, δv = γ_{m+4}(v + δμ²) + δμ² is what a two-pass variance
  errs by; q = δv/2(s² - δv) + 6u is the relative error of 1/s; and
  |x̂' - x̂| ≤ δμ(1 + q)/s + |x̂|(q + 2u) + 2u|μ|/s. These grow with κ = |μ|/s.
* Deviations from a pivot p that is a sample's mean, at least one entry in eight: Cauchy-Schwarz
  gives (p - μ)² ≤ 8v, and rounding p moves it by δμ at most, so D = √8v + δμ. Deviations err by
  u relatively, their mean by δr = γ_{m+2} √(v + D²), their sum of squares by γ_{m+4}, the variance
  by δv = γ_{m+4}(v + D²) + 2Dδr + δr² + 2uD² and x̂ by
  δr(1 + q)/s + u(|x̂| + 2D/s) + |x̂|(q + 2u). κ enters in second order only.
"""

from typing import NamedTuple

import numpy as np
from exact import gamma, unit_roundoff
from hypothesis import strategies as st


class Standard(NamedTuple):
    """x̂ in float64 and what float32 may differ from it by."""

    mean: np.ndarray
    var: np.ndarray
    root: np.ndarray
    xhat: np.ndarray
    loose: np.ndarray
    tight: np.ndarray
    inverse: np.ndarray


def standard(x, epsilon: float, axes: tuple[int, ...], where=None) -> Standard:
    """x̂ over the axes by two passes in float64, and both bounds of the module's text.

    `inverse` is the relative error of 1/s that goes with the tight bound.
    """
    x, u = np.asarray(x, np.float64), unit_roundoff(np.float32)
    epsilon = float(np.float32(epsilon))
    where = np.broadcast_to(True if where is None else where, x.shape)
    keep = {"axis": axes, "keepdims": True, "where": where}
    m = int(np.max(np.sum(where, axis=axes)))
    mean = np.mean(x, **keep)
    var = np.mean((x - mean) ** 2, **keep)
    root = np.sqrt(var + epsilon)
    xhat = (x - mean) / root
    shift = gamma(m) * np.mean(np.abs(x), **keep)
    spread = gamma(m + 4) * (var + shift**2) + shift**2
    # Where δv exceeds s² this bound says nothing: it becomes huge.
    q = 0.5 * spread / np.maximum(root**2 - spread, 1e-12 * root**2) + 6 * u
    loose = shift / root * (1 + q) + np.abs(xhat) * (q + 2 * u) + 2 * u * np.abs(mean) / root
    far = np.sqrt(8 * var) + shift
    drift = gamma(m + 2) * np.sqrt(var + far**2)
    spread = gamma(m + 4) * (var + far**2) + 2 * far * drift + drift**2 + 2 * u * far**2
    assert np.all(spread < root**2 / 2), "the bound says nothing here"
    inverse = 0.5 * spread / (root**2 - spread) + 6 * u
    tight = (
        drift / root * (1 + inverse)
        + u * (np.abs(xhat) + 2 * far / root)
        + np.abs(xhat) * (inverse + 2 * u)
    )
    return Standard(mean, var, root, xhat, loose, tight, inverse)


def gradient(x, g, scale, epsilon: float, axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(γ/s)(g - mean g - x̂ mean(g x̂)) in float64, and what its terms' errors add up to.

    x̂ errs by the tight bound b, 1/s by q, each of two means by γ_{m+2} of its mean modulus, and
    the seven products and sums by u each.
    """
    s, u = standard(x, epsilon, axes), unit_roundoff(np.float32)
    g, scale = np.asarray(g, np.float64), np.asarray(scale, np.float64)
    m = int(np.prod([x.shape[a] for a in axes]))
    along = {"axis": axes, "keepdims": True}
    first, second = np.mean(g, **along), np.mean(g * s.xhat, **along)
    want = scale / s.root * (g - first - s.xhat * second)
    size1, size2 = np.mean(np.abs(g), **along), np.mean(np.abs(g * s.xhat), **along)
    sizes = np.abs(g) + size1 + np.abs(s.xhat) * size2
    wrong = (s.inverse + 7 * u) * sizes + gamma(m + 2) * (size1 + np.abs(s.xhat) * size2)
    wrong = wrong + s.tight * size2 + np.abs(s.xhat) * np.mean(np.abs(g) * s.tight, **along)
    # Twice: the terms of second order, products of two of these errors, are under the first order.
    return want, 2 * np.abs(scale) / s.root * wrong


KAPPAS = (0.0, 1e2, 1e3, 1e4)


@st.composite
def columns(draw, m: int = 64, features: int = 4, kappas=KAPPAS) -> np.ndarray:
    """Hard columns in float32: offsets, constants, an outlier, v ≪ ε, 2^60, zeros of both signs."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kinds = ("offset", "constant", "outlier", "flat", "huge", "zeros")
    made = []
    for _ in range(features):
        kind = draw(st.sampled_from(kinds))
        spread = 2.0 ** draw(st.integers(-10, 3))
        z = rng.normal(size=m)
        made.append(
            {
                "offset": lambda z=z, s=spread: s * (z + draw(st.sampled_from(kappas))),
                "constant": lambda s=spread: np.full(m, 1.1 * s),
                "outlier": lambda z=z, s=spread: s * np.where(np.arange(m) == 8, 1e3, z),
                "flat": lambda z=z: 1e-6 * z,
                "huge": lambda z=z: 2.0**50 * z,
                "zeros": lambda: np.where(np.arange(m) % 2, 0.0, -0.0),
            }[kind]()
        )
    return np.stack(made, axis=-1).astype(np.float32)
