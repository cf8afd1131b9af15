r"""Dropout masks (slide 7): r ~ Bernoulli(P), each unit a function of the key and of its own index.

A mask costs one call of JAX's generator, for 128 bits of seed, and then a keyed hash of each unit's
place: integer operations that XLA fuses into whatever uses the mask, so that no array of random
bits exists. The hash passes the statistical tests beside it; it is not cryptographic.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray, UInt32

from hondo._fast.bfloat16 import cast
from hondo._fast.hashed_bits import hash_bits_for_threshold, unit_interval
from hondo._fast.threefry import random_bits
from hondo._numerics.checks import check_key, check_probability, check_scalar, error

# The numbers of values of a uint32, and the largest float32 below 1.
_WORDS = 2.0**32
_BELOW_ONE = 1.0 - 2.0**-24


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

    It is not `jax.random.bernoulli(key, P, shape)`; where those very bits are wanted, give
    `bernoulli_mask` to `apply_dropout_mask`.

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
    check_keep_prob(keep_prob)
    drawn = _drawn_shape(tuple(shape), broadcast_dims)
    always = jnp.asarray(keep_prob).astype(jnp.float32) >= 1.0
    return (hash_bits_for_threshold(key, drawn) < _threshold(keep_prob)) | always


def bernoulli_mask(
    key: PRNGKeyArray, shape: Sequence[int], *, keep_prob: ArrayLike
) -> Bool[Array, "..."]:
    r"""Draws the mask that other libraries draw from this key, several times faster than they do.

    $$ r = \texttt{jax.random.bernoulli}(k, P, \text{shape}), \qquad P \text{ in float32} $$

    bit for bit. JAX computes those bits in a loop over arrays in memory; here nothing is kept but
    the mask. It costs about five times what `dropout_mask` does.

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
    check_keep_prob(keep_prob)
    return _bernoulli(key, jnp.asarray(keep_prob).astype(jnp.float32), tuple(shape))


@partial(jax.jit, static_argnames="shape")
def _bernoulli(key: PRNGKeyArray, keep_prob: Array, shape: tuple[int, ...]) -> Array:
    def draw() -> Array:
        return unit_interval(random_bits(key, shape)) < keep_prob

    # XLA fuses no branch with what uses it. Fused, twenty rounds would be computed anew for the
    # backward pass, and in loops that LLVM makes slower ones of.
    def in_memory() -> Array:
        # Zeros like a draw, so that shard_map knows them to vary where the key does.
        return lax.cond(lax.optimization_barrier(True), draw, lambda: jnp.zeros_like(draw()))

    return lax.platform_dependent(cpu=in_memory, default=draw)


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
        ValueError: the mask does not broadcast to the shape of `x`.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import apply_dropout_mask
        >>> apply_dropout_mask(jnp.array([1.0, jnp.nan]), jnp.array([True, False])).tolist()
        [1.0, 0.0]

    References:
        Slide 7, "Dropout en entrenamiento"; Srivastava et al. 2014, section 4.
    """
    pairs = zip(mask.shape, x.shape, strict=False)
    fits = mask.ndim == x.ndim and all(size in (1, full) for size, full in pairs)
    if not fits:
        raise error("mask", mask.shape, f"of a shape that broadcasts to {x.shape}")
    if x.dtype != jnp.bfloat16:
        return jnp.where(mask, x, jnp.zeros((), x.dtype))
    # XLA selects in float32 on CPU and rounds, slowly, what needs no rounding.
    return cast(jnp.where(mask, cast(x, jnp.float32), 0.0), x.dtype)


def check_keep_prob(keep_prob: ArrayLike) -> None:
    """Raises unless P is a scalar in [0, 1]; a tracer is asked for its shape only.

    Raises:
        ValueError: any other value.

    Example:
        >>> check_keep_prob(0.5)
    """
    check_probability("keep_prob", keep_prob, "It is the probability of keeping a unit.")
    check_scalar("keep_prob", keep_prob)


def drawn_probability(keep_prob: ArrayLike) -> Float[Array, ""]:
    r"""The probability with which `dropout_mask` keeps a unit, $\lfloor 2^{32}P \rfloor / 2^{32}$.

    It is float32(P) for every $P \ge 2^{-9}$.

    Example:
        >>> float(drawn_probability(0.5)), float(drawn_probability(1e-12))
        (0.5, 0.0)
    """
    probability = jnp.asarray(keep_prob).astype(jnp.float32)
    drawn = _threshold(probability).astype(jnp.float32) / _WORDS
    return jnp.where(probability >= 1.0, jnp.ones((), jnp.float32), drawn)


def _threshold(keep_prob: ArrayLike) -> UInt32[Array, ""]:
    # Capped below 1, because 2^32 itself is no uint32; P = 1 is decided beside the comparison.
    probability = jnp.minimum(jnp.asarray(keep_prob).astype(jnp.float32), _BELOW_ONE)
    return jnp.floor(probability * _WORDS).astype(jnp.uint32)


def _drawn_shape(shape: tuple[int, ...], broadcast_dims: Sequence[int]) -> tuple[int, ...]:
    rank = len(shape)
    if not all(-rank <= dim < rank for dim in broadcast_dims):
        repair = "Give no axis to draw every unit by itself."
        raise error("broadcast_dims", tuple(broadcast_dims), f"axes of the shape {shape}", repair)
    shared = {dim % rank for dim in broadcast_dims}
    return tuple(1 if dim in shared else size for dim, size in enumerate(shape))
