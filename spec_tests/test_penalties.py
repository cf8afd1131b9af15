"""Norm penalties, their proximal steps and the roles that choose what they apply to."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from exact import gamma, unit_roundoff
from flax import linen, nnx
from hypothesis import given
from hypothesis import strategies as st

import hondo

# Small integers times powers of two: every sum and product below is exact in float32.
LATTICE = st.lists(st.integers(-64, 64), min_size=6, max_size=6).map(
    lambda v: np.float32(v).reshape(2, 3) / 4
)


def tree(kernel):
    return {"layer": {"kernel": jnp.asarray(kernel), "bias": jnp.full(3, 7.0)}}


@pytest.mark.slow
def test_proximal_l1_is_the_lasso_on_an_orthogonal_design() -> None:
    rng = np.random.default_rng(1)
    q, _ = np.linalg.qr(rng.normal(size=(20, 4)))
    y = rng.normal(size=20) * 2
    strength, rate = 1.0, 0.5
    correlation = q.T @ y
    want = np.sign(correlation) * np.maximum(np.abs(correlation) - strength / 2, 0)
    x, y = jnp.asarray(q, jnp.float32), jnp.asarray(y, jnp.float32)
    optimizer = optax.chain(
        optax.sgd(rate), hondo.proximal_l1(strength, learning_rate=rate, where=lambda p, w: True)
    )
    w = jnp.zeros(4)
    state = optimizer.init(w)
    for _ in range(60):
        updates, state = optimizer.update(x.T @ (x @ w - y), state, w)
        w = optax.apply_updates(w, updates)
    bound = (2.0**-60 + 4 * gamma(2 * 20)) * (1 + np.abs(np.asarray(y)).sum())
    np.testing.assert_allclose(w, want, rtol=0, atol=bound)
    np.testing.assert_array_equal(np.asarray(w) == 0, want == 0)


class Deep(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = linen.Embed(7, 4)(x)
        x = linen.LayerNorm()(x)
        return linen.Dense(3)(x)


@pytest.mark.slow
@pytest.mark.spec("PEN-06")
@pytest.mark.promise(11)
def test_pen_06_roles_in_a_linen_tree() -> None:
    params = Deep().init(jax.random.key(0), jnp.zeros((2,), jnp.int32))["params"]
    mask = hondo.weight_mask(params)
    assert mask["Embed_0"] == {"embedding": True}
    assert mask["LayerNorm_0"] == {"bias": False, "scale": False}
    assert mask["Dense_0"] == {"bias": False, "kernel": True}


@pytest.mark.promise(11)
def test_pen_06_roles_in_an_nnx_tree() -> None:
    class Net(nnx.Module):
        def __init__(self, rngs):
            self.dense = nnx.Linear(3, 2, rngs=rngs)
            self.norm = nnx.BatchNorm(2, rngs=rngs)

    net = Net(nnx.Rngs(0))
    got = hondo.l2_penalty(nnx.state(net, nnx.Param), 1.0)
    want = np.sum(np.float64(net.dense.kernel.get_value()) ** 2) / 2
    assert abs(float(got) - want) <= gamma(8) * want


def test_a_weight_inside_a_norm_is_a_scale() -> None:
    assert not hondo.is_weight(("layer_norm1", "weight"), None)
    assert hondo.is_weight(("attention", "weight"), None)


@pytest.mark.slow
@pytest.mark.promise(11)
@given(st.lists(LATTICE, min_size=3, max_size=3))
def test_stacking_by_scan_or_vmap_changes_nothing(kernels) -> None:
    layers = [tree(w) for w in kernels]
    for penalty in (hondo.l1_penalty, hondo.l2_penalty):
        apart = sum(float(penalty(layer, 0.5)) for layer in layers)
        assert float(penalty(hondo.stack(layers), 0.5)) == apart
        assert float(penalty({str(i): layer for i, layer in enumerate(layers)}, 0.5)) == apart


@pytest.mark.spec("PEN-07")
def test_pen_07_strength_zero_is_no_penalty_at_all() -> None:
    def loss(p, scale):
        return scale * jnp.sum(jnp.tanh(p["kernel"])), {"seen": p["kernel"]}

    params = {"kernel": jnp.array([jnp.inf, 0.1, -3.0])}
    penalized = hondo.penalized(loss, partial(hondo.l2_penalty, strength=0.0))
    want = jax.value_and_grad(loss, has_aux=True)(params, 2.0)
    got = jax.value_and_grad(penalized, has_aux=True)(params, 2.0)
    jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: hondo.l1_penalty(tree(np.ones((2, 3))), -1.0), "strength .* at least 0, got -1"),
        (lambda: hondo.l2_penalty(tree(np.ones((2, 3))), math.nan), "strength"),
        (lambda: hondo.max_norm(-1.0), "limit"),
        (lambda: hondo.proximal_l1(-1.0, learning_rate=0.1), "strength"),
        (lambda: hondo.proximal_l1(1.0, learning_rate=-0.1), "learning_rate"),
        (lambda: hondo.l2_penalty({"b": jnp.ones(1)}, 1.0), "at least one parameter.*There is: b"),
    ],
)
@pytest.mark.spec("XCT-04")
def test_bad_arguments_are_refused(call, words) -> None:
    with pytest.raises(ValueError, match=words):
        call()


def test_an_update_without_parameters_is_refused() -> None:
    step = hondo.max_norm(1.0)
    params = {"kernel": jnp.ones((2, 2))}
    with pytest.raises(ValueError, match="params must be given"):
        step.update(params, step.init(params))


def test_low_precision_sums_are_taken_in_float32() -> None:
    w = {"kernel": jnp.full((4096,), 0.01, jnp.bfloat16)}
    want = 4096 * float(jnp.bfloat16(0.01)) ** 2 / 2
    got = hondo.l2_penalty(w, 1.0)
    assert got.dtype == jnp.float32
    assert abs(float(got) - want) <= gamma(4096) * want
    assert unit_roundoff(jnp.bfloat16) > gamma(4096), "a bfloat16 sum would be off by more"


@pytest.mark.parametrize(
    ("path", "weight"),
    [
        (("norms", "0", "weight"), False),
        (("LayerNorm_2", "weight"), False),
        (("heads", "normals", "weight"), True),
        (("heads", "normals", "kernel"), True),
        (("PreNormBlock_0", "Dense_0", "kernel"), True),
        (("SpectralNorm_0", "kernel"), True),
        (("norm_then_linear", "linear", "weight"), True),
        (("1", "weight"), True),
    ],
)
def test_only_the_weight_of_a_norm_is_a_scale(path, weight) -> None:
    assert hondo.is_weight(path, None) == weight


def test_a_penalized_loss_may_be_jitted() -> None:
    penalty = partial(hondo.l2_penalty, strength=1.0)
    loss = hondo.penalized(lambda params: params["kernel"][0], penalty)
    assert float(jax.jit(loss)({"kernel": jnp.array([2.0])})) == 4.0


def test_a_penalized_loss_takes_names_and_plain_numbers() -> None:
    loss = hondo.penalized(lambda params, scale: scale * params["kernel"][0], lambda params: 1.0)
    assert float(loss({"kernel": jnp.array([2.0])}, scale=3.0)) == 7.0


@pytest.mark.parametrize("penalty", [hondo.l1_penalty, hondo.l2_penalty])
def test_a_strength_may_be_an_array_of_jax(penalty) -> None:
    params = {"kernel": jnp.arange(6.0).reshape(2, 3)}
    for value in (0.0, 0.5):
        strength = jnp.float32(value)
        compiled = jax.jit(lambda p, strength=strength: penalty(p, strength))
        assert float(compiled(params)) == float(penalty(params, value))
    with pytest.raises((ValueError, TypeError), match="strength"):
        penalty(params, jnp.ones(2))


def test_proximal_steps_of_halves_are_computed_in_singles() -> None:
    params = {"kernel": jnp.full((1,), 60.0, jnp.float16)}
    for rate, want in ((1e-3, 10.0), (0.0, 60.0), (1e-8, 60.0)):
        step = hondo.proximal_l1(1e5, learning_rate=rate)
        still = jax.tree.map(jnp.zeros_like, params)
        updates, _ = step.update(still, step.init(params), params)
        np.testing.assert_allclose(optax.apply_updates(params, updates)["kernel"], want)


@pytest.mark.parametrize(
    "make", [lambda: hondo.max_norm(1.0), lambda: hondo.proximal_l1(1.0, learning_rate=0.1)]
)
def test_the_form_of_the_state_needs_no_parameters(make) -> None:
    step = make()
    state = step.init({"kernel": jnp.ones((2, 2))})
    mapped = optax.tree_map_params(step, lambda leaf: leaf, state)
    assert jax.tree.structure(mapped) == jax.tree.structure(state)


TRANSFORMATIONS = {
    "max_norm": (hondo.max_norm, {"limit": 1.0}),
    "proximal_l1": (hondo.proximal_l1, {"strength": 1.0, "learning_rate": 0.5}),
    "clip_by_global_norm": (hondo.clip_by_global_norm, {"limit": 1.0}),
    "clip_by_layer": (hondo.clip_by_layer, {"limit": 1.0}),
    "clip_by_value": (hondo.clip_by_value, {"limit": 1.0}),
    "adaptive_clip": (hondo.adaptive_clip, {"ratio": 0.1}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_hyperparameters_of_every_transformation_may_be_injected(name):
    make, numbers = TRANSFORMATIONS[name]
    params = {"kernel": jnp.arange(6.0).reshape(3, 2), "bias": jnp.ones(2)}
    updates = jax.tree.map(lambda p: 0.5 - p, params)

    def run(step, state):
        return jax.jit(step.update)(updates, state, params)[0]

    plain, injected = make(**numbers), optax.inject_hyperparams(make)(**numbers)
    jax.tree.map(
        np.testing.assert_array_equal,
        run(injected, injected.init(params)),
        run(plain, plain.init(params)),
    )
    # The numbers are traced in `update`, and change from step to step.
    state = injected.init(params)
    state.hyperparams.update({name: jnp.float32(0.25) for name in numbers})
    other = make(**dict.fromkeys(numbers, 0.25))
    jax.tree.map(
        np.testing.assert_array_equal, run(injected, state), run(other, other.init(params))
    )
