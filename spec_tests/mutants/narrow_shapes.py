"""Mutants that are wrong for some shapes: odd batches, one example, wide data, other ranks."""

import numpy as np

from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_chains as chains
from hondo_spec.targets import reference_norms as norms
from spec_tests.mutants.mutant import Mutant
from spec_tests.mutants.narrow import (
    batch,
    ends,
    instead,
    last_off,
    lost,
    narrow,
    odd,
    off,
    rank,
    rest_off,
    second,
    square,
    wide,
)

NORMS = narrow((
    ("batch norm that leaves out the last of an odd batch", "BNT-02", "batch_norm", odd, off),
    ("batch norm of features from the eighth on", "BNT-01", "batch_norm", wide(8), last_off),
    ("batch norm of sixteen features", "BNT-09", "batch_norm", ends(16), off),
    ("batch norm of videos", "BNT-03", "batch_norm", rank(5), off),
    ("batch norm of a batch as long as wide", "BNT-04", "batch_norm", square, off),
    ("batch norm of 33 examples", "BNT-01", "batch_norm", batch(33), last_off),
    ("batch norm of a single feature", "BNT-04", "batch_norm", ends(1), off),
    ("running statistics of three examples", "BNT-12", "batch_norm", batch(3), rest_off),
    ("running statistics of nine features", "BNR-01", "batch_norm", ends(9), rest_off),
    ("running statistics of words", "BNR-01", "batch_norm", rank(3), rest_off),
    ("a gradient of an odd batch", "BNT-11", "batch_norm_gradient", odd, off),
    ("a gradient of eight channels", "BNT-11", "batch_norm_gradient", wide(8), off),
    ("a gradient of words", "BNT-11", "batch_norm_gradient", rank(3), off),
    ("a gradient of videos", "BNT-11", "batch_norm_gradient", rank(5), off),
    ("inference of words", "BNI-01", "batch_norm_inference", rank(3), off),
    ("inference of one example", "BNI-01", "batch_norm_inference", batch(1), lost),
    ("inference of sixteen channels", "BNI-01", "batch_norm_inference", wide(16), last_off),
    ("inference of a batch as long as wide", "BNI-01", "batch_norm_inference", square, off),
    ("moments of an odd batch", "BNT-05", "batch_moments", odd, off),
    ("moments of two examples", "BNT-05", "batch_moments", batch(2), rest_off),
    ("moments of nine features", "BNT-05", "batch_moments", wide(9), last_off),
    ("merged moments of five parts", "BNP-03", "merge_moments", lambda parts: len(parts) > 4, off),
    ("merged moments of single examples", "BNP-03", "merge_moments",
     lambda parts: any(len(x) == 1 for x in parts), rest_off),
    ("a population of seven batches", "BNP-02", "population_stats", lambda p: len(p) > 6, rest_off),
    ("a population of eight features", "BNP-01", "population_stats",
     lambda p: p[0].shape[-1] > 7, last_off),
    ("averages of batches of five", "BNP-02", "batch_averaged_stats",
     lambda p: len(p[0]) == 5, rest_off),
    ("a folded square kernel, turned", "BNF-01", "fold_batch_norm", square,
     lambda folded: (folded[0].T, folded[1])),
    ("a folded kernel of one axis of window", "BNF-01", "fold_batch_norm", rank(3), off),
    ("a mask of an odd batch", "BNT-13", "masked_batch_norm", odd, off),
    ("a mask of images", "BNT-13", "masked_batch_norm", rank(4), off),
    ("layer norm of an odd number of features", "NRM-01", "layer_norm",
     lambda x, *_: x.shape[-1] % 2 == 1, off),
    ("layer norm of one example", "NRM-01", "layer_norm", batch(1), off),
    ("layer norm of a vector", "NRM-01", "layer_norm", rank(1), off),
    ("layer norm of images", "NRM-01", "layer_norm", rank(4), off),
    ("layer norm of as many examples as features", "NRM-01", "layer_norm", square, off),
    ("layer norm of 33 features", "NRM-01", "layer_norm", ends(33), last_off),
    ("group norm of sequences", "NRM-02", "group_norm", rank(3), off),
    ("group norm of volumes", "NRM-02", "group_norm", rank(5), off),
    ("group norm of eight groups", "NRM-02", "group_norm", lambda x, g, e: g > 7, off),
    ("group norm of one example", "NRM-02", "group_norm", batch(1), off),
    ("group norm of wide images", "NRM-02", "group_norm",
     lambda x, *_: x.ndim == 4 and x.shape[1] != x.shape[2], off),
    ("instance norm of nine channels", "NRM-02", "instance_norm", wide(9), last_off),
    ("instance norm of an odd batch", "NRM-02", "instance_norm", odd, off),
    ("RMS norm of three features", "NRM-03", "rms_norm", ends(3), off),
    ("RMS norm of a vector", "NRM-03", "rms_norm", rank(1), off),
    ("RMS norm of images", "NRM-03", "rms_norm", rank(4), off),
    ("weight norm of a window of one axis", "NRM-04", "weight_norm", rank(3), off),
    ("weight norm of a square kernel", "NRM-04", "weight_norm", square, off),
    ("weight norm of sixteen units", "NRM-04", "weight_norm", wide(16), last_off),
    ("unit vectors of two entries", "NRM-05", "l2_normalize", ends(2), off),
    ("a unit vector by itself", "NRM-05", "l2_normalize", rank(1), off),
    ("the gradient of unit vectors of images", "NRM-05", "l2_normalize_gradient", rank(4), off),
    ("max-norm of a square kernel", "NRM-05", "max_norm", square, off),
    ("max-norm of a window of one axis", "PEN-10", "max_norm", rank(3), off),
    ("adaptive clipping of a square kernel", "NRM-05", "adaptive_clip", square, off),
    ("adaptive clipping of a window of three axes", "CLP-10", "adaptive_clip", rank(5), off),
))  # fmt: skip

LAYERS = narrow((
    ("fans of a window of one axis", "INI-01", "fans", lambda s: len(s) == 3,
     lambda fans: (fans[0], fans[1] // 2)),
    ("fans of a square kernel", "INI-01", "fans", lambda s: len(s) == 2 and s[0] == s[1],
     lambda fans: (fans[0] + 1, fans[1])),
    ("fans of one unit", "INI-01", "fans", lambda s: s[-1] == 1,
     lambda fans: (fans[0], fans[1] + 1)),
    ("Glorot uniform of a window of one axis", "INI-02", "glorot_uniform",
     lambda k, s: len(s) == 3, lambda w: w * np.float32(1.5)),
    ("He normal of a window of three axes", "INI-05", "he_normal",
     lambda k, s: len(s) == 5, lambda w: w * np.float32(1.5)),
    ("Glorot normal of an odd number of units", "INI-10", "glorot_normal",
     lambda k, s: s[-1] % 2 == 1, lambda w: np.where(np.arange(w.shape[-1]) > 0, w, 0)),
    ("dropout that drops nothing of one example", "DRP-01", "dropout",
     second(batch(1)), lambda y: y + 1),
    ("dropout that keeps the last of an odd number", "DRP-01", "dropout",
     lambda k, x, p: x.size % 2 == 1, last_off),
    ("dropout of a vector", "DRP-01", "dropout", second(rank(1)), off),
    ("dropout of videos", "DRP-01", "dropout", second(rank(5)), off),
    ("a gradient of dropout of words", "DRP-12", "dropout_gradient", second(rank(3)), rest_off),
    ("dropout at inference of images", "DRP-08", "dropout_inference", rank(4), off),
    ("noise for the last of an odd number", "NOI-02", "gaussian_noise",
     lambda k, x, s: x.size % 2 == 1, last_off),
    ("noise for a vector", "NOI-02", "gaussian_noise", second(rank(1)), off),
    ("labels smoothed one by one", "NOI-04", "label_smoothing", rank(1), off),
    ("the penalty of noise on a square kernel", "NOI-03", "noise_penalty", square, off),
    ("a residual of eight units", "RES-02", "residual", wide(8), last_off),
    ("a residual of one example", "RES-02", "residual", batch(1), off),
    ("a residual's gradient of as many examples as units", "RES-03", "residual_gradient",
     square, off),
    ("a square projection that is left out", "RES-06", "residual_projection",
     lambda x, w, a: square(w), lambda y: y * 0),
    ("a projection to one unit", "RES-06", "residual_projection",
     lambda x, w, a: w.shape[1] == 1, off),
    ("two residual layers", "RES-05", "residual_stack", lambda x, m: len(m) == 2, off),
    ("a residual chain of three blocks", "RES-04", "residual_chain",
     lambda x, a, *_: len(a) == 3, off),
    ("a residual chain's gradient of wide blocks", "RES-04", "residual_chain", wide(8), rest_off),
    ("a chain that narrows", "GRD-03", "chain_gradient",
     lambda x, w, b, g, f: w[0].shape[0] > w[0].shape[1] > 1, off),
    ("a chain of three layers", "GRD-01", "chain_gradient", lambda x, w, *_: len(w) == 3, off),
    ("a sigmoid chain of several examples", "GRD-02", "chain_gradient",
     lambda x, w, b, g, f: f == "sigmoid" and len(x) > 1, off),
    ("a convolution by steps of three", "GRD-04", "convolution", lambda x, k, s: s == 3, off),
    ("a convolution by a window of one", "GRD-04", "convolution",
     lambda x, k, s: k.shape[:2] == (1, 1), off),
    ("a convolution of a tall window", "GRD-04", "convolution",
     lambda x, k, s: k.shape[0] > k.shape[1], off),
    ("a convolution of eight channels", "GRD-04", "convolution",
     lambda x, k, s: x.shape[-1] > 7, last_off),
    ("a convolution's gradient of a wide window", "GRD-04", "convolution_gradient",
     lambda x, k, s, g: k.shape[1] > 2, off),
    ("a convolution's kernel gradient of one example", "GRD-04", "convolution_gradient",
     batch(1), rest_off),
    ("descent in nine dimensions", "EST-10", "gradient_descent", wide(9), last_off),
    ("a skipped step of many", "CLP-11", "skipping_descent", lambda g, *_: len(g) > 4, off),
))  # fmt: skip

TASKS = narrow((
    ("softmax of two", "ACT-06", "softmax", ends(2), off),
    ("softmax of nine", "ACT-06", "softmax", ends(9), last_off),
    ("softmax of a vector", "ACT-06", "softmax", rank(1), off),
    ("softmax of four axes", "ACT-06", "softmax", rank(4), off),
    ("cross-entropy of one example", "ACT-07", "cross_entropy", batch(1), off),
    ("cross-entropy of two classes", "ACT-07", "cross_entropy", ends(2), off),
    ("cross-entropy of many classes", "ACT-07", "cross_entropy", wide(5), off),
    ("cross-entropy of an odd batch", "ACT-07", "cross_entropy", odd, off),
    ("a loss gradient of many classes", "ACT-08", "cross_entropy_gradient", wide(8), last_off),
    ("a gradient of cross-entropy of nine examples", "ACT-08", "cross_entropy_gradient",
     batch(9), off),
    ("accuracy of one example", "ACT-09", "accuracy", batch(1), lambda share: 1.0),
    ("accuracy of nine classes", "ACT-09", "accuracy", wide(9), lambda share: share / 2),
    ("sigmoid of an odd number", "ACT-01", "sigmoid", lambda x: np.size(x) % 2 == 1, last_off),
    ("a rectifier of several axes", "ACT-04", "relu", rank(3), off),
    ("tanh of a number", "ACT-02", "tanh", rank(0), off),
    ("an objective of five tasks", "MTL-01", "multitask_loss", lambda j, a: len(j) > 4, off),
    ("an objective of one task", "MTL-01", "multitask_loss", batch(1), off),
    ("gradients of five tasks", "MTL-02", "multitask_gradients",
     lambda x, t, h, *_: len(h) > 4, off),
    ("gradients of tasks of one example", "MTL-02", "multitask_gradients", batch(1), rest_off),
    ("missing labels of many", "MTL-03", "masked_loss", lambda j, r: len(j) > 8, off),
    ("missing labels of an odd number", "MTL-03", "masked_loss", odd, off),
    ("weights of one example", "MTL-03", "weighted_loss", batch(1), off),
    ("an ensemble of eight", "ENS-01", "average_probabilities", lambda z: len(z) > 7, off),
    ("an ensemble for two classes", "ENS-01", "average_probabilities", ends(2), off),
    ("an ensemble for many classes", "ENS-01", "average_probabilities", wide(8), last_off),
    ("the disagreement of seven", "ENS-02", "ambiguity", lambda f, *_: len(f) > 4, rest_off),
    ("the covariance of five errors", "ENS-03", "error_covariance",
     lambda f, t: len(f) > 4, rest_off),
    ("an average of nine parameters", "ENS-06", "average_parameters", lambda v, d: len(v) > 8, off),
    ("a flip of an odd width", "AUG-01", "flip", lambda x: x.shape[2] % 2 == 1, last_off),
    ("a flip of one channel", "AUG-01", "flip", ends(1), lambda x: x[:, :, ::-1]),
    ("a turn of three channels", "AUG-01", "quarter_turn", ends(3), lambda x: x[:, ::-1]),
    ("a turn of one image", "AUG-01", "quarter_turn", batch(1), lambda x: x[:, ::-1, ::-1]),
    ("mixed images of an odd batch", "AUG-05", "mixup", second(odd), off),
    ("evaluated images of one channel", "AUG-06", "evaluation_view", ends(1), off),
))  # fmt: skip


def _tied_offsets(seed, images, size):
    """Square images: one offset for both axes."""
    places = images.shape[1] - size + 1
    offsets = np.random.default_rng(seed).integers(0, places, len(images))
    pairs = zip(images, offsets, strict=True)
    return np.stack([image[i : i + size, i : i + size] for image, i in pairs])


def _by_rows(x, mean, var, scale, bias, epsilon):
    """Statistics for the rows of images that are as high as they have channels."""
    shape = 1, -1, 1, 1
    mean, var = np.reshape(mean, shape), np.reshape(var, shape)
    return scale * (np.float64(x) - mean) / np.sqrt(var + epsilon) + bias


def _one_by_one(parts):
    """Statistics in pairs of batches, of which an odd one is left over."""
    even = parts[: len(parts) // 2 * 2] or parts
    return norms.merge_moments(even)


OTHERS = (
    Mutant(
        "one offset for both axes of a square",
        "AUG-04",
        instead("random_crop", lambda k, x, s: x.shape[1] == x.shape[2], _tied_offsets),
    ),
    Mutant(
        "statistics along the height where it is the number of channels",
        "BNI-01",
        instead(
            "batch_norm_inference", lambda x, *_: x.ndim == 4 and x.shape[1] == x.shape[3], _by_rows
        ),
    ),
    Mutant(
        "an odd batch that is left out of a merge",
        "BNP-03",
        instead("merge_moments", lambda p: len(p) > 3 and len(p) % 2 == 1, _one_by_one),
    ),
    Mutant(
        "a branch of one unit that is broadcast",
        "RES-06",
        {
            "residual": lambda x, a: (
                x + x @ a if a.shape[-1] in (1, x.shape[-1]) else right.residual(x, a)
            )
        },
    ),
    Mutant(
        "a loop that runs twice for three steps",
        "EST-10",
        instead(
            "gradient_descent",
            lambda h, o, r, steps: steps == 3,
            lambda h, o, r, steps: chains.gradient_descent(h, o, r, 2),
        ),
    ),
    Mutant(
        "all crops of the whole image are mirrored",
        "AUG-04",
        instead(
            "random_crop", lambda k, x, s: s == x.shape[1], lambda k, x, s: x[:, :s, :s][:, :, ::-1]
        ),
    ),
)

MUTANTS = (*NORMS, *LAYERS, *TASKS, *OTHERS)
