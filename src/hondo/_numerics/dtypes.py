"""The dtype in which sums are accumulated."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from hondo._numerics.checks import error


def accumulation_dtype(dtype: DTypeLike) -> np.dtype:
    """The dtype to accumulate in: float64 for float64, if JAX has it, else float32.

    Unlike `jnp.promote_types` it may be asked of any real dtype under strict promotion.

    Raises:
        ValueError: a complex dtype, whose imaginary part would be lost.

    Example:
        >>> accumulation_dtype(jnp.bfloat16)
        dtype('float32')
    """
    if jnp.issubdtype(dtype, jnp.complexfloating):
        repair = "Give the real and the imaginary part as two arrays."
        raise error("the dtype", str(np.dtype(dtype)), "a real one", repair)
    # NumPy's float64 is float32 where JAX has no other.
    wanted = np.float64 if dtype == jnp.float64 else np.float32
    return np.dtype(jax.dtypes.canonicalize_dtype(wanted))


def float_dtype(dtype: DTypeLike) -> np.dtype:
    """The dtype as JAX has it, `float` being its default one.

    Raises:
        ValueError: a dtype that is not a real floating one.

    Example:
        >>> float_dtype(float)
        dtype('float32')
    """
    try:
        known = jax.dtypes.canonicalize_dtype(dtype)
    except (TypeError, ValueError):
        raise error("dtype", dtype, "a real floating one") from None
    if not jnp.issubdtype(known, jnp.floating):
        raise error("dtype", str(known), "a real floating one")
    return known
