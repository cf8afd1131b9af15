"""What must hold on whatever device JAX has, beside the host: `pytest -m accelerator`.

On a machine without an accelerator the device is the host, and the same tests show that they run.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen

import hondo
import hondo.linen

pytestmark = [
    pytest.mark.accelerator,
    # Matrix units take float32 apart into shorter numbers unless they are told not to.
    pytest.mark.usefixtures("full_precision"),
]

HOST = jax.devices("cpu")[0]
KEY = jax.random.key(2014)
EPS32 = float(np.finfo(np.float32).eps)


@pytest.fixture
def full_precision():
    with jax.default_matmul_precision("highest"):
        yield


def on_host(function, *args):
    with jax.default_device(HOST):
        return jax.jit(function)(*jax.device_put(args, HOST))


def on_device(function, *args):
    return jax.jit(function)(*jax.device_put(args, jax.devices()[0]))


def assert_same_bits(function, *args) -> None:
    here, there = on_device(function, *args), on_host(function, *args)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(here), jax.device_get(there))


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(7,), (1024, 1024), (3, 5, 17)])
@pytest.mark.parametrize("keep_prob", [0.1, 0.5, 0.8, 0.999])
@pytest.mark.parametrize("bits", ["hash", "threefry"])
def test_masks_have_the_bits_that_they_have_on_the_host(shape, keep_prob, bits) -> None:
    draw = {
        "hash": partial(hondo.dropout_mask, shape=shape, keep_prob=keep_prob),
        "threefry": lambda key: jax.random.bernoulli(key, keep_prob, shape),
    }[bits]
    assert_same_bits(draw, KEY)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_dropout_and_its_gradient_have_the_bits_of_the_host(dtype) -> None:
    x = jnp.arange(1.0, 4097.0, dtype=jnp.float32).reshape(64, 64).astype(dtype)

    def both(x, key):
        out, pullback = jax.vjp(lambda x: hondo.dropout(key, x, keep_prob=0.5), x)
        return out, pullback(x)

    assert_same_bits(both, x, KEY)


INITIALIZERS = ["he_uniform", "glorot_uniform", "lecun_uniform"]


@pytest.mark.parametrize("name", INITIALIZERS)
def test_uniform_initial_weights_have_the_bits_of_the_host(name) -> None:
    init = getattr(hondo, name)()
    assert_same_bits(lambda key: init(key, (64, 32), jnp.float32), KEY)


def norm_64(x, axes, epsilon):
    x = np.asarray(x, np.float64)
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(var + epsilon)


NORMS = {
    "batch": (lambda x, s, b: hondo.batch_normalize(x, s, b, epsilon=1e-5)[0], 0),
    "layer": (lambda x, s, b: hondo.layer_norm(x, s, b, epsilon=1e-5), -1),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("shape", [(256, 128), (8192, 256)])
@pytest.mark.parametrize("kappa", [0.0, 1e2, 1e4])
def test_norms_are_exact_where_the_mean_is_many_deviations(name, shape, kappa) -> None:
    norm, axes = NORMS[name]
    x = jnp.asarray(np.random.default_rng(0).normal(kappa, 1.0, shape), jnp.float32)
    got = on_device(norm, x, jnp.ones(shape[1]), jnp.zeros(shape[1]))
    # x has rounding errors of eps kappa of its own, which are data; the mean may add a few eps.
    np.testing.assert_allclose(got, norm_64(x, axes, 1e-5), rtol=0, atol=32 * EPS32)


@pytest.mark.slow
@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_norms_of_short_numbers_are_computed_in_float32(name, dtype) -> None:
    norm, axes = NORMS[name]
    x = jnp.asarray(np.random.default_rng(1).normal(3.0, 1.0, (512, 256)), dtype)
    got = on_device(norm, x, jnp.ones(256), jnp.zeros(256))
    assert got.dtype == dtype
    unit = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(
        np.asarray(got, np.float64), norm_64(x, axes, 1e-5), rtol=unit, atol=unit / 4
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", NORMS)
def test_gradients_of_norms_are_those_of_the_host(name) -> None:
    norm, _ = NORMS[name]
    x, g = np.random.default_rng(2).normal(1.0, 1.0, (2, 1024, 96)).astype(np.float32)

    def gradients(x, scale, bias, g):
        return jax.vjp(norm, x, scale, bias)[1](g)

    args = (x, np.ones(96, np.float32), np.zeros(96, np.float32), g)
    for here, there in zip(on_device(gradients, *args), on_host(gradients, *args), strict=True):
        scale = float(np.abs(np.asarray(there)).max())
        np.testing.assert_allclose(here, there, rtol=0, atol=64 * EPS32 * scale)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_clipping_ends_on_the_sphere_at_any_size(size) -> None:
    draws = np.random.default_rng(3).normal(0.0, size, (1000,))
    grads = {"w": jnp.asarray(draws, jnp.float32), "b": jnp.asarray([size, -size], jnp.float32)}
    limit = size / 8
    clip = hondo.clip_by_global_norm(limit)

    def clipped(grads):
        return clip.update(grads, clip.init(grads))[0]

    leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(on_device(clipped, grads))]
    norm = np.sqrt(sum((leaf**2).sum() for leaf in leaves))
    assert norm == pytest.approx(limit, rel=64 * EPS32)


class Network(linen.Module):
    """A hidden layer with batch norm and dropout."""

    @linen.compact
    def __call__(self, x, *, train):
        x = linen.Dense(32)(x)
        x = linen.relu(hondo.linen.BatchNorm()(x, train=train))
        x = hondo.linen.Dropout(0.25)(x, train=train)
        return linen.Dense(3)(x)


def data(rows: int):
    rng = np.random.default_rng(4)
    targets = rng.integers(0, 3, rows)
    inputs = rng.normal(0.0, 0.3, (rows, 8)) + np.eye(8)[targets]
    return inputs.astype(np.float32), targets.astype(np.int32)


STOPPER = hondo.early_stopping(patience=4, mode="min")


def train(train, valid, key):
    return hondo.fit(
        hondo.supervised(Network(), loss="cross_entropy"),
        optax.chain(hondo.clip_by_global_norm(1.0), optax.sgd(0.05, momentum=0.9)),
        train,
        valid,
        key=key,
        batch_size=32,
        max_epochs=12,
        stopper=STOPPER,
    )


@pytest.mark.slow
def test_fit_learns_and_its_curve_is_that_of_the_host() -> None:
    args = (data(256), data(96), KEY)
    here, there = on_device(train, *args), on_host(train, *args)
    first = [np.asarray(result.history.valid["loss"])[:3] for result in (here, there)]
    # Rounding errors grow from step to step: the beginning of the curves is comparable.
    np.testing.assert_allclose(*first, rtol=1e-3)
    assert float(np.nanmin(np.asarray(here.history.valid["loss"]))) < 0.5


@pytest.mark.slow
def test_sweep_gives_what_each_fit_gives() -> None:
    rows, valid = data(256), data(96)
    seeds = jnp.arange(4)
    result = hondo.sweep(
        lambda hyper: {"key": jax.random.key(hyper["seed"])},
        {"seed": seeds},
        rows,
        valid,
        problem=hondo.supervised(Network(), loss="cross_entropy"),
        optimizer=optax.sgd(0.05, momentum=0.9),
        batch_size=32,
        max_epochs=4,
        stopper=STOPPER,
    )
    alone = hondo.fit(
        hondo.supervised(Network(), loss="cross_entropy"),
        optax.sgd(0.05, momentum=0.9),
        rows,
        valid,
        key=jax.random.key(2),
        batch_size=32,
        max_epochs=4,
        stopper=STOPPER,
    )
    got = np.asarray(result.results[2].history.valid["loss"])
    np.testing.assert_allclose(got, alone.history.valid["loss"], rtol=1e-3)


@pytest.mark.slow
def test_a_donated_state_is_written_over() -> None:
    clip = optax.chain(hondo.clip_by_global_norm(1.0), optax.sgd(0.05, momentum=0.9))
    params = {"w": jnp.ones((256, 256))}
    state = clip.init(params)

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state):
        grads = jax.tree.map(jnp.sin, params)
        updates, state = clip.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    new, _ = step(params, state)
    assert np.isfinite(np.asarray(new["w"])).all()
    assert params["w"].is_deleted()
