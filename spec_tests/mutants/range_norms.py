"""Mutants of norms that are wrong for some ε, γ, dtypes and sizes, or for one entry left."""

import numpy as np

from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_norms as norms
from spec_tests.mutants.mutant import Mutant
from spec_tests.mutants.narrow import batch, half, instead, last_off, narrow, off, rank, rest_off

# Where ε is among the arguments, and who must notice another one.
EPSILON_AT = {
    "batch_norm": (6, "BNT-03"),
    "masked_batch_norm": (7, "BNT-13"),
    "batch_norm_gradient": (3, "BNT-11"),
    "batch_norm_inference": (5, "BNI-01"),
    "fold_batch_norm": (6, "BNF-01"),
    "layer_norm": (3, "NRM-01"),
    "group_norm": (2, "NRM-02"),
    "instance_norm": (1, "NRM-02"),
    "rms_norm": (2, "NRM-03"),
    "layer_norm_gradient": (3, "NRM-08"),
    "group_norm_gradient": (2, "NRM-09"),
    "instance_norm_gradient": (1, "NRM-09"),
    "rms_norm_gradient": (2, "NRM-10"),
}
# Where γ is, and who must notice another one.
SCALE_AT = {
    "batch_norm": (3, "BNT-04"),
    "masked_batch_norm": (4, "BNT-13"),
    "batch_norm_gradient": (1, "BNT-11"),
    "batch_norm_inference": (3, "BNI-01"),
    "fold_batch_norm": (4, "BNF-01"),
    "layer_norm": (1, "NRM-01"),
    "rms_norm": (1, "NRM-03"),
    "layer_norm_gradient": (1, "NRM-08"),
    "rms_norm_gradient": (1, "NRM-10"),
    "weight_norm": (1, "NRM-04"),
}


def _changed(places, what, change):
    """Each of these operations with one of its arguments changed."""

    def other(name, place):
        function = right.OPERATIONS[name]

        def operation(*arguments):
            given = list(arguments)
            given[place] = change(given[place])
            with np.errstate(all="ignore"):
                return function(*given)

        return {name: operation}

    return tuple(
        Mutant(f"{name} with {what}", kills, other(name, place))
        for name, (place, kills) in places.items()
    )


EPSILONS = (
    *_changed(EPSILON_AT, "an ε of cuDNN's 1e-5 at least", lambda e: max(e, 1e-5)),
    *_changed(EPSILON_AT, "an ε of 1e-9 at least", lambda e: max(e, 1e-9)),
    *_changed(EPSILON_AT, "an ε of 1/32 at most", lambda e: min(e, 1 / 32)),
    *_changed(EPSILON_AT, "an ε in float16", lambda e: float(np.float16(e))),
)


def _none_if_zero(scale):
    return scale if np.any(scale) else np.ones_like(scale)


def _ones_for_zeros(scale):
    return np.where(scale == 0, np.float32(1), scale)


SCALES = (
    *_changed(SCALE_AT, "a γ of zeros that is taken for none", _none_if_zero),
    *_changed(SCALE_AT, "zeros in γ that are taken for ones", _ones_for_zeros),
    *_changed(SCALE_AT, "a γ of 10 at most", lambda scale: np.clip(scale, -10, 10)),
)


def _alone(x, present, *_):
    return int(np.sum(present)) == 1


def _var_lost(answer):
    y, mean, var = answer
    return y, mean, var * np.nan


def _faded(x, present, mean, var, scale, bias, decay, epsilon):
    y, new, _ = norms.masked_batch_norm(x, present, mean, var, scale, bias, decay, epsilon)
    return y, new, decay * np.float64(var)


def _coarse_decay(x, present, mean, var, scale, bias, decay, epsilon):
    coarse = float(np.asarray(decay, x.dtype))
    return norms.masked_batch_norm(x, present, mean, var, scale, bias, coarse, epsilon)


def _by_count(x, present, mean, var, scale, bias, decay, epsilon):
    """Bessel's correction by all entries, absent ones included."""
    y, new, _ = norms.masked_batch_norm(x, present, mean, var, scale, bias, decay, epsilon)
    kept, m = x[present], present.size
    v = norms.batch_moments(kept)[1] if len(kept) > 1 else None
    if v is None:
        return norms.masked_batch_norm(x, present, mean, var, scale, bias, decay, epsilon)
    return y, new, decay * np.float64(var) + (1 - decay) * v * m / (m - 1)


def _masked_in_halves(x, present, mean, var, scale, bias, decay, epsilon):
    """The mean in the dtype of the data."""
    y, *new = norms.masked_batch_norm(x, present, mean, var, scale, bias, decay, epsilon)
    kept = x[present]
    if not half(x) or not len(kept):
        return y, *new
    with np.errstate(all="ignore"):
        mu = np.sum(kept, axis=0, dtype=x.dtype) / np.asarray(len(kept), x.dtype)
        v = np.mean((np.float64(kept) - np.float64(mu)) ** 2, axis=0)
        y = np.float64(scale) * (np.float64(x) - np.float64(mu)) / np.sqrt(v + epsilon) + bias
        return y.astype(x.dtype), *new


MASKS = (
    *narrow((
        ("a masked variance of one entry over 0", "BNT-13", "masked_batch_norm", _alone, _var_lost),
        ("masked statistics of one entry", "BNT-13", "masked_batch_norm", _alone, rest_off),
        ("a masked mean of one entry over 0", "BNT-13", "masked_batch_norm", _alone,
         lambda found: (found[0], found[1] * np.nan, found[2])),
    )),
    Mutant("a masked variance of one entry that is 0", "BNT-13",
           instead("masked_batch_norm", _alone, _faded)),
    Mutant("a masked decay in the dtype of the data", "BNT-13",
           {"masked_batch_norm": _coarse_decay}),
    Mutant("Bessel's correction by what the mask leaves out too", "BNT-13",
           {"masked_batch_norm": _by_count}),
    Mutant("a masked mean in the dtype of the data", "BNT-13",
           {"masked_batch_norm": _masked_in_halves}),
)  # fmt: skip


def _in_dtype(x):
    """Mean and variance summed in the dtype of the data."""
    if not half(x):
        return norms.batch_moments(x)
    rows = x.reshape(-1, x.shape[-1])
    total = squares = np.zeros(x.shape[-1], x.dtype)
    with np.errstate(all="ignore"):
        for row in rows:
            total = total + row
        mean = total / np.asarray(len(rows), x.dtype)
        for row in rows:
            squares = squares + (row - mean) ** 2
        v = squares / np.asarray(len(rows), x.dtype)
        return np.float64(mean), np.float64(v)


def _merged(parts):
    n, mean, m2 = 0, *np.zeros((2, parts[0].shape[-1]))
    for x in parts:
        mu, v = _in_dtype(x)
        k, gap = x.size // x.shape[-1], mu - mean
        with np.errstate(all="ignore"):
            m2 = m2 + k * v + gap**2 * n * k / (n + k)
            n, mean = n + k, mean + gap * k / (n + k)
    return mean, m2 / n


def _population(parts):
    mean, var = _merged(parts)
    n = sum(x.size // x.shape[-1] for x in parts)
    return mean, var * n / (n - 1)


def _merged_statistics(parts):
    """What is merged is kept in the dtype of the data."""
    (mean, var), n = norms.merge_moments(parts), sum(x.size // x.shape[-1] for x in parts)
    with np.errstate(all="ignore"):
        return mean, np.float64((var * n).astype(parts[0].dtype)) / n


def _rounded(name, *places):
    """Parameters in the dtype of the data, if that is a half."""
    function = right.OPERATIONS[name]

    def operation(x, *rest):
        given = [r.astype(x.dtype) if k in places else r for k, r in enumerate(rest)]
        return function(x, *(given if half(x) else rest))

    return {name: operation}


HALVES = (
    Mutant("merged moments of sums in halves", "BNT-12", {"merge_moments": _merged}),
    Mutant("merged moments that are kept in halves", "BNT-12",
           {"merge_moments": _merged_statistics}),
    Mutant("a population of sums in halves", "BNT-12", {"population_stats": _population}),
    Mutant("folding by statistics in the dtype of the kernel", "BNF-01",
           _rounded("fold_batch_norm", 1, 2)),
    Mutant("folding by a γ in the dtype of the kernel", "BNF-01", _rounded("fold_batch_norm", 3)),
    Mutant("inference by statistics in the dtype of the data", "BNI-01",
           _rounded("batch_norm_inference", 0, 1)),
    Mutant("inference by a mean in the dtype of the data", "BNI-01",
           _rounded("batch_norm_inference", 0)),
    Mutant("inference by γ and β in the dtype of the data", "BNI-01",
           _rounded("batch_norm_inference", 2, 3)),
    *narrow((
        ("folding of halves", "BNF-01", "fold_batch_norm", half, off),
        ("merged moments of halves", "BNT-12", "merge_moments", lambda p: half(p[0]), rest_off),
        ("a merged mean of halves", "BNT-12", "merge_moments", lambda p: half(p[0]), off),
    )),
)  # fmt: skip


def _of(dtype):
    return lambda x, *_: np.asarray(x).dtype.name == dtype


def _blocks(name, size):
    """The first so many features alone, and the rest as they are."""
    function = right.OPERATIONS[name]

    def operation(x, scale, *rest):
        if x.shape[-1] <= size:
            return function(x, scale, *rest)
        few = [np.asarray(r)[:size] if np.ndim(r) else r for r in rest]
        y = np.asarray(function(x[..., :size], scale[:size], *few))
        return np.concatenate([y, x[..., size:]], axis=-1)

    return {name: operation}


def _whole_blocks(name, size):
    """Moments of whole blocks of examples, the rest left out."""
    function = right.OPERATIONS[name]

    def batch_norm(x, mean, var, scale, bias, decay, epsilon):
        kept = len(x) // size * size
        if kept in (0, len(x)):
            return function(x, mean, var, scale, bias, decay, epsilon)
        mu, v = norms.batch_moments(x[:kept])
        y = scale * (np.float64(x) - mu) / np.sqrt(v + epsilon) + bias
        new = function(x[:kept], mean, var, scale, bias, decay, epsilon)[1:]
        return y.astype(x.dtype), *new

    return {name: batch_norm}


SIZES = (
    *narrow((
        ("a group norm gradient of sequences", "NRM-09", "group_norm_gradient", rank(3), off),
        ("a group norm gradient of volumes", "NRM-09", "group_norm_gradient", rank(5), off),
        ("a group norm gradient of one example", "NRM-09", "group_norm_gradient", batch(1), off),
        ("an instance norm gradient of one image", "NRM-09", "instance_norm_gradient",
         batch(1), off),
        ("a group norm gradient of bfloat16", "NRM-09", "group_norm_gradient", _of("bfloat16"),
         last_off),
        ("an instance norm gradient of bfloat16", "NRM-09", "instance_norm_gradient",
         _of("bfloat16"),
         last_off),
        ("a layer norm gradient of volumes", "NRM-08", "layer_norm_gradient", rank(5), off),
        ("a layer norm gradient of one example", "NRM-08", "layer_norm_gradient", batch(1), off),
        ("a layer norm gradient of bfloat16", "NRM-08", "layer_norm_gradient", _of("bfloat16"),
         last_off),
        ("an RMS norm gradient of volumes", "NRM-10", "rms_norm_gradient", rank(5), off),
        ("an RMS norm gradient of one example", "NRM-10", "rms_norm_gradient", batch(1), off),
        ("a batch norm gradient of bfloat16", "BNT-12", "batch_norm_gradient", _of("bfloat16"),
         last_off),
        ("an ε that the gradient of many groups lacks", "NRM-09", "group_norm_gradient",
         lambda x, groups, *_: groups > 6 and x.ndim > 2, off),
    )),
    Mutant("a layer norm of 1024 features at most", "NRM-01", _blocks("layer_norm", 1024)),
    Mutant("an RMS norm of 1024 features at most", "NRM-03", _blocks("rms_norm", 1024)),
    Mutant("a layer norm of 256 features at most", "NRM-01", _blocks("layer_norm", 256)),
    Mutant("an RMS norm of 256 features at most", "NRM-03", _blocks("rms_norm", 256)),
    Mutant("a batch norm of whole blocks of 256", "BNT-03", _whole_blocks("batch_norm", 256)),
    Mutant("a batch norm of whole blocks of 1024", "BNT-03", _whole_blocks("batch_norm", 1024)),
)  # fmt: skip

MUTANTS = (*EPSILONS, *SCALES, *MASKS, *HALVES, *SIZES)
