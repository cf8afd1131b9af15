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

VALUES = st.lists(
    st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False), min_size=6, max_size=6
).map(np.float32)
LIMITS = st.sampled_from([0.0, 0.25, 1.0, 1e10])


def clip(transformation, gradient):
    return transformation.update(gradient, transformation.init(gradient))


def norm(tree) -> float:
    return math.sqrt(sum(float(np.sum(np.float64(g) ** 2)) for g in jax.tree.leaves(tree)))


def as_tree(values):
    return {"a": jnp.asarray(values[:2]), "b": [jnp.asarray(values[2:])]}


@given(VALUES, LIMITS)
@pytest.mark.spec("CLP-02", "CLP-03", "CLP-04", "CLP-05")
@pytest.mark.promise(10)
def test_clp_02_to_05_global_norm(values, limit) -> None:
    gradient = as_tree(values)
    clipped, state = clip(hondo.clip_by_global_norm(limit), gradient)
    before, bound = norm(gradient), gamma(6 + 4)
    # XLA on CPU flushes results below the smallest normal number to zero.
    tiny = 6 * float(np.finfo(np.float32).tiny) * max(limit, 1.0)
    assert norm(clipped) <= limit * (1 + bound) + tiny
    assert abs(float(state.norm) - before) <= bound * before + tiny
    if before < limit * (1 - bound):
        jax.tree.map(np.testing.assert_array_equal, clipped, gradient)
    if before > limit * (1 + bound):
        want = np.float64(values) * (limit / before)
        got = np.concatenate([np.asarray(g) for g in jax.tree.leaves(clipped)])
        np.testing.assert_allclose(got, want, rtol=bound, atol=tiny)


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


@given(VALUES, st.integers(-20, 20))
@pytest.mark.spec("CLP-09")
def test_clp_09_homogeneous_in_powers_of_two_and_blind_to_the_cut(values, power) -> None:
    # Kept away from both ends of float32, where scaling by 2^power would not be exact.
    values = np.where(np.abs(values) < 1e-10, 0, values).astype(np.float32)
    factor = np.float32(2.0**power)
    first, _ = clip(hondo.clip_by_global_norm(1.0), jnp.asarray(values))
    scaled, _ = clip(hondo.clip_by_global_norm(float(factor)), jnp.asarray(values * factor))
    normal = np.abs(np.asarray(first)) > 1e-30
    np.testing.assert_array_equal(np.asarray(scaled)[normal], (np.asarray(first) * factor)[normal])
    cut, _ = clip(hondo.clip_by_global_norm(1.0), as_tree(values))
    apart = np.concatenate([np.asarray(g) for g in jax.tree.leaves(cut)])
    np.testing.assert_allclose(apart, first, rtol=2 * gamma(10), atol=1e-37)


@given(VALUES, LIMITS)
@pytest.mark.spec("CLP-01")
def test_clp_01_by_value_clamps(values, limit) -> None:
    step = hondo.clip_by_value(limit)
    clipped, _ = clip(step, jnp.asarray(values))
    np.testing.assert_array_equal(clipped, np.clip(values, -np.float32(limit), np.float32(limit)))
    np.testing.assert_array_equal(clip(step, clipped)[0], clipped)
    np.testing.assert_array_equal(clip(step, jnp.asarray(-values))[0], -np.asarray(clipped))


@pytest.mark.spec("GRD-05")
def test_grd_05_the_global_norm_is_that_of_the_leaf_norms() -> None:
    tree = as_tree(np.float32([3, 4, 1, 2, 2, 4]))
    leaf_norms = [float(hondo.global_norm(leaf)) for leaf in jax.tree.leaves(tree)]
    assert leaf_norms == [5.0, 5.0]
    assert abs(float(hondo.global_norm(tree)) - math.sqrt(50)) <= gamma(10) * math.sqrt(50)


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
    with pytest.raises(ValueError, match="dtype must be a real one, got 'complex64'"):
        hondo.global_norm(jnp.array([3 + 4j]))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.float32])
def test_the_norm_of_what_is_not_finite_is_not_finite(dtype) -> None:
    for compute in (hondo.global_norm, jax.jit(hondo.global_norm)):
        assert np.isnan(compute({"a": jnp.array([jnp.nan, 1.0], dtype), "b": jnp.ones(2)}))
        assert np.isinf(compute({"a": jnp.array([-jnp.inf, 1.0], dtype), "b": jnp.ones(2)}))


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
