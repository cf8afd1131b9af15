"""Mutants of batch normalization in training."""

import numpy as np

from hondo_spec.target import Operation
from hondo_spec.targets import reference_norms as right
from spec_tests.mutants.mutant import Mutant


def train(
    mean_of: Operation | None = None,
    var_of: Operation | None = None,
    shape: Operation | None = None,
    running: Operation | None = None,
    order: Operation | None = None,
) -> dict[str, Operation]:
    """Batch norm with one of its steps replaced."""

    def batch_norm(x, mean, var, scale, bias, decay, epsilon):
        mu, v = right.batch_moments(x)
        mu = mean_of(x, mu, mean) if mean_of else mu
        v = var_of(x, v, var) if var_of else v
        root = np.sqrt(v + epsilon) if shape is None else shape(v, epsilon)
        xhat = (np.float64(x) - mu) / root
        y = scale * xhat + bias if order is None else order(scale, xhat, bias)
        news = right.batch_norm(x, mean, var, scale, bias, decay, epsilon)[1:]
        m = x.size // x.shape[-1]
        news = running(x, mean, var, decay, m) if running else news
        return y.astype(x.dtype), *news

    return {"batch_norm": batch_norm}


def one_pass(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean and E[x²] − E[x]² in float32, over every axis but the last; at least 0."""
    x = np.asarray(x, np.float32)
    axes = tuple(range(x.ndim - 1))
    mean = np.mean(x, axes)
    return mean, np.maximum(np.mean(x * x, axes) - mean**2, 0)


def _unclamped(x, v, _):
    x = np.asarray(x, np.float32)
    axes = tuple(range(x.ndim - 1))
    return np.mean(x * x, axes) - np.mean(x, axes) ** 2 - np.float32(1e-3) * np.mean(x, axes) ** 2


def _half_sums(x, v, _):
    if x.dtype != np.float16:
        return v
    total = np.zeros(x.shape[-1], np.float16)
    for row in (x - np.mean(x, axis=0, dtype=np.float16)) ** 2:
        total += row
    return np.float64(total / np.float16(len(x)))


def _coarse_mean(x, mu, _):
    """Sums in the eight bits of bfloat16."""
    if x.dtype.name != "bfloat16":
        return mu
    total = np.zeros(x.shape[-1], x.dtype)
    for row in x:
        total = total + row
    return np.float64(total) / len(x)


def _flushed_gradient(x, scale, bias, epsilon, g):
    out = right.batch_norm_gradient(x, scale, bias, epsilon, g)
    return np.where(np.ptp(x, axis=0) == 0, np.nan, out)


def _by_position(x, mean, var, scale, bias, decay, epsilon):
    """A first example that counts a little more."""
    y, *new = right.batch_norm(x, mean, var, scale, bias, decay, epsilon)
    weight = np.ones(len(x)).reshape(-1, *[1] * (x.ndim - 1))
    weight[0] += 1e-4 * (x.ndim > 2)
    return (y * weight).astype(x.dtype), *new


def _bessel(x, v, _):
    m = x.size // x.shape[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return v * m / np.float64(m - 1)


def _stopped(x, scale, bias, epsilon, g):
    return scale / np.sqrt(right.batch_moments(x)[1] + epsilon) * g


def _half_gradient(x, scale, bias, epsilon, g):
    """Through the mean, not through the variance."""
    return _stopped(x, scale, bias, epsilon, g - np.mean(g, axis=0))


def _first_axis_gradient(x, scale, bias, epsilon, g):
    mu, v = right.batch_moments(x)
    s = np.sqrt(v + epsilon)
    xhat = (np.float64(x) - mu) / s
    return scale / s * (g - np.mean(g, axis=0) - xhat * np.mean(g * xhat, axis=0))


def _nan_of_one(x, mean, var, scale, bias, decay, epsilon):
    y, new_mean, new_var = right.batch_norm(x, mean, var, scale, bias, decay, epsilon)
    return y, new_mean, new_var * (np.nan if len(x) == 1 else 1.0)


def _fading_variance(x, mean, var, scale, bias, decay, epsilon):
    y, new_mean, new_var = right.batch_norm(x, mean, var, scale, bias, decay, epsilon)
    return y, new_mean, new_var if len(x) > 1 else decay * np.float64(var)


def _moments(x):
    return right.batch_moments(x)


def _words(x, mean, var, scale, bias, decay, epsilon):
    y, *new = right.batch_norm(x, mean, var, scale, bias, decay, epsilon)
    if x.ndim == 3:
        y = (scale * right._standardize(x, 0, epsilon) + bias).astype(x.dtype)
    return y, *new


def _fast_gradient(x, scale, bias, epsilon, g):
    axes = tuple(range(x.ndim - 1))
    mean, v = one_pass(x)
    s = np.sqrt(v + np.float32(epsilon))
    xhat = (np.float32(x) - mean) / s
    return scale / s * (g - np.mean(g, axes) - xhat * np.mean(g * xhat, axes))


def _kept(x, mean, var, decay, m):
    one = np.ones_like(mean)
    return right.batch_norm(x, mean, var, one, 0 * one, decay, 1.0)[1:]


def _coarse(x, mean, var, decay, m):
    rows = x.reshape(m, -1)
    mu = np.cumsum(rows, axis=0, dtype=x.dtype)[-1] / x.dtype.type(m)
    v = np.cumsum((rows - mu) ** 2, axis=0, dtype=x.dtype)[-1] / x.dtype.type(max(m - 1, 1))
    pairs = ((mean, mu), (var, v))
    return tuple(decay * np.float64(old) + (1 - decay) * np.float64(new) for old, new in pairs)


MUTANTS = (
    Mutant(
        "the running mean in training",
        "BNT-01 BNT-03 BNR-04",
        train(mean_of=lambda x, mu, mean: mean),
        modeled_on="equinox's mode 'ema'",
    ),
    Mutant("Bessel's correction in the batch", "BNT-02 BNT-03 BNT-09", train(var_of=_bessel)),
    Mutant("ε outside the root", "BNT-02 BNT-03", train(shape=lambda v, e: np.sqrt(v) + e + 1e-30)),
    Mutant("division by the variance", "BNT-02 BNT-03", train(shape=lambda v, e: v + e)),
    Mutant(
        "the mean absolute deviation",
        "BNT-02 BNT-03",
        train(var_of=lambda x, v, _: np.mean(np.abs(x - np.mean(x, 0)), 0) ** 2),
    ),
    Mutant("ε of a tenth", "BNT-02 BNT-03", train(shape=lambda v, e: np.sqrt(v + e / 10))),
    Mutant("γ(x̂ + β)", "BNT-04", train(order=lambda s, xhat, b: s * (xhat + b))),
    Mutant("no β", "BNT-04 BNT-09", train(order=lambda s, xhat, b: s * xhat)),
    Mutant("no γ", "BNT-04", train(order=lambda s, xhat, b: xhat + b)),
    Mutant(
        "exported variance with Bessel's correction",
        "BNT-05",
        {"batch_moments": lambda x: (np.mean(x, 0), np.var(x, 0, ddof=1))},
    ),
    Mutant(
        "exported variance by a rounded reciprocal",
        "BNT-05",
        {
            "batch_moments": lambda x: (
                right.batch_moments(x)[0],
                right.batch_moments(x)[1] * 3 * np.float64(np.float16(1 / 3)),
            )
        },
    ),
    Mutant("no centering", "BNT-03 BNT-06", train(mean_of=lambda x, mu, mean: 0 * mu)),
    Mutant("no ε", "BNT-07", train(shape=lambda v, e: np.sqrt(v)), modeled_on="google/flax#1491"),
    Mutant(
        "a variance that can be negative",
        "BNT-07",
        train(var_of=_unclamped),
        modeled_on="google/flax#1491",
    ),
    Mutant(
        "E[x²] − E[x]² in float32",
        "BNT-08",
        train(var_of=lambda x, v, _: one_pass(x)[1]),
        modeled_on="flax's use_fast_variance",
    ),
    Mutant("statistics over the features", "BNT-10", train(mean_of=lambda x, mu, mean: np.mean(x))),
    Mutant(
        "statistics over the batch axis alone",
        "BNT-10",
        train(mean_of=lambda x, mu, mean: np.mean(np.float64(x), 0)),
    ),
    Mutant("no gradient through the statistics", "BNT-11", {"batch_norm_gradient": _stopped}),
    Mutant("no gradient through the variance", "BNT-11", {"batch_norm_gradient": _half_gradient}),
    Mutant("sums in float16", "BNT-12", train(var_of=_half_sums)),
    Mutant("sums in bfloat16", "BNT-12", train(mean_of=_coarse_mean)),
    Mutant("0/0 in the gradient", "BNT-07", {"batch_norm_gradient": _flushed_gradient}),
    Mutant("examples that do not weigh alike", "BNT-10", {"batch_norm": _by_position}),
    Mutant("moments in one pass", "BNT-05", {"batch_moments": one_pass}),
    Mutant(
        "moments over the examples alone",
        "BNT-05",
        {"batch_moments": lambda x: (np.mean(x, axis=0), np.var(x, axis=0))},
    ),
    Mutant(
        "a gradient averaged over the examples alone",
        "BNT-11",
        {"batch_norm_gradient": _first_axis_gradient},
    ),
    Mutant(
        "a batch of one that makes NaN of the statistics", "BNT-09", {"batch_norm": _nan_of_one}
    ),
    Mutant("a batch of one with variance 0", "BNT-09", {"batch_norm": _fading_variance}),
    Mutant(
        "a gradient of NaN for a batch of one",
        "BNT-09",
        {
            "batch_norm_gradient": lambda x, s, b, e, g: (
                right.batch_norm_gradient(x, s, b, e, g) * (1.0 if len(x) > 1 else np.nan)
            )
        },
    ),
    Mutant("words normalized over the examples alone", "BNT-10", {"batch_norm": _words}),
    Mutant(
        "moments of words over the examples alone",
        "BNT-05",
        {"batch_moments": lambda x: (np.mean(x, 0), np.var(x, 0)) if x.ndim == 3 else _moments(x)},
    ),
    Mutant(
        "a gradient by one-pass statistics",
        "BNT-11",
        {"batch_norm_gradient": _fast_gradient},
        modeled_on="flax's use_fast_variance",
    ),
    Mutant(
        "running statistics rounded to the dtype of the data",
        "BNT-12",
        train(
            running=lambda x, *old: [
                np.float64(np.asarray(s).astype(x.dtype)) for s in _kept(x, *old)
            ]
        ),
        modeled_on="haiku's BatchNorm",
    ),
    Mutant("running statistics summed in the dtype of the data", "BNT-12", train(running=_coarse)),
    Mutant(
        "γ and β in the dtype of the data",
        "BNT-12",
        {
            "batch_norm": lambda x, m, v, s, b, d, e: right.batch_norm(
                x, m, v, s.astype(x.dtype), b.astype(x.dtype), d, e
            )
        },
    ),
)
