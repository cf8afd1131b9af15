"""What clipping does about gradients that hold NaN or infinities, and what it remembers of them."""

from functools import partial
from typing import Literal, NamedTuple, Protocol, get_args, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from hondo._bind import bind
from hondo._fast.tree_norm_one_pass import measure_in_one_pass
from hondo._numerics.checks import check_choice, check_range, check_type, error, python_value
from hondo._numerics.sharding import vary_with
from hondo._numerics.tree_checks import check_floating_tree
from hondo._numerics.tree_norm import TreeNorm, keep_finite, scaling_to
from hondo._types import OptimizerState, Params, Updates

Limit = float | Float[Array, ""]
Policy = Literal["propagate", "zero", "skip"]


class ClippingState(NamedTuple):
    """What clipping saw last.

    Clipping does not depend on it, so `update` takes None in its place, as optax's transformations
    without a state do.

    Attributes:
        norm: the global norm of the finite entries before clipping, float32; infinity where it
            exceeds that range.
        nonfinite: for each leaf of the updates, in the order of `jax.tree.leaves`, whether it had a
            NaN or an infinity; `nonfinite_leaves` names them.
        nonfinite_steps: how many updates had any.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> gradient = {"w": jnp.array([3.0, 4.0])}
        >>> rule = hondo.clip_by_global_norm(1.0)
        >>> _, state = rule.update(gradient, rule.init(gradient))
        >>> float(state.norm), int(state.nonfinite_steps)
        (5.0, 0)
    """

    norm: Float[Array, ""]
    nonfinite: Bool[Array, " leaves"]
    nonfinite_steps: Int[Array, ""]


def nonfinite_leaves(state: ClippingState, params: Params) -> list[str]:
    """Names the leaves whose last gradient was not finite; outside jit.

    Args:
        state: of one of the clipping transformations.
        params: the parameters or the gradient, for the names of the leaves alone.

    Returns:
        Their paths, as `jax.tree_util.keystr` writes them.

    Raises:
        ValueError: a tree with another number of leaves.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> clip = hondo.clip_by_global_norm(1.0, nonfinite="skip")
        >>> gradient = {"a": jnp.array([jnp.nan]), "b": jnp.array([1.0])}
        >>> updates, state = clip.update(gradient, clip.init(gradient))
        >>> hondo.nonfinite_leaves(state, gradient)
        ["['a']"]

    References:
        Slide 9: exploding gradients end in infinities.
    """
    check_type("state", state, ClippingState)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    if len(paths) != len(state.nonfinite):
        expected = f"the tree that was clipped, of {len(state.nonfinite)} leaves"
        raise error("params", f"{len(paths)} leaves", expected)
    return [path for path, bad in zip(paths, state.nonfinite, strict=True) if bool(bad)]


@runtime_checkable
class Clip(Protocol):
    """How updates, all finite, are clipped, given the limit and their norm."""

    def __call__(
        self, updates: Updates, limit: Float[Array, ""], norm: TreeNorm, *, params: Params
    ) -> Updates:
        """Returns the clipped updates."""
        ...


def clipping_transformation(
    clip: Clip, *, limit: Limit, nonfinite: Policy, name: str = "limit"
) -> optax.GradientTransformation:
    """Makes an optax transformation of a way to clip; `name` is what errors call the limit.

    Raises:
        ValueError: a negative limit, an array, an unknown policy.
    """
    check_range(name, limit, 0.0, repair="It bounds what passes.")
    check_choice("nonfinite", nonfinite, get_args(Policy))
    return optax.GradientTransformation(_init, bind(_update, clip, python_value(limit), nonfinite))


def _update(
    clip: Clip,
    limit: Limit,
    policy: Policy,
    updates: Updates,
    state: OptimizerState,
    params: Params = None,
) -> tuple[Updates, ClippingState]:
    check_floating_tree("updates", updates, "Integers have no gradient to clip.")
    state = _init(updates) if state is None else state
    check_type("state", state, ClippingState, "init(params) makes the first.")
    if len(jax.tree.leaves(updates)) != len(state.nonfinite):
        expected = f"the tree that init got, of {len(state.nonfinite)} leaves"
        raise error("updates", updates, expected)
    norm, nonfinite_leaf = measure_in_one_pass(updates)
    bound = jnp.asarray(limit, norm.mantissa.dtype)
    clipped = clip(keep_finite(updates), bound, norm, params=params)
    is_nonfinite = jnp.any(nonfinite_leaf)
    steps = state.nonfinite_steps + is_nonfinite.astype(jnp.int32)
    result = _apply(policy, is_nonfinite=is_nonfinite, updates=updates, clipped=clipped)
    return result, ClippingState(norm.value.astype(jnp.float32), nonfinite_leaf, steps)


def _init(params: Params) -> ClippingState:
    nonfinite = jnp.zeros(len(jax.tree.leaves(params)), bool)
    state = ClippingState(jnp.zeros((), jnp.float32), nonfinite, jnp.zeros((), jnp.int32))
    return vary_with(state, params)


def shrink_where_beyond(
    updates: Updates, limit: Float[Array, ""], norm: TreeNorm
) -> tuple[Updates, Bool[Array, ""]]:
    """The updates with a norm of at most the limit, and whether theirs was beyond it.

    By selection, so that updates within the limit keep their bits.
    """
    exceeds = norm.exceeds(limit)
    shrunk = scaling_to(limit, norm).of(updates)
    return jax.tree.map(partial(jnp.where, exceeds), shrunk, updates), exceeds


def _apply(
    policy: Policy, *, is_nonfinite: Bool[Array, ""], updates: Updates, clipped: Updates
) -> Updates:
    """Chooses what becomes of updates with NaN or infinities, for which `clipped` has 0."""
    if policy == "zero":
        return clipped
    otherwise = updates if policy == "propagate" else jax.tree.map(jnp.zeros_like, clipped)
    return jax.tree.map(partial(jnp.where, is_nonfinite), otherwise, clipped)
