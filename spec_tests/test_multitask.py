"""Multitask learning: weighted sums, routed gradients, missing labels, learned weights."""

import inspect
import math
from functools import partial

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import gamma
from hypothesis import given

import hondo

TASKS = ("alpha", "beta", "gamma")
normal = st.floats(0, 1e3, width=32, allow_subnormal=False)
triples = st.tuples(normal, normal, normal)


def named(values):
    return dict(zip(TASKS, (jnp.float32(value) for value in values), strict=True))


# The weighted sum


@pytest.mark.slow
@pytest.mark.spec("MTL-01")
@pytest.mark.parametrize("other", [1.0, math.inf, math.nan])
@pytest.mark.parametrize("traced", [False, True])
@given(value=normal, place=st.integers(0, 2))
def test_mtl_01_one_hot_weights_give_the_one_loss_bit_for_bit(other, traced, value, place):
    losses = named([value if task == place else other for task in range(3)])
    weights = {task: float(TASKS.index(task) == place) for task in TASKS}
    got = _loss(losses, weights) if traced else hondo.multitask_loss(losses, weights=weights)
    assert float(got) == np.float32(value)


_loss = jax.jit(lambda losses, weights: hondo.multitask_loss(losses, weights=weights))


@pytest.mark.spec("MTL-01")
def test_mtl_01_a_weight_of_0_stops_a_broken_task_from_spoiling_the_gradient():
    def loss(x):
        losses = {"good": jnp.square(x), "broken": jnp.log(x - x)}
        return hondo.multitask_loss(losses, weights={"good": 1.0, "broken": 0.0})

    assert jax.grad(loss)(3.0) == 6.0


def test_the_gradient_with_respect_to_a_weight_of_0_is_the_loss():
    def loss(weight):
        return hondo.multitask_loss({"a": jnp.float32(5.0)}, weights={"a": weight})

    assert jax.grad(loss)(0.0) == 5.0


@pytest.mark.spec("MTL-04")
@given(losses=triples, weights=triples, order=st.permutations(TASKS))
def test_mtl_04_the_order_of_the_tasks_is_of_no_account(losses, weights, order):
    losses, weights = named(losses), named(weights)
    shuffled = {task: losses[task] for task in order}
    reversed_weights = {task: weights[task] for task in reversed(order)}
    got = hondo.multitask_loss(shuffled, weights=reversed_weights)
    assert got == hondo.multitask_loss(losses, weights=weights)


def test_losses_of_few_bits_are_summed_in_float32():
    losses = {task: jnp.float16(60000.0) for task in TASKS}
    got = hondo.multitask_loss(losses, weights=dict.fromkeys(TASKS, 1.0))
    assert got.dtype == jnp.float32
    assert got == 3 * np.float32(np.float16(60000.0))


# One trunk, many heads


def _trunk(weight, x):
    return x @ weight


@pytest.mark.spec("MTL-04")
def test_mtl_04_the_trunk_is_computed_once():
    calls = []

    def trunk(weight, x):
        calls.append(1)
        return _trunk(weight, x)

    params = hondo.MultitaskParams(jnp.ones((4, 3)), {task: jnp.ones(3) for task in TASKS})
    hondo.multitask(trunk, dict.fromkeys(TASKS, _trunk))(params, jnp.ones((5, 4)))
    assert calls == [1]


# Missing labels

BATCH = 8
predictions = st.lists(
    st.floats(-100, 100, width=32, allow_subnormal=False), min_size=BATCH, max_size=BATCH
)
masks = st.lists(st.booleans(), min_size=BATCH, max_size=BATCH)


def squared_error(predicted, target):
    return jnp.square(predicted - target)


_mean_and_gradient = jax.jit(
    jax.value_and_grad(
        lambda predicted, targets, mask: hondo.labelled_mean(
            squared_error, predicted, targets, mask=mask
        )
    )
)


@pytest.mark.slow
@pytest.mark.spec("MTL-03")
@given(predicted=predictions, target=predictions, mask=masks, absent=masks)
def test_mtl_03_only_labelled_examples_count(predicted, target, mask, absent):
    predicted, target = np.float32(predicted), np.float32(target)
    mask, absent = np.array(mask), np.array(absent)
    targets = np.where(absent, np.float32(np.nan), target)
    labeled = mask & ~absent
    value, gradient = _mean_and_gradient(predicted, targets, mask)
    error = (predicted.astype(np.float64) - target)[labeled]
    count = max(labeled.sum(), 1)
    want = np.sum(error**2) / count
    # A difference, a square (twice the error of the difference), a sum of 8 and a division.
    assert abs(value - want) <= gamma(3 + BATCH + 2) * want + 1e-37
    assert not gradient[~labeled].any()
    np.testing.assert_allclose(gradient[labeled], 2 * error / count, rtol=gamma(5), atol=1e-37)


@pytest.mark.spec("MTL-03")
def test_mtl_03_a_batch_without_labels_has_zero_loss_and_zero_gradient():
    nothing = jnp.full(BATCH, jnp.nan)
    value, gradient = _mean_and_gradient(jnp.arange(8.0), nothing, jnp.ones(BATCH, bool))
    assert value == 0
    np.testing.assert_array_equal(gradient, jnp.zeros(BATCH))
    value, gradient = _mean_and_gradient(jnp.arange(8.0), jnp.ones(BATCH), jnp.zeros(BATCH, bool))
    assert value == 0
    np.testing.assert_array_equal(gradient, jnp.zeros(BATCH))


@pytest.mark.spec("MTL-03")
def test_mtl_03_a_loss_that_is_singular_at_0_takes_another_fill():
    def log_error(predicted, target):
        return jnp.square(jnp.log(predicted) - jnp.log(target))

    def loss(predicted):
        targets = jnp.array([jnp.nan, 1.0])
        return hondo.labelled_mean(log_error, predicted, targets, fill=1.0)

    value, gradient = jax.value_and_grad(loss)(jnp.array([2.0, 1.0]))
    assert value == 0
    np.testing.assert_array_equal(gradient, jnp.zeros(2))


@pytest.mark.spec("MTL-03")
def test_mtl_03_an_example_of_several_targets_counts_if_all_are_there():
    targets = jnp.array([[1.0, 1.0], [jnp.nan, 1.0], [2.0, 0.0]])

    def summed(predicted, target):
        return jnp.sum(squared_error(predicted, target), axis=-1)

    assert hondo.labelled_mean(summed, jnp.zeros((3, 2)), targets) == 3.0
    # One loss for each target: each counts by itself, (1 + 1 + 1 + 4 + 0) / 5.
    got = hondo.labelled_mean(squared_error, jnp.zeros((3, 2)), targets)
    np.testing.assert_allclose(got, 7 / 5, rtol=gamma(2))


@pytest.mark.spec("MTL-03")
def test_mtl_03_integer_classes_are_missing_by_mask():
    labels, mask = jnp.array([2, -1, 0]), jnp.array([True, False, True])
    filled = hondo.fill_missing(labels, mask=mask)
    assert filled.targets.dtype == labels.dtype
    assert filled.targets.tolist() == [2, 0, 0]
    assert filled.mask.tolist() == mask.tolist()


@pytest.mark.spec("MTL-03")
def test_mtl_03_a_masked_value_may_be_anything():
    values = jnp.array([1.0, jnp.nan, jnp.inf, 3.0])
    mask = jnp.array([True, False, False, True])
    assert hondo.masked_mean(values, mask) == 2.0
    gradient = jax.grad(lambda values: hondo.masked_mean(values, mask))(values)
    np.testing.assert_array_equal(gradient, [0.5, 0.0, 0.0, 0.5])


def test_a_masked_mean_of_float16_does_not_overflow():
    values = jnp.full(64, 60000.0, jnp.float16)
    got = hondo.masked_mean(values, jnp.ones(64, bool))
    assert got.dtype == jnp.float32
    assert got == np.float32(np.float16(60000.0))


# Learned weights


@pytest.mark.slow
@given(losses=triples, s=st.tuples(*[st.floats(-5, 5, width=32)] * 3))
def test_uncertainty_weighting_is_its_formula(losses, s):
    got = hondo.uncertainty_weighting(named(losses), named(s), classification=["beta"])
    c = (0.5, 1.0, 0.5)
    terms = [ct * math.exp(-st) * loss for ct, st, loss in zip(c, s, losses, strict=True)]
    sizes = sum(terms) + sum(abs(st) for st in s)
    # An exponential known to 4u, two products, and sums of six terms.
    assert abs(float(got) - (sum(terms) + sum(s) / 2)) <= gamma(12) * sizes + 1e-37


def test_the_best_log_variance_is_that_of_the_documentation():
    losses = {"squares": jnp.float32(3.0), "classes": jnp.float32(0.7)}
    best = {"squares": jnp.log(3.0), "classes": jnp.log(2 * 0.7)}
    objective = partial(hondo.uncertainty_weighting, losses, classification=["classes"])
    gradient = jax.grad(objective)(best)
    # exp(-log x) x is within 8 roundings of 1.
    assert max(abs(float(slope)) for slope in gradient.values()) <= gamma(8)


@pytest.mark.parametrize("absent", [0.0, math.nan, math.inf])
def test_a_task_without_labels_leaves_its_variance_alone(absent):
    losses = {"there": jnp.float32(2.0), "absent": jnp.float32(absent)}
    start = {"there": jnp.float32(1.0), "absent": jnp.float32(-3.0)}

    def objective(s):
        labelled = {"there": jnp.array(True), "absent": jnp.array(False)}
        return hondo.uncertainty_weighting(losses, s, labelled=labelled)

    value, gradient = jax.value_and_grad(objective)(start)
    alone = hondo.uncertainty_weighting({"there": losses["there"]}, {"there": start["there"]})
    assert value == alone
    assert gradient["absent"] == 0


# Mistakes

LOSSES = {"a": 1.0, "b": 2.0}


@pytest.mark.slow
@pytest.mark.spec("XCT-04")
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: hondo.multitask_loss(LOSSES, weights={"a": 1.0}), r"weights .*\['a', 'b'\]"),
        (
            lambda: hondo.multitask_loss(LOSSES, weights={"a": -1.0, "b": 0.0}),
            r"weights\['a'\] .*at least 0, got -1.0",
        ),
        (
            lambda: hondo.multitask_loss(LOSSES, weights={"a": 1.0, "b": math.nan}),
            r"weights\['b'\] .*nan",
        ),
        (lambda: hondo.uncertainty_weighting(LOSSES, {"b": 0.0}), r"log_variances .*got \['b'\]"),
        (
            lambda: hondo.uncertainty_weighting(LOSSES, LOSSES, classification=["c"]),
            r"classification .*\['a', 'b'\], got \['c'\]",
        ),
        (
            lambda: hondo.uncertainty_weighting(LOSSES, LOSSES, labelled={"a": True}),
            r"labelled .*got \['a'\]",
        ),
        (lambda: hondo.multitask(_trunk, {}), "heads .*at least one task"),
        (
            lambda: hondo.multitask(_trunk, {"a": _trunk})(
                hondo.MultitaskParams(1.0, {"b": 1.0}), 1.0
            ),
            r"params.heads .*\['a'\], got \['b'\]",
        ),
        (
            lambda: inspect.unwrap(hondo.fill_missing)(jnp.ones(3), mask=jnp.ones(2, bool)),
            r"shape of mask .*\(3,\), got \(2,\)",
        ),
        (
            lambda: inspect.unwrap(hondo.masked_mean)(jnp.ones(3), jnp.ones(2, bool)),
            r"shape of mask .*\(3,\), got \(2,\)",
        ),
        (
            lambda: hondo.labelled_mean(lambda p, t: jnp.ones(2), jnp.ones(3), jnp.ones(3)),
            r"losses.* each example.*\(3,\), got \(2,\)",
        ),
        (
            lambda: hondo.labelled_mean(
                partial(hondo.cross_entropy, reduce=jnp.mean),
                jnp.ones((2, 3)),
                jnp.array([0, 1]),
                mask=jnp.ones(2, bool),
            ),
            r"losses.* each example.*\(2,\), got \(\).*without reduce",
        ),
    ],
)
def test_xct_04_mistakes_raise_before_tracing(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_weight_may_be_an_array_of_jax() -> None:
    weights = {"a": jnp.float32(0.5), "b": jnp.float32(0.0)}

    def total(loss):
        return hondo.multitask_loss({"a": loss, "b": jnp.inf}, weights=weights)

    assert float(jax.jit(total)(3.0)) == 1.5
    with pytest.raises((ValueError, TypeError), match="losses"):
        hondo.multitask_loss({"a": jnp.ones(3)}, weights={"a": 1.0})


@pytest.mark.parametrize("there", [True, False])
def test_a_loss_of_zero_weighs_nothing_for_every_variance(there) -> None:
    def total(s):
        loss = 0.0 if there else 1.0
        return hondo.uncertainty_weighting({"a": loss}, {"a": s}, labelled={"a": there})

    for s in (-100.0, -90.0, -85.0, 0.0, 3.0):
        value, slope = jax.value_and_grad(total)(s)
        assert (float(value), float(slope)) == ((s / 2, 0.5) if there else (0.0, 0.0))
