"""PEN: penalties on norms, and what they do to a step (slide 3)."""

import math
from collections.abc import Iterator

import numpy as np

from hondo_spec import draws
from hondo_spec.areas.activations import losses, probabilities
from hondo_spec.areas.norms import unit_lengths
from hondo_spec.bounds import TINY, UNITS, gamma
from hondo_spec.operations.shapes import Tree
from hondo_spec.property import Area, given
from hondo_spec.results import Check, Exact, Holds, exact_leaves, refused
from hondo_spec.target import Operation

DECAY = "slide 3; Goodfellow et al. 2016, equation 7.5"
MINIMA = "slide 3; Goodfellow et al. 2016, equations 7.13 and 7.23"
ELASTIC_NET = "slide 3; Zou & Hastie 2005, equation 3"
prop = Area("PEN", source="slide 3; Goodfellow et al. 2016, section 7.1", symbols="l2_penalty")
LAYER = draws.whole(draws.KERNELS)
# Fewer, where several operations compile several leaves of each.
SOME = ((1, 16), (5, 7), (8, 1), (7, 7), (2, 3, 5, 5), (2, 3, 1, 2, 5))


def _fine(w: np.ndarray, count: int, *strengths: float) -> tuple[np.ndarray, float]:
    """The integers, and the 0 that products of theirs with powers of two are off by.

    Beside other strengths numbers of as many digits as float32 has, and what so many roundings do.
    """
    is_exact = all(math.frexp(strength)[0] in (0, 0.5) for strength in strengths)
    return (w, 0.0) if is_exact else (np.float32(1.1) * w, gamma(count))


def _kernels_of(w: np.ndarray) -> dict[str, np.ndarray]:
    """Kernels of several layers, each with the entries of w; deep ones, and one without any.

    Of one shape there are many.
    """
    layers = "dense", "debias", "deep/0/gate", "a/b/c/d/e", "normalizer"
    names = [f"{layer}/kernel" for layer in layers]
    parts = w, w[None, :, None], w.ravel(), w.reshape(-1, 1), w
    many = {f"{k}/kernel": part for k, part in enumerate(w.reshape(-1, 1)) if w.shape == (5, 7)}
    return {**dict(zip(names, parts, strict=True)), **many, "none/kernel": w[:0]}


def _near(got: Tree, want: Tree, slack: float) -> Iterator[Check]:
    """One `Check` for each leaf that has entries."""
    return (Check(k, got[k], v, slack * np.abs(v)) for k, v in want.items() if v.size)


def _tree_of(w: np.ndarray) -> dict[str, np.ndarray]:
    """The kernels among biases and scales that no penalty may see, whatever their shape."""
    far = np.full(4, 1e3, np.float32)
    names = ("dense/bias", "norm/scale", "norm/bias", "kernel_norm/scale", "deep/0/kernel/bias")
    return {**_kernels_of(w), **dict.fromkeys(names, far), "heads/bias": far.reshape(2, 2)}


@prop(1, "must", "exact")
@given(w=LAYER, strength=draws.strengths)
def _l2_penalty_is_half_the_sum_of_squares(l2_penalty, *, w, strength):
    r"""the L2 penalty is half of λ times the sum of squares; that is summed as it stands, so that
    integers give the exact result, and it may exceed the range of half precision
    $R = \tfrac\lambda2\sum W^2$
    """
    return _values(l2_penalty, w, strength, 2)


def _values(penalty: Operation, w: np.ndarray, strength: float, power: int) -> Iterator[Check]:
    """Half of the strength times the sum of that power of the moduli."""
    v, slack = _fine(w, w.size + 4, strength)
    # By a power of two: as exact as without it, and beyond the range of half precision.
    for big in draws.single([1, 2**14]):
        tree = {"a/b/c/dense/kernel": big * v, "none/kernel": w[:0]}
        want = strength / 2 * np.sum(np.abs(np.float64(big * v)) ** power)
        yield Check(f"R of {big} W", float(penalty(tree, strength)), want, slack * want)
    yield from _of_halves(penalty, w)


def _halves_of(w: np.ndarray) -> list[np.ndarray]:
    """The integers in half precision, of one shape."""
    return [*map(np.resize(w, draws.IN_HALVES[0]).astype, draws.HALVES)]


def _of_halves(penalty: Operation, w: np.ndarray) -> Iterator[Check]:
    """What half precision may lose of the norm, whose squares it does not hold."""
    for v in _halves_of(64 * w):
        got, want = (float(penalty({"dense/kernel": k}, 0.5)) for k in (v, draws.single(v)))
        yield Check(
            f"R of {v.dtype}", got, want, gamma(v.size + 4, UNITS[v.dtype.name]) * abs(want)
        )


@prop(2, "must", "exact")
@given(w=LAYER, strength=draws.strengths)
def _l2_gradient_is_proportional_to_the_weights(l2_penalty_gradient, *, w, strength):
    r"""its gradient is λ W for every kernel
    $\partial R/\partial W = \lambda W$
    """
    w, slack = _fine(w, 4, strength)
    gradient = l2_penalty_gradient(_kernels_of(w), strength)
    yield from _near(gradient, _kernels_of(strength * np.float64(w)), slack)
    for half in _halves_of(w):
        gradient = l2_penalty_gradient({"a/kernel": half}, 0.5)
        want = half / half.dtype.type(2)
        yield Exact(f"gradient of a {half.dtype} kernel", gradient["a/kernel"], want)


@prop(3, "must", "bound", source=DECAY, symbols="l2_penalty penalized")
@given(w=LAYER, seed=draws.seeds, learning_rate=(0.0, 0.125, 0.3, 1.0), strength=draws.strengths)
def _penalized_step_shrinks_weights_once(sgd_step, *, w, seed, learning_rate, strength):
    r"""a step of gradient descent on the penalized loss shrinks the weights once, as they were
    $W' = (1 - \eta\lambda)W - \eta\nabla L$
    """
    for decay, digits in ((strength, 1.0), (0.3, 1.1)):
        v, g = digits * w, digits * draws.lattice_of(seed, w.shape, -8, 8)
        want = (1 - learning_rate * decay) * np.float64(v) - learning_rate * np.float64(g)
        sizes = (1 + learning_rate * decay) * np.abs(v) + learning_rate * np.abs(g)
        yield Check("W'", sgd_step(v, g, learning_rate, decay), want, gamma(8) * sizes, 1.0)
    for v, g in zip(_halves_of(w), _halves_of(np.roll(w, 1)), strict=True):
        want, sizes = draws.double(v) * 0.75 - g, np.abs(draws.double(v)) + np.abs(draws.double(g))
        bound = gamma(8, UNITS[v.dtype.name]) * sizes
        yield Check(f"W' of {v.dtype}", sgd_step(v, g, 1.0, 0.25), want, bound, 1.0)


@prop(4, "must", "exact", symbols="l1_penalty")
@given(w=LAYER, strength=draws.strengths)
def _l1_penalty_is_half_the_sum_of_moduli(l1_penalty, l1_penalty_gradient=None, *, w, strength):
    r"""the L1 penalty is half of λ times the sum of moduli; its subgradient, for every kernel, is 0
    at 0
    $R = \tfrac\lambda2\sum|W|,\quad \tfrac\lambda2\operatorname{sgn}W$
    """
    yield from _values(l1_penalty, w, strength, 1)
    if l1_penalty_gradient is not None:
        gradient, (_, slack) = l1_penalty_gradient(_kernels_of(w), strength), _fine(w, 4, strength)
        yield from _near(gradient, _kernels_of(strength / 2 * np.sign(np.float64(w))), slack)
        for half in _halves_of(w):
            gradient = l1_penalty_gradient({"a/kernel": half}, 0.5)["a/kernel"]
            want = np.sign(draws.double(half)) / 4
            yield Exact(f"gradient of a {half.dtype} kernel", gradient, want)


@prop(5, "must", "exact", source=MINIMA, symbols="proximal_l1 l1_penalty l2_penalty")
@given(w=LAYER, case=((1, 1.0), (2, 6.0), (0.5, 0.0), (4, 12.0), (0.5, 64.0), (1, 0.7), (2, 3.3)))
def _penalized_minima_are_known(proximal_l1, l1_penalty=None, l2_penalty=None, *, w, case):
    r"""the proximal step is the soft threshold, and a parabola's minimum
    under each penalty is known
    $\arg\min\tfrac h2(w-w^*)^2 + R =
    \operatorname{sgn}(w^*)\max(|w^*| - \tfrac{\lambda}{2h}, 0)
    \text{ or } \tfrac{h}{h+\lambda}w^*$
    """
    h, strength = case
    threshold = np.float32(strength / (2 * h))
    w, slack = _fine(w, 4, float(8 * threshold % 1))
    sparse = np.asarray(proximal_l1(w, float(threshold)))
    want = np.sign(w) * np.maximum(np.abs(np.float64(w)) - threshold, 0)
    # As an optimizer's update it is w + (w' − w), which rounds at the size of w.
    yield Check("w'", sparse, want, slack * np.abs(w), 1.0)
    for half in _halves_of(w):
        got, v = proximal_l1(half, 0.5), draws.double(half)
        yield Exact(f"w' of {half.dtype}", got, np.sign(v) * np.maximum(np.abs(v) - 0.5, 0))
    if not refused(proximal_l1, w, math.inf):
        yield Exact("w' at t = ∞", proximal_l1(w, math.inf), 0 * w)
    shrunk = np.float32(h / (h + strength)) * w
    for name, penalty, best in (("L1", l1_penalty, sparse), ("L2", l2_penalty, shrunk)):
        if penalty is not None:
            # At that point, and an eighth to both sides of it; of integers all of that is exact.
            places = [best + step for step in draws.single([0, 0.125, -0.125])]
            losses = [h / 2 * np.sum((draws.double(at) - w) ** 2) for at in places]
            around = losses + draws.double([penalty({"a/kernel": at}, strength) for at in places])
            yield Holds(f"minimum under {name}", around[1:] > around[0], around)


@prop(6, "must", "exact", symbols="l1_penalty l2_penalty is_weight")
@given(w=draws.whole(SOME))
def _biases_and_scales_are_not_penalized(
    l2_penalty, l2_penalty_gradient=None, l1_penalty=None, l1_penalty_gradient=None,
    elastic_net_penalty=None, *, w,
):  # fmt: skip
    r"""kernels of every shape and depth count; biases and the scales of norms are left alone, in
    value and gradient
    $R = \sum_{W}R(W),\quad \partial R/\partial b = 0$
    """
    # No weight is 0: what the subgradient is there is PEN-04.
    w = 2 * w + 1
    tree, entries = _tree_of(w), np.concatenate([*map(np.ravel, _kernels_of(w).values())])
    square, modulus = np.sum(entries**2) / 4, np.sum(np.abs(entries)) / 4
    yield Exact("L2", float(l2_penalty(tree, 0.5)), square)
    if l1_penalty is not None:
        yield Exact("L1", float(l1_penalty(tree, 0.5)), modulus)
    if elastic_net_penalty is not None:
        yield Exact("both", float(elastic_net_penalty(tree, 0.5, 0.5)), modulus + square)
    zeros = {name: 0 * leaf for name, leaf in tree.items()}
    slopes = {"L1": (l1_penalty_gradient, np.sign(w) / 4), "L2": (l2_penalty_gradient, w / 2)}
    for penalty, (slope, want) in slopes.items():
        if slope is not None:
            # What is left alone may be left out.
            gradient, wants = zeros | slope(tree, 0.5), zeros | _kernels_of(want)
            yield from exact_leaves(gradient, wants, penalty + ", {}")


@prop(7, "must", "bound", symbols="penalized l2_penalty cross_entropy")
@given(sizes=((5, 3, 4), (1, 2, 2), (9, 8, 7)), seed=draws.seeds, strength=(0.25, 4.0, 0.3))
def _objective_is_loss_plus_penalty(penalized_loss, *, sizes, seed, strength):
    r"""the objective is the loss plus the penalty: bit for bit the loss at λ = 0, and the penalty
    does not depend on the size of the batch
    $J = E + R,\quad R \text{ independent of } m$
    """
    m, inputs, outputs = sizes
    w, x = (draws.lattice_of(seed, s, -4, 4) for s in ((inputs, outputs), (m, inputs)))
    classes, (w, _) = np.random.default_rng(seed).integers(0, outputs, m), _fine(w, 0, strength)
    (plain, slope), (zero, flat) = (penalized_loss(w, x, classes, s) for s in (None, 0.0))
    logits = draws.double(x) @ w
    errors = probabilities(logits) - np.eye(outputs)[classes]
    # Log-sum-exp rounds at the size of the logits.
    rounding = gamma(16) * (float(np.max(np.sum(np.abs(x), axis=1))) * 8 + 1)
    yield Check("E", plain, np.mean(losses(logits, classes)), rounding, 1.0)
    yield Check("∂E/∂w", slope, draws.double(x).T @ errors / m, 8 * gamma(512), 1.0)
    # Logits whose exponentials overflow.
    far, _ = penalized_loss(w, 64 * x, classes, None)
    yield Check("E far out", far, np.mean(losses(64 * logits, classes)), 64 * rounding, 64.0)
    yield Exact("J at λ = 0", np.float64(zero), np.float64(plain))
    yield Exact("gradient at λ = 0", flat, slope)
    penalty = strength / 2 * float(np.sum(np.float64(w) ** 2))
    bound = gamma(16) * penalty + rounding
    for batch in (slice(None), [*range(m)] * 3):
        with_penalty, gradient = penalized_loss(w, x[batch], classes[batch], strength)
        # The same examples three times over have the same mean loss, but for its rounding.
        yield Check("J − E", float(with_penalty) - float(plain), penalty, 2 * bound, 1.0)
        want = np.float64(slope) + strength * np.float64(w)
        yield Check("gradient", gradient, want, gamma(256) * (np.abs(want) + 64 + strength), 64.0)


@prop(8, "must", "exact", symbols="l1_penalty l2_penalty")
@given(w=draws.whole(SOME), seed=draws.seeds, strength=draws.strengths)
def _penalties_add_up_and_are_linear(l2_penalty, l1_penalty, *, w, seed, strength):
    r"""penalties add up over leaves and are linear in λ
    $R(\theta_1, \theta_2) = R(\theta_1) + R(\theta_2)$
    """
    v = draws.lattice_of(seed, w.shape, -8, 8)
    for penalty in (l2_penalty, l1_penalty):
        both = float(penalty({"a/kernel": w, "b/kernel": v[None, :, None]}, strength))
        apart = [float(penalty({"a/kernel": leaf}, strength)) for leaf in (w, v)]
        yield Check("sum", both, sum(apart), _fine(w, 4, strength)[1] * both)
        yield Exact("2λ", float(penalty({"a/kernel": w}, 2 * strength)), 2 * apart[0])


@prop(9, "must", "exact", source=ELASTIC_NET, symbols="elastic_net_penalty")
@given(w=LAYER, l1=draws.strengths, l2=(0.0, 2.0**-16, 0.5, 128.0, 1e-8, 0.3, 3e5))
def _elastic_net_is_the_sum_of_its_parts(elastic_net_penalty, *, w, l1, l2):
    r"""the elastic net is the sum of its parts
    $R = \tfrac{\lambda_1}2\lVert W\rVert_1 + \tfrac{\lambda_2}2\lVert W\rVert_2^2$
    """
    # The second kernel is twice the first one: 1 + 2 times its modulus, 1 + 4 times its square.
    v, slack = _fine(w, w.size + 6, l1, l2)
    want = 3 * l1 / 2 * np.sum(np.abs(v), dtype=float) + 5 * l2 / 2 * np.sum(np.float64(v) ** 2)
    tree = {"a/kernel": v, "b/kernel": 2 * v[None, :, None], "none/kernel": w[:0]}
    # Parts of unlike sizes do not fit one number of single precision.
    yield Check("R", float(elastic_net_penalty(tree, l1, l2)), want, (gamma(2) + slack) * want)
    yield from _of_halves(lambda tree, s: elastic_net_penalty(tree, s, s), w)


@prop(10, "must", "bound", source="Srivastava et al. 2014, section 5.1", symbols="max_norm")
@given(w=draws.arrays(draws.KERNELS, halves=True), limit=(0.0, 0.3, 0.5, 2.0, 1e3, math.inf))
def _max_norm_projects_each_unit(max_norm, *, w, limit):
    r"""max-norm projects each unit's weights, window included, onto the ball, bit-exact inside it
    $\lVert w_j\rVert \le c$
    """
    # Units of unlike lengths, one of them of 0.
    w = (w * np.resize(draws.single([8, 1, 0, 0.25]), w.shape[-1])).astype(w.dtype)
    norms, u = unit_lengths(w), UNITS[w.dtype.name]
    want = np.float64(w) * np.minimum(1, limit / np.where(norms > 0, norms, 1))
    # As an optimizer's update it is w + (w' − w), which rounds at the size of w.
    # What is scaled by the largest entry may be flushed below the smallest normal number.
    flushed = TINY * (1 + min(limit, 1e9) + float(np.max(np.abs(w))))
    count = w.size // w.shape[-1]
    bound = gamma(count + 10) * np.abs(want) + gamma(4, u) * np.abs(np.float64(w)) + flushed
    inside = norms < limit * (1 - gamma(count + 10) - 4 * u)
    got = np.asarray(max_norm(w, limit))
    yield Check("w'", got, want, bound, 10.0)
    yield Exact("w' inside", got[..., inside], w[..., inside])
