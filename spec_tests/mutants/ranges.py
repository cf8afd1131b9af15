"""Mutants of norms and units that are wrong for some magnitudes, shapes or masks."""

import numpy as np

from hondo_spec.draws import double, single
from hondo_spec.targets import reference as whole
from hondo_spec.targets import reference_norms as right
from hondo_spec.targets import reference_penalties as penalties
from spec_tests.mutants.mutant import Mutant


def _grouped(norm):
    """Group norm by a norm of these axes of (examples, positions, groups, features)."""

    def group_norm(x, groups, epsilon):
        cut = x.reshape(len(x), -1, groups, x.shape[-1] // groups)
        return norm(cut, (1, 3), epsilon).reshape(x.shape)

    return group_norm


def _naive(x, axes, epsilon):
    """In float32, in two passes."""
    with np.errstate(over="ignore", invalid="ignore"):
        gap = np.float32(x) - np.mean(np.float32(x), axis=axes, keepdims=True)
        v = np.mean(gap * gap, axis=axes, keepdims=True)
        return gap / np.sqrt(v + np.float32(epsilon))


def _of_sum(x, axes, epsilon):
    """Scaled before it is squared, but not before it is summed."""
    if x.dtype != np.float32:
        return right._standardize(x, axes, epsilon)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.mean(x, axis=axes, keepdims=True)
        gap = np.float64(x) - mean
        return gap / np.sqrt(np.mean(gap * gap, axis=axes, keepdims=True) + epsilon)


def _layer(norm):
    return lambda x, s, b, e: s * norm(x, -1, e) + b


def _naive_bfloat16(x, axes, epsilon):
    norm = right._standardize if x.dtype == np.float32 else _naive
    return norm(x, axes, epsilon)


def _batch_norm(change):
    """Batch norm with `change(x, y, mean, var, old var, decay)` of what comes out."""

    def batch_norm(x, mean, var, scale, bias, decay, epsilon):
        y, *new = right.batch_norm(x, mean, var, scale, bias, decay, epsilon)
        with np.errstate(over="ignore", invalid="ignore"):
            return change(x, y, *new, var, decay)

    return {"batch_norm": batch_norm}


def _from_sum(x, y, mean, new, var, decay):
    """The running variance by the batch's sum of squares, which overflows before it does."""
    x = single(x.reshape(-1, x.shape[-1]))
    m2 = np.sum((x - np.mean(np.float64(x), axis=0).astype(np.float32)) ** 2, axis=0)
    n = np.float32(max(len(x) - 1, 1))
    step = np.float32(1 - decay) * (m2 / n) if len(x) > 1 else np.float32(1 - decay) * var
    return y, mean, np.float32(decay) * np.float32(var) + step


def _infinite(x, y, mean, new, var, decay):
    """A variance that is out of range is ∞, and stays so."""
    return y, mean, np.float32(new)


def _saturated(change):
    """A finite variance whatever comes, so that nothing but `change` is wrong."""

    def changed(x, y, mean, new, var, decay):
        return change(x, y, mean, np.minimum(new, 3e38), var, decay)

    return _batch_norm(changed)


def _flat(x, y, mean, new, var, decay):
    """0 where the square of the data is out of range."""
    return np.where(np.abs(x) > 2.0**66, np.float32(0), y).astype(x.dtype), mean, new


def _least(function, least):
    """The same with an ε that is at least so large, as cuDNN has it."""
    return lambda *arguments: function(*arguments[:-1], max(arguments[-1], least))


def _half_epsilon(x, mean, var, scale, bias, decay, epsilon):
    with np.errstate(divide="ignore", invalid="ignore"):
        epsilon = float(np.float16(epsilon))
        mu, v = right.batch_moments(x)
        news = right.batch_norm(x, mean, var, scale, bias, decay, 1.0)[1:]
        return (scale * (x - mu) / np.sqrt(v + epsilon) + bias).astype(x.dtype), *news


def _project(axes):
    """Max-norm with units that are all these axes of what is no matrix."""

    def max_norm(w, limit):
        over = 0 if w.ndim == 2 else axes
        norm = np.sqrt(np.sum(np.float64(w) ** 2, axis=over, keepdims=True))
        return np.where(norm > limit, w * (limit / np.where(norm > 0, norm, 1)), w).astype(w.dtype)

    return {"max_norm": max_norm}


def _direct(axes):
    """Weight norm with units that are all these axes of what is no matrix."""

    def weight_norm(v, g):
        over = 0 if v.ndim == 2 else axes
        return g * v / np.sqrt(np.sum(np.float64(v) ** 2, axis=over, keepdims=True))

    return {"weight_norm": weight_norm}


def _overflowing_max_norm(w, limit):
    with np.errstate(all="ignore"):
        norm = np.sqrt(np.sum(w * w, axis=0))
        return w * np.where(norm > limit, np.float32(limit) / norm, np.float32(1))


def _overflowing_weight_norm(v, g):
    with np.errstate(all="ignore"):
        return g * (v / np.sqrt(np.sum(v * v, axis=tuple(range(v.ndim - 1)))))


def _overflowing_adaptive_clip(g, w, ratio, epsilon):
    with np.errstate(all="ignore"):
        norms = [np.sqrt(np.sum(part * part, axis=tuple(range(g.ndim - 1)))) for part in (g, w)]
        limit = np.float32(ratio) * np.maximum(norms[1], np.float32(epsilon))
        return np.where(norms[0] > limit, g * (limit / norms[0]), g)


def _counts_first(parts):
    """Chan's update in float32, with both counts in the product before it is divided."""
    n, mean, m2 = np.float32(0), np.float32(0), np.float32(0)
    for x in parts:
        mu, v = (np.float32(part) for part in right.batch_moments(x))
        k, gap = np.float32(x.size // x.shape[-1]), mu - mean
        with np.errstate(over="ignore"):
            m2 = m2 + k * v + gap * gap * n * k / (n + k)
        n, mean = n + k, mean + gap * (k / (n + k))
    return mean, m2 / n


def _at_least(statistics):
    """A variance of 1e-12 at least."""
    return lambda parts: (statistics(parts)[0], np.maximum(statistics(parts)[1], 1e-12))


def _overflowing_gradient(x, scale, bias, epsilon, g):
    with np.errstate(all="ignore"):
        gap = single(x - np.mean(np.float64(x), axis=tuple(range(x.ndim - 1))))
        root = np.sqrt(right.batch_moments(gap * gap)[0] + epsilon)
        return right.batch_norm_gradient(x, scale, bias, epsilon, g) * np.isfinite(root)


def _of_first_axis(x, present, *rest):
    """The mask of the first position for all of an example."""
    return right.masked_batch_norm(x, _spread(present), *rest)


def _spread(present):
    if present.ndim == 1:
        return present
    return np.broadcast_to(present[:, :1], present.shape)


def _one_ball(name, *arguments):
    """Mapped over layers, all of them have one ball."""
    ways = whole.TARGET.operations["ways"](name, *arguments)
    if name != "max_norm":
        return ways
    w, limit = arguments
    both = np.concatenate([w, w + 1])
    return {**ways, "mapped": penalties.max_norm(both, limit)[: len(w)]}


def _penalized(counts):
    def kept(tree):
        return {k: w for k, w in tree.items() if k.endswith("kernel") and counts(k, w)}

    return {
        "l1_penalty": lambda tree, s: penalties.l1_penalty(kept(tree), s),
        "l2_penalty": lambda tree, s: penalties.l2_penalty(kept(tree), s),
    }


def _masked(moments, stays=True):
    """Masked batch norm by other moments (μ, v, m) of (x, present)."""

    def masked_batch_norm(x, present, mean, var, scale, bias, decay, epsilon):
        with np.errstate(all="ignore"):
            if not present.any() and stays:
                return x, mean, var
            mu, v, m = moments(double(x).reshape(-1, x.shape[-1]), present.ravel())
            y = scale * (np.float64(x) - mu) / np.sqrt(v + epsilon) + bias
            unbiased = v * m / (m - 1) if m > 1 else np.float64(var)
            return y, decay * mean + (1 - decay) * mu, decay * var + (1 - decay) * unbiased

    return {"masked_batch_norm": masked_batch_norm}


def _of_present(x, present):
    kept, n = x[present], np.float64(np.sum(present))
    mu = np.sum(kept, axis=0) / n
    return mu, np.sum((kept - mu) ** 2, axis=0) / n, n


def _with_zeros(x, present):
    kept = np.where(present[:, None], x, 0)
    return np.mean(kept, axis=0), np.var(kept, axis=0), len(x)


def _multiplied(x, present):
    n, kept = np.sum(present), present[:, None]
    mu = np.sum(x * kept, axis=0) / n
    return mu, np.sum(((x - mu) * kept) ** 2, axis=0) / n, n


def _deviations_of_all(x, present):
    """The mean of what is present, the deviations of zeros too."""
    kept = np.where(present[:, None], x, 0)
    mu = np.sum(kept, axis=0) / np.sum(present)
    return mu, np.sum((kept - mu) ** 2, axis=0) / np.sum(present), np.sum(present)


def _factor_of_all(x, present):
    return *_of_present(x, present)[:2], len(x)


def _none_is_zero(x, present):
    return (
        _of_present(x, present)
        if present.any()
        else (np.zeros(x.shape[-1]), np.zeros(x.shape[-1]), 0)
    )


NORMS = (
    Mutant("group norm whose squares overflow", "NRM-07", {"group_norm": _grouped(_naive)}),
    Mutant(
        "instance norm whose squares overflow",
        "NRM-07",
        {"instance_norm": lambda x, e: _grouped(_naive)(x, x.shape[-1], e)},
    ),
    Mutant("layer norm whose sum overflows", "NRM-07", {"layer_norm": _layer(_of_sum)}),
    Mutant("group norm whose sum overflows", "NRM-07", {"group_norm": _grouped(_of_sum)}),
    Mutant(
        "layer norm of bfloat16 whose squares overflow",
        "NRM-07",
        {"layer_norm": _layer(_naive_bfloat16)},
    ),
    *(
        Mutant(
            f"{name.replace('_', ' ')} with an ε of 1e-5 at least",
            id,
            {name: _least(getattr(right, name), 1e-5)},
            modeled_on="cuDNN's CUDNN_BN_MIN_EPSILON",
        )
        for name, id in (
            ("layer_norm", "NRM-01"),
            ("group_norm", "NRM-02"),
            ("instance_norm", "NRM-02"),
            ("rms_norm", "NRM-03"),
        )
    ),
    *(
        Mutant(f"{what} with an ε of 1e-4 at least", id, {name: _least(getattr(right, name), 1e-4)})
        for name, what, id in (
            ("batch_norm_inference", "inference", "BNI-01"),
            ("fold_batch_norm", "folding", "BNF-01"),
        )
    ),
    Mutant("an ε in half precision", "BNT-07", {"batch_norm": _half_epsilon}),
)

STATISTICS = (
    Mutant("a running variance by the sum of squares", "BNR-07", _saturated(_from_sum)),
    Mutant("a running variance of ∞", "BNR-07", _batch_norm(_infinite)),
    Mutant("0 for a batch whose squares overflow", "BNR-07", _saturated(_flat)),
    Mutant(
        "a running variance of 1e-8 at least",
        "BNR-07",
        _saturated(lambda x, y, mean, new, var, decay: (y, mean, np.maximum(new, 1e-8))),
    ),
    Mutant(
        "a gradient of 0 where squares overflow",
        "BNR-07",
        {"batch_norm_gradient": _overflowing_gradient},
    ),
    Mutant("a merge that multiplies by counts first", "BNP-04", {"merge_moments": _counts_first}),
    Mutant(
        "a merged variance of 1e-12 at least",
        "BNP-04",
        {"merge_moments": _at_least(right.merge_moments)},
    ),
    Mutant(
        "a population's variance of 1e-12 at least",
        "BNP-04",
        {"population_stats": _at_least(right.population_stats)},
    ),
    Mutant("a mask of examples for words", "BNT-13", {"masked_batch_norm": _of_first_axis}),
    Mutant("zeros for what is left out", "BNT-13", _masked(_with_zeros)),
    Mutant("a mask that multiplies the batch", "BNT-13", _masked(_multiplied)),
    Mutant("deviations of what is left out", "BNT-13", _masked(_deviations_of_all)),
    Mutant("Bessel's factor of all entries", "BNT-13", _masked(_factor_of_all)),
    Mutant(
        "0/0 where nothing is left",
        "BNT-13",
        _masked(_of_present, stays=False),
        modeled_on="flax's BatchNorm with a mask",
    ),
    Mutant("statistics of 0 where nothing is left", "BNT-13", _masked(_none_is_zero, stays=False)),
)

UNITS = (
    Mutant("max-norm of each place of a window", "PEN-10", _project(-2)),
    Mutant("max-norm of the first axis of a window", "PEN-10", _project(0)),
    Mutant("max-norm of each input of a window", "PEN-10", _project((0, 1))),
    Mutant("weight norm of each place of a window", "NRM-04", _direct(-2)),
    Mutant("weight norm of the first axis of a window", "NRM-04", _direct(0)),
    Mutant("max-norm whose squares overflow", "NRM-05", {"max_norm": _overflowing_max_norm}),
    Mutant(
        "weight norm whose squares overflow", "NRM-05", {"weight_norm": _overflowing_weight_norm}
    ),
    Mutant(
        "adaptive clipping whose squares overflow",
        "NRM-05",
        {"adaptive_clip": _overflowing_adaptive_clip},
    ),
    Mutant("one ball for all layers of a stack", "XCT-01", {"ways": _one_ball}),
    Mutant("penalties of kernels of several axes", "PEN-06", _penalized(lambda k, w: w.ndim > 1)),
    Mutant(
        "penalties of layers, not of blocks", "PEN-06", _penalized(lambda k, w: k.count("/") < 2)
    ),
)

MUTANTS = (*NORMS, *STATISTICS, *UNITS)
