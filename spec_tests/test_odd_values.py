"""What is rare and right all the same: float64 of NumPy, answers that are no bool, callbacks."""

import re
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compile_quickly import with_devices

import hondo
from hondo import linen as hl

KEY = jax.random.key(0)
PARAMS = {"kernel": jnp.array([0.05, -1.0]), "bias": jnp.array([0.05, 1.0])}


@pytest.mark.slow
def test_the_float64_of_numpy_is_read_as_float32() -> None:
    # A program of its own, because the check of types takes arrays of JAX's alone.
    program = """
import warnings, numpy as np, hondo
warnings.simplefilter("ignore")
kernel = {"kernel": np.array([[3.0, 0.1], [4.0, 0.2]])}
zeros = {"kernel": np.zeros((2, 2))}
near = lambda got, want: np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
near(hondo.l2_normalize(np.array([3.0, 4.0])), [0.6, 0.8])
near(hondo.global_norm({"w": np.array([3.0, 4.0])}), 5)
near(hondo.weight_norm(np.array([[3.0], [4.0]]), np.array([10.0])), [[6], [8]])
near(hondo.max_norm(1.0).update(zeros, (), kernel)[0]["kernel"], [[-2.4, 0], [-3.2, 0]])
clip, g = hondo.adaptive_clip(0.5), {"kernel": np.array([[4.0, 0.25]])}
near(clip.update(g, None, {"kernel": np.array([[1.0, 2.0]])})[0]["kernel"], [[0.5, 0.25]])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_gradients_are_clipped_under_vmap_on_a_mesh() -> None:
    program = """
import jax, jax.numpy as jnp, hondo
P, g = jax.sharding.PartitionSpec("d"), jnp.arange(40.0).reshape(8, 5) * 1e3
auto = jax.make_mesh((4,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
for clip in (hondo.clip_by_global_norm, hondo.clip_by_layer, hondo.clip_by_block_rms):
    each = jax.vmap(lambda g: clip(1.0).update(g, None)[0])
    want = each(g)
    assert jnp.allclose(jax.shard_map(each, mesh=auto, in_specs=P, out_specs=P)(g), want)
    with jax.set_mesh(jax.make_mesh((4,), ("d",))):
        assert jnp.allclose(jax.device_get(each(jax.device_put(g, P))), want)
"""
    environment = {**__import__("os").environ, **with_devices(4)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_member_is_clipped_as_alone_beside_one_that_overflows() -> None:
    clip = partial(hondo.clip_by_global_norm(1.0).update, state=None)
    g = jnp.stack([jnp.linspace(0.1, 3, 7), jnp.full(7, 1e30)])
    got = jax.vmap(lambda g: clip(g)[0])(g)
    np.testing.assert_array_equal(got[0], jax.jit(lambda g: clip(g)[0])(g[0]))


@pytest.mark.parametrize(
    "answer",
    [lambda name: np.bool_(name == "kernel"), lambda name: re.search("kernel", name),
     lambda name: jnp.array(name == "kernel"), lambda name: int(name == "kernel")],
)  # fmt: skip
def test_a_choice_may_be_anything_that_is_true_or_false(answer) -> None:
    def where(path, leaf):
        return answer(path[-1])

    step = hondo.proximal_l1(0.2, learning_rate=1.0, where=where)
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    moved = step.update(zeros, step.init(PARAMS), PARAMS)[0]
    np.testing.assert_array_equal(moved["bias"], zeros["bias"])
    assert np.any(moved["kernel"])
    np.testing.assert_allclose(hondo.l2_penalty(PARAMS, 1.0, where=where), 0.50125, rtol=1e-6)
    assert hondo.weight_mask(PARAMS, where) == {"kernel": True, "bias": False}


def test_a_batch_of_which_the_first_half_is_fitted_has_a_finite_gradient() -> None:
    x = jnp.concatenate([jnp.full((32, 1), 50.0), jnp.ones((32, 1))]) @ jnp.array([[1.0, 0.0]])
    y = jnp.concatenate([jnp.zeros(32, jnp.int32), jnp.ones(32, jnp.int32)])

    def loss(w, state, batch, key):
        return jnp.mean(hondo.cross_entropy(batch[0] @ w, batch[1])), (state, {})

    problem = hondo.Problem(lambda key, batch: (jnp.eye(2), ()), loss, None)
    found = hondo.diagnose(problem, jnp.eye(2), (), (x, y), key=KEY)
    assert not {v.kind for v in found.verdicts} & {"nonfinite_gradient", "nonfinite_response"}


def test_a_loss_that_prints_is_diagnosed(capfd) -> None:
    def loss(w, state, batch, key):
        z = jnp.tanh(batch @ w)
        jax.debug.print("{}", jnp.mean(z))
        return jnp.mean(z**2), (state, {})

    problem = hondo.Problem(lambda key, batch: (jnp.eye(3), ()), loss, None)
    assert len(hondo.diagnose(problem, batch=jnp.ones((4, 3)), key=KEY).table()) == 1


def test_what_only_a_metric_makes_infinite_has_no_origin() -> None:
    def loss(w, state, batch, key):
        value = jnp.sum((batch @ w) ** 2)
        return value, (state, {"perplexity": jnp.exp(value)})

    problem, batch = hondo.Problem(None, loss, None), jnp.full((2, 3), 10.0)
    assert hondo.diagnosis.find_nonfinite(problem, jnp.ones(3), (), batch, key=KEY) is None


def test_a_prediction_without_a_label_has_the_gradient_0_whatever_it_is() -> None:
    def mean(predictions):
        targets = jnp.array([1.0, jnp.nan])
        return hondo.labelled_mean(lambda p, t: (p - t) ** 2, predictions, targets)

    np.testing.assert_array_equal(jax.grad(mean)(jnp.array([2.0, jnp.inf])), [2, 0])


def test_an_entry_that_is_left_out_has_the_gradient_0_whatever_it_is() -> None:
    def spread(x):
        return jnp.sum(hondo.batch_moments(x, where=jnp.array([True, False, True])).m2)

    got = jax.grad(spread)(jnp.array([[1.0], [jnp.nan], [3.0]]))
    np.testing.assert_allclose(got, [[-2], [0], [2]])


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turn_by_right_angles_moves_pixels_that_are_not_finite(turns) -> None:
    image = jnp.arange(25.0).reshape(5, 5).at[1, 3].set(jnp.inf).at[0, 0].set(jnp.nan)
    np.testing.assert_array_equal(hondo.rotate(image, angle=90.0 * turns), np.rot90(image, turns))


def test_a_mixture_of_nothing_of_the_first_is_the_second() -> None:
    first, second = (
        (jnp.full((2, 2), jnp.nan), jnp.array([jnp.nan])),
        (jnp.ones((2, 2)), jnp.ones(1)),
    )
    mixed = [hondo.mixup(jax.random.key(k), first, second, alpha=1e-3) for k in range(16)]
    assert any(np.array_equal(image, second[0]) and target == 1 for image, target in mixed)


def test_a_loss_that_is_no_floating_scalar_is_refused() -> None:
    penalty = partial(hondo.l2_penalty, strength=1.0)
    params = {"kernel": jnp.array([1.0])}
    # As of the sum of no losses.
    assert float(hondo.penalized(lambda p: 0, penalty)(params)) == 0.5
    for wrong in (jnp.zeros(3), jnp.array(True)):
        with pytest.raises(ValueError, match="what loss returns must be"):
            hondo.penalized(lambda p, wrong=wrong: wrong, penalty)(params)


def test_statistics_in_half_precision_learn() -> None:
    norm, x = hl.BatchNorm(decay=0.999), jnp.full((8, 2), 5.0, jnp.bfloat16)
    start = norm.init(KEY, x, train=True)
    variables = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), start)
    for _ in range(3):
        _, new = norm.apply(variables, x, train=True, mutable=["batch_stats"])
        variables |= new
    np.testing.assert_array_equal(variables["batch_stats"]["mean"], [5, 5])
    assert variables["batch_stats"]["mean"].dtype == jnp.bfloat16


def test_a_patience_beyond_32_bits_never_ends() -> None:
    rule = hondo.early_stopping(sys.maxsize, mode="min", warmup=sys.maxsize)
    assert not rule.update(rule.init(0), 1.0, 0).stopped


@pytest.mark.parametrize(("activation", "variance"), [("tanh", 1.0), ("soft_sign", 1.0)])
def test_at_the_edge_of_chaos_signals_die_slower_than_any_power(activation, variance) -> None:
    found = hondo.diagnosis.mean_field(activation, weight_variance=variance)
    assert found.variance == 0
    np.testing.assert_allclose(found.chi, 1, atol=1e-4)


def test_examples_are_clipped_in_float64() -> None:
    with jax.enable_x64(True):
        g = jnp.ones((1, 5), jnp.float64)
        total = hondo.clip_per_example(g, limit=0.1)[0]
        assert jnp.linalg.norm(total) <= 0.1
