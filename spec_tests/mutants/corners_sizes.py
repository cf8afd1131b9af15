"""Mutants that are right up to some size: 64 examples, 256 features, 512 classes, 32 batches."""

import numpy as np

from hondo_spec.draws import double
from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_chains as chains
from hondo_spec.targets import reference_norms as norms
from hondo_spec.targets import reference_penalties as penalties
from spec_tests.mutants.clipping import _by
from spec_tests.mutants.corners import swapped
from spec_tests.mutants.mutant import Mutant
from spec_tests.mutants.narrow import narrow, wide
from spec_tests.mutants.wider import _blocks


def _many_classes(z):
    """The probabilities of the first 512 classes."""
    return right.softmax(np.where(np.arange(z.shape[-1]) < 512, z, -np.inf))


def _loss_of_many_classes(z, classes):
    """The exponentials of the first 512 classes alone are summed."""
    share = np.sum(right.softmax(z)[:, :512], axis=-1)
    return right.cross_entropy(z, classes) + np.mean(np.log(share))


def _whole_batches(z, classes):
    """Whole batches of 64 examples, where there is one."""
    kept = len(z) // 64 * 64 or len(z)
    return right.cross_entropy(z[:kept], classes[:kept])


def _hits_of_eight_bits(z, classes):
    """A row with a NaN is not right."""
    hits = (np.argmax(z, axis=-1) == classes) & ~np.isnan(z).any(axis=-1)
    return np.sum(hits, dtype=np.uint8) / len(z)


CLASSES = (
    *narrow((
        ("a gradient averaged over 64 examples at most", "ACT-08", "cross_entropy_gradient",
         lambda z, classes: len(z) > 64, lambda g: g * len(g) / 64),
        ("probabilities of 16 examples at most", "ENS-01", "average_probabilities",
         lambda z: z.shape[1] > 16,
         lambda p: np.concatenate([p[:16], np.broadcast_to(p[:1], p[16:].shape)])),
    )),
    *swapped((
        ("a softmax of 512 classes at most", "ACT-06", "softmax", wide(513), _many_classes),
        ("cross-entropy by the first 512 classes", "ACT-07", "cross_entropy",
         wide(513), _loss_of_many_classes),
        ("smoothing over 100 classes at most", "NOI-04", "label_smoothing", wide(101),
         lambda y, amount: (1 - amount) * double(y) + amount / 100),
    )),
    Mutant("hits counted in eight bits", "ACT-09", {"accuracy": _hits_of_eight_bits}),
    Mutant("a cross-entropy summed by batches of 64", "ACT-07", {"cross_entropy": _whole_batches}),
)  # fmt: skip


def _whole_blocks(x, *arguments):
    """The channels behind the last whole block of 64 are left as they are."""
    y, *new = norms.batch_norm(x, *arguments)
    return np.where(np.arange(x.shape[-1]) < x.shape[-1] // 64 * 64, y, x), *new


def _less_one_for_each(parts):
    """The population's count less the number of batches."""
    (mean, var), n = norms.merge_moments(parts), sum(x.size // x.shape[-1] for x in parts)
    return mean, var * n / (n - len(parts))


def _one_variance(parts):
    """The mean of the channels' variances for each."""
    mean, var = chains.batch_averaged_stats(parts)
    return mean, np.full_like(var, np.mean(var))


BATCHES = (
    *swapped((
        ("blocks of 64 channels, the last one left out", "BNT-01", "batch_norm",
         wide(65), _whole_blocks),
        ("a population less one for each of many batches", "BNP-02", "population_stats",
         lambda parts: len(parts) > 10 and any(len(x) > 1 for x in parts), _less_one_for_each),
        ("batch averages of five channels at most", "BNP-02", "batch_averaged_stats",
         lambda parts: parts[0].shape[-1] > 5, _one_variance),
    )),
    Mutant("a merge of 32 batches at most", "BNP-03", {
        "merge_moments": lambda parts: norms.merge_moments(parts[:32])}),
)  # fmt: skip


def _of_64_examples(name):
    """The gradients of the parameters by the first 64 examples."""
    gradient = right.OPERATIONS[name]

    def operation(x, *arguments):
        *parameters, g = arguments
        first, its_g = (part.reshape(-1, part.shape[-1])[:64] for part in (x, g))
        return gradient(x, *arguments)[0], *gradient(first, *parameters, its_g)[1:]

    return {name: operation}


def _by_blocks(x, scale, bias, epsilon, g):
    """Each 256 features by themselves."""
    blocks = [slice(at, at + 256) for at in range(0, x.shape[-1], 256)]
    parts = [
        norms.layer_norm_gradient(x[..., at], scale[at], bias[at], epsilon, g[..., at])[0]
        for at in blocks
    ]
    rest = norms.layer_norm_gradient(x, scale, bias, epsilon, g)[1:]
    return np.concatenate(parts, axis=-1), *rest


def _large_group(x, groups, *_):
    return x[0].size // groups > 256


def _first_of_a_group(x, groups, epsilon):
    """Statistics of the first 256 entries of each group."""
    z = norms._grouped(double(x), groups)
    first = z[:, : max(1, 256 // z.shape[-1])]
    mu, v = (f(first, axis=(1, 3), keepdims=True) for f in (np.mean, np.var))
    return ((z - mu) / np.sqrt(v + epsilon)).reshape(x.shape)


def _length(w):
    """Of each unit by its first 64 inputs."""
    return np.linalg.norm(double(w.reshape(-1, w.shape[-1])[:64]), axis=0)


def _many_inputs(w, *_):
    return w.size > 64 * w.shape[-1]


NORMS = (
    Mutant("a gradient in γ of 64 examples", "NRM-08", _of_64_examples("layer_norm_gradient")),
    Mutant("a gradient of an RMS norm in γ of 64 examples", "NRM-10",
           _of_64_examples("rms_norm_gradient")),
    *swapped((
        ("a layer norm's gradient by blocks of 256 features", "NRM-08", "layer_norm_gradient",
         wide(257), _by_blocks),
        ("statistics of a group by its first 256 entries", "NRM-02", "group_norm",
         _large_group, _first_of_a_group),
        ("a gradient of a group of more than 256 entries that is not projected", "NRM-09",
         "group_norm_gradient", _large_group,
         lambda x, groups, epsilon, g: g / np.sqrt(np.var(double(x)) + epsilon)),
        ("unit vectors by their first 64 entries", "NRM-05", "l2_normalize", wide(65),
         lambda x: x / np.linalg.norm(double(x[..., :64]), axis=-1, keepdims=True)),
        ("weight norm of 64 inputs", "NRM-05", "weight_norm", _many_inputs,
         lambda direction, magnitude: magnitude * direction / _length(direction)),
        ("max-norm of 64 inputs", "NRM-05", "max_norm", _many_inputs,
         lambda w, limit: (w * np.minimum(1, limit / _length(w))).astype(w.dtype)),
    )),
)  # fmt: skip

LAYERS = (
    Mutant("strides of 3 at most", "GRD-04", {
        "convolution": lambda x, kernel, stride: chains.convolution(x, kernel, min(stride, 3))}),
    *swapped((
        ("a window of 5 turned over", "GRD-04", "convolution",
         lambda x, kernel, stride: min(kernel.shape[:2]) >= 5,
         lambda x, kernel, stride: chains.convolution(x, kernel[::-1, ::-1], stride)),
        ("a norm of 64 leaves at most", "CLP-02", "clip_by_global_norm",
         lambda tree, limit: len(tree) > 64,
         _by(lambda tree: penalties.global_norm(dict([*tree.items()][:64])))[
             "clip_by_global_norm"]),
    )),
    Mutant("a leaf of more than 2048 entries in whole blocks", "GRD-05", {
        "global_norm": _blocks(2048)}),
)  # fmt: skip

MUTANTS = (*CLASSES, *BATCHES, *NORMS, *LAYERS)
