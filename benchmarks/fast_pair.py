"""What a fast form and its plain form are compared on, and how."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike

from hondo._fast.whole_program import WholeProgram
from hondo._numerics.dtypes import accumulation_dtype

Function = Callable[..., optax.Params]
SINGLE = (jnp.float32,)


class Pair(NamedTuple):
    """A fast form, its plain form, and how near they must be.

    Attributes:
        name: `file: what`, the file being one of `hondo/_fast/`.
        tries: the functions of `hondo/_fast/` that it holds to account.
        fast: the function.
        plain: the same in the fewest operations, for float64 as well.
        shapes: of its arguments, of which the first has the dtype asked for.
        large: shapes that its time is measured at.
        roundings: how many roundings of the accumulation dtype the results may be apart, relative
            to the largest entry; 0 for the same bits, None for other draws of one distribution,
            which are timed alone.
        of_dtype: how many roundings of the dtype asked for come on top, where what is between the
            arguments and a result in another dtype is rounded to it.
        dtypes: in which it is tried.
        gradient: whether it has one.
        offset: what is added to normal data, in standard deviations.
        is_compiled_faster: whether the time to compile is measured too.
        is_quick: whether the first dtype is tried while you work, too.
        is_whole: whether the fast form is compiled as whole runs are, and the plain one is not.
    """

    name: str
    tries: tuple[Callable[..., object], ...]
    fast: Function
    plain: Function
    shapes: tuple[tuple[int, ...], ...]
    large: tuple[tuple[int, ...], ...]
    roundings: int | None
    of_dtype: int = 0
    dtypes: tuple[DTypeLike, ...] = (jnp.float32, jnp.bfloat16, jnp.float16, jnp.float64)
    gradient: bool = True
    offset: float = 0.0
    is_compiled_faster: bool = False
    is_quick: bool = False
    is_whole: bool = False

    def compiled(self, function: Function, *, is_fast: bool) -> Function:
        """A function of this form, jitted."""
        return WholeProgram(function) if is_fast and self.is_whole else jax.jit(function)


def arguments(pair: Pair, shapes: tuple[tuple[int, ...], ...], dtype: DTypeLike) -> list[jax.Array]:
    """Normal data of these shapes; the first in the dtype, the others as parameters are."""
    keys = jax.random.split(jax.random.key(0), len(shapes))
    accumulation = accumulation_dtype(dtype)
    drawn = [
        jax.random.normal(key, shape, accumulation) for key, shape in zip(keys, shapes, strict=True)
    ]
    return [(drawn[0] + jnp.asarray(pair.offset, drawn[0].dtype)).astype(dtype), *drawn[1:]]


def with_gradient(function: Function) -> Function:
    """The results, and the gradient in every argument of a cotangent of small integers."""

    def both(*args: jax.Array) -> tuple[optax.Params, optax.Params]:
        out, pullback = jax.vjp(function, *args)
        return out, pullback(jax.tree.map(cotangent, out))

    return both


def cotangent(out: jax.Array) -> jax.Array:
    """Small integers, which every dtype holds, constant along no axis."""
    return (jnp.arange(out.size) ** 2 % 7 + 1).astype(out.dtype).reshape(out.shape)
