"""Batch normalization at inference: the statistics of the population."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import hondo
from hondo._pictures import BLUE, GRAY, RED, chance_line, log_axis, panels
from hondo.show.drawing import name_axes, split_keys

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIZES = (2, 4, 16, 64)
_EPSILON = 1e-5


def draw_population(figure: "Figure", seed: int) -> str:
    """The pooled variance beside those of averages over batches."""
    _draw_variances(figure, seed)
    return "pooled moments are those of the whole population, however it is cut into batches"


def draw_batch_averaged(figure: "Figure", seed: int) -> str:
    """The same figure, for the average that algorithm 2 takes."""
    _draw_variances(figure, seed)
    return "algorithm 2: m/(m−1) · E[σ²_B] has no bias, whatever the batch size"


def _draw_variances(figure: "Figure", seed: int) -> None:
    x = jax.random.normal(jax.random.key(seed), (8192, 1))
    each = [_variances(x.reshape(-1, m, 1)) for m in _SIZES]
    biased, averaged, pooled = np.array(each).T
    (axes,) = panels(figure, 1)
    axes.plot(_SIZES, biased, "o-", color=RED, label="E[σ²_B], as a moving average keeps it")
    axes.plot(_SIZES, averaged, "o-", color=BLUE, label="m/(m−1) · E[σ²_B]: batch_averaged_stats")
    axes.plot(_SIZES, pooled, "--", color="black", label="pooled moments: population_stats")
    log_axis(axes, "x")
    axes.set_xticks(_SIZES, [str(size) for size in _SIZES])
    name_axes(axes, "8192 numbers of variance 1", "batch size m", "variance")
    axes.legend()


@jax.jit
def _variances(batches: Float[Array, "batches m 1"]) -> tuple[Array, Array, Array]:
    """The mean of the biased variances, algorithm 2's, and that of all examples."""
    moments = jax.vmap(hondo.batch_moments)(batches)
    averaged = hondo.batch_averaged_stats(moments).var[0]
    pooled = hondo.population_stats(hondo.pool_moments(moments)).var[0]
    return jnp.mean(moments.m2) / batches.shape[1], averaged, pooled


def draw_inference(figure: "Figure", seed: int, *, decay: float = 0.9, batch: int = 16) -> str:
    """The running statistics over the steps, and one batch normalized in both ways."""
    stats, y, known = _normalize_steps(split_keys(seed, 60), decay, batch)
    left, right = panels(figure, 2)
    left.plot(stats.mean[:, 0], color=BLUE, label="running mean; population 2")
    left.plot(stats.var[:, 0], color=RED, label="running variance; population 9")
    chance_line(left, 2.0, "")
    chance_line(left, 9.0, "")
    name_axes(left, f"decay {decay:g}, batches of {batch}", "step", "statistic")
    left.legend()
    ends = [float(jnp.minimum(y, known).min()), float(jnp.maximum(y, known).max())]
    right.plot(ends, ends, color=GRAY, linestyle=":", label="equal")
    right.plot(y, known, "o", color=BLUE, label="an example of the last batch")
    name_axes(right, "the same example", "by its batch", "by known statistics")
    right.legend()
    return "at inference an example is normalized by known statistics, not by its neighbors"


def _normalize_steps(
    keys: list[Array], decay: float, batch: int
) -> tuple[hondo.BatchStats, Array, Array]:
    """The statistics after each step, and the last batch by its own and by known statistics."""

    def step(stats: hondo.BatchStats, key: Array) -> tuple[hondo.BatchStats, tuple]:
        x = 2 + 3 * jax.random.normal(key, (batch, 1))
        y, stats = hondo.batch_norm(x, stats, None, None, decay=decay, epsilon=_EPSILON)
        known = hondo.batch_norm_inference(x, stats, None, None, epsilon=_EPSILON)
        return stats, (stats, y[:, 0], known[:, 0])

    _, (stats, y, known) = jax.lax.scan(step, hondo.init_batch_stats(1), jnp.stack(keys))
    return stats, y[-1], known[-1]


def draw_folding(figure: "Figure", seed: int) -> str:
    """A layer and its norm beside the one layer that does both."""
    inputs, weights, others = split_keys(seed, 3)
    x, kernel = jax.random.normal(inputs, (64, 8)), jax.random.normal(weights, (8, 4))
    bias, mean, scale, offset = jax.random.normal(others, (4, 4))
    stats = hondo.BatchStats(mean, jnp.exp(scale), jnp.ones(4))
    norm = stats, scale, offset
    two = hondo.batch_norm_inference(x @ kernel + bias[None], *norm, epsilon=_EPSILON)
    new_kernel, new_bias = hondo.fold_batch_norm(kernel, bias, *norm, epsilon=_EPSILON)
    one = x @ new_kernel + new_bias[None]
    left, right = panels(figure, 2)
    left.plot(np.asarray(two).ravel(), np.asarray(one).ravel(), "o", color=BLUE, markersize=3)
    distance = float(jnp.abs(one - two).max())
    name_axes(left, f"largest difference {distance:.0e}", "layer, then norm", "folded layer")
    lengths = (np.linalg.norm(np.asarray(each), axis=0) for each in (kernel, new_kernel))
    for place, (values, name) in enumerate(zip(lengths, ("before", "folded"), strict=True)):
        color = (GRAY, BLUE)[place]
        right.bar(np.arange(4) + 0.4 * place - 0.2, values, 0.4, color=color, label=name)
    right.set_xticks(range(4))
    name_axes(right, "each unit's weights take γ/√(σ² + ε)", "unit", "norm of its weights")
    right.legend()
    return "known statistics are a linear map, so a layer and its norm become one layer"
