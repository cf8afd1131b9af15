"""Implementations that are right in another way; no property may complain."""

import numpy as np

from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_chains as chains
from hondo_spec.targets import reference_norms as norms
from hondo_spec.targets import reference_penalties as penalties
from spec_tests.mutants.mutant import Mutant


def _single(function):
    """The same in float32 throughout."""

    def run(*arguments):
        out = function(*arguments)
        return tuple(map(np.float32, out)) if isinstance(out, tuple) else np.float32(out)

    return run


def _welford(x):
    """One pass over the examples, in float32, in Welford's order."""
    rows = _rows(x)
    mu, m2 = np.zeros_like(rows[0]), np.zeros_like(rows[0])
    for n, row in enumerate(rows, 1):
        gap = row - mu
        mu = mu + gap / np.float32(n)
        m2 = m2 + gap * (row - mu)
    return mu, m2 / np.float32(len(rows))


def _rows(x):
    return np.float32(x).reshape(-1, x.shape[-1])


def _two_pass(x):
    mu = np.mean(_rows(x), axis=0)
    return mu, np.mean((_rows(x) - mu) ** 2, axis=0)


def _merged(parts):
    """Chan's update, in float32."""
    n, mean, m2 = 0, np.float32(0), np.float32(0)
    for x in parts:
        (mu, v), k = _two_pass(x), len(_rows(x))
        gap = mu - mean
        m2 = m2 + np.float32(k) * v + gap * gap * np.float32(n * k / (n + k))
        n, mean = n + k, mean + gap * np.float32(k / (n + k))
    return mean, m2 / np.float32(n)


def _pairwise(x):
    """Merged from single rows, or from parts of them where they are many."""
    rows = _rows(x)
    return _merged(np.array_split(rows, min(len(rows), 1000)))


def _population(parts):
    (mean, var), n = _merged(parts), sum(len(_rows(x)) for x in parts)
    return mean, var * np.float32(n / (n - 1))


def _scale_of(x):
    """A power of two, over which the sum of squares of x is in range."""
    return np.float32(2.0**60 if np.max(np.abs(x)) > 2.0**50 else 1)


def _trained(moments, form):
    """Batch norm in float32 by these moments and in this order of operations."""

    def batch_norm(x, mean, var, scale, bias, decay, epsilon):
        power, m = _scale_of(x), len(_rows(x))
        z = np.float32(x) / power
        (mu, v), least = moments(z), np.float32(epsilon / float(power) ** 2)
        y = form(z, mu, np.float32(1) / np.sqrt(v + least), scale, bias)
        mu, v = mu * power, np.float32(np.minimum(np.float64(v) * float(power) ** 2, 2.0**127))
        v = v * np.float32(m / (m - 1)) if m > 1 else var
        old, new = np.float32(decay), np.float32(1 - decay)
        return y.astype(x.dtype), old * mean + new * mu, old * var + new * v

    return {"batch_norm": batch_norm}


def _centered(x, mu, inverse, scale, bias):
    return scale * ((x - mu) * inverse) + bias


def _folded(x, mu, inverse, scale, bias):
    return x * (scale * inverse) + (bias - mu * (scale * inverse))


def _fused(x, mu, inverse, scale, bias):
    """The last product and sum are rounded once, as by a processor's FMA."""
    factor = scale * inverse
    return np.float32(np.float64(x) * factor + (bias - mu * factor))


def _trained_gradient(x, scale, bias, epsilon, g):
    """In float32, by the sums of g and of g (x − μ)."""
    power, flat = _scale_of(x), _rows(g)
    mu, v = _two_pass(x / power)
    inverse = np.float32(1) / np.sqrt(v + np.float32(epsilon / float(power) ** 2))
    gap = _rows(x / power) - mu
    through = gap * inverse * inverse * np.mean(flat * gap, axis=0)
    centered = flat - np.mean(flat, axis=0) - through
    return (scale * inverse * centered / power).reshape(x.shape)


def _power(x, axes):
    """What brings the squares over these axes into range, and rounds nothing."""
    largest = np.max(np.abs(np.float32(x)), axis=axes, keepdims=True, initial=1)
    return np.exp2(np.floor(np.log2(largest)))


def _standard(x, axes, epsilon):
    """Over these axes in float32, in two passes."""
    power = _power(x, axes)
    scaled, small = np.float32(x) / power, np.float32(epsilon) / power / power
    gap = scaled - np.mean(scaled, axis=axes, keepdims=True)
    return gap / np.sqrt(np.mean(gap**2, axis=axes, keepdims=True) + small)


def _group_norm(x, groups, epsilon):
    cut = x.reshape(len(x), -1, groups, x.shape[-1] // groups)
    return _standard(cut, (1, 3), epsilon).reshape(x.shape)


def _rms_norm(x, scale, epsilon):
    power = _power(x, -1)
    scaled, small = np.float32(x) / power, np.float32(epsilon) / power / power
    square = np.mean(scaled**2, axis=-1, keepdims=True)
    return scaled * (np.float32(1) / np.sqrt(square + small)) * scale


def _unit_norms(w):
    """By the largest entries, so that no sum of squares is out of range."""
    inputs = tuple(range(w.ndim - 1))
    top = np.max(np.abs(w), axis=inputs)
    top = np.where(top > 0, top, np.float32(1))
    return top * np.sqrt(np.sum((w / top) ** 2, axis=inputs))


def _other_mask(seed, shape, p):
    return np.random.Generator(np.random.Philox([seed, 3])).random(shape) < p


def _dropped(mask, kept, x):
    return np.where(mask, kept, 0).astype(x.dtype)


def _other_dropout(seed, x, keep_prob):
    mask = _other_mask(seed, np.shape(x), keep_prob)
    return _dropped(mask, np.float32(x) / np.float32(keep_prob) if keep_prob else 0, x)


def _log_softmax(z):
    shifted = np.float32(z) - np.max(z, axis=-1, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))


def _late_log_softmax(z):
    """What is taken from the logits is rounded at their size."""
    top = np.max(np.float32(z), axis=-1, keepdims=True)
    return np.float32(z) - (top + np.log(np.sum(np.exp(z - top), axis=-1, keepdims=True)))


def _by_log_softmax(z, classes):
    right._check_classes(classes, z.shape[-1])
    return -np.mean(_log_softmax(z)[np.arange(len(classes)), classes])


def _dual(x, mean, var, scale, bias, decay, epsilon):
    return norms.batch_norm(x, mean, var, scale, bias, 1 - decay, epsilon)


def _masked_dual(x, present, mean, var, scale, bias, decay, epsilon):
    return norms.masked_batch_norm(x, present, mean, var, scale, bias, 1 - decay, epsilon)


def _masked_biased(x, present, mean, var, scale, bias, decay, epsilon):
    given = mean, var, scale, bias, decay, epsilon
    new_var = _biased(x[present], *given)[2] if present.any() else var
    return *norms.masked_batch_norm(x, present, *given)[:2], new_var


def _biased(x, mean, var, scale, bias, decay, epsilon):
    y, new_mean, _ = norms.batch_norm(x, mean, var, scale, bias, decay, epsilon)
    return y, new_mean, decay * np.float64(var) + (1 - decay) * norms.batch_moments(x)[1]


def _lecture(seed, x, keep_prob):
    return np.where(right._mask(seed, np.shape(x), keep_prob), x, 0)


def _finite(tree):
    return all(np.isfinite(g).all() for g in tree.values())


def _skipped(tree, limit):
    if _finite(tree):
        return penalties.clip_by_global_norm(tree, limit)
    return {name: np.zeros_like(g) for name, g in tree.items()}


def _zeroed(tree, limit):
    kept = {name: np.where(np.isfinite(g), g, np.zeros_like(g)) for name, g in tree.items()}
    return penalties.clip_by_global_norm(kept, limit)


def _refused(tree, limit):
    if not _finite(tree):
        raise FloatingPointError("the gradient is not finite.")
    return penalties.clip_by_global_norm(tree, limit)


def _cut_normal(gain):
    def draw(seed, shape):
        unit = chains.truncated_normal(seed, shape) * np.sqrt(right.fans(shape)[0])
        return np.float32(unit * np.sqrt(gain(*right.fans(shape))))

    return draw


_CUT = {
    "he_normal": _cut_normal(lambda i, o: 2 / i),
    "glorot_normal": _cut_normal(lambda i, o: 2 / (i + o)),
    "lecun_normal": _cut_normal(lambda i, o: 1 / i),
}


def _float_descent(curvature, optimum, learning_rate, steps):
    w = np.zeros_like(optimum)
    for _ in range(steps):
        w = w - np.float32(learning_rate) * (curvature * (w - optimum))
    return w


def _other_words(hyperparameter, value):
    name, message = chains.refusal(hyperparameter, value)
    return f"its_{name}", message and f"expected another its_{name}, got {value}"


def _product(tree, limit):
    """g·(c/‖g‖) in single precision, after a scaling by a power of two."""
    # NumPy's maximum, because Python's misses a NaN.
    top = float(np.max([np.max(np.abs(np.float64(g)), initial=0) for g in tree.values()]))
    if not 0 < top < np.inf:
        return tree
    power = 2.0 ** np.floor(np.log2(top))
    scaled = {k: np.asarray(np.float64(g) / power, np.float32) for k, g in tree.items()}
    norm = np.float32(penalties.global_norm(scaled))
    if norm * power <= limit:
        return tree
    return {k: (g * (np.float32(limit) / norm)).astype(tree[k].dtype) for k, g in scaled.items()}


def _half_open(seed, images):
    coin = np.random.default_rng([seed, 1]).random(len(images)) >= 0.5
    return np.where(coin[:, None, None, None], images[:, :, ::-1], images)


BENIGN = (
    Mutant("batch norm in float32, two passes", "", _trained(_two_pass, _centered)),
    Mutant("batch norm in Welford's order", "", _trained(_welford, _centered)),
    Mutant("batch norm by moments that are merged", "", _trained(_pairwise, _centered)),
    Mutant("batch norm as a product and a sum", "", _trained(_two_pass, _folded)),
    Mutant("batch norm as a fused product and sum", "", _trained(_two_pass, _fused)),
    Mutant("moments in Welford's order", "", {"batch_moments": _welford}),
    Mutant("moments that are merged", "", {"batch_moments": _pairwise}),
    Mutant(
        "merged moments in float32", "", {"merge_moments": _merged, "population_stats": _population}
    ),
    Mutant("the gradient by sums in float32", "", {"batch_norm_gradient": _trained_gradient}),
    Mutant(
        "layer norm in two passes in float32",
        "",
        {"layer_norm": lambda x, s, b, e: s * _standard(x, -1, e) + b},
    ),
    Mutant("group norm in two passes in float32", "", {"group_norm": _group_norm}),
    Mutant("RMS norm by a reciprocal in float32", "", {"rms_norm": _rms_norm}),
    Mutant(
        "decay on the new value, as declared",
        "",
        {"batch_norm": _dual, "masked_batch_norm": _masked_dual},
        {"decay": "new"},
    ),
    Mutant(
        "a biased running variance, as declared",
        "",
        {
            "batch_norm": _biased,
            "masked_batch_norm": _masked_biased,
            "statistics_on_devices": lambda x, present, n: _two_pass(x[present]),
        },
        {"running_variance": "biased"},
    ),
    Mutant(
        "inference in float32", "", {"batch_norm_inference": _single(norms.batch_norm_inference)}
    ),
    Mutant(
        "inference folded to a product and a sum",
        "",
        {
            "batch_norm_inference": lambda x, m, v, s, b, e: (
                x * (s / np.sqrt(np.float64(v) + e)) + (b - m * (s / np.sqrt(np.float64(v) + e)))
            )
        },
    ),
    Mutant(
        "the gradient in float32", "", {"batch_norm_gradient": _single(norms.batch_norm_gradient)}
    ),
    Mutant(
        "statistics of the concatenated parts",
        "",
        {"merge_moments": lambda p: norms.batch_moments(np.concatenate([*map(_rows, p)]))},
    ),
    Mutant("folding in float32", "", {"fold_batch_norm": _single(norms.fold_batch_norm)}),
    Mutant("layer norm rounded to float32", "", {"layer_norm": _single(norms.layer_norm)}),
    Mutant("RMS norm rounded to float32", "", {"rms_norm": _single(norms.rms_norm)}),
    *(
        Mutant(f"{name} in float32", "", {name: _single(vars(norms)[name])})
        for name in ("layer_norm_gradient", "group_norm_gradient", "rms_norm_gradient")
    ),
    Mutant("group norm rounded to float32", "", {"group_norm": _single(norms.group_norm)}),
    Mutant(
        "another generator",
        "",
        {
            "dropout": _other_dropout,
            "dropout_gradient": lambda k, x, p, g: (
                _other_dropout(k, x, p),
                _other_dropout(k, g, p),
            ),
        },
    ),
    Mutant(
        "dropout as the lecture has it",
        "",
        {
            "dropout": _lecture,
            "dropout_gradient": lambda k, x, p, g: (_lecture(k, x, p), _lecture(k, g, p)),
            "dropout_inference": lambda x, p: x * np.float32(p),
            "dropout_on_devices": lambda k, x, p, devices: _lecture(k, x, p),
        },
        {"dropout": "lecture"},
    ),
    Mutant(
        "x times a rounded 1/P",
        "",
        {
            "dropout": lambda k, x, p: _dropped(
                right._mask(k, np.shape(x), p), np.float32(x) * np.float32(1 / p if p else 0), x
            )
        },
    ),
    Mutant(
        "steps with non-finite gradients skipped, as declared",
        "",
        {"clip_by_global_norm": _skipped},
        {"nonfinite": "skip"},
    ),
    Mutant(
        "non-finite gradients zeroed, as declared",
        "",
        {"clip_by_global_norm": _zeroed},
        {"nonfinite": "zero"},
    ),
    Mutant(
        "non-finite gradients refused, as declared",
        "",
        {"clip_by_global_norm": _refused},
        {"nonfinite": "error"},
    ),
    Mutant("cut normals, as declared", "", _CUT, {"normal": "truncated"}),
    Mutant("a chain in float32", "", {"chain_gradient": _single(chains.chain_gradient)}),
    Mutant("a residual chain in float32", "", {"residual_chain": _single(chains.residual_chain)}),
    Mutant(
        "a step that decays first",
        "",
        {"sgd_step": lambda w, g, r, s: np.float32(w * np.float32(1 - r * s) - np.float32(r) * g)},
    ),
    Mutant("ambiguity in float32", "", {"ambiguity": _single(chains.ambiguity)}),
    Mutant("a penalized loss in float32", "", {"penalized_loss": _single(chains.penalized_loss)}),
    Mutant("gradient descent in float32", "", {"gradient_descent": _float_descent}),
    Mutant("messages in other words", "", {"refusal": _other_words}),
    Mutant(
        "convolutions in float32",
        "",
        {
            "convolution": _single(chains.convolution),
            "convolution_gradient": _single(chains.convolution_gradient),
        },
    ),
    Mutant("clipping in float32 after a scaling", "", {"clip_by_global_norm": _product}),
    Mutant(
        "sigmoid by tanh",
        "",
        {
            "sigmoid": lambda x: (
                0.5 * (1 + np.tanh(np.float64(x) / 2))
                if np.max(np.abs(x)) < 15
                else right.sigmoid(x)
            )
        },
    ),
    Mutant("softmax in float32", "", {"softmax": _single(right.softmax)}),
    Mutant("softmax by its logarithm", "", {"softmax": lambda z: np.exp(_late_log_softmax(z))}),
    Mutant(
        "tanh by the sigmoid in float32",
        "",
        {"tanh": lambda x: np.float32(2) / (np.float32(1) + np.exp(-2 * np.float32(x))) - 1},
    ),
    Mutant("a rectifier by a choice", "", {"relu": lambda x: np.where(x > 0, x, x.dtype.type(0))}),
    Mutant(
        "cross-entropy by log-softmax",
        "",
        {"cross_entropy": _by_log_softmax},
    ),
    Mutant(
        "weights by another generator",
        "",
        {
            "glorot_uniform": lambda k, s: np.float32(
                np.random.Generator(np.random.Philox(k)).uniform(-1, 1, s)
                * np.sqrt(6 / sum(right.fans(s)))
            )
        },
    ),
    Mutant(
        "He normal by inversion",
        "",
        {
            "he_normal": lambda k, s: np.float32(
                np.random.Generator(np.random.Philox(k)).normal(size=s)
                * np.sqrt(2 / right.fans(s)[0])
            )
        },
    ),
    Mutant("coins from the upper half", "", {"random_flip": _half_open}),
    Mutant(
        "weight norm in float32",
        "",
        {"weight_norm": lambda v, g: g * (v / _unit_norms(v))},
    ),
    Mutant(
        "a global norm by hypot",
        "",
        {
            "global_norm": lambda t: np.hypot.reduce(
                np.concatenate([np.ravel(np.float64(g)) for g in t.values()])
            )
        },
    ),
    Mutant(
        "penalties summed leaf by leaf in float32",
        "",
        {"l2_penalty": lambda t, s: np.float32(penalties.l2_penalty(t, s))},
    ),
)
