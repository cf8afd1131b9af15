"""Right in another way where batches have holes, weights are 0, and averages begin."""

import numpy as np

from hondo_spec.targets import reference as right
from spec_tests.mutants.benign import _rows, _unit_norms
from spec_tests.mutants.mutant import Mutant


def _masked(x, present, mean, var, scale, bias, decay, epsilon):
    """In float32, by sums over everything with zeros in place of what is left out."""
    kept = present.reshape(-1, 1)
    rows, n = np.where(kept, _rows(x), np.float32(0)), np.float32(max(np.sum(present), 1))
    mu = np.sum(rows, axis=0) / n
    v = np.sum(np.where(kept, rows - mu, np.float32(0)) ** 2, axis=0) / n
    y = scale * ((_rows(x) - mu) / np.sqrt(v + np.float32(epsilon))) + bias
    share = np.float32(1 - decay if n > 1 else 0)
    unbiased = v * (n / np.float32(max(n - 1, 1)))
    return y.reshape(x.shape), mean + share * (mu - mean), var + share * (unbiased - var)


def _steadily(values, decay):
    """By steps of 1 over the sum of the weights, in float32."""
    mean, weight = values[0], np.float32(0)
    for value in values:
        weight = 1 + np.float32(decay) * weight
        mean = mean + (value - mean) / weight
    return mean


def _corrected(values, decay):
    """From 0, divided by 1 − dᵗ, in float32."""
    mean, d = np.zeros_like(values[0]), np.float32(decay)
    for value in values:
        mean = d * mean + (1 - d) * value
    return mean / (1 - d ** np.float32(len(values)))


def _cautious_accuracy(z, classes):
    return np.mean(np.where(np.isnan(z).any(), np.nan, np.argmax(z, axis=-1) == classes))


def _single_weights(losses, weights):
    whole, kept = np.sum(weights), np.where(weights > 0, losses, np.float32(0))
    return np.sum(kept * weights) / np.where(whole > 0, whole, 1)


def _adaptive(g, w, ratio, epsilon):
    norm = _unit_norms(g)
    limit = np.float32(ratio) * np.maximum(_unit_norms(w), np.float32(epsilon))
    return np.where(norm > limit, g * (limit / norm), g)


def _refusing(is_refused, *names):
    """The operations of the reference, but for arguments that they refuse."""

    def made(operation):
        def call(*arguments):
            if is_refused(*arguments):
                raise ValueError("not here")
            return operation(*arguments)

        return call

    return {name: made(right.TARGET.operations[name]) for name in names}


def _ends(rule):
    """Ends at the first value that is not finite."""

    def stopped(values, *options):
        end = int(np.argmin(np.isfinite([*values, np.nan])))
        stop, best = rule(values[:end], *options)
        return (end if stop is None and end < len(values) else stop), best

    return stopped


_finite = _ends(right.early_stopping)


def _finite_flags(values, patience):
    stop, _ = _finite(values, patience, 0.0, "min")
    return [stop is not None and step >= stop for step in range(len(values))]


def _summed(x, present, devices):
    """The counts, sums and squares of each device, added up in float32."""
    rows, left = x.reshape(devices, -1, x.shape[-1]), present.reshape(devices, -1, 1)
    count = np.float32(np.sum(present))
    mean = sum(np.where(left, rows, np.float32(0)).sum(axis=1)) / count
    squares = np.where(left, rows - mean, np.float32(0)) ** 2
    return mean, sum(squares.sum(axis=1)) / (count - 1)


def _shifted(seed, epoch, images, batch_size):
    """Another augmentation: each image is turned along its width by a place of its own."""
    places = [np.random.default_rng([seed, i, epoch]).integers(4) for i in range(len(images))]
    return np.stack([np.roll(x, k, axis=1) for x, k in zip(images, places, strict=True)])


def _of_two_devices():
    names = "dropout_on_devices", "statistics_on_devices", "clip_on_devices", "stopped_on_devices"
    return {**_refusing(lambda *given: given[-1] > 2, *names), "device_count": lambda: 2}


BATCH_NORM = ("batch_norm", "batch_norm_gradient")
BENIGN = (
    Mutant(
        "a batch of one is refused, as declared",
        "",
        _refusing(lambda x, *_: len(x) == 1, *BATCH_NORM),
        {"batch_of_one": "refused"},
    ),
    Mutant(
        "half precision is refused by batch norm, as declared",
        "",
        _refusing(lambda x, *_: x.dtype.itemsize == 2, *BATCH_NORM, "batch_moments"),
        {"half_precision": "refused"},
    ),
    Mutant(
        "P = 0 is refused, as declared",
        "",
        _refusing(lambda seed, x, keep_prob, *_: keep_prob == 0, "dropout", "dropout_gradient"),
        {"dropping_all": "refused"},
    ),
    Mutant(
        "NaN is refused by accuracy, as declared",
        "",
        _refusing(lambda z, _: np.isnan(z).any(), "accuracy"),
        {"nan_scores": "refused"},
    ),
    Mutant(
        "a value that is not finite stops, as declared",
        "",
        {
            "early_stopping": _finite,
            "early_stopping_with_baseline": _ends(right.early_stopping_with_baseline),
            "stopped_after": _finite_flags,
        },
        {"nonfinite_metric": "stops"},
    ),
    Mutant("two devices, and an error for more", "", _of_two_devices()),
    Mutant("the sums of devices in float32", "", {"statistics_on_devices": _summed}),
    Mutant("an augmentation that shifts", "", {"augmented_epoch": _shifted}),
    Mutant("masked batch norm by sums in float32", "", {"masked_batch_norm": _masked}),
    Mutant("an average by steps in float32", "", {"average_parameters": _steadily}),
    Mutant("an average by a correction in float32", "", {"average_parameters": _corrected}),
    Mutant("an accuracy that is NaN if an output is", "", {"accuracy": _cautious_accuracy}),
    Mutant("weighted losses in float32", "", {"weighted_loss": _single_weights}),
    Mutant("adaptive clipping in float32", "", {"adaptive_clip": _adaptive}),
)
