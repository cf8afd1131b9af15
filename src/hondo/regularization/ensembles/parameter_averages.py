"""Averages of parameters over training: ensembles in weight space, at the cost of one model."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from hondo._bind import bind
from hondo._numerics.checks import (
    check_bool,
    check_callable,
    check_range,
    check_type,
    error,
    python_value,
)
from hondo._numerics.dtypes import accumulation_dtype
from hondo._numerics.sharding import vary_with, whole
from hondo._numerics.tree_checks import check_leaves, check_same_form
from hondo._types import Batch, Data, Leaf, Params, Tree
from hondo.normalization.moments import Moments, pool_moments


class ParameterAverageState(NamedTuple):
    """An average in progress; `update` keeps its structure, shapes and dtypes.

    Attributes:
        average: the average so far, of the parameters' structure, float leaves in at least
            float32; the parameters of `init` before the first update.
        weight: the sum of the weights of the updates so far.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> average = hondo.swa()
        >>> state = average.update(average.init(jnp.zeros(())), jnp.ones(()))
        >>> float(average.update(state, jnp.full((), 3.0)).average)
        2.0
    """

    average: Params
    weight: Float[Array, ""]


class ParameterAverage(NamedTuple):
    """An average of parameters: `init(params)` → state, `update(state, params)` → state.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> average = hondo.swa()
        >>> state = average.update(average.init(jnp.zeros(2)), jnp.ones(2))
        >>> hondo.averaged_params(state, jnp.zeros(2)).tolist()
        [1.0, 1.0]
    """

    init: Callable[[Params], ParameterAverageState]
    update: Callable[[ParameterAverageState, Params], ParameterAverageState]


def ema(decay: ArrayLike, *, debias: bool = True) -> ParameterAverage:
    r"""Averages parameters with exponentially decreasing weights, right from the first update.

    $$ \bar\theta_t = \frac{\sum_{i=1}^{t} d^{\,t-i}\, \theta_i}{\sum_{i=1}^{t} d^{\,t-i}}, \qquad
       \bar\theta_t = \bar\theta_{t-1} + \frac{\theta_t - \bar\theta_{t-1}}{W_t}, \quad
       W_t = 1 + d\, W_{t-1} $$

    The weights sum to 1 at every step: there is no bias toward the start, and a constant is
    averaged to itself, bit for bit. Floats are averaged in at least float32, complex numbers in
    their dtype; integers and keys are those of the latest update.

    Args:
        decay: $d$, the weight of the old, a scalar in [0, 1]; 1 is `swa`.
        debias: whether the weights sum to 1; if not, they are $(1-d)\,d^{\,t-i}$, and what is
            missing to 1, $d^{\,t}$, is the weight of 0, as in Adam's moments before correction.

    Returns:
        The pair `(init, update)`; `averaged_params` reads the state in the parameters' dtypes.

    Raises:
        ValueError: d outside [0, 1] or NaN, or an array; a debias that is no bool.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import ema
        >>> average = ema(0.5)
        >>> state = average.init({"w": jnp.zeros(())})
        >>> for value in (1.0, 4.0):
        ...     state = average.update(state, {"w": jnp.asarray(value)})
        >>> state.average["w"].item()
        3.0

    References:
        Slide 2, "Ensambles"; Polyak & Juditsky 1992; Kingma & Ba 2015, section 3, for the bias.
    """
    check_range("decay", decay, 0.0, 1.0, repair="It is the weight of the old average.")
    check_bool("debias", debias)
    decay = python_value(decay)
    step = _step_of_mean if debias else _step_from_zero
    return ParameterAverage(bind(_init, decay, not debias), bind(_update, step, decay))


def swa() -> ParameterAverage:
    r"""Averages parameters with equal weights (stochastic weight averaging).

    $$ \bar\theta_t = \frac1t \sum_{i=1}^{t} \theta_i $$

    Call `update` once for each point that is to be averaged, usually at the end of an epoch late
    in training. A model with batch norm needs `recompute_moments` afterward.

    Returns:
        The pair `(init, update)`; `averaged_params` reads the state in the parameters' dtypes.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import swa
        >>> average = swa()
        >>> state = average.init(jnp.zeros(()))
        >>> for value in (1.0, 4.0, 7.0):
        ...     state = average.update(state, jnp.asarray(value))
        >>> state.average.item()
        4.0

    References:
        Slide 2, "Ensambles"; Izmailov et al. 2018, algorithm 1.
    """
    return ema(1.0)


def averaged_params(state: ParameterAverageState, params: Params) -> Params:
    """Reads an average in the dtypes of the parameters.

    Args:
        state: the state of `ema` or `swa`.
        params: the parameters, for their dtypes alone.

    Returns:
        The average, each float leaf rounded once to the dtype of that leaf of `params`.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import averaged_params, swa
        >>> params = jnp.ones(2, jnp.bfloat16)
        >>> averaged_params(swa().init(params), params).dtype
        dtype(bfloat16)

    References:
        Slide 2, "Ensambles"; Izmailov et al. 2018, algorithm 1.
    """
    check_type("state", state, ParameterAverageState)
    check_same_form("params", _accumulable_tree(params), "state.average", state.average)

    def read(mean: Array, leaf: Leaf) -> Array:
        return mean.astype(jnp.asarray(leaf).dtype) if _is_averaged(mean) else mean

    return jax.tree.map(read, state.average, params)


def _init(decay: ArrayLike, is_zero: bool, params: Params) -> ParameterAverageState:
    average = _accumulable_tree(params)
    if is_zero:
        average = jax.tree.map(lambda x: jnp.zeros_like(x) if _is_averaged(x) else x, average)
    return vary_with(ParameterAverageState(average, jnp.zeros(())), decay)


# A mean, what it moves toward, the decay, and the weight of all so far → the mean after the step.
_Step: TypeAlias = Callable[[Array, Array, ArrayLike, Array], Array]


def _update(
    step: _Step, decay: ArrayLike, state: ParameterAverageState, params: Params
) -> ParameterAverageState:
    check_type("state", state, ParameterAverageState, "init(params) makes the first.")
    leaves = _accumulable_tree(params)
    check_same_form("params", leaves, "state.average", state.average)
    weight = 1 + jnp.asarray(decay, state.weight.dtype) * state.weight

    def toward(mean: Array, leaf: Array) -> Array:
        return step(mean, leaf, decay, weight) if _is_averaged(leaf) else leaf

    return ParameterAverageState(jax.tree.map(toward, state.average, leaves), weight)


def _step_of_mean(mean: Array, leaf: Array, _: ArrayLike, weight: Array) -> Array:
    """The mean of all leaves so far, weighted by the powers of the decay."""
    moved = mean + (leaf - mean) / weight.astype(leaf.dtype)
    return jnp.where(weight == 1, leaf, moved)


def _step_from_zero(mean: Array, leaf: Array, decay: ArrayLike, _: Array) -> Array:
    """A·mean + (1 - A)·leaf, which leans to the zero that it began with."""
    share = 1 - jnp.asarray(decay, jnp.finfo(leaf.dtype).dtype)
    return mean + share.astype(leaf.dtype) * (leaf - mean)


def _is_averaged(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.inexact)


def _accumulable_tree(params: Params) -> Params:
    check_leaves("params", params)
    return jax.tree.map(_accumulable, params)


def _accumulable(leaf: Leaf) -> Array:
    leaf = jnp.array(leaf)
    return (
        leaf.astype(accumulation_dtype(leaf.dtype))
        if jnp.issubdtype(leaf.dtype, jnp.floating)
        else leaf
    )


def recompute_moments(
    moments_of: Callable[[Params, Batch], Tree], params: Params, batches: Data
) -> Tree:
    r"""Recomputes a model's batch statistics, as averaged parameters need them.

    $$ M = M_1 \oplus \dots \oplus M_B, \qquad M_b = \mathrm{moments}(\theta, x_b) $$

    One pass over the data in batches. The moments of the batches are pooled, not averaged:
    the same elements cut into other batches give the same result, if no other batch norm stands
    before them. Behind one, the elements themselves are normalized with their own batch.

    Args:
        moments_of: `(params, batch)` → a tree of `Moments`, one for each batch norm: a pass of
            the model in training mode, with `batch_moments` of what goes into each norm.
        params: $\theta$, usually `averaged_params`.
        batches: a tree of arrays (batches, batch, …).

    Returns:
        The tree of pooled `Moments`; `population_stats` makes inference statistics of each.

    Raises:
        ValueError: no batch.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import batch_moments, recompute_moments
        >>> batches = jnp.array([[[1.0], [3.0]], [[5.0], [7.0]]])
        >>> moments = recompute_moments(lambda w, x: batch_moments(w * x), 2.0, batches)
        >>> moments.n.item(), moments.mean.item(), moments.m2.item()
        (4.0, 8.0, 80.0)

    References:
        Izmailov et al. 2018, section 3.2, "batch normalization"; Chan, Golub and LeVeque 1983.
    """
    check_callable("moments_of", moments_of, "a function of parameters and a batch")
    check_leaves("batches", batches)
    counts = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(batches)}
    if len(counts) != 1 or counts & {(), (0,)}:
        raise error("batches", sorted(counts), "stacked: one common leading axis of batches")

    # A loop takes its batches from arrays whose first axis is whole on each device.
    batches = jax.tree.map(lambda leaf: whole(leaf, 0), batches)
    moments = jax.lax.map(partial(moments_of, params), batches)
    return jax.tree.map(pool_moments, moments, is_leaf=_is_moments)


def _is_moments(node: object) -> bool:
    return isinstance(node, Moments)
