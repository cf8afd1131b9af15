"""NOI: noise on inputs, on labels and on parameters (slide 2)."""

import math
from collections.abc import Iterator

import numpy as np
from scipy.stats import norm

from hondo_spec import draws, statistics
from hondo_spec.bounds import GRID, U32, U64, gamma
from hondo_spec.property import Area, formula, given
from hondo_spec.randomness import OTHERS, apart, rows
from hondo_spec.results import Check, Exact, Stat

prop = Area("NOI", source="slide 2; Goodfellow et al. 2016, section 7.5", symbols="gaussian_noise")
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
    for axis in (0, 1):
        yield from apart(f"signs of {what}, axis {axis},", noise > 0, axis, 0.5, effect=0.02)


@prop(1, "must", "statistical")
@formula(r"y - x \sim \mathcal N(0, \sigma^2)")
@given(std=(0.25, 3.0))
def _input_noise_is_normal(gaussian_noise, samples, *, std):
    """noise on inputs is normal with the given standard deviation, whatever the inputs"""
    x = _ramp(samples)
    noisy = draws.double(gaussian_noise(0, x, std))
    yield from _normal("noise", noisy - x, std, noisy)
    for other in OTHERS:
        another = draws.double(gaussian_noise(other, x, std)) > x
        yield statistics.agreement(f"seed {other}", noisy > x, another, 0.5, effect=0.02)


@prop(2, "must", "exact", source="slide 2")
@formula(r"\sigma = 0 \Rightarrow y = x")
@given(x=draws.floats(4, 4), seed=draws.seeds)
def _zero_noise_is_the_identity(gaussian_noise, *, x, seed):
    """noise of standard deviation 0 is the identity"""
    return Exact("y", gaussian_noise(seed, x, 0.0), x)


@prop(3, "must", "exhaustive", source="slide 2; Bishop 1995, section 2", symbols="l2_penalty")
@formula(
    r"\mathbb{E}\lVert W(x+e) - y\rVert^2 = \lVert Wx - y\rVert^2 + \sigma^2\lVert W\rVert_F^2"
)
@given(w=draws.integers(4, 3), x=draws.integers(4), y=draws.integers(3), std=(0.25, 1.0, 2.0))
def _input_noise_penalizes_the_weights(noise_penalty, *, w, x, y, std):
    """noise on the inputs of a linear model is, in expected squared error, a
    penalty on its weights
    """
    # The points ±σ√d eᵢ have the mean and the covariance of the noise: for squares that is all.
    d = x.size
    points = math.sqrt(std**2 * d) * np.concatenate([np.eye(d), -np.eye(d)])
    noisy = np.mean(np.sum(((x + points) @ np.float64(w) - y) ** 2, axis=1))
    clean = float(np.sum((np.float64(x) @ w - y) ** 2))
    bound = gamma(64, U64) * (noisy + clean) + gamma(w.size + 2) * (noisy - clean)
    return Check("penalty", noise_penalty(w, std), noisy - clean, bound, 1.0)


@prop(4, "must", "bound", source=SMOOTHING, symbols="label_smoothing")
@formula(r"\tilde y = (1-\varepsilon)y + \varepsilon/K")
@given(amount=(0.0, 0.1, 0.5, 1.0), classes=(2, 3, 10))
def _smoothed_labels_keep_sum_and_class(label_smoothing, *, amount, classes):
    """smoothed labels are (1 − ε)y + ε/K: they sum to 1 and keep their class; so are those that are
    mixed, or of each position
    """
    # One more example of each class but the last: there are not as many as classes.
    labels = np.arange(2 * classes - 1) % classes
    y = np.eye(classes, dtype=np.float32)[labels]
    smooth = np.asarray(label_smoothing(y, amount))
    yield Check("ỹ", smooth, (1 - amount) * np.float64(y) + amount / classes, gamma(4))
    if amount < 1:
        yield Exact("class", np.argmax(smooth, axis=-1), labels)
    mixed = np.stack([y, (y + np.roll(y, 1, axis=0)) / 2])
    want = (1 - amount) * np.float64(mixed) + amount / classes
    yield Check("ỹ of mixed labels", label_smoothing(mixed, amount), want, gamma(4))


@prop(5, "must", "statistical", symbols="noisy_parameters parameter_noise")
@formula(r"\tilde W = W + \epsilon_t,\ \mathbb{E}\tilde W = W")
@given(std=(0.1, 2.0))
def _parameter_noise_is_drawn_anew(parameter_noise, samples, *, std):
    """noise on parameters is drawn anew for each seed and leaves the parameters alone"""
    w, before = _ramp(samples), _ramp(samples)
    tree = {"a/kernel": w, "b/kernel": w}
    noisy = parameter_noise(0, tree, std)
    first, second = (draws.double(noisy[name]) - w for name in tree)
    yield from _normal("one draw", first, std, noisy["a/kernel"])
    yield statistics.agreement("two weights", first > 0, second > 0, 0.5, effect=0.02)
    yield statistics.mean("mean of one draw", first, 0.0, std, effect=0.05 * std)
    for other in OTHERS:
        anew = draws.double(parameter_noise(other, tree, std)["a/kernel"]) - w
        yield statistics.agreement(f"seed {other}", first > 0, anew > 0, 0.5, effect=0.02)
        # As where each weight has the seed plus its own index.
        what = f"another weight of seed {other}"
        yield statistics.agreement(what, second > 0, anew > 0, 0.5, effect=0.02)
        yield statistics.variance("the difference of two", first - anew, 2 * std**2, ratio=1.1)
    far = np.arange(64, dtype=np.float32).reshape(8, 8)
    yield Exact("without noise", parameter_noise(0, {"a/kernel": far}, 0.0)["a/kernel"], far)
    yield Exact("parameters", w, before)
