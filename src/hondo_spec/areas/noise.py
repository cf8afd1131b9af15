"""NOI: noise on inputs, on labels and on parameters (slide 2)."""

import math

import numpy as np
from scipy.stats import norm

from hondo_spec import draws, statistics
from hondo_spec.bounds import GRID, U64, gamma
from hondo_spec.property import prop
from hondo_spec.results import Check, Exact


@prop(
    "NOI-01",
    "S M",
    "noise on inputs is normal with the given standard deviation",
    formula=r"y - x \sim \mathcal N(0, \sigma^2)",
    source="slide 2; Goodfellow et al. 2016, section 7.5",
    symbols="gaussian_noise",
    std=(0.25, 3.0),
)
def _noi_01(gaussian_noise, samples, *, std):
    x = np.zeros((samples // 64, 64), np.float32)
    noise = draws.double(gaussian_noise(0, x, std))
    yield statistics.variance("variance", noise, std**2, ratio=1.1)
    yield statistics.distribution("shape", noise / std, norm.cdf, GRID, effect=0.02)
    signs, others = noise > 0, draws.double(gaussian_noise(1, x, std)) > 0
    yield statistics.agreement("signs of rows", signs[::2], signs[1::2], 0.5, effect=0.02)
    yield statistics.agreement("signs of columns", signs[:, ::2], signs[:, 1::2], 0.5, effect=0.02)
    yield statistics.agreement("signs of two seeds", signs, others, 0.5, effect=0.02)


@prop(
    "NOI-02",
    "X M",
    "noise of standard deviation 0 is the identity",
    formula=r"\sigma = 0 \Rightarrow y = x",
    source="slide 2",
    symbols="gaussian_noise",
    x=draws.floats(4, 4),
    seed=draws.seeds,
)
def _noi_02(gaussian_noise, *, x, seed):
    return Exact("y", gaussian_noise(seed, x, 0.0), x)


@prop(
    "NOI-03",
    "E M",
    "noise on the inputs of a linear model is, in expected squared error, a penalty on its weights",
    formula=r"\mathbb{E}\lVert W(x+e) - y\rVert^2"
    r" = \lVert Wx - y\rVert^2 + \sigma^2\lVert W\rVert_F^2",
    source="slide 2; Bishop 1995, section 2",
    symbols="gaussian_noise l2_penalty",
    w=draws.integers(4, 3),
    x=draws.integers(4),
    y=draws.integers(3),
    std=(0.25, 1.0, 2.0),
)
def _noi_03(noise_penalty, *, w, x, y, std):
    # The points ±σ√d eᵢ have the mean and the covariance of the noise: for squares that is all.
    d = x.size
    points = math.sqrt(std**2 * d) * np.concatenate([np.eye(d), -np.eye(d)])
    noisy = np.mean(np.sum(((x + points) @ np.float64(w) - y) ** 2, axis=1))
    clean = float(np.sum((np.float64(x) @ w - y) ** 2))
    bound = gamma(64, U64) * (noisy + clean) + gamma(w.size + 2) * (noisy - clean)
    return Check("penalty", noise_penalty(w, std), noisy - clean, bound, 1.0)


@prop(
    "NOI-04",
    "B M",
    "smoothed labels are (1 − ε)y + ε/K: they sum to 1 and keep their class",
    formula=r"\tilde y = (1-\varepsilon)y + \varepsilon/K",
    source="slide 2; Goodfellow et al. 2016, section 7.5.1",
    symbols="label_smoothing",
    amount=(0.0, 0.1, 0.5),
    classes=(2, 3, 10),
)
def _noi_04(label_smoothing, *, amount, classes):
    y = np.eye(classes, dtype=np.float32)
    smooth = np.asarray(label_smoothing(y, amount))
    yield Check("ỹ", smooth, (1 - amount) * np.float64(y) + amount / classes, gamma(4))
    yield Exact("class", np.argmax(smooth, axis=-1), np.arange(classes))


@prop(
    "NOI-05",
    "S M",
    "noise on parameters is drawn anew for each seed and leaves the parameters alone",
    formula=r"\tilde W = W + \epsilon_t,\ \mathbb{E}\tilde W = W",
    source="slide 2; Goodfellow et al. 2016, section 7.5",
    symbols="noisy_parameters parameter_noise",
    std=(0.1, 2.0),
)
def _noi_05(parameter_noise, samples, *, std):
    w = np.zeros((samples // 64, 64), np.float32)
    both = parameter_noise(0, {"a/kernel": w, "b/kernel": w}, std)
    first, other = (np.float64(both[name]) for name in ("a/kernel", "b/kernel"))
    second = np.float64(parameter_noise(1, {"a/kernel": w, "b/kernel": w}, std)["a/kernel"])
    yield statistics.variance("one draw", first, std**2, ratio=1.1)
    yield statistics.distribution("shape", first / std, norm.cdf, GRID, effect=0.02)
    yield statistics.agreement("signs of two weights", first > 0, other > 0, 0.5, effect=0.02)
    far = np.arange(64, dtype=np.float32).reshape(8, 8)
    still = parameter_noise(0, {"a/kernel": far}, 0.0)["a/kernel"]
    yield Exact("without noise", still, far)
    yield statistics.mean("mean of one draw", first, 0.0, std, effect=0.05 * std)
    yield statistics.variance("the difference of two", first - second, 2 * std**2, ratio=1.1)
    yield Exact("parameters", w, np.zeros_like(w))


PROPERTIES = (_noi_01, _noi_02, _noi_03, _noi_04, _noi_05)
