"""Signals and gradients over depth: initialization, residual connections, repetition."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import hondo
from hondo._numerics.checks import check_count
from hondo._pictures import BLACK, BLUE, GRAY, GREEN, LINES, RED, integer_marks, log_axis, panels
from hondo.show.drawing import hide_marks, name_axes, split_keys

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Block = Callable[[Array, Array], Array]
_INITS = {
    "he_normal": hondo.he_normal(),
    "glorot_normal": hondo.glorot_normal(),
    "glorot_uniform": hondo.glorot_uniform(),
    "orthogonal": hondo.orthogonal(),
}
_COLORS = dict(zip(("gaussian", *_INITS), LINES, strict=False))
_EXAMPLES = 100


class Flow(NamedTuple):
    """The root mean squares of each block's response, and of the gradient by it."""

    responses: Float[Array, " blocks"]
    gradients: Float[Array, " blocks"]


@partial(jax.jit, static_argnums=0)
def measure_flow(
    block: Block, weights: Array, x: Float[Array, "n width"], gradient: Float[Array, "n width"]
) -> Flow:
    """Passes x through the blocks, and a gradient back."""

    def outputs(shifts: Array) -> tuple[Array, Array]:
        def step(x: Array, own: tuple[Array, Array]) -> tuple[Array, Array]:
            y = block(x, own[0]) + own[1]
            return y, jnp.sqrt(jnp.mean(y**2))

        last, responses = jax.lax.scan(step, x, (weights, shifts))
        return jnp.sum(last * gradient), responses

    # The gradient by a block's response is that by something added to it.
    shifts = jnp.zeros((len(weights), *x.shape))
    gradients, responses = jax.grad(outputs, has_aux=True)(shifts)
    return Flow(responses, jnp.sqrt(jnp.mean(gradients**2, axis=(1, 2))))


def _flow(seed: int, block: Block, init: Callable[..., Array], depth: int, width: int) -> Flow:
    check_count("depth", depth)
    check_count("width", width)
    weights_key, inputs, gradients = split_keys(seed, 3)
    keys = jax.random.split(weights_key, depth)
    weights = jax.jit(jax.vmap(lambda key: init(key, (width, width))))(keys)
    normal = partial(jax.random.normal, shape=(_EXAMPLES, width))
    return measure_flow(block, weights, normal(inputs), normal(gradients))


def _layer(activation: str, x: Array, w: Array) -> Array:
    return hondo.find_activation(activation).function(x @ w)


# The same function for the same name, so that what is compiled is found again.
_LAYERS = {name: partial(_layer, name) for name in hondo.ACTIVATIONS}


def draw_init(
    name: str,
    figure: "Figure",
    seed: int,
    *,
    activation: str = "relu",
    depth: int = 20,
    width: int = 128,
) -> str:
    """An initialization's weights, and signal and gradient through a deep network of them."""
    _draw_init(figure, seed, activation, _INITS, name, (depth, width))
    return f"{depth} {activation} layers of width {width} at their start"


def draw_gaussian(
    figure: "Figure",
    seed: int,
    *,
    variance: float = 0.01,
    activation: str = "relu",
    depth: int = 20,
    width: int = 128,
) -> str:
    """The same of N(0, variance), whatever the width."""
    inits = {"gaussian": hondo.gaussian(variance), **_INITS}
    _draw_init(figure, seed, activation, inits, "gaussian", (depth, width))
    scale = f"n·σ² = {width * variance:.3g}"
    return f"N(0, {variance:g}) in {depth} {activation} layers of {width} inputs: {scale} a layer"


def _draw_init(
    figure: "Figure",
    seed: int,
    activation: str,
    inits: dict[str, Callable[..., Array]],
    name: str,
    size: tuple[int, int],
) -> None:
    hondo.find_activation(activation)
    left, middle, right = panels(figure, 3)
    depth, width = size
    # The one that is shown is drawn last, over the others.
    for each in sorted(inits, key=lambda each: each == name):
        flow = _flow(seed, _LAYERS[activation], inits[each], depth, width)
        look = {"color": _COLORS[each], "linewidth": 2.5 if each == name else 0.8}
        for axes, values in ((middle, flow.responses), (right, flow.gradients)):
            axes.plot(range(1, depth + 1), values, label=each, **look)
    first = jax.random.split(split_keys(seed, 3)[0], depth)[0]
    weights = np.asarray(inits[name](first, (width, width))).ravel()
    left.hist(weights, bins=60, density=True, color=_COLORS[name], alpha=0.7)
    name_axes(left, f"weights: deviation {weights.std():.3g}", "weight", "density")
    name_axes(middle, "forwards", "layer", "RMS of the response")
    name_axes(right, "backwards", "layer", "RMS of the gradient")
    for axes in (middle, right):
        log_axis(axes)
        integer_marks(axes)
    right.legend()


def draw_residual(
    figure: "Figure", seed: int, *, activation: str = "relu", depth: int = 16, width: int = 128
) -> str:
    """The paths through three blocks, and the gradient with and without them."""
    hondo.find_activation(activation)
    left, right = panels(figure, 2)
    _draw_paths(left)
    plain = _LAYERS[activation]
    for block, name, color in ((plain, "F(x)", RED), (_RESIDUAL[activation], "x + F(x)", BLUE)):
        flow = _flow(seed, block, _INITS["glorot_normal"], depth, width)
        right.plot(range(1, depth + 1), flow.gradients, "o-", color=color, label=name)
    log_axis(right)
    integer_marks(right)
    name_axes(right, f"{depth} blocks at their start", "block", "RMS of the gradient")
    right.legend()
    return "y = x + F(x): signal and gradient have a way past every block"


_RESIDUAL = {name: hondo.residual(layer) for name, layer in _LAYERS.items()}


def _draw_paths(axes: "Axes") -> None:
    """Three blocks in a row: each may be passed through its branch or past it."""
    axes.annotate("", (3.5, 0), (-0.4, 0), arrowprops={"arrowstyle": "->", "color": BLUE})
    for start in range(3):
        corners = np.array([[0.1, 0], [0.1, 0.5], [0.9, 0.5], [0.9, 0]])
        axes.plot(start + corners[:, 0], corners[:, 1], color=GRAY, zorder=1)
        box = {"boxstyle": "round", "facecolor": "white", "edgecolor": GRAY}
        axes.text(start + 0.5, 0.5, f"F{'₁₂₃'[start]}", ha="center", va="center", bbox=box)
        sign = {"boxstyle": "circle", "facecolor": "white", "edgecolor": BLUE}
        axes.text(start + 0.9, 0, "+", ha="center", va="center", bbox=sign)
    axes.text(-0.5, 0, "x", ha="right", va="center", color=BLACK)
    axes.text(3.6, 0, "y", ha="left", va="center", color=BLACK)
    axes.set(xlim=(-0.8, 3.9), ylim=(-0.5, 1))
    axes.set_title("2³ = 8 paths: through each branch, or past it")
    hide_marks(axes)
    axes.spines[:].set_visible(False)


def _two_layers(x: Array, weights: Array) -> Array:
    return jax.nn.relu(x @ weights[0]) @ weights[1]


_TWO_LAYERS = hondo.residual(_two_layers)


def draw_zero_last(figure: "Figure", seed: int, *, depth: int = 16, width: int = 64) -> str:
    """The signal through residual blocks whose last layer is 0, and through others."""
    left, right = panels(figure, 2)
    for name, last, color in (
        ("he_normal", hondo.he_normal(), RED),
        ("depth_scaled", hondo.depth_scaled(hondo.he_normal(), depth), GREEN),
        ("zero_last", hondo.zero_last(), BLUE),
    ):
        flow = _flow(seed, _TWO_LAYERS, partial(_init_two, last), depth, width)
        for axes, values in ((left, flow.responses), (right, flow.gradients)):
            axes.plot(range(1, depth + 1), values, "o-", color=color, label=name)
    for axes, name in ((left, "RMS of the response"), (right, "RMS of the gradient")):
        log_axis(axes)
        integer_marks(axes)
        name_axes(axes, f"{depth} blocks at their start", "block", name)
    left.legend(title="last layer of a block")
    return "blocks whose last layer is 0 are the identity at first, however deep the network"


def _init_two(last: Callable[..., Array], key: Array, shape: tuple[int, int]) -> Array:
    first_key, last_key = jax.random.split(key)
    return jnp.stack([hondo.he_normal()(first_key, shape), last(last_key, shape)])


def draw_repeat(figure: "Figure", seed: int, *, depth: int = 32) -> str:
    """How long the program is, unrolled and repeated."""
    del seed
    check_count("depth", depth)
    depths = sorted({1, 2, 4, 8, depth // 2 or 1, depth})
    (axes,) = panels(figure, 1)
    ways = {"a loop of Python": (_unrolled, RED), "hondo.repeat": (_repeated, BLUE)}
    for name, (network, color) in ways.items():
        lines = [_count_lines(network, each) for each in depths]
        axes.plot(depths, lines, "o-", color=color, label=name)
    log_axis(axes, "x")
    log_axis(axes)
    name_axes(axes, f"residual blocks, up to {depth}", "depth", "lines of the program to compile")
    axes.legend()
    return "the same block many times is compiled once, so depth costs no compilation"


def _unrolled(weights: Array, x: Array) -> Array:
    for own in weights:
        x = _RESIDUAL["relu"](x, own)
    return x


def _repeated(weights: Array, x: Array) -> Array:
    return hondo.repeat(lambda own, x: _RESIDUAL["relu"](x, own), len(weights))(weights, x)


def _count_lines(network: Callable[[Array, Array], Array], depth: int) -> int:
    shapes = jnp.zeros((depth, 8, 8)), jnp.zeros((4, 8))
    return len(jax.jit(network).lower(*shapes).as_text().splitlines())
