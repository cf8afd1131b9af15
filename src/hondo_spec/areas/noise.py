"""NOI: noise on inputs, on labels and on parameters (slide 2)."""

import math
from collections.abc import Iterator

import numpy as np
from scipy.stats import chi2, norm

from hondo_spec import draws, statistics
from hondo_spec.bounds import GRID, U32, U64, UNITS, gamma
from hondo_spec.property import Area, given
from hondo_spec.randomness import FAR, LEAST, OTHERS, by_seed, independent, rows, tails, unrelated
from hondo_spec.results import Check, Exact, Holds, Result, Stat
from hondo_spec.target import Operation

prop = Area("NOI", source="slide 2; Goodfellow et al. 2016, section 7.5", symbols="gaussian_noise")
ZERO = np.zeros(231, np.float32)
SMOOTHING = "slide 2; Goodfellow et al. 2016, section 7.5.1"


def _ramp(samples: int) -> np.ndarray:
    """Integers of both signs: noise that depends on what it is added to shows on them."""
    count = rows(samples)
    return draws.single(np.arange(count * 96) % 11 - 5).reshape(count, 96)


def _normal(what: str, noise: np.ndarray, std: float, noisy: np.ndarray) -> Iterator[Stat]:
    """N(0, σ²), whose grain is that of the numbers that it was added to; no density exceeds 1/σ."""
    yield statistics.variance(f"variance of {what}", noise, std**2, ratio=1.1)
    atom = GRID + U32 * float(np.max(np.abs(noisy))) / std
    yield statistics.distribution(f"shape of {what}", noise / std, norm.cdf, atom, effect=0.02)
    yield independent(f"signs of {what}", noise > 0, 0.5, effect=0.03)
    yield independent(f"sizes of {what}", np.abs(noise) > std * norm.isf(0.25), 0.5, effect=0.03)


@prop(1, "must", "statistical")
@given(std=(2.0**-10, 0.25, 3.0, 100.0))
def _input_noise_is_normal(gaussian_noise, samples, *, std):
    r"""noise on inputs is normal with the given standard deviation, whatever the inputs; its mean
    and size are not as good as the same in each draw
    $y - x \sim \mathcal N(0, \sigma^2)$
    """
    x = np.float32(16 * std) * _ramp(samples)
    seed = FAR[std > 1]
    noisy = draws.double(gaussian_noise(seed, x, std))
    yield from _normal("noise", noisy - x, std, noisy)
    others = [draws.double(gaussian_noise(seed + other, x, std)) for other in OTHERS]
    for other, another in zip(OTHERS, others, strict=True):
        yield unrelated(f"seed {other}", noisy > x, another > x, 0.5, effect=0.03)
    if std == 3.0:
        yield from tails("noise", np.stack([noisy, *others]) / std - x / std)
        yield by_seed("noise", gaussian_noise, ZERO, std)
        for z in (0 * x.reshape(-1, 4, 6, 4), *map((0 * x).astype, draws.HALVES)):
            noise = draws.double(gaussian_noise(seed, z, std))
            yield independent(f"signs of {z.dtype}, {z.ndim} axes", noise > 0, 0.5, effect=0.03)
        z = np.stack([draws.double(gaussian_noise(k, ZERO, std)) / std for k in range(16)])
        yield statistics.too_even("means", np.sum(z, axis=1) / math.sqrt(z.shape[1]))
        squares = (np.sum(z**2, axis=1) - z.shape[1]) / math.sqrt(2 * z.shape[1])
        yield statistics.too_even("variances", squares)


@prop(2, "must", "exact", source="slide 2")
@given(x=draws.arrays(draws.OF_ANY_RANK, halves=True), seed=draws.seeds)
def _zero_noise_is_the_identity(gaussian_noise, *, x, seed):
    r"""noise of standard deviation 0 is the identity, any other reaches every entry, each by
    itself, also in half precision
    $\sigma = 0 \Rightarrow y = x;\quad y_i \ne x_i$
    """
    yield Exact("y", gaussian_noise(seed, x, 0.0), x)
    # At most 8 deviations, but once in 10^15; alike in eight draws, of halves too, once in 10^16.
    stds = (0.25, 1.0, 0.5, 0.1, 0.01, 0.9, 0.0625, 0.01 / 25, 0.3 + seed / 2**32)
    drawn = [gaussian_noise(seed + k, 0 * x, std) / np.float32(std) for k, std in enumerate(stds)]
    noise = draws.double(drawn).reshape(len(stds), -1)
    yield Holds("within 8 deviations", np.abs(noise) < 8, noise)
    yield Exact("again", gaussian_noise(seed, 0 * x, 0.25) / np.float32(0.25), drawn[0])
    (low, high), sizes = chi2.ppf([LEAST, 1 - LEAST], x.size), np.sum(noise**2, axis=1)
    yield Holds("of size 1", (low < sizes) & (sizes < high), noise)
    yield Holds("every entry", np.any(noise, axis=0), noise)
    alone = [np.unique(np.abs(noise), axis=axis).size == noise.size for axis in (0, 1)]
    yield Holds("every draw, and every entry, by itself", alone, noise)


@prop(3, "must", "exhaustive", source="slide 2; Bishop 1995, section 2", symbols="l2_penalty")
@given(w=draws.whole(draws.MATRICES), seed=draws.seeds, std=(0.0, 2.0**-10, 0.25, 1.0, 2.0, 64.0))
def _input_noise_penalizes_the_weights(noise_penalty, *, w, seed, std):
    r"""noise on the inputs of a linear model is, in expected squared error, a
    penalty on its weights
    $\mathbb{E}\lVert W(x+e) - y\rVert^2 = \lVert Wx - y\rVert^2 + \sigma^2\lVert W\rVert_F^2$
    """
    # The points ±σ√d eᵢ have the mean and the covariance of the noise: for squares that is all.
    d, outputs = w.shape
    x, y = draws.lattice_of(seed, (d,), -8, 8), draws.lattice_of(seed, (outputs,), -8, 8)
    points = math.sqrt(std**2 * d) * np.concatenate([np.eye(d), -np.eye(d)])
    noisy = np.mean(np.sum(((x + points) @ np.float64(w) - y) ** 2, axis=1))
    clean = float(np.sum((np.float64(x) @ w - y) ** 2))
    bound = gamma(16 * d + 64, U64) * (noisy + clean) + gamma(w.size + 2) * (noisy - clean)
    return Check("penalty", noise_penalty(w, std), noisy - clean, bound, 1.0)


@prop(4, "must", "bound", source=SMOOTHING, symbols="label_smoothing")
@given(amount=(0.0, 2.0**-7, 0.1, 0.3, 0.5, 0.9, 1.0), classes=(2, 3, 10, 33, 130))
def _smoothed_labels_keep_sum_and_class(label_smoothing, *, amount, classes):
    r"""smoothed labels are (1 − ε)y + ε/K: they sum to 1 and keep their class; so are those that
    are mixed, or of each position
    $\tilde y = (1-\varepsilon)y + \varepsilon/K$
    """
    # One more example of each class but the last: there are not as many as classes.
    labels = np.arange(2 * classes - 1) % classes
    y = np.eye(classes, dtype=np.float32)[labels]

    def check(what: str, y: np.ndarray) -> Check:
        want, u = (1 - amount) * np.float64(y) + amount / classes, UNITS[y.dtype.name]
        return Check(what, label_smoothing(y, amount), want, gamma(4, u))

    yield check("ỹ", y)
    if amount < 1:
        yield Exact("class", np.argmax(label_smoothing(y, amount), axis=-1), labels)
    yield check("ỹ of one", y[0])
    for dtype in draws.HALVES if classes < 64 else ():
        yield check(f"ỹ of {dtype}", y.astype(dtype))
    yield check("ỹ of mixed labels", np.stack([y, (y + np.roll(y, 1, axis=0)) / 2]))


@prop(5, "must", "statistical", symbols="noisy_parameters parameter_noise")
@given(std=(0.1, 2.0))
def _parameter_noise_is_drawn_anew(parameter_noise, samples, *, std):
    r"""noise on parameters is drawn anew for each seed and leaves the parameters alone
    $\tilde W = W + \epsilon_t,\ \mathbb{E}\tilde W = W$
    """
    w, before = _ramp(samples), _ramp(samples)
    tree = {"a/kernel": w, "b/kernel": w.reshape(3, 2, -1, 96), "c/d/e/bias": w}
    noisy = parameter_noise(0, tree, std)
    first, *others = (draws.double(noisy[name]) - leaf for name, leaf in tree.items())
    yield from _normal("one draw", first, std, noisy["a/kernel"])
    for k, other in enumerate(others):
        yield unrelated(f"weights 0 and {k + 1}", first > 0, other > 0, 0.5, effect=0.03)
    yield independent("signs of a window", others[0] > 0, 0.5, effect=0.03)
    yield unrelated("weights 1 and 2", others[0] > 0, others[1] > 0, 0.5, effect=0.03)
    yield statistics.mean("mean of one draw", first, 0.0, std, effect=0.05 * std)
    for other in OTHERS:
        anew = draws.double(parameter_noise(other, tree, std)["a/kernel"]) - w
        yield unrelated(f"seed {other}", first > 0, anew > 0, 0.5, effect=0.03)
        # As where each weight has the seed plus its own index.
        yield unrelated(f"another of seed {other}", others[0] > 0, anew > 0, 0.5, effect=0.03)
        yield statistics.variance("the difference of two", first - anew, 2 * std**2, ratio=1.1)
    yield Exact("parameters", w, before)
    yield Exact("again", parameter_noise(0, tree, std)["a/kernel"], noisy["a/kernel"])
    yield by_seed("noise", lambda k: parameter_noise(k, {"a/kernel": ZERO}, std)["a/kernel"])
    yield from _small_leaves(parameter_noise)


def _small_leaves(parameter_noise: Operation) -> Iterator[Result]:
    """Without noise leaves are what they were; with it each entry has its own, of size 1."""
    leaves = {**draws.uneven_tree(0), "e/kernel": draws.normal(0, (3, 2, 5, 7))}
    leaves |= {f"{k}/kernel": draws.normal(k, (1, 1)) for k in range(24)}
    for name, leaf in parameter_noise(0, leaves, 0.0).items():
        yield Exact(f"{name} without noise", leaf, leaves[name])
        yield Exact(f"dtype of {name}", str(np.asarray(leaf).dtype), str(leaves[name].dtype))
    zeros = {name: 0 * leaf for name, leaf in leaves.items()}
    kernels = [name for name in leaves if name.endswith("kernel")]
    # Two entries of halves agree in eight draws but once in 10^16, and never in eighty.
    drawn = [parameter_noise(k, zeros, 1.0) for k in range(80)]
    flat = [np.concatenate([draws.double(noisy[k]).ravel() for k in kernels]) for noisy in drawn]
    yield Holds("every entry by itself", np.unique(flat, axis=1).shape == np.shape(flat), flat)
    (low, high), sizes = chi2.ppf([LEAST, 1 - LEAST], len(drawn)), np.sum(np.square(flat), axis=0)
    yield Holds("every entry of size 1", (low < sizes) & (sizes < high), sizes)
