"""Steps after the optimizer's: exact zeros and bounded norms, as optax transformations."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from hondo._bind import bind
from hondo._numerics.checks import (
    check_params,
    check_range,
    check_scalar,
    check_type,
    python_value,
)
from hondo._numerics.dtypes import accumulation_dtype
from hondo._numerics.safe_norm import project
from hondo._numerics.tree_checks import check_same_form
from hondo._types import OptimizerState, Params, Tree, Updates
from hondo.parameters.axes import AxisRule, UnitRule, unit_axes_of, unit_rule
from hondo.parameters.chosen import floating_mask
from hondo.parameters.names import Where, check_where
from hondo.parameters.units import UnitAxes

Strength = float | Float[Array, ""]
Schedule: TypeAlias = Callable[[Int[Array, ""]], ArrayLike]


class ProximalState(NamedTuple):
    """How many steps there have been, for a schedule of the learning rate.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> rule, params = hondo.proximal_l1(0.1, learning_rate=0.5), {"kernel": jnp.ones(2)}
        >>> int(rule.init(params).step)
        0
    """

    step: Int[Array, ""]


def proximal_l1(
    strength: Strength,
    *,
    learning_rate: Strength | Schedule,
    where: Where = None,
) -> optax.GradientTransformation:
    r"""Shrinks the weights toward 0 after the optimizer's step, to exactly 0 where they are small.

    $$ W \leftarrow \operatorname{sign}(W')\max\Big(|W'| - \eta\frac{\lambda}{2},\, 0\Big), \qquad
       W' = W + \Delta W $$

    It is the proximal step of $\frac{\lambda}{2}\lVert W\rVert_1$; put it last in the chain, after
    plain gradient descent with the same η, and leave `l1_penalty` out of the loss.

    Args:
        strength: λ ≥ 0.
        learning_rate: η, the optimizer's own, or its schedule.
        where: which leaves shrink; by default weights and embeddings, see `roles`.

    Returns:
        An optax transformation whose `update` needs the parameters.

    Raises:
        ValueError: λ or η negative or NaN, λ an array; a rule that chooses nothing; weights that
            are not floating; no parameters given.

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
    check_range("strength", strength, 0.0)
    if not callable(learning_rate):
        check_range("learning_rate", learning_rate, 0.0)
    values = python_value(learning_rate), python_value(strength)
    check_where(where)
    init, update = bind(_init_proximal, where), bind(_update_proximal, where, *values)
    return optax.GradientTransformation(init, update)


def _init_proximal(where: Where, params: Params) -> ProximalState:
    # optax.tree_map_params gives a tree without leaves, to learn the state's structure.
    if jax.tree.leaves(params):
        floating_mask(params, where)
    return ProximalState(jnp.zeros((), jnp.int32))


def _update_proximal(
    where: Where,
    learning_rate: Strength | Schedule,
    strength: Strength,
    updates: Updates,
    state: OptimizerState,
    params: Params = None,
) -> tuple[Updates, ProximalState]:
    check_type("state", state, ProximalState, "init(params) makes the first.")
    check_params(params)
    rate = learning_rate(state.step) if callable(learning_rate) else learning_rate

    def shrink(w: Array, _: bool) -> Array:
        return _shrink(w, rate=rate, strength=strength)

    moved = _move(updates, params, floating_mask(params, where), shrink)
    return moved, ProximalState(state.step + 1)


def _shrink(w: Array, *, rate: ArrayLike, strength: Strength) -> Array:
    """Gives sign(w)·max(|w| - ηλ/2, 0)."""
    wide = w.astype(accumulation_dtype(w.dtype))
    threshold = jnp.asarray(rate, wide.dtype) * jnp.asarray(strength, wide.dtype) / 2
    return (jnp.sign(wide) * jnp.maximum(jnp.abs(wide) - threshold, 0)).astype(w.dtype)


def max_norm(
    limit: Strength,
    *,
    in_axis: AxisRule = None,
    out_axis: AxisRule = None,
    where: Where = None,
) -> optax.GradientTransformation:
    r"""Projects each unit's incoming weights onto a ball after the optimizer's step.

    $$ w_j \leftarrow w_j \min\Big(1, \frac{c}{\lVert w_j\rVert_2}\Big) $$

    Weights inside the ball stay as they are, bit for bit.

    Args:
        limit: c ≥ 0.
        in_axis: the axes of one unit's weights, or a function of (path, leaf) that gives them; by
            default, and where it gives None, those of `roles`.
        out_axis: the axes that number the units, with those of a stack, in place of `in_axis`; if
            both are given, the axes in neither are a window, and a unit's own.
        where: which leaves are bounded; by default weights and embeddings, see `roles`.

    Returns:
        An optax transformation whose `update` needs the parameters; put it last in the chain.

    Raises:
        ValueError: c negative, NaN or an array; a rule that chooses nothing; no parameters given;
            weights that are not floating; units that neither `roles` nor the caller tells.

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
    check_where(where)
    units = bind(_units, where, unit_rule(in_axis, out_axis))
    init, update = bind(_init_max_norm, units), bind(_update_max_norm, units, python_value(limit))
    return optax.GradientTransformation(init, update)


def _units(where: Where, rule: UnitRule, params: Params) -> Tree:
    return unit_axes_of(params, rule, floating_mask(params, where))


def _init_max_norm(units: Callable[[Params], Tree], params: Params) -> optax.EmptyState:
    if jax.tree.leaves(params):
        units(params)
    return optax.EmptyState()


def _update_max_norm(
    units: Callable[[Params], Tree],
    limit: Strength,
    updates: Updates,
    state: OptimizerState,
    params: Params = None,
) -> tuple[Updates, OptimizerState]:
    check_params(params)

    def bound(w: Array, axes: UnitAxes) -> Array:
        return project(w, axes, limit)

    return _move(updates, params, units(params), bound), state


def _move(
    updates: Updates, params: Params, chosen: Tree, constrain: Callable[[Array, Any], Array]
) -> Updates:
    """The updates after which chosen parameters are `constrain(params + updates, chosen)`.

    At a parameter that is not chosen `chosen` holds False or None.
    """
    check_same_form("updates", updates, "params", params, dtypes=False)

    def one(update: Array, param: Array, choice: Any) -> Array:
        if choice is None or choice is False:
            return update
        target = constrain(param + update, choice)
        return jnp.where(target != param + update, target - param, update)

    return jax.tree.map(one, updates, params, chosen)
