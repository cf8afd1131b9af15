"""What the pictures of techniques have in common."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from hondo._pictures import BLACK, BLUE, GRAY, LINES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# What draws one technique: a figure and a seed, then its options → the picture's title.
Draw = Callable[..., str]
Numbers = np.ndarray | jax.Array | Sequence[float]

FAINT = "#cccccc"


def split_keys(seed: int, count: int) -> list[PRNGKeyArray]:
    """The keys of a picture, in the order in which it draws."""
    return list(jax.random.split(jax.random.key(seed), count))


def name_axes(axes: "Axes", title: str, x: str = "", y: str = "") -> None:
    """The words around a panel."""
    axes.set(title=title, xlabel=x, ylabel=y)


def draw_image(axes: "Axes", image: Numbers, title: str) -> None:
    """A gray image (height, width, 1) of values in [0, 1], dark where it is 1."""
    axes.imshow(np.asarray(image)[..., 0], cmap="gray_r", vmin=0, vmax=1)
    axes.set_title(title)
    hide_marks(axes)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(FAINT)


def hide_marks(axes: "Axes") -> None:
    """A panel that is no graph has no numbers."""
    axes.set_xticks([])
    axes.set_yticks([])


def draw_bars(axes: "Axes", groups: Mapping[str, Numbers]) -> None:
    """Bars of each group beside those of the others, place by place."""
    width = 0.8 / len(groups)
    for index, (name, values) in enumerate(groups.items()):
        places = np.arange(len(values)) + (index - (len(groups) - 1) / 2) * width
        axes.bar(places, np.asarray(values), width, color=LINES[index], label=name)
    axes.set_xticks(range(max(len(values) for values in groups.values())))
    axes.legend()


def draw_arrows(axes: "Axes", vectors: Numbers, color: str, label: str) -> None:
    """Arrows (n, 2) from the origin; the panel is large enough for them and square."""
    ends = np.asarray(vectors)
    zeros = np.zeros(len(ends))
    units = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.008}
    axes.quiver(zeros, zeros, ends[:, 0], ends[:, 1], color=color, label=label, **units)
    axes.update_datalim(np.vstack([1.08 * ends, [[0.0, 0.0]]]))
    axes.autoscale_view()
    axes.set_aspect("equal", adjustable="datalim")


def draw_network(
    axes: "Axes", masks: Sequence[Numbers], kept: Sequence[Numbers] | None = None
) -> None:
    """A network, with a True for each unit that is there; `kept` has the connections (in, out)."""
    from matplotlib.collections import LineCollection

    points = [np.stack([np.full(len(m), i), _spread(len(m))], 1) for i, m in enumerate(masks)]
    for layer, (left, right) in enumerate(pairwise(masks)):
        there = np.outer(left, right) if kept is None else np.asarray(kept[layer])
        ends = [(points[layer][i], points[layer + 1][j]) for i, j in np.argwhere(there)]
        axes.add_collection(LineCollection(ends, colors=GRAY, linewidths=0.5, zorder=1))
    for place, mask in zip(points, masks, strict=True):
        colors = [BLUE if unit else "white" for unit in np.asarray(mask)]
        axes.scatter(place[:, 0], place[:, 1], c=colors, edgecolors=BLACK, s=28, zorder=2)
    hide_marks(axes)
    axes.spines[:].set_visible(False)


def _spread(count: int) -> np.ndarray:
    return np.arange(count) - (count - 1) / 2


def network_1d(key: PRNGKeyArray) -> dict[str, dict[str, Array]]:
    """The parameters of a network from one number to one, with 24 hidden units."""
    slopes, offsets, outputs = jax.random.split(key, 3)
    kernel = 2 * jax.random.normal(slopes, (1, 24))
    hidden = {"kernel": kernel, "bias": jax.random.normal(offsets, (24,))}
    output = {"kernel": jax.random.normal(outputs, (24, 1)) / 24**0.5, "bias": jnp.zeros(1)}
    return {"hidden": hidden, "output": output}


def apply_1d(
    params: Mapping[str, Mapping[str, Array]],
    x: Float[Array, "n 1"],
    drop: Callable[[Array], Array] = jnp.asarray,
) -> Float[Array, " n"]:
    """What that network gives; `drop` is applied to its hidden units."""
    hidden, output = params["hidden"], params["output"]
    units = drop(jnp.tanh(x @ hidden["kernel"] + hidden["bias"][None]))
    return (units @ output["kernel"] + output["bias"][None])[:, 0]
