"""Gradient clipping (slide 11) that is defined for every gradient there is."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from hondo._numerics.checks import check_choice, check_range, check_scalar, error
from hondo._numerics.dtypes import accumulation_dtype
from hondo._numerics.safe_norm import root, times_power_of_two

Limit = float | Float[Array, ""]
Policy = Literal["propagate", "zero", "skip"]
_POLICIES = ("propagate", "zero", "skip")


class ClippingState(NamedTuple):
    """What clipping saw last.

    Attributes:
        norm: the global norm of the finite entries before clipping, float32; infinity where it
            exceeds that range.
        nonfinite: for each leaf of the updates, in the order of `jax.tree.leaves`, whether it had a
            NaN or an infinity; `nonfinite_leaves` names them.
        nonfinite_steps: how many updates had any.
    """

    norm: Float[Array, ""]
    nonfinite: Bool[Array, " leaves"]
    nonfinite_steps: Int[Array, ""]


def clip_by_global_norm(
    limit: Limit, *, nonfinite: Policy = "propagate"
) -> optax.GradientTransformation:
    r"""Scales the whole gradient down to a norm of at most c, and keeps its direction.

    $$ g' = g \cdot \min\Big(1, \frac{c}{\lVert g\rVert_2}\Big), \qquad
       \lVert g\rVert_2^2 = \sum_{\text{leaves}}\sum_i g_i^2 $$

    The squares are of values scaled by a power of two, so they neither overflow nor underflow:
    float16 [300, 400] keeps its direction, as does float32 [3e19, 4e19]. A gradient within the
    limit comes back bit for bit; 0 stays 0, for c = 0 too.

    Args:
        limit: c ≥ 0; may be traced.
        nonfinite: what to do about NaN and infinities: "propagate" returns that gradient as it
            came; "zero" puts 0 in their places and clips the rest; "skip" makes the whole
            gradient 0.

    Returns:
        An optax transformation with a `ClippingState`.

    Raises:
        ValueError: c negative, infinite, NaN or an array, an unknown policy.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> clip = hondo.clip_by_global_norm(1.0)
        >>> gradient = jnp.array([300.0, 400.0], jnp.float16)
        >>> updates, state = clip.update(gradient, clip.init(gradient))
        >>> updates.round(2).tolist(), float(state.norm)
        ([0.60009765625, 0.7998046875], 500.0)

    References:
        Slide 11; Pascanu, Mikolov and Bengio 2013, algorithm 1.
    """
    return transformation("limit", limit, nonfinite, _by_global_norm)


def clip_by_value(limit: Limit, *, nonfinite: Policy = "propagate") -> optax.GradientTransformation:
    r"""Clamps every entry of the gradient, $g'_i = \min(\max(g_i, -c), c)$.

    Args:
        limit: c ≥ 0; may be traced.
        nonfinite: as for `clip_by_global_norm`; without it an infinity would become c unseen.

    Returns:
        An optax transformation with a `ClippingState`.

    Raises:
        ValueError: c negative, infinite, NaN or an array, an unknown policy.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> clip = hondo.clip_by_value(1.0)
        >>> clip.update(jnp.array([-3.0, 0.5]), clip.init(jnp.zeros(2)))[0].tolist()
        [-1.0, 0.5]

    References:
        Slide 11; Goodfellow et al. 2016, section 10.11.1.
    """
    return transformation("limit", limit, nonfinite, _by_value)


def clip_by_layer(limit: Limit, *, nonfinite: Policy = "propagate") -> optax.GradientTransformation:
    r"""Scales each leaf of the gradient down to a norm of at most c, each by itself.

    Args:
        limit: c ≥ 0; may be traced.
        nonfinite: as for `clip_by_global_norm`.

    Returns:
        An optax transformation with a `ClippingState`.

    Raises:
        ValueError: c negative, infinite, NaN or an array, an unknown policy.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> clip = hondo.clip_by_layer(1.0)
        >>> gradient = {"a": jnp.array([4.0]), "b": jnp.array([0.5])}
        >>> updates, _ = clip.update(gradient, clip.init(gradient))
        >>> updates["a"].tolist(), updates["b"].tolist()
        ([1.0], [0.5])

    References:
        Slide 11.
    """
    return transformation("limit", limit, nonfinite, _by_layer)


def nonfinite_leaves(state: ClippingState, params: Any) -> list[str]:
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
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    if len(paths) != len(state.nonfinite):
        expected = f"the tree that was clipped, of {len(state.nonfinite)} leaves"
        raise error("params", f"{len(paths)} leaves", expected)
    return [path for path, bad in zip(paths, state.nonfinite, strict=True) if bool(bad)]


def global_norm(tree: Any) -> Float[Array, ""]:
    r"""Computes $\sqrt{\sum_i g_i^2}$ over all leaves, without overflow or underflow in between.

    Args:
        tree: any tree of arrays.

    Returns:
        A scalar in float32, in float64 where a leaf is; 0 for an empty tree.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> float(hondo.global_norm({"a": jnp.array([3e20, 4e20])})) == float(jnp.float32(5e20))
        True

    References:
        Slide 10, the norm of the gradient.
    """
    scaled, exponent = _scaled(tree)
    return jnp.ldexp(_norm(scaled), exponent)


class Size(NamedTuple):
    """The size of a tree of gradients, in two parts that cannot overflow.

    Attributes:
        scaled: the norm of the finite entries times 2^-exponent, in the widest dtype of sums.
        exponent: 0 for all but extreme gradients.
        nonfinite: for each leaf whether it has a NaN or an infinity.
    """

    scaled: Float[Array, ""]
    exponent: Int[Array, ""]
    nonfinite: Bool[Array, " leaves"]

    @property
    def norm(self) -> Float[Array, ""]:
        """The norm; infinity beyond the range of its dtype."""
        return jnp.ldexp(self.scaled, self.exponent)


Clip = Callable[[Any, Any, Array, Size], Any]


def transformation(
    name: str, limit: Limit, nonfinite: Policy, clip: Clip
) -> optax.GradientTransformation:
    """Makes one of `clip(updates, params, limit, size)` → clipped updates, all finite.

    Raises:
        ValueError: a negative limit, an array, an unknown policy.
    """
    check_scalar(name, limit)
    check_range(name, limit, 0.0, repair="It bounds what passes.")
    check_choice("nonfinite", nonfinite, _POLICIES)
    return optax.GradientTransformation(_init, partial(_update, limit, nonfinite, clip))


def _init(params: Any) -> ClippingState:
    nonfinite = jnp.zeros(len(jax.tree.leaves(params)), bool)
    return ClippingState(jnp.zeros((), jnp.float32), nonfinite, jnp.zeros((), jnp.int32))


def _update(
    limit: Limit, policy: Policy, clip: Clip, updates: Any, state: Any, params: Any = None
) -> tuple[Any, ClippingState]:
    size = _size(updates)
    bad = jnp.any(size.nonfinite)
    clipped = clip(_finite(updates), params, jnp.asarray(limit, size.scaled.dtype), size)
    if policy == "propagate":
        clipped = jax.tree.map(lambda g, c: jnp.where(bad, g, c), updates, clipped)
    elif policy == "skip":
        clipped = jax.tree.map(lambda c: jnp.where(bad, 0, c), clipped)
    steps = state.nonfinite_steps + bad.astype(jnp.int32)
    return clipped, ClippingState(size.norm.astype(jnp.float32), size.nonfinite, steps)


def _by_global_norm(updates: Any, params: Any, limit: Array, size: Size) -> Any:
    del params
    limit = limit.astype(size.scaled.dtype)
    exceeds = size.scaled > jnp.ldexp(limit, -size.exponent)
    factor = limit / jnp.where(size.scaled > 0, size.scaled, 1.0)

    def shrink(g: Array) -> Array:
        wide = times_power_of_two(g.astype(factor.dtype), -size.exponent)
        return jnp.where(exceeds, (wide * factor).astype(g.dtype), g)

    return jax.tree.map(shrink, updates)


def _by_layer(updates: Any, params: Any, limit: Array, size: Size) -> Any:
    del size
    return jax.tree.map(lambda g: _by_global_norm(g, params, limit, _size(g)), updates)


def _by_value(updates: Any, params: Any, limit: Array, size: Size) -> Any:
    del params, size

    def clamp(g: Array) -> Array:
        wide = g.astype(accumulation_dtype(g.dtype))
        bound = limit.astype(wide.dtype)
        return jnp.clip(wide, -bound, bound).astype(g.dtype)

    return jax.tree.map(clamp, updates)


def _finite(tree: Any) -> Any:
    return jax.tree.map(lambda g: jnp.where(jnp.isfinite(g), g, 0), tree)


# Jitted, because eager control flow compiles anew at every call.
@jax.jit
def _size(tree: Any) -> Size:
    """One pass of squares; where its sum is not a plain number, the passes that are always right.

    A sum between 2^±60 is one: nothing overflowed, and what underflowed, less than 2^-126 for each
    entry, is below its rounding.
    """
    leaves = jax.tree.leaves(tree)
    total = _total(jax.tree.map(_sum_of_squares, tree))
    plain = (total > 2.0**-60) & (total < 2.0**60)

    def quick(tree: Any) -> Size:
        # Made of the total, so that shard_map knows them to vary where it does.
        false = total < 0
        return Size(root(total), false.astype(jnp.int32), _stacked(false for _ in leaves))

    return jax.lax.cond(plain, quick, _careful_size, tree)


def _careful_size(tree: Any) -> Size:
    nonfinite = _stacked(~jnp.all(jnp.isfinite(g)) for g in jax.tree.leaves(tree))
    scaled, exponent = _scaled(_finite(tree))
    return Size(_norm(scaled), exponent, nonfinite)


def _stacked(flags: Iterable[Array]) -> Array:
    flags = list(flags)
    return jnp.stack(flags) if flags else jnp.zeros(0, bool)


def _scaled(tree: Any) -> tuple[Any, Array]:
    """The leaves times 2^-e, in float32 or wider, so that the largest is in [1/2, 1); and e."""
    wide = jax.tree.map(lambda g: g.astype(accumulation_dtype(g.dtype)), tree)
    largest = [jnp.max(jnp.abs(g), initial=0.0) for g in jax.tree.leaves(wide)]
    top = jnp.max(jnp.array([0.0, *largest], _widest(tree)))
    _, exponent = jnp.frexp(top)
    return jax.tree.map(lambda g: times_power_of_two(g, -exponent), wide), exponent


def _norm(tree: Any) -> Array:
    return root(_total(jax.tree.map(_sum_of_squares, tree)))


def _sum_of_squares(g: Array) -> Array:
    return jnp.sum(jnp.square(g.astype(accumulation_dtype(g.dtype))))


def _total(squares: Any) -> Array:
    dtype = _widest(squares)
    return sum((s.astype(dtype) for s in jax.tree.leaves(squares)), start=jnp.zeros((), dtype))


def _widest(tree: Any) -> Any:
    """float64 where a leaf is, and float32 otherwise."""
    dtypes = {accumulation_dtype(leaf.dtype) for leaf in jax.tree.leaves(tree)}
    return jnp.float64 if jnp.dtype(jnp.float64) in dtypes else jnp.float32
