"""Steps after the optimiser's: exact zeros and bounded norms, as optax transformations."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from hondo._numerics.checks import check_range, check_scalar
from hondo._numerics.dtypes import accumulation_dtype
from hondo._numerics.safe_norm import Axes, project
from hondo.regularization.penalties.roles import Where, is_weight, weight_mask

Strength = float | Float[Array, ""]


class ProximalState(NamedTuple):
    """How many steps there have been, for a schedule of the learning rate."""

    step: Int[Array, ""]


def proximal_l1(
    strength: Strength,
    *,
    learning_rate: Strength | Callable[[Any], Any],
    where: Where = is_weight,
) -> optax.GradientTransformation:
    r"""Shrinks the weights towards 0 after the optimiser's step, to exactly 0 where they are small.

    $$ W \leftarrow \operatorname{sign}(W')\max\Big(|W'| - \eta\frac{\lambda}{2},\, 0\Big), \qquad
       W' = W + \Delta W $$

    It is the proximal step of $\frac{\lambda}{2}\lVert W\rVert_1$; put it last in the chain, after
    plain gradient descent with the same η, and leave `l1_penalty` out of the loss.

    Args:
        strength: λ ≥ 0.
        learning_rate: η, the optimiser's own, or its schedule.
        where: which leaves shrink; weights by their names.

    Returns:
        An optax transformation whose `update` needs the parameters.

    Raises:
        ValueError: λ or η negative or NaN, λ an array; a rule that chooses nothing; no parameters
            given.

    Example:
        >>> import hondo, jax.numpy as jnp, optax
        >>> step = hondo.proximal_l1(2.0, learning_rate=0.1)
        >>> params = {"kernel": jnp.array([0.05, -1.0])}
        >>> still = {"kernel": jnp.zeros(2)}
        >>> updates, _ = step.update(still, step.init(params), params)
        >>> optax.apply_updates(params, updates)["kernel"].tolist() == [0.0, jnp.float32(-0.9)]
        True

    References:
        Slide 3, the first norm; Parikh and Boyd 2014, section 6.5.2.
    """
    check_scalar("strength", strength)
    check_range("strength", strength, 0.0)
    if not callable(learning_rate):
        check_range("learning_rate", learning_rate, 0.0)

    def shrink(w: Array, rate: Any) -> Array:
        broad = w.astype(accumulation_dtype(w.dtype))
        threshold = jnp.asarray(rate, broad.dtype) * jnp.asarray(strength, broad.dtype) / 2
        return (jnp.sign(broad) * jnp.maximum(jnp.abs(broad) - threshold, 0)).astype(w.dtype)

    def init(params: Any) -> ProximalState:
        _check_choice_of(params, where)
        return ProximalState(jnp.zeros((), jnp.int32))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        rate = learning_rate(state.step) if callable(learning_rate) else learning_rate
        moved = _moved(updates, params, where, lambda w: shrink(w, rate))
        return moved, ProximalState(state.step + 1)

    return optax.GradientTransformation(init, update)


def max_norm(
    limit: Strength, *, axis: Axes = None, where: Where = is_weight
) -> optax.GradientTransformation:
    r"""Projects each unit's incoming weights onto a ball after the optimiser's step.

    $$ w_j \leftarrow w_j \min\Big(1, \frac{c}{\lVert w_j\rVert_2}\Big) $$

    Weights inside the ball stay as they are, bit for bit.

    Args:
        limit: c ≥ 0.
        axis: the axes of one unit's weights; by default every axis but the last. Kernels stacked
            by `repeat` need it said: −2 for dense ones.
        where: which leaves are bounded; weights by their names.

    Returns:
        An optax transformation whose `update` needs the parameters; put it last in the chain.

    Raises:
        ValueError: c negative, NaN or an array; a rule that chooses nothing; no parameters given.

    Example:
        >>> import hondo, jax.numpy as jnp, optax
        >>> bound = hondo.max_norm(1.0)
        >>> params = {"kernel": jnp.array([[3.0, 0.1], [4.0, 0.2]])}
        >>> still = {"kernel": jnp.zeros((2, 2))}
        >>> updates, _ = bound.update(still, bound.init(params), params)
        >>> optax.apply_updates(params, updates)["kernel"].round(1).tolist()[0]
        [0.6000000238418579, 0.10000000149011612]

    References:
        Slide 3; Srebro and Shraibman 2005; Srivastava et al. 2014, section 5.1.
    """
    check_scalar("limit", limit)
    check_range("limit", limit, 0.0)

    def bounded(w: Array) -> Array:
        return project(w, tuple(range(w.ndim - 1)) if axis is None else axis, limit)

    def init(params: Any) -> optax.EmptyState:
        _check_choice_of(params, where)
        return optax.EmptyState()

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        return _moved(updates, params, where, bounded), state

    return optax.GradientTransformation(init, update)


def _check_choice_of(params: Any, where: Where) -> None:
    # Not of a tree without leaves, with which optax.tree_map_params asks for the state's form.
    if jax.tree.leaves(params):
        weight_mask(params, where)


def _moved(updates: Any, params: Any, where: Where, move: Callable[[Array], Array]) -> Any:
    """The updates after which the chosen parameters are where `move` takes them."""
    if params is None:
        raise ValueError("params must be given to update, got None. Call update(g, state, params).")

    def one(is_chosen: bool, update: Array, param: Array) -> Array:
        target = move(param + update) if is_chosen else param
        changed = target != param + update
        return jnp.where(changed, target - param, update) if is_chosen else update

    return jax.tree.map(one, weight_mask(params, where), updates, params)
