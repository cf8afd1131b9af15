"""Dropout masks (slide 7): r ~ Bernoulli(P), each unit a function of the key and of its index."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from hondo._fast.bernoulli_threshold import fused_bernoulli, hashed_bernoulli
from hondo._fast.masked_scaling import select_bfloat16
from hondo._numerics.array_checks import check_mask, check_sizes
from hondo._numerics.checks import check_floating, check_key, check_probability, error, is_integer
from hondo._numerics.other_names import refuse_names


@refuse_names("rate", "deterministic")
def dropout_mask(
    key: PRNGKeyArray,
    shape: Sequence[int],
    *,
    keep_prob: ArrayLike,
    broadcast_dims: Sequence[int] = (),
) -> Bool[Array, "..."]:
    r"""Draws the mask of dropout: True where a unit is kept.

    $$ r_i \sim \mathrm{Bernoulli}(P), \qquad r_i = [\,h_k(i) < \lfloor 2^{32} P \rfloor\,] $$

    where $h_k$ is a 32-bit hash keyed by the key and $i$ the unit's index in the whole array. So
    the mask is the same eager and under jit, scan, remat and `jax.vmap` over keys (with JAX's
    default key type), and however the array is sharded; P may be traced without changing it.

    It is not the mask of `jax.random.bernoulli(key, P, shape)`, which is `bernoulli_mask`.

    Args:
        key: a typed PRNG key.
        shape: the shape of the mask.
        keep_prob: $P$, the probability that a unit is kept; a scalar in [0, 1]. It is rounded
            to float32 and then down to a multiple of $2^{-32}$.
        broadcast_dims: the axes along which units share one draw.

    Returns:
        A boolean mask of the given shape; of size 1 along `broadcast_dims`.

    Raises:
        TypeError: the key is not a typed PRNG key.
        ValueError: P outside [0, 1], NaN or no scalar; an axis that is not there.

    Example:
        >>> import jax
        >>> from hondo import dropout_mask
        >>> mask = dropout_mask(jax.random.key(0), (1000, 100), keep_prob=0.8)
        >>> print(f"{mask.mean():.2f}")
        0.80

    References:
        Slide 7, "Dropout en entrenamiento"; Srivastava et al. 2014, section 4.
        Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3": counters under a key.
    """
    check_key(key)
    check_sizes("shape", shape)
    check_keep_prob(keep_prob)
    # jax.random.uniform(key, shape) < keep_prob, of other random numbers.
    return hashed_bernoulli(key, _drawn_shape(tuple(shape), broadcast_dims), keep_prob)


@refuse_names("rate", "deterministic")
def bernoulli_mask(
    key: PRNGKeyArray, shape: Sequence[int], *, keep_prob: ArrayLike
) -> Bool[Array, "..."]:
    r"""Draws the mask that other libraries draw from this key, several times faster than they do.

    $$ r = \texttt{jax.random.bernoulli}(k, P, \text{shape}), \qquad P \text{ in float32} $$

    bit for bit, and nothing but the mask is kept in memory. It takes about five times as long as
    `dropout_mask`.

    Args:
        key: a typed PRNG key.
        shape: the shape of the mask.
        keep_prob: $P$, the probability that a unit is kept; a scalar in [0, 1]. It is rounded
            to float32, and the chance to keep is the next multiple of $2^{-23}$ from P upwards.

    Returns:
        A boolean mask of the given shape.

    Raises:
        TypeError: the key is not a typed PRNG key.
        ValueError: P outside [0, 1], NaN or no scalar.

    Example:
        >>> import jax
        >>> from hondo import bernoulli_mask
        >>> key = jax.random.key(0)
        >>> mask = bernoulli_mask(key, (100, 10), keep_prob=0.8)
        >>> bool((mask == jax.random.bernoulli(key, 0.8, (100, 10))).all())
        True

    References:
        Slide 7, "Dropout en entrenamiento".
        Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", Threefry-2x32-20.
    """
    check_key(key)
    check_sizes("shape", shape)
    check_keep_prob(keep_prob)
    # jax.random.bernoulli(key, keep_prob, shape), of the same random numbers.
    return fused_bernoulli(key, tuple(shape), jnp.asarray(keep_prob).astype(jnp.float32))


def apply_dropout_mask(
    x: Float[Array, "*shape"], mask: Bool[Array, "*#shape"]
) -> Float[Array, "*shape"]:
    r"""Masks units by selection: the slide's product, with zero for whatever is dropped.

    $$ \tilde y_i = r_i * y_i $$

    A dropped infinity or NaN is 0, and so is its gradient.

    Args:
        x: $y$, any shape.
        mask: $r$, True where a unit is kept; of the rank of `x`, size 1 where units share.

    Returns:
        $\tilde y$, with the shape and dtype of `x`.

    Raises:
        ValueError: a mask that is not of bools, or does not broadcast to the shape of `x`; x of
            integers.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import apply_dropout_mask
        >>> apply_dropout_mask(jnp.array([1.0, jnp.nan]), jnp.array([True, False])).tolist()
        [1.0, 0.0]

    References:
        Slide 7, "Dropout en entrenamiento"; Srivastava et al. 2014, section 4.
    """
    check_floating("x", x, "Use x.astype(jnp.float32).")
    check_mask("mask", mask)
    pairs = zip(mask.shape, x.shape, strict=False)
    fits = mask.ndim == x.ndim and all(size in (1, full) for size, full in pairs)
    if not fits:
        raise error("mask", mask.shape, f"of a shape that broadcasts to that of x, {x.shape}")
    if x.dtype == jnp.bfloat16:
        return select_bfloat16(mask, x)
    return jnp.where(mask, x, jnp.zeros((), x.dtype))


def check_keep_prob(keep_prob: ArrayLike) -> None:
    """Raises unless P is a scalar in [0, 1]; a tracer is asked for its shape only.

    Raises:
        ValueError: any other value.

    Example:
        >>> check_keep_prob(0.5)
    """
    check_probability("keep_prob", keep_prob, "It is the probability of keeping a unit.")


def _drawn_shape(shape: tuple[int, ...], broadcast_dims: Sequence[int]) -> tuple[int, ...]:
    rank = len(shape)
    is_sequence = isinstance(broadcast_dims, Sequence) and not isinstance(broadcast_dims, bytes)
    if not is_sequence or not all(is_integer(d) and -rank <= d < rank for d in broadcast_dims):
        repair = "Give no axis to draw every unit by itself."
        raise error("broadcast_dims", broadcast_dims, f"axes of the shape {shape}", repair)
    shared = {dim % rank for dim in broadcast_dims}
    return tuple(1 if dim in shared else size for dim, size in enumerate(shape))
