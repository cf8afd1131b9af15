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
from test_accelerators import INITIALIZERS, KEY, data, train

import hondo
from hondo._fast.convolution import conv_general_dilated

PLATFORMS = ["cuda", "rocm", "tpu"]
X, IMAGES = jnp.ones((64, 32)), jnp.ones((4, 8, 8, 3))
ONES = jnp.ones(32)
CLIP = hondo.clip_by_global_norm(1.0)

FUNCTIONS = {
    "batch norm": lambda x: hondo.batch_normalize(x, ONES, ONES, epsilon=1e-5),
    "layer norm": lambda x: hondo.layer_norm(x, ONES, ONES, epsilon=1e-5),
    "rms norm": lambda x: hondo.rms_norm(x, ONES, epsilon=1e-5),
    "dropout": lambda x: hondo.dropout(KEY, x, keep_prob=0.8),
    "noise": lambda x: hondo.gaussian_noise(KEY, x, std=0.1),
    "bfloat16 norm": lambda x: hondo.layer_norm(x.astype(jnp.bfloat16), ONES, ONES, epsilon=1e-5),
    "clipping": lambda x: CLIP.update({"w": x}, CLIP.init({"w": x}))[0],
    "l2 penalty": lambda x: hondo.l2_penalty({"kernel": x}, strength=1e-3),
}


def with_gradient(function):
    def both(x):
        out, pullback = jax.vjp(function, x)
        return out, pullback(out)

    return both


def assert_lowers(function, platform, *args) -> None:
    text = jax.export.export(jax.jit(function), platforms=[platform])(*args).mlir_module()
    assert "f64" not in text
    called = set(re.findall(r"custom_call @(\w+)", text))
    assert called <= {"Sharding", "SPMDFullToShardShape", "SPMDShardToFullShape"}, called


@pytest.mark.slow
@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_and_its_gradient_lower(platform, name) -> None:
    assert_lowers(with_gradient(FUNCTIONS[name]), platform, X)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_convolution_lowers(platform) -> None:
    kernel = jnp.ones((3, 3, 3, 8))
    convolve = partial(
        conv_general_dilated,
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    assert_lowers(with_gradient(lambda x: convolve(x, kernel)), platform, IMAGES)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("augment", [hondo.random_flip, partial(hondo.random_crop, padding=2)])
def test_augmentation_lowers(platform, augment) -> None:
    keys = jax.random.split(KEY, 4)
    assert_lowers(lambda x: jax.vmap(augment)(keys, x), platform, IMAGES)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", INITIALIZERS)
def test_initializers_lower(platform, name) -> None:
    assert_lowers(lambda key: getattr(hondo, name)()(key, (8, 4), jnp.float32), platform, KEY)


@pytest.mark.slow
@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_whole_run_lowers(platform) -> None:
    assert_lowers(train, platform, data(64), data(32), KEY)


def test_the_check_sees_what_it_forbids() -> None:
    def asks_the_host(x):
        return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x)

    with pytest.raises((AssertionError, ValueError)):
        assert_lowers(asks_the_host, "cuda", X)
