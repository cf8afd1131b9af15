"""Norm penalties and constraints."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

import hondo
from hondo._pictures import BLACK, BLUE, GRAY, RED, chance_line, panels
from hondo.show.drawing import FAINT, draw_arrows, name_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Params = dict[str, Array]
Penalty = Callable[[Params], Float[Array, ""]]
# The error is h(w − best)²/2 in each of two weights.
_BEST, _CURVATURE = np.array([0.5, 1.6]), np.array([1.0, 2.0])


def draw_l1(figure: "Figure", seed: int, *, strength: float = 1.5) -> str:
    """The ball of ‖W‖₁ and the soft threshold."""
    del seed
    _draw_penalty(figure, lambda params: hondo.l1_penalty(params, strength))
    return f"(λ/2)‖W‖₁ with λ = {strength:g}: the ball has corners, so weights become 0"


def draw_l2(figure: "Figure", seed: int, *, strength: float = 1.5) -> str:
    """The ball of ‖W‖₂ and the shrinkage."""
    del seed
    _draw_penalty(figure, lambda params: hondo.l2_penalty(params, strength))
    return f"(λ/2)‖W‖₂² with λ = {strength:g}: every weight shrinks by h/(h + λ), none becomes 0"


def draw_elastic_net(
    figure: "Figure", seed: int, *, l1_strength: float = 1.0, l2_strength: float = 1.0
) -> str:
    """Both penalties."""
    del seed
    _draw_penalty(figure, lambda p: hondo.elastic_net_penalty(p, l1_strength, l2_strength))
    return f"λ₁ = {l1_strength:g}, λ₂ = {l2_strength:g}: threshold and shrinkage"


def _draw_penalty(figure: "Figure", penalty: Penalty) -> None:
    left, right = panels(figure, 2)
    _draw_contours(left, penalty)
    _draw_shrinkage(right, penalty)


def _draw_contours(axes: "Axes", penalty: Penalty) -> None:
    """The error and the penalty over two weights, and where their sum is least."""
    x, y = np.meshgrid(np.linspace(-1.2, 2.2, 171), np.linspace(-1.2, 2.6, 191))
    points = np.stack([x, y], axis=-1)
    error = np.sum(_CURVATURE / 2 * (points - _BEST) ** 2, axis=-1)
    each = jax.jit(jax.vmap(lambda w: penalty({"kernel": w})))
    amount = np.asarray(each(jnp.asarray(points.reshape(-1, 2), jnp.float32))).reshape(x.shape)
    least = np.unravel_index(np.argmin(error + amount), x.shape)
    axes.contour(x, y, error, levels=8, colors=GRAY, linewidths=0.8)
    axes.contour(x, y, error, levels=[error[least]], colors=BLUE)
    if amount[least] > 0:
        axes.contour(x, y, amount, levels=[amount[least]], colors=RED)
    axes.plot(*_BEST, "+", color=GRAY, markersize=9, label="without penalty")
    axes.plot(x[least], y[least], "o", color=BLACK, label="with penalty")
    axes.plot([], [], color=RED, label="equal penalty")
    axes.plot([], [], color=BLUE, label="equal error")
    axes.set_aspect("equal")
    name_axes(axes, f"minimum at ({x[least]:.2f}, {y[least]:.2f})", "w₁", "w₂")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def _draw_shrinkage(axes: "Axes", penalty: Penalty) -> None:
    """What becomes of one weight, against what it is without penalty; h = 1."""
    weights, best = np.linspace(-3, 3, 1201), np.linspace(-3, 3, 121)
    each = jax.jit(jax.vmap(lambda w: penalty({"kernel": w[None]})))
    total = (weights - best[:, None]) ** 2 / 2 + np.asarray(each(jnp.asarray(weights, jnp.float32)))
    axes.plot(best, best, color=GRAY, linestyle=":", label="λ = 0")
    axes.plot(best, weights[np.argmin(total, axis=1)], color=BLUE, label="with penalty")
    name_axes(axes, "one weight", "without penalty", "with penalty")
    axes.legend()


def draw_proximal(figure: "Figure", seed: int, *, strength: float = 1.0) -> str:
    """Weights over the steps, by subgradients and by proximal steps."""
    target = jnp.asarray(np.random.default_rng(seed).normal(size=12), jnp.float32)

    def error(params: Params) -> Float[Array, ""]:
        return jnp.sum((params["kernel"] - target) ** 2) / 2

    penalty = partial(hondo.l1_penalty, strength=strength)
    ways = {
        "subgradient steps": (hondo.penalized(error, penalty), optax.sgd(0.2)),
        "proximal steps": (
            error,
            optax.chain(optax.sgd(0.2), hondo.proximal_l1(strength, learning_rate=0.2)),
        ),
    }
    for axes, (name, (loss, optimizer)) in zip(panels(figure, 2), ways.items(), strict=True):
        path = _train(loss, optimizer, 40)
        axes.plot(path, color=BLUE, linewidth=1)
        chance_line(axes, 0.0, "0")
        name_axes(axes, f"{name}: {(path[-1] == 0).sum()} of 12 exactly 0", "step", "weights")
    return f"(λ/2)‖W‖₁ with λ = {strength:g}: only proximal steps reach exact zeros"


def _train(
    loss: Callable[[Params], Array], optimizer: optax.GradientTransformation, steps: int
) -> np.ndarray:
    def step(
        carry: tuple[Params, optax.OptState], _: None
    ) -> tuple[tuple[Params, optax.OptState], Array]:
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        params = jax.tree.map(jnp.add, params, updates)
        return (params, state), params["kernel"]

    params = {"kernel": jnp.linspace(-1.5, 1.5, 12)}
    _, path = jax.lax.scan(step, (params, optimizer.init(params)), None, steps)
    return np.asarray(path)


def draw_max_norm(figure: "Figure", seed: int, *, limit: float = 1.0) -> str:
    """Each unit's weights before and after."""
    kernel = jax.random.normal(jax.random.key(seed), (2, 10))
    rule = hondo.max_norm(limit)
    params = {"kernel": kernel}
    updates, _ = rule.update({"kernel": jnp.zeros_like(kernel)}, rule.init(params), params)
    after = np.asarray(jax.tree.map(jnp.add, params, updates)["kernel"]).T
    left, right = panels(figure, 2)
    draw_arrows(left, kernel.T, FAINT, "before")
    draw_arrows(left, after, BLUE, "after")
    turn = np.linspace(0, 2 * np.pi, 200)
    left.plot(limit * np.cos(turn), limit * np.sin(turn), color=RED, linestyle="--")
    name_axes(left, "the weights of ten units", "from input 1", "from input 2")
    left.legend()
    norms = np.linalg.norm(np.asarray(kernel), axis=0), np.linalg.norm(after, axis=1)
    right.plot(norms[0], norms[1], "o", color=BLUE)
    right.axhline(limit, color=RED, linestyle="--", label=f"limit {limit:g}")
    name_axes(right, "their norms", "before", "after")
    right.legend()
    return "a unit whose weights are longer than the limit is scaled down to it"
