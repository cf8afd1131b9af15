"""PEN, MTL, ENS: penalties, several tasks, several models (slides 2, 3 and 5)."""

import numpy as np

from hondo_spec import draws, statistics
from hondo_spec.bounds import TINY, gamma
from hondo_spec.property import prop
from hondo_spec.results import Check, Exact

SLIDE = "slide 3; Goodfellow et al. 2016, section 7.1"
STRENGTHS = (0.0, 0.25, 0.5, 4.0)
LAYER = draws.integers(3, 4)


def tree_of(kernel):
    """One layer, with a bias and a scale that no penalty may see."""
    far = np.full(4, 1e3, np.float32)
    return {"dense/kernel": kernel, "dense/bias": far, "norm/scale": far, "norm/bias": far}


@prop(
    "PEN-01",
    "X M",
    "the L2 penalty is half of λ times the sum of squares",
    formula=r"R = \tfrac\lambda2\sum W^2",
    source=SLIDE,
    symbols="l2_penalty",
    w=LAYER,
    strength=STRENGTHS,
)
def pen_01(l2_penalty, *, w, strength):
    return Exact("R", float(l2_penalty({"dense/kernel": w}, strength)), strength / 2 * np.sum(w**2))


@prop(
    "PEN-02",
    "X M",
    "its gradient is λ W",
    formula=r"\partial R/\partial W = \lambda W",
    source=SLIDE,
    symbols="l2_penalty",
    w=LAYER,
    strength=STRENGTHS,
)
def pen_02(l2_penalty_gradient, *, w, strength):
    gradient = l2_penalty_gradient({"dense/kernel": w}, strength)["dense/kernel"]
    return Exact("gradient", gradient, np.float32(strength) * w)


@prop(
    "PEN-04",
    "X M",
    "the L1 penalty is half of λ times the sum of moduli; its subgradient is 0 at 0",
    formula=r"R = \tfrac\lambda2\sum|W|,\quad \tfrac\lambda2\operatorname{sgn}W",
    source=SLIDE,
    symbols="l1_penalty",
    w=LAYER,
    strength=STRENGTHS,
)
def pen_04(l1_penalty, l1_penalty_gradient, *, w, strength):
    tree = {"dense/kernel": w}
    yield Exact("R", float(l1_penalty(tree, strength)), strength / 2 * np.sum(np.abs(w)))
    gradient = l1_penalty_gradient(tree, strength)["dense/kernel"]
    yield Exact("gradient", gradient, np.float32(strength / 2) * np.sign(w))


@prop(
    "PEN-05",
    "X M",
    "the proximal step is the soft threshold: small weights become exactly 0",
    formula=r"\operatorname{sgn}(w)\max(|w| - t, 0)",
    source="slide 3; Goodfellow et al. 2016, equation 7.23",
    symbols="proximal_l1",
    w=LAYER,
    threshold=(0.0, 0.5, 2.0, 100.0),
)
def pen_05(proximal_l1, *, w, threshold):
    want = np.sign(w) * np.maximum(np.abs(w) - np.float32(threshold), 0)
    return Exact("w'", proximal_l1(w, threshold), want)


@prop(
    "PEN-06",
    "X M",
    "biases and the scales of norms are left alone, in value and gradient",
    formula=r"\partial R/\partial b = 0",
    source=SLIDE,
    symbols="l1_penalty l2_penalty is_weight",
    w=LAYER,
)
def pen_06(l2_penalty, l2_penalty_gradient, *, w):
    yield Exact("R", float(l2_penalty(tree_of(w), 0.5)), 0.25 * np.sum(w**2))
    gradient = l2_penalty_gradient(tree_of(w), 0.5)
    for name in ("dense/bias", "norm/scale", "norm/bias"):
        yield Exact(name, gradient[name], np.zeros(4))


@prop(
    "PEN-08",
    "X M",
    "penalties add up over leaves and are linear in λ",
    formula=r"R(\theta_1, \theta_2) = R(\theta_1) + R(\theta_2)",
    source=SLIDE,
    symbols="l1_penalty l2_penalty",
    w=LAYER,
    v=LAYER,
    strength=STRENGTHS,
)
def pen_08(l2_penalty, l1_penalty, *, w, v, strength):
    for penalty in (l2_penalty, l1_penalty):
        both = float(penalty({"a/kernel": w, "b/kernel": v}, strength))
        apart = [float(penalty({"a/kernel": leaf}, strength)) for leaf in (w, v)]
        yield Exact("sum", both, sum(apart))
        yield Exact("2λ", float(penalty({"a/kernel": w}, 2 * strength)), 2 * apart[0])


@prop(
    "PEN-09",
    "X M",
    "the elastic net is the sum of its parts",
    formula=r"R = \tfrac{\lambda_1}2\lVert W\rVert_1 + \tfrac{\lambda_2}2\lVert W\rVert_2^2",
    source="slide 3; Zou & Hastie 2005, equation 3",
    symbols="elastic_net_penalty",
    w=LAYER,
    l1=STRENGTHS,
    l2=(0.0, 0.5),
)
def pen_09(elastic_net_penalty, *, w, l1, l2):
    want = l1 / 2 * np.sum(np.abs(w)) + l2 / 2 * np.sum(w**2)
    return Exact("R", float(elastic_net_penalty({"dense/kernel": w}, l1, l2)), want)


@prop(
    "PEN-10",
    "B M",
    "max-norm projects each unit's weights onto the ball, bit-exact inside it",
    formula=r"\lVert w_j\rVert \le c",
    source="Srivastava et al. 2014, section 5.1",
    symbols="max_norm",
    w=draws.floats(6, 4),
    limit=(0.5, 2.0, 1e3),
)
def pen_10(max_norm, *, w, limit):
    norms = np.sqrt(np.sum(np.float64(w) ** 2, axis=0))
    got = np.asarray(max_norm(w, limit))
    want = np.float64(w) * np.minimum(1, limit / np.where(norms > 0, norms, 1))
    # As an optimiser's update it is w + (w' − w), which rounds at the size of w.
    yield Check("w'", got, want, gamma(6 + 10) * np.abs(want) + gamma(2) * np.abs(w) + 1e-36, 1.0)
    inside = norms < limit * (1 - gamma(16))
    yield Exact("inside", got[:, inside], w[:, inside])


@prop(
    "MTL-01",
    "B M",
    "the objective of several tasks is the weighted sum",
    formula=r"J = \sum_t a_t J_t",
    source="slide 5; Caruana 1997",
    symbols="multitask_loss",
    losses=draws.floats(3),
    weights=draws.floats(3, reach=4.0).map(np.abs),
)
def mtl_01(multitask_loss, *, losses, weights):
    terms = np.float64(losses) * np.float64(weights)
    bound = gamma(6) * np.sum(np.abs(terms)) + TINY
    yield Check("J", multitask_loss(losses, weights), np.sum(terms), bound, 1.0)
    only = draws.single([0, 1, 0])
    yield Exact("one task", np.float32(multitask_loss(losses, only)), losses[1])


@prop(
    "MTL-03",
    "B M",
    "missing labels count for nothing; without any the loss is 0",
    formula=r"\tfrac{1}{|\{i : r_i\}|}\sum_i r_i \ell_i",
    source="slide 5",
    symbols="labelled_mean masked_mean",
    losses=draws.floats(6),
    present=draws.integers(6, low=0, high=1).map(lambda r: r > 0),
    hole=(0.0, np.nan, np.inf),
)
def mtl_03(masked_loss, *, losses, present, hole):
    filled = np.where(present, losses, np.float32(hole))
    want = np.mean(np.float64(losses[present])) if present.any() else 0.0
    bound = gamma(6 + 2) * np.max(np.abs(losses)) + TINY
    return Check("mean", masked_loss(filled, present), want, bound, 1e3)


def logits_of(seed, members):
    return (3 * np.random.default_rng(seed).normal(size=(members, 4, 3))).astype(np.float32)


def softmax(z):
    e = np.exp(np.float64(z) - np.max(z, axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@prop(
    "ENS-01",
    "B M",
    "an ensemble predicts the mean of its members' probabilities",
    formula=r"\bar p = \tfrac1k\sum_j p_j",
    source="slide 2; Goodfellow et al. 2016, section 7.11",
    symbols="average_probabilities",
    seed=draws.seeds,
    members=(1, 2, 5),
)
def ens_01(average_probabilities, *, seed, members):
    logits = logits_of(seed, members)
    got = average_probabilities(logits)
    # Arguments of the exponential are up to 30 in size, and so are its relative roundings.
    yield Check("p̄", got, np.mean(softmax(logits), axis=0), gamma(members + 3 + 40))
    yield Check("sum", np.sum(np.float64(got), axis=-1), np.ones(4), gamma(members + 3 + 8))
    order = np.random.default_rng(seed).permutation(members)
    yield Check("permuted", average_probabilities(logits[order]), got, gamma(2 * members))


@prop(
    "ENS-04",
    "B M",
    "the cross-entropy of the mean is at most the mean cross-entropy",
    formula=r"-\log\bar p_y \le -\tfrac1k\sum_j\log p_{jy}",
    source="slide 2; Jensen's inequality",
    symbols="average_probabilities",
    seed=draws.seeds,
)
def ens_04(average_probabilities, *, seed):
    logits = logits_of(seed, 5)
    mean = np.float64(average_probabilities(logits))
    excess = np.maximum(-np.log(mean) + np.mean(np.log(softmax(logits)), axis=0), 0.0)
    return Check("excess", excess, np.zeros_like(excess), gamma(64), 1.0)


@prop(
    "ENS-05",
    "S M",
    "a bootstrap draws with replacement: an index is absent with probability (1 − 1/N)^N",
    formula=r"P(i \text{ absent}) = (1 - 1/N)^N",
    source="slide 2; Breiman 1996, section 2",
    symbols="bootstrap_indices",
    seed=(0, 1, 2),
)
def ens_05(bootstrap_indices, samples, *, seed):
    count = samples // 16
    indices = np.asarray(bootstrap_indices(seed, count))
    absent = count - np.unique(indices).size
    # Absences are negatively associated: the binomial's tails are wider than the true ones.
    probability = (1 - 1 / count) ** count
    yield statistics.binomial("absent", absent, count, probability, effect=0.05)
    yield Exact("in range", (indices >= 0) & (indices < count), np.ones(count, bool))


PROPERTIES = (
    pen_01, pen_02, pen_04, pen_05, pen_06, pen_08, pen_09, pen_10, mtl_01, mtl_03, ens_01, ens_04,
    ens_05,
)  # fmt: skip
