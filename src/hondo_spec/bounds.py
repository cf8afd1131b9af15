"""What floating-point arithmetic allows: the only place where a tolerance comes from."""

from typing import Any, NamedTuple

import numpy as np

U32, U64 = 2.0**-24, 2.0**-53
TINY = 2.0**-126  # the smallest normal number of float32: subnormals may be flushed
# What may be flushed in a dtype.
FLUSHED = {"float32": TINY, "float16": 2.0**-14, "bfloat16": TINY}
GRID = 2.0**-20  # a uniform number in float32 has 23 bits at least; its distribution is that coarse
UNITS = {"float32": U32, "float16": 2.0**-11, "bfloat16": 2.0**-8}  # unit roundoffs


def gamma(k: float, u: float = U32) -> float:
    """γ_k = ku/(1 − ku), the relative error of k roundings (Higham 2002, lemma 3.1)."""
    return k * u / (1 - k * u)


def ulps(k: float, u: float = U32) -> float:
    """K units in the last place, as a relative error."""
    return 2 * k * u


def exp_slack(x: np.ndarray | float) -> np.ndarray | np.float64:
    """The exponential of an argument that is rounded: |x| units, and a few more."""
    return ulps(8) + gamma(2) * np.minimum(np.abs(np.float64(x)), 110)


def in_dtype(bound: np.ndarray | float, dtype: str) -> np.ndarray | float:
    """A bound of single precision where all of it is computed in that dtype."""
    return bound * (UNITS[dtype] / U32)


class Standard(NamedTuple):
    """Statistics in float64 and what a two-pass float32 computation of x̂ may be off by."""

    mean: np.ndarray
    var: np.ndarray
    root: np.ndarray
    xhat: np.ndarray
    bound: np.ndarray
    inverse: np.ndarray

    @property
    def slack(self) -> np.ndarray:
        """The bound of x̂ once it is rounded to float32."""
        return self.bound + U32 * np.abs(self.xhat)

    def affine(self, scale: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """γx̂ + β and what it may be off by."""
        scaled, bias = scale * self.xhat, np.asarray(bias, np.float64)
        rounding = gamma(4) * (np.abs(scaled) + np.abs(bias))
        return scaled + bias, np.abs(scale) * np.where(scale == 0, 0.0, self.bound) + rounding


def standard(
    x: Any, epsilon: float, axes: tuple[int, ...] | None = None, u: float = U32
) -> Standard:
    """x̂ = (x − μ)/√(v + ε) over the axes, or over all but the last, and its error bound.

    With A = mean |x|: δμ = γ_m A; δv = γ_{m+4}(v + δμ²) + δμ²; q = δv/2(s² − δv) + 6u;
    |x̂' − x̂| ≤ δμ(1 + q)/s + |x̂|(q + 2u) + 2u|μ|/s. A one-pass variance errs by κ² where this has
    κ = |μ|/s.
    """
    x, epsilon = np.asarray(x, np.float64), float(np.float32(epsilon))
    axes = tuple(range(x.ndim - 1)) if axes is None else axes
    along = {"axis": axes, "keepdims": True}
    m = int(np.prod([x.shape[axis] for axis in axes]))
    mean = np.mean(x, **along)
    var = np.mean((x - mean) ** 2, **along)
    root = np.sqrt(var + epsilon)
    xhat = (x - mean) / root
    shift = gamma(m, u) * np.mean(np.abs(x), **along)
    spread = gamma(m + 4, u) * (var + shift**2) + shift**2
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 0.5 * spread / np.abs(root**2 - spread)
        inverse = np.where(spread < root**2, ratio, np.inf) + 6 * u
        first = shift / root * (1 + inverse)
        bound = first + np.abs(xhat) * (inverse + 2 * u) + 2 * u * np.abs(mean) / root
    bound = np.where(np.isnan(bound), np.inf, bound)
    return Standard(mean, var, root, xhat, bound, inverse)


def moment_slack(x: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
    """What mean and variance of m examples may be off by, over every axis but the last.

    δμ = γ_m max|x|; δv = γ_{m+4} v + δμ² in two passes, and δμ √v more where means are updated or
    merged (Chan, Golub & LeVeque 1983, table 1). One pass loses κ² u v, where this has m κ u v.
    """
    x = np.float64(x).reshape(-1, np.shape(x)[-1])
    var, shift = np.var(x, axis=0), gamma(m) * np.max(np.abs(x), axis=0)
    return shift, gamma(m + 4) * var + shift**2 + shift * np.sqrt(var) + TINY


def rounded(want: np.ndarray, bound: np.ndarray, dtype: str) -> np.ndarray:
    """The bound of a result in that dtype: below 2^-14 the numbers of float16 are 2^-24 apart."""
    return bound if dtype == "float32" else bound + UNITS[dtype] * (np.abs(want) + bound) + U32
