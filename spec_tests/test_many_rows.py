"""Gradients of norms over so many short rows that the compiler sums them in another way."""

import jax
import numpy as np
import pytest
from exact import gamma

import hondo

EPS = 1e-5
NORMS = {
    "layer": (1, lambda x, g, b: hondo.layer_norm(x, g, b, epsilon=EPS)),
    "rms": (1, lambda x, g, b: hondo.rms_norm(x, g, epsilon=EPS)),
    "group": (2, lambda x, g, b: hondo.group_norm(x, g, b, groups=2, epsilon=EPS)),
}


@pytest.mark.parametrize("shape", [(4096, 12), (4098, 22)])
@pytest.mark.parametrize("name", NORMS)
def test_gradients_of_many_rows_that_16_does_not_divide(name, shape) -> None:
    # Compiled sums of products with a row of features were wrong there.
    groups, norm = NORMS[name]
    rng = np.random.default_rng(0)
    x, back = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
    gain, bias = (rng.normal(size=shape[1]).astype(np.float32) for _ in range(2))
    got = jax.jit(lambda *a: jax.vjp(norm, *a)[1](back)[0])(x, gain, bias)
    wide, slope = (np.float64(a).reshape(-1, shape[1] // groups) for a in (x, back * gain))
    deviation = wide - wide.mean(-1, keepdims=True) * (name != "rms")
    root = np.sqrt((deviation**2).mean(-1, keepdims=True) + EPS)
    xhat, u = deviation / root, slope / root
    want = u - u.mean(-1, keepdims=True) * (name != "rms")
    want -= xhat * (xhat * u).mean(-1, keepdims=True)
    assert np.max(np.abs(got - want.reshape(shape))) <= gamma(64) * np.max(np.abs(u))
