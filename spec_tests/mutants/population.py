"""Mutants of running and population statistics, inference and folding."""

import numpy as np

from hondo_spec.targets import reference_chains as chains
from hondo_spec.targets import reference_norms as right
from spec_tests.mutants.batch_norm import one_pass, train
from spec_tests.mutants.mutant import Mutant


def _ema(new, old, decay):
    return decay * np.float64(old) + (1 - decay) * new


def _moments(x):
    return right.batch_moments(x)


def _biased(x, mean, var, decay, m):
    return _ema(_moments(x)[0], mean, decay), _ema(_moments(x)[1], var, decay)


def _swapped(x, mean, var, decay, m):
    mu, v = _moments(x)
    return _ema(mu, mean, 1 - decay), _ema(v * m / max(m - 1, 1), var, 1 - decay)


def _additive(x, mean, var, decay, m):
    mu, v = _moments(x)
    return mean + (1 - decay) * mu, var + (1 - decay) * v


def _of_deviations(x, mean, var, decay, m):
    mu, v = _moments(x)
    root = _ema(np.sqrt(v * m / max(m - 1, 1)), np.sqrt(var), decay)
    return _ema(mu, mean, decay), root**2


def _writes(x, mean, var, scale, bias, decay, epsilon):
    out = right.batch_norm(x, mean, var, scale, bias, decay, epsilon)
    mean[:] = out[1]
    return out


def _at_batch(x, mean, var, scale, bias, epsilon):
    return right.batch_norm(x, mean, var, scale, bias, 0.9, epsilon)[0]


def _last_batch(parts):
    return right.population_stats(parts[-1:])


def _unweighted(parts):
    means, variances = zip(*[right.batch_moments(x) for x in parts], strict=True)
    return np.mean(means, axis=0), np.mean(variances, axis=0)


def _no_offset(kernel, bias, mean, var, scale, offset, epsilon):
    return right.fold_batch_norm(kernel, 0 * bias, mean, var, scale, offset, epsilon)


def _no_epsilon(kernel, bias, mean, var, scale, offset, epsilon):
    return right.fold_batch_norm(kernel, bias, mean, var, scale, offset, 0.0)


def _late_bias(x, mean, var, scale, bias, decay, epsilon):
    """Statistics of the data without its level, which is added after the centering."""
    y, *new = right.batch_norm(x, mean, var, scale, bias, decay, epsilon)
    return y + np.float32(1e-3) * np.mean(x, axis=0), *new


def _saturating(x, mean, var, scale, bias, epsilon):
    return np.clip(right.batch_norm_inference(x, mean, var, scale, bias, epsilon), -3, 3)


def _one_pass_population(parts):
    whole = np.concatenate(parts)
    mean, var = one_pass(whole)
    return mean, var * np.float32(len(whole) / (len(whole) - 1))


def _factor_of_examples(x, mean, var, scale, bias, decay, epsilon):
    y, new_mean, new_var = right.batch_norm(x, mean, var, scale, bias, decay, epsilon)
    n, m = len(x), x.size // x.shape[-1]
    step = (new_var - decay * np.float64(var)) * (m - 1) / max(m, 1) * n / max(n - 1, 1)
    return y, new_mean, decay * np.float64(var) + step


def _fast_variance(x, mean, var, decay, m):
    mu, v = one_pass(x)
    return _ema(mu, mean, decay), _ema(v * m / max(m - 1, 1), var, decay)


def _first_pixel(x, mean, var, decay, m):
    mu = np.mean(np.float64(x), axis=0).reshape(-1, x.shape[-1])[0]
    return _ema(mu, mean, decay), _ema(_moments(x)[1] * m / max(m - 1, 1), var, decay)


def _coarse_inference(x, mean, var, scale, bias, epsilon):
    mean, var, scale, bias = (v.astype(x.dtype) for v in (mean, var, scale, bias))
    return (x - mean) / np.sqrt(var + x.dtype.type(epsilon)) * scale + bias


def _counted_images(parts):
    """Merged with as many values as there are images."""
    n, mean, m2 = 0, 0.0, 0.0
    for x in parts:
        (mu, v), k = _moments(x), len(x)
        gap = mu - mean
        m2 = m2 + k * v + gap**2 * n * k / (n + k)
        n, mean = n + k, mean + gap * k / (n + k)
    return mean, m2 / n


def _population_of_images(parts):
    mean, var = _counted_images(parts)
    n = sum(map(len, parts))
    return mean, var * n / (n - 1)


def _folded_inputs(kernel, bias, mean, var, scale, offset, epsilon):
    w, b = right.fold_batch_norm(kernel, bias, mean, var, scale, offset, epsilon)
    factor = scale / np.sqrt(np.float64(var) + epsilon)
    return (w if kernel.ndim == 2 else np.float64(kernel) * factor[:, None]), b


def _variances(change):
    """Inference with something else for the variance."""

    def inference(x, mean, var, scale, bias, epsilon):
        changed = change(np.float64(var), epsilon)
        return right.batch_norm_inference(x, mean, changed, scale, bias, epsilon)

    return {"batch_norm_inference": inference}


MUTANTS = (
    Mutant("decay on the new value", "BNR-01 BNR-02", train(running=_swapped)),
    Mutant("sums instead of averages", "BNR-01 BNR-02", train(running=_additive)),
    Mutant(
        "the biased variance that says it is unbiased",
        "BNR-03",
        train(running=_biased),
        modeled_on="tenstorrent/tt-metal#55438",
    ),
    Mutant(
        "the unbiased variance that says it is biased",
        "BNR-03",
        {},
        {"running_variance": "biased"},
        "ml-explore/mlx#3817",
    ),
    Mutant("an average of standard deviations", "BNR-05", train(running=_of_deviations)),
    Mutant("statistics written in place", "BNR-06", {"batch_norm": _writes}),
    Mutant("inference by the batch", "BNI-01 BNI-02", {"batch_norm_inference": _at_batch}),
    Mutant(
        "inference without ε",
        "BNI-01",
        {
            "batch_norm_inference": lambda x, m, v, s, b, e: right.batch_norm_inference(
                x, m, v, s, b, 0.0
            )
        },
    ),
    Mutant(
        "another ε at inference",
        "BNI-01 BNI-03",
        {
            "batch_norm_inference": lambda x, m, v, s, b, e: right.batch_norm_inference(
                x, m, v, s, b, 10 * e
            )
        },
    ),
    Mutant("the last batch for the population", "BNP-01 BNP-02", {"population_stats": _last_batch}),
    Mutant("batches that weigh alike", "BNP-01", {"population_stats": _unweighted}),
    Mutant(
        "no Bessel correction for the population",
        "BNP-02",
        {"population_stats": right.merge_moments},
    ),
    Mutant("the mean of batch variances", "BNP-03", {"merge_moments": _unweighted}),
    Mutant(
        "a merge that forgets the spread of means",
        "BNP-03",
        {
            "merge_moments": lambda p: (
                right.merge_moments(p)[0],
                sum(len(x) * np.var(np.float64(x), 0) for x in p) / sum(map(len, p)),
            )
        },
    ),
    Mutant("a folded layer without its bias", "BNF-01", {"fold_batch_norm": _no_offset}),
    Mutant("a folded layer without ε", "BNF-01", {"fold_batch_norm": _no_epsilon}),
    Mutant("a bias after the centering", "BNF-02", {"batch_norm": _late_bias}),
    Mutant(
        "weight decay coupled to the norm",
        "BNF-03",
        {
            "batch_norm_gradient": lambda x, s, b, e, g: (
                right.batch_norm_gradient(x, s, b, e, g) + 0.1 * x
            )
        },
    ),
    Mutant(
        "algorithm 2 without m/(m − 1)",
        "BNP-02",
        {
            "batch_averaged_stats": lambda p: (
                np.mean([np.mean(x, 0) for x in p], 0),
                np.mean([np.var(np.float64(x), 0) for x in p], 0),
            )
        },
    ),
    Mutant("inference that clips", "BNI-03", {"batch_norm_inference": _saturating}),
    Mutant(
        "Bessel's factor of the examples alone",
        "BNR-03",
        {"batch_norm": _factor_of_examples},
    ),
    Mutant(
        "a running variance in one pass",
        "BNR-01",
        train(running=_fast_variance),
        modeled_on="flax's use_fast_variance",
    ),
    Mutant("a running mean of the first pixel", "BNR-01", train(running=_first_pixel)),
    Mutant(
        "inference in the dtype of the data",
        "BNI-01",
        {"batch_norm_inference": _coarse_inference},
        modeled_on="haiku's BatchNorm",
    ),
    Mutant("inference by max(v, ε) + ε", "BNI-01", _variances(np.maximum)),
    Mutant(
        "1 for a variance near 0 at inference",
        "BNI-01",
        _variances(lambda v, e: np.where(v < 1e-2, 1, v)),
    ),
    Mutant(
        "inference that takes no images",
        "BNI-01",
        {
            "batch_norm_inference": lambda x, *rest: (
                right.batch_norm_inference(x, *rest) * (x.ndim == 2)
            )
        },
    ),
    Mutant("a merge that counts images", "BNP-03", {"merge_moments": _counted_images}),
    Mutant(
        "a population that counts images",
        "BNP-01 BNP-02",
        {"population_stats": _population_of_images},
    ),
    Mutant(
        "the biased variance of a single batch",
        "BNP-02",
        {
            "population_stats": lambda parts: (
                right.population_stats(parts)
                if len(parts) > 1 or len(parts[0]) < 4
                else right.merge_moments(parts)
            )
        },
    ),
    Mutant("a convolution folded along its inputs", "BNF-01", {"fold_batch_norm": _folded_inputs}),
    Mutant("a population in one pass", "BNP-02", {"population_stats": _one_pass_population}),
    Mutant(
        "an average of batches without their means",
        "BNP-02",
        {
            "batch_averaged_stats": lambda parts: (
                0 * chains.batch_averaged_stats(parts)[0],
                chains.batch_averaged_stats(parts)[1],
            )
        },
    ),
)
