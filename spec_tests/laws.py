"""What a case is: one public function at work, and the capabilities the generic laws may rely on.

Each `cases_<area>.py` holds `CASES`, a tuple of these, and `EXEMPT`, the public names that are no
functions of arrays, each with its reason. Adding a technique adds one line there.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Case(NamedTuple):
    """One call: `run(key, x)` with x of `shape` gives an array or a tree of arrays.

    Attributes:
        name: the public name of hondo that it exercises.
        run: the call; a deterministic one ignores the key.
        shape: the shape of x.
        random: the result depends on the key.
        differentiable: the sum of the result has a finite gradient in x, edges included.
        keeps: the result is one array with the shape and the dtype of x.
        ulps: how far, in units of eps times the largest magnitude, jit may be from eager;
            0 asks for the same bits.
        label: tells two cases of one name apart.
    """

    name: str
    run: Callable[[Any, Any], Any]
    shape: tuple[int, ...] = (4, 8)
    random: bool = False
    differentiable: bool = True
    keeps: bool = True
    ulps: float = 0
    label: str = ""

    @property
    def id(self) -> str:
        return f"{self.name}-{self.label}" if self.label else self.name


def example(case: Case, dtype: Any = jnp.float32, seed: int = 0) -> jax.Array:
    """A fixed input with a zero, both signs and a magnitude above one."""
    x = np.random.default_rng(seed).normal(size=case.shape) * 2
    x.flat[0] = 0.0
    return jnp.asarray(x, dtype)


def assert_close(got: Any, want: Any, ulps: float) -> None:
    """Trees of the same structure, shapes and dtypes, equal within `ulps`; NaN equals NaN."""
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        if jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
            one, other = jax.random.key_data(one), jax.random.key_data(other)
        one, other = np.asarray(one), np.asarray(other)
        if ulps == 0 or not jnp.issubdtype(one.dtype, jnp.floating):
            np.testing.assert_array_equal(one, other)
            continue
        eps = float(jnp.finfo(one.dtype).eps)
        one, other = one.astype(np.float64), other.astype(np.float64)
        scale = np.max(np.abs(other), where=np.isfinite(other), initial=0.0)
        np.testing.assert_allclose(one, other, rtol=0, atol=ulps * eps * scale)
