"""What the lecture's tests share: what they draw, and how near two numbers must be.

Most inputs are small integers, whose sums and products are exact in float32 in any order, so that
most formulas hold to the last bit. Elsewhere k roundings may cost γ_k = ku/(1 − ku). A statement
about chance fails a right library with probability at most 1e-9 (`exact.ALPHA`) for each key.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from exact import gamma
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

f32 = partial(jnp.asarray, dtype=jnp.float32)
f64 = partial(np.asarray, dtype=np.float64)

KEYS = st.integers(0, 2**31 - 1).map(jax.random.key)
STRENGTHS = st.integers(0, 64).map(lambda n: n / 16)
POWERS_OF_TWO = st.sampled_from([0.25, 0.5, 2.0, 4.0])


def integers(*shape, most=8):
    return hnp.arrays(np.int64, shape, elements=st.integers(-most, most), fill=st.nothing()).map(
        f64
    )


def nonzero(*shape):
    return integers(*shape).map(lambda n: np.where(n == 0, 1.0, n))


def assert_equal(got, want):
    np.testing.assert_array_equal(f64(got), want)


def assert_close(got, want, roundings, size=None):
    """|got − want| ≤ γ_k·size; size, the sum of the terms' magnitudes, is |want| if not given."""
    size = np.abs(want) if size is None else size
    assert np.all(np.abs(f64(got) - want) <= gamma(roundings) * size), (got, want)


@partial(jax.jit, static_argnums=0)
def forward_and_back(function, g, *args):
    """y = f(args), and the gradients of g·y in all the arguments."""
    y, pull = jax.vjp(function, *args)
    return y, pull(g)


def sigma(z):
    return 1 / (1 + np.exp(-z))


def softmax(z):
    return np.exp(z) / np.exp(z).sum(-1, keepdims=True)
