"""PCGrad against the paper's algorithm, written out in float64 for every order of the tasks."""

import itertools

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import gamma
from hypothesis import assume, given

import hondo

KEY = jax.random.key(7)
SIZE = 6
entries = st.floats(-10, 10, width=32, allow_subnormal=False)
keys = st.integers(0, 2**32 - 1).map(jax.random.key)
surgery = jax.jit(lambda key, gradients: hondo.pcgrad(key, gradients))


def projected(gradients, order, task):
    """Algorithm 1 for one task, in float64."""
    gradient = gradients[task].copy()
    for other in order:
        product = gradient @ gradients[other]
        if product < 0:
            gradient -= product / (gradients[other] @ gradients[other]) * gradients[other]
    return gradient


def possible_results(gradients):
    tasks = range(len(gradients))
    choices = [
        [projected(gradients, order, task) for order in itertools.permutations(set(tasks) - {task})]
        for task in tasks
    ]
    return [sum(parts) for parts in itertools.product(*choices)]


@pytest.mark.slow
@given(key=keys, gradients=hnp.arrays(np.float32, (2, SIZE), elements=entries))
def test_two_tasks_lose_their_conflict_and_nothing_else(key, gradients):
    wide = gradients.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1)
    assume((norms > 1e-3).all())
    # A cosine within rounding of 0 may be seen as a conflict or not.
    assert_within(surgery(key, gradients), possible_results(wide), norms)


def assert_within(got, wants, norms):
    # The Gram matrix is known to γ_(6+2) of |g_i||g_j|, so a projection is within twice that of the
    # longer gradient, for each of T (T - 1) projections; sums of T terms add γ_T of each.
    tasks = len(norms)
    bound = gamma(2 * tasks * (tasks - 1) * (SIZE + 2) + tasks) * norms.sum() * tasks
    gaps = [np.abs(np.float64(got) - want).max() for want in wants]
    assert min(gaps) <= bound


@given(seed=st.integers(0, 2**31), key=keys)
def test_three_tasks_give_a_result_of_the_papers_algorithm(seed, key):
    gradients = np.random.default_rng(seed).normal(size=(3, SIZE)).astype(np.float32)
    wide = gradients.astype(np.float64)
    assert_within(surgery(key, gradients), possible_results(wide), np.linalg.norm(wide, axis=1))


@pytest.mark.slow
def test_all_orders_of_the_tasks_occur():
    rows = [[1.0, 0.0, 0.0], [-1.0, 1.0, 0.0], [-1.0, -1.0, 1.0]]
    gradients = jnp.array([row + [0.0] * (SIZE - 3) for row in rows])
    results = [surgery(key, gradients) for key in jax.random.split(KEY, 128)]
    wants = {tuple(np.round(want, 4)) for want in possible_results(np.float64(gradients))}
    assert {tuple(np.round(np.float64(result), 4)) for result in results} == wants
    assert len(wants) > 1


def test_without_conflicts_the_result_is_the_sum():
    gradients = jnp.asarray(np.random.default_rng(0).integers(0, 100, (3, SIZE)), jnp.float32)
    np.testing.assert_array_equal(surgery(KEY, gradients), gradients.sum(0))


def test_one_task_keeps_its_gradient_bit_for_bit():
    gradient = jnp.asarray(np.random.default_rng(0).normal(size=(1, SIZE)), jnp.float32)
    np.testing.assert_array_equal(surgery(KEY, gradient), gradient[0])


@pytest.mark.slow
def test_a_zero_gradient_changes_nothing_and_differentiates():
    gradients = jnp.zeros((2, SIZE)).at[0].set(jnp.arange(6.0))
    np.testing.assert_array_equal(surgery(KEY, gradients), gradients[0])
    slope = jax.jit(jax.grad(lambda g: hondo.pcgrad(KEY, g).sum()))(gradients)
    assert jnp.isfinite(slope).all()


@pytest.mark.parametrize("scale", [2.0**-100, 2.0**60, 2.0**120])
def test_squares_that_overflow_do_not_matter(scale):
    gradients = jnp.zeros((2, SIZE)).at[:, :2].set(jnp.array([[3.0, 4.0], [-4.0, 1.0]]))
    got = surgery(KEY, scale * gradients)
    np.testing.assert_array_equal(got, scale * surgery(KEY, gradients))


def test_float16_gradients_keep_their_direction():
    gradients = jnp.array([[300.0, 400.0], [-400.0, 300.0]], jnp.float16)
    got = surgery(KEY, gradients)
    assert got.dtype == jnp.float16
    np.testing.assert_array_equal(got, [-100.0, 700.0])


@pytest.mark.slow
def test_products_are_over_the_whole_tree():
    flat = jnp.array([[1.0, 0.0, 2.0], [-1.0, 1.0, 0.0]])
    tree = {"a": flat[:, :1], "b": {"c": flat[:, 1:].reshape(2, 2, 1)}}
    want, got = surgery(KEY, flat), surgery(KEY, tree)
    np.testing.assert_array_equal(got["a"], want[:1])
    np.testing.assert_array_equal(got["b"]["c"][:, 0], want[1:])


@pytest.mark.spec("XCT-04")
@pytest.mark.parametrize(
    "gradients", [{}, jnp.ones(()), {"a": jnp.ones((2, 1)), "b": jnp.ones((3, 1))}]
)
def test_xct_04_gradients_that_are_not_stacked_raise(gradients):
    with pytest.raises(ValueError, match=r"gradients .*stacked"):
        hondo.pcgrad(KEY, gradients)


@pytest.mark.slow
def test_the_largest_numbers_are_projected_too() -> None:
    gradients = jnp.array([[1.0, 2.0], [2e38, 1e38]])
    got = hondo.pcgrad(jax.random.key(0), gradients)
    np.testing.assert_allclose(got, gradients[1], rtol=1e-6)


@pytest.mark.slow
def test_gradients_of_a_shard_are_projected_by_themselves() -> None:
    """shard_map checks what varies over an axis of one device as over any other."""
    gradients = jnp.array([[1.0, 0.0], [-1.0, 1.0]])

    def project(gradients):
        return hondo.pcgrad(jax.random.key(0), gradients)

    mesh = jax.make_mesh((1,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    specs = jax.sharding.PartitionSpec
    both = jax.shard_map(project, mesh=mesh, in_specs=specs(None, "d"), out_specs=specs("d"))
    np.testing.assert_allclose(jax.jit(both)(gradients), project(gradients), rtol=1e-6)
