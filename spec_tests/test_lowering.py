"""Every technique lowers for accelerators that are not here: what their compilers are given.

`jax.export` needs no device. Nothing asks the host, nothing is float64, and no operation exists on
CPU only.
"""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from laws import example
from test_accelerators import INITIALIZERS, KEY, data, train
from test_laws import CASES

import hondo
import hondo.nnx
from hondo._fast.convolution import conv_general_dilated

PLATFORMS = ("cuda", "rocm", "tpu")
SHARDINGS = {"Sharding", "SPMDFullToShardShape", "SPMDShardToFullShape"}
# What the three platforms have for the QR decomposition of orthogonal weights.
FACTORIZATIONS = {"Qr", "ProductOfElementaryHouseholderReflectors"} | {
    f"{library}_{name}_ffi" for library in ("cusolver", "hipsolver") for name in ("geqrf", "orgqr")
}
X, IMAGES = jnp.ones((64, 32)), jnp.ones((4, 8, 8, 3))


def with_gradient(function):
    def both(x):
        out, pullback = jax.vjp(function, x)
        return out, pullback(out)

    return both


def assert_lowers(function, *args) -> None:
    text = jax.export.export(jax.jit(function), platforms=PLATFORMS)(*args).mlir_module()
    assert "f64" not in text
    called = set(re.findall(r"custom_call @(\w+)", text))
    assert called <= SHARDINGS | FACTORIZATIONS, called


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_every_technique_and_its_gradient_lower(case) -> None:
    def both(key, x):
        out, pull_back = jax.vjp(partial(case.run, key), x)
        return out, pull_back(jax.tree.map(as_cotangent, out))

    run = both if case.differentiable else case.run
    for dtype in (jnp.float32, jnp.bfloat16) if case.keeps else (jnp.float32,):
        assert_lowers(run, KEY, example(case, dtype))


def as_cotangent(out):
    is_floating = jnp.issubdtype(out.dtype, jnp.floating)
    return jnp.ones_like(out) if is_floating else np.zeros(out.shape, jax.dtypes.float0)


def test_convolution_lowers() -> None:
    kernel = jnp.ones((3, 3, 3, 8))
    convolve = partial(
        conv_general_dilated,
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    assert_lowers(with_gradient(lambda x: convolve(x, kernel)), IMAGES)


@pytest.mark.parametrize("augment", [hondo.random_flip, partial(hondo.random_crop, padding=2)])
def test_augmentation_lowers(augment) -> None:
    keys = jax.random.split(KEY, 4)
    assert_lowers(lambda x: jax.vmap(augment)(keys, x), IMAGES)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_initializers_lower(name) -> None:
    assert_lowers(lambda key: getattr(hondo, name)()(key, (8, 4), jnp.float32), KEY)


@pytest.mark.slow
def test_a_whole_run_lowers() -> None:
    assert_lowers(train, data(64), data(32), KEY)


@pytest.mark.slow
def test_an_nnx_network_lowers() -> None:
    class Network(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.dense = nnx.Linear(32, 8, rngs=rngs)
            self.norm = hondo.nnx.BatchNorm(8, rngs=rngs)
            self.dropout = hondo.nnx.Dropout(0.5, rngs=rngs)

        def __call__(self, x):
            return self.dropout(self.norm(self.dense(x)))

    problem = hondo.supervised(Network, loss="cross_entropy")
    batch = (X, jnp.zeros(64, jnp.int32))
    params, model_state = problem.init(KEY, batch)
    loss = jax.value_and_grad(problem.loss, has_aux=True)
    assert_lowers(lambda params, batch: loss(params, model_state, batch, KEY), params, batch)


def test_the_check_sees_what_it_forbids() -> None:
    def asks_the_host(x):
        return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x)

    with pytest.raises((AssertionError, ValueError, NotImplementedError)):
        assert_lowers(asks_the_host, X)
