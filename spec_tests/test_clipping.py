"""Gradient clipping is total: any dtype, any size, zeros and non-finite values included."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from exact import gamma, unit_roundoff
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

import hondo
from hondo._fast.tree_norm_one_pass import measure_at_three_scales, measure_or_careful


def clip(transformation, gradient):
    return transformation.update(gradient, transformation.init(gradient))


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [hondo.clip_by_global_norm, hondo.clip_by_value, hondo.clip_by_layer]
)
def test_the_state_has_the_norm_before_clipping(make) -> None:
    gradient = {"a": jnp.array([3.0, -4.0]), "b": [jnp.array([[12.0]])]}
    _, state = clip(make(1.0), gradient)
    np.testing.assert_allclose(state.norm, 13.0, rtol=gamma(3 + 4))


@pytest.mark.slow
def test_each_layer_is_clipped_by_its_own_norm() -> None:
    gradient = {"a": jnp.array([3.0, 4.0]), "b": jnp.array([0.3, 0.4])}
    clipped, _ = clip(hondo.clip_by_layer(1.0), gradient)
    np.testing.assert_allclose(clipped["a"], [0.6, 0.8], rtol=gamma(8))
    np.testing.assert_array_equal(clipped["b"], gradient["b"])


@pytest.mark.parametrize("limit", [0.0, 1.0])
@pytest.mark.spec("CLP-06")
@pytest.mark.promise(10)
def test_clp_06_zero_stays_zero(limit) -> None:
    for make in (hondo.clip_by_global_norm, hondo.clip_by_layer, hondo.clip_by_value):
        clipped, _ = clip(make(limit), jnp.zeros(3))
        np.testing.assert_array_equal(clipped, np.zeros(3))


@pytest.mark.parametrize(
    ("gradient", "dtype"),
    [
        ([300, 400], jnp.float16),
        ([3e19, 4e19], jnp.float32),
        ([3e-25, 4e-25], jnp.float32),
        ([3e38, 3e38], jnp.float32),
        ([300, 400], jnp.bfloat16),
    ],
)
@pytest.mark.spec("CLP-07")
@pytest.mark.promise(10)
def test_clp_07_the_direction_survives_any_magnitude(gradient, dtype) -> None:
    gradient = jnp.asarray(gradient, dtype)
    exact = np.asarray(gradient).astype(np.float64)
    limit = 1.0 if exact[0] > 1 else 1e-30
    clipped, _ = clip(hondo.clip_by_global_norm(limit), gradient)
    want = exact / math.sqrt(np.sum(exact**2)) * limit
    assert clipped.dtype == dtype
    np.testing.assert_allclose(
        np.asarray(clipped).astype(np.float64), want, rtol=gamma(8) + 2 * unit_roundoff(dtype)
    )


@pytest.mark.spec("CLP-08")
@pytest.mark.promise(10)
def test_clp_08_the_declared_policy_holds_on_all_leaves() -> None:
    gradient = {"a": jnp.array([jnp.inf, 1.0]), "b": jnp.array([3.0]), "c": jnp.array([jnp.nan])}
    expected = {
        "propagate": gradient,
        "skip": jax.tree.map(jnp.zeros_like, gradient),
        "zero": {"a": jnp.array([0.0, 1.0]), "b": jnp.array([3.0]), "c": jnp.array([0.0])},
    }
    for policy, want in expected.items():
        for make in (hondo.clip_by_global_norm, hondo.clip_by_value, hondo.clip_by_layer):
            clipped, state = clip(make(10.0, nonfinite=policy), gradient)
            jax.tree.map(np.testing.assert_array_equal, clipped, want)
            assert hondo.nonfinite_leaves(state, gradient) == ["['a']", "['c']"]
            assert int(state.nonfinite_steps) == 1


@pytest.mark.parametrize("make", [hondo.clip_by_global_norm, hondo.clip_by_value])
def test_composes_with_optax(make) -> None:
    chain = optax.chain(make(1.0), optax.sgd(1.0, momentum=0.9))
    optimizer = optax.MultiSteps(chain, every_k_schedule=2)
    params = {"w": jnp.zeros(2)}

    def step(carry, gradient):
        params, state = carry
        updates, state = optimizer.update({"w": gradient}, state, params)
        return (optax.apply_updates(params, updates), state), None

    with jax.numpy_dtype_promotion("standard"):
        gradients = jnp.array([[3.0, 0.0], [5.0, 0.0]])
        (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), gradients)
    np.testing.assert_allclose(params["w"], [-1.0, 0.0], rtol=gamma(8))


def test_the_limit_can_be_injected() -> None:
    optimizer = optax.inject_hyperparams(hondo.clip_by_global_norm)(limit=1.0)
    gradient = jnp.array([3.0, 4.0])
    updates, state = optimizer.update(gradient, optimizer.init(gradient))
    assert state.hyperparams["limit"] == 1.0
    np.testing.assert_allclose(updates, [0.6, 0.8], rtol=gamma(8))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"limit": -1.0}, "limit must be"), ({"limit": math.nan}, "limit must be")],
)
@pytest.mark.spec("XCT-04")
def test_bad_arguments_are_refused(arguments, words) -> None:
    for make in (hondo.clip_by_global_norm, hondo.clip_by_layer, hondo.clip_by_value):
        with pytest.raises(ValueError, match=words):
            make(**arguments)


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises((ValueError, TypeError), match="nonfinite"):
        hondo.clip_by_value(1.0, nonfinite="ignore")


@pytest.mark.slow
@pytest.mark.parametrize("scale", [3e39, 3e-300, 3e300, 1.0])
def test_double_precision_is_clipped_in_its_own_range(scale) -> None:
    with jax.enable_x64(True):
        gradient = {"a": jnp.array([scale, 4 / 3 * scale]), "b": jnp.zeros(2, jnp.float32)}
        limit = 0.1 * scale
        clipped, state = clip(hondo.clip_by_global_norm(limit), gradient)
        exact = np.asarray(gradient["a"]) / (5 / 3 * scale) * limit
        np.testing.assert_allclose(clipped["a"], exact, rtol=gamma(12, np.float64))
        np.testing.assert_array_equal(clipped["b"], gradient["b"])
        assert not np.any(state.nonfinite)
        assert state.norm.dtype == jnp.float32
        norm = hondo.global_norm(gradient)
        np.testing.assert_allclose(norm, 5 / 3 * scale, rtol=gamma(8, np.float64))
        value, _ = clip(hondo.clip_by_value(limit), gradient)
        assert value["a"].tolist() == [limit, limit]


def test_complex_gradients_are_refused() -> None:
    with pytest.raises(ValueError, match="real numbers, got 'complex64'"):
        hondo.global_norm(jnp.array([3 + 4j]))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.float32])
def test_the_norm_of_what_is_not_finite_is_not_finite(dtype) -> None:
    for compute in (hondo.global_norm, jax.jit(hondo.global_norm)):
        assert np.isnan(compute({"a": jnp.array([jnp.nan, 1.0], dtype), "b": jnp.ones(2)}))
        assert np.isinf(compute({"a": jnp.array([-jnp.inf, 1.0], dtype), "b": jnp.ones(2)}))


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [hondo.clip_by_global_norm, hondo.clip_by_value, hondo.clip_by_layer]
)
def test_a_shard_is_clipped_by_itself(make) -> None:
    """shard_map checks what varies over an axis of one device as over any other."""
    gradient, clipping = {"a": jnp.arange(8.0).reshape(4, 2)}, make(1.0)

    def one(gradient):
        return clip(clipping, gradient)[0]

    mesh = jax.make_mesh((1,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    specs = jax.sharding.PartitionSpec("d")
    sharded = jax.jit(jax.shard_map(one, mesh=mesh, in_specs=specs, out_specs=specs))
    # The same formula, compiled in another program.
    np.testing.assert_allclose(sharded(gradient)["a"], one(gradient)["a"], rtol=gamma(8))


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [hondo.clip_by_value, hondo.clip_by_block_rms, hondo.adaptive_clip]
)
def test_no_state_is_that_of_init(make) -> None:
    params = gradient = {"kernel": jnp.array([[3.0, jnp.nan]])}
    clip = make(0.5)
    got, want = (clip.update(gradient, state, params) for state in (None, clip.init(params)))
    jax.tree.map(np.testing.assert_array_equal, got, want)


def test_the_state_is_not_sharded_as_the_parameters_are() -> None:
    clipping, moved = hondo.clip_by_global_norm(1.0), []
    optax.tree_map_params(clipping, moved.append, clipping.init({"w": jnp.ones((4, 2))}))
    assert not moved


def test_leaves_are_named_by_the_tree_that_was_clipped() -> None:
    gradient = {"a": jnp.ones(1), "b": jnp.ones(1)}
    _, state = clip(hondo.clip_by_value(1.0), gradient)
    with pytest.raises(ValueError, match="params must be the tree that was clipped, of 2 leaves"):
        hondo.nonfinite_leaves(state, {"a": jnp.ones(1)})


@pytest.mark.parametrize(
    "make", [hondo.clip_by_global_norm, hondo.clip_by_value, hondo.clip_by_layer]
)
def test_a_limit_is_a_scalar(make) -> None:
    with pytest.raises((ValueError, TypeCheckError), match="limit"):
        make(np.array([1.0, 2.0]))


@pytest.mark.slow
def test_a_block_is_clipped_by_its_root_mean_square() -> None:
    gradient = {"a": jnp.array([[6.0, 8.0], [0.0, 0.0]]), "b": jnp.array([3.0, 4.0])}
    clipped, _ = clip(hondo.clip_by_block_rms(2.5), gradient)
    # The root mean squares are 5 and 3.54.
    np.testing.assert_allclose(clipped["a"], gradient["a"] / 2)
    want, _ = optax.clip_by_block_rms(2.5).update(gradient, optax.EmptyState())
    for got, right in zip(jax.tree.leaves(clipped), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-6)
    same, _ = clip(hondo.clip_by_block_rms(5.0), gradient)
    np.testing.assert_array_equal(same["a"], gradient["a"])
    huge, _ = clip(hondo.clip_by_block_rms(1.0), jnp.array([3e20, 4e20]))
    np.testing.assert_allclose(huge, np.array([0.6, 0.8]) * np.sqrt(2), rtol=1e-6)


@pytest.mark.slow
def test_examples_are_clipped_one_by_one() -> None:
    gradients = {"a": jnp.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]]), "b": jnp.zeros((3, 1))}
    got = hondo.clip_per_example(gradients, limit=1.0)
    np.testing.assert_allclose(got.gradient["a"], [0.6 + 0.3, 0.8 + 0.4], rtol=1e-6)
    assert int(got.clipped) == 1
    want, count = optax.per_example_global_norm_clip(jax.tree.leaves(gradients), 0.25)
    found = hondo.clip_per_example(gradients, limit=0.25)
    for one, other in zip(jax.tree.leaves(found.gradient), want, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    assert int(found.clipped) == int(count) == 2
    far = hondo.clip_per_example(jnp.array([[3e20, 4e20], [1.0, 0.0]]), limit=2.0)
    np.testing.assert_allclose(far.gradient, [1.2 + 1.0, 1.6], rtol=1e-6)
    with pytest.raises(ValueError, match="gradients must be a tree of arrays with one common"):
        hondo.clip_per_example({"a": jnp.ones((2, 1)), "b": jnp.ones((3, 1))}, limit=1.0)
    with pytest.raises(ValueError, match="limit must be"):
        hondo.clip_per_example(gradients, limit=-1.0)


@pytest.mark.slow
@pytest.mark.parametrize("form", [measure_or_careful, measure_at_three_scales])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@given(low=st.floats(0.0, 1.0), spread=st.integers(0, 60), seed=st.integers(0, 2**32 - 1))
def test_both_forms_of_the_norm_are_right_at_any_size(form, dtype, low, spread, seed) -> None:
    with jax.enable_x64(dtype == jnp.float64):
        limits, rng = jnp.finfo(dtype), np.random.default_rng(seed)
        # The compiler may flush what is subnormal, so that nothing smaller is drawn.
        least, most = limits.minexp + 1 + spread, limits.maxexp - 1
        top = round(least + low * (most - least))
        powers = rng.integers(top - spread, top, 40, endpoint=True)
        leaf = (rng.uniform(0.5, 1.0, 40) * 2.0**powers).astype(dtype)
        norm = jax.jit(form)({"a": jnp.asarray(leaf[:30]), "b": jnp.asarray(leaf[30:])}).norm
        want = np.sqrt(np.sum(leaf.astype(np.longdouble) ** 2))
        got = np.ldexp(np.longdouble(float(norm.mantissa)), int(norm.exponent))
        assert abs(got / want - 1) < 48 * float(limits.eps)


@pytest.mark.slow
@pytest.mark.parametrize("form", [measure_or_careful, measure_at_three_scales])
def test_both_forms_of_the_norm_mark_the_leaves_that_are_not_finite(form) -> None:
    tree = {"a": jnp.array([3.0, jnp.nan]), "b": jnp.array([4.0]), "c": jnp.array([-jnp.inf])}
    found = form(tree)
    assert found.nonfinite.tolist() == [True, False, True]
    assert float(found.norm.value) == 5.0
    assert float(form({"a": jnp.zeros(3)}).norm.value) == 0.0


@pytest.mark.parametrize("form", [measure_or_careful])
@pytest.mark.parametrize("size", [1.0, 1e20, 1e-25])
def test_the_gradient_of_the_norm_is_finite_at_any_size(form, size) -> None:
    tree = {"a": jnp.array([3.0, 0.0]) * size, "b": jnp.array([-4.0]) * size}
    # The exponent has none: the norm is value at the exponent that the entries have.
    slope = jax.jit(jax.grad(lambda tree: form(tree).norm.value))(tree)
    np.testing.assert_allclose(slope["a"], [0.6, 0.0], rtol=1e-6)
    np.testing.assert_allclose(slope["b"], [-0.8], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("place", range(5))
def test_each_leaf_is_told_from_the_others_that_it_is_summed_with(place) -> None:
    """Small leaves of one dtype are one array, whatever stands between them."""
    dtypes = (jnp.float32, jnp.bfloat16, jnp.float32, jnp.float16, jnp.bfloat16)
    gradient = [jnp.ones(2 + i, dtype) for i, dtype in enumerate(dtypes)]
    gradient[place] = gradient[place].at[-1].set(jnp.nan)
    clip = hondo.clip_by_global_norm(1.0, nonfinite="zero")
    _, state = clip.update(gradient, clip.init(gradient))
    assert hondo.nonfinite_leaves(state, gradient) == [f"[{place}]"]
