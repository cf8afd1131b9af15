"""Supervised problems: weights, smoothing and metrics have their exact means, however batched."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from exact import gamma
from flax import linen
from jaxtyping import TypeCheckError
from sklearn.metrics import r2_score, top_k_accuracy_score
from sklearn.utils.class_weight import compute_sample_weight

import hondo

pytestmark = pytest.mark.compile_quickly

RNG = np.random.default_rng(5)
N = 21
Z = np.float32(RNG.normal(size=(N, 4)))
Y = np.int32([0] * 11 + [1] * 6 + [3] * 4)
W = np.float32(RNG.uniform(0.5, 2, N))
KEY = jax.random.key(1)


class Given(linen.Module):
    """Gives its inputs, and a parameter that adds nothing to them."""

    @linen.compact
    def __call__(self, x):
        return x + 0 * self.param("zero", linen.initializers.zeros, ())


def rows(logits=Z, classes=Y) -> np.ndarray:
    z = np.float64(logits)
    return np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), classes]


def objective(problem, *batch) -> float:
    batch = tuple(map(jnp.asarray, batch))
    params, state = problem.init(KEY, batch)
    return float(problem.loss(params, state, batch, KEY)[0])


def measured(problem, *batch, **options):
    batch = tuple(map(jnp.asarray, batch))
    params, state = problem.init(KEY, batch)
    return hondo.evaluate(problem, params, state, batch, **options)


def near(got, want) -> None:
    np.testing.assert_allclose(got, want, rtol=gamma(64 + N))


def average(values, weights) -> float:
    return float(np.sum(np.float64(weights) * values) / np.sum(np.float64(weights)))


problem_of = partial(hondo.supervised, Given(), loss="cross_entropy")


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [4, 7, 21, 64])
def test_weights_of_examples_weigh_objective_and_metrics(batch_size) -> None:
    near(objective(problem_of(), Z, Y, W), average(rows(), W))
    got = measured(problem_of(), Z, Y, W, batch_size=batch_size)
    near(got["loss"], average(rows(), W))
    near(got["accuracy"], average(Z.argmax(axis=1) == Y, W))


@pytest.mark.slow
def test_weights_may_be_0_and_are_not_scaled() -> None:
    weights = np.where(np.arange(N) < 5, W, 0)
    want = objective(problem_of(), Z[:5], Y[:5], W[:5])
    near(objective(problem_of(), Z, Y, weights), want)
    near(objective(problem_of(), Z, Y, 1e6 * weights), want)
    near(measured(problem_of(), Z, Y, weights, batch_size=4)["loss"], want)
    assert objective(problem_of(), Z, Y, 0 * W) == 0.0
    summed = problem_of(reduce=jnp.sum)
    near(objective(summed, Z, Y, W), np.sum(np.float64(W) * rows()))


def test_equal_weights_change_nothing() -> None:
    near(objective(problem_of(), Z, Y, 3 * np.ones(N, np.float32)), rows().mean())


def test_class_weights_weigh_the_training_alone() -> None:
    table = np.array([1.0, 2.0, 5.0, 0.5])
    problem = problem_of(class_weights=table)
    near(objective(problem, Z, Y), average(rows(), table[Y]))
    near(objective(problem, Z, Y, W), average(rows(), table[Y] * W))
    near(objective(problem, Z, np.eye(4, dtype=np.float32)[Y]), average(rows(), table[Y]))
    near(measured(problem, Z, Y)["loss"], rows().mean())


def test_binary_class_weights() -> None:
    z, y = Z[:, :1], (Y > 0).astype(np.float32)
    losses = np.logaddexp(0, np.where(y, -np.float64(z[:, 0]), np.float64(z[:, 0])))
    problem = problem_of(loss="binary_cross_entropy", class_weights=(1.0, 3.0))
    for targets in (y, y[:, None], y.astype(np.int32)):
        near(objective(problem, z, targets), average(losses, 1 + 2 * y))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.float32])
def test_balanced_weights_are_those_of_scikit_learn(dtype) -> None:
    want = compute_sample_weight("balanced", Y)
    targets = np.eye(5)[Y] if dtype == np.float32 else Y
    np.testing.assert_allclose(hondo.balanced_weights(jnp.asarray(targets, dtype)), want, rtol=1e-6)
    near(hondo.balanced_weights(jnp.asarray(Y > 0)), compute_sample_weight("balanced", Y > 0))


@pytest.mark.slow
@pytest.mark.parametrize("runner", [hondo.fit, hondo.fit_with_progress])
@pytest.mark.parametrize("augment", [None, lambda key, example, partner: (example[0], example[1])])
def test_balanced_is_by_the_training_data(runner, augment) -> None:
    stopper = hondo.early_stopping(3, mode="min")
    run = partial(runner, key=KEY, batch_size=N, max_epochs=2, stopper=stopper, augment=augment)
    valid = jnp.asarray(Z), jnp.asarray(Y)
    problem = hondo.supervised(linen.Dense(4), loss="cross_entropy", class_weights="balanced")
    got = run(problem, optax.sgd(0.5), valid, valid)
    weights = jnp.asarray(compute_sample_weight("balanced", Y), jnp.float32)
    plain = hondo.supervised(linen.Dense(4), loss="cross_entropy")
    want = run(plain, optax.sgd(0.5), (*valid, weights), valid)
    near(got.history.train["objective"][:2], want.history.train["objective"][:2])
    near(got.history.valid["loss"][:2], want.history.valid["loss"][:2])
    unweighted = run(plain, optax.sgd(0.5), valid, valid)
    assert got.history.train["objective"][0] != unweighted.history.train["objective"][0]


@pytest.mark.slow
def test_balanced_members_of_a_sweep_are_their_runs() -> None:
    data = jnp.asarray(Z), jnp.asarray(Y)
    options = {"batch_size": 7, "max_epochs": 2, "stopper": hondo.early_stopping(3, mode="min")}
    made = {
        name: hondo.supervised(linen.Dense(4), loss="cross_entropy", class_weights=weights)
        for name, weights in {"balanced": "balanced", "none": None}.items()
    }

    def build(hyper):
        return {"problem": made[hyper["weights"]], "optimizer": optax.sgd(0.5)}

    runs = hondo.sweep(build, hondo.grid(weights=[*made]), data, data, key=KEY, **options)
    for problem, got in zip(made.values(), runs.results, strict=True):
        want = hondo.fit(problem, optax.sgd(0.5), data, data, key=KEY, **options)
        near(got.history.valid["loss"], want.history.valid["loss"])


def test_smoothing_is_of_the_training_alone() -> None:
    smooth = 0.8 * np.eye(4)[Y] + 0.05
    losses = -(smooth * (np.float64(Z) - np.log(np.exp(np.float64(Z)).sum(1, keepdims=True)))).sum(
        1
    )
    problem = problem_of(label_smoothing=0.2)
    near(objective(problem, Z, Y), losses.mean())
    near(objective(problem, Z, np.eye(4, dtype=np.float32)[Y]), losses.mean())
    near(measured(problem, Z, Y)["loss"], rows().mean())
    z, y = Z[:, 0], (Y > 0).astype(np.float32)
    binary = problem_of(loss="binary_cross_entropy", label_smoothing=0.2)
    z64, soft = np.float64(z), 0.8 * y + 0.1
    near(objective(binary, z, y), np.mean(np.logaddexp(0, z64) - soft * z64))


def test_several_labels_have_the_mean_loss_and_the_share_that_is_right() -> None:
    y = np.float32(RNG.integers(0, 2, (N, 4)))
    z64 = np.float64(Z)
    want = np.logaddexp(0, np.where(y, -z64, z64)).mean()
    problem = problem_of(loss="binary_cross_entropy")
    near(objective(problem, Z, y), want)
    got = measured(problem, Z, y, batch_size=4)
    near(got["loss"], want)
    near(got["accuracy"], ((Z > 0) == y).mean())


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 2, 3])
def test_top_k_is_that_of_scikit_learn(k) -> None:
    problem = problem_of(metrics={"top": partial(hondo.top_k_accuracy, k=k)})
    want = partial(top_k_accuracy_score, Y, Z, k=k, labels=range(4))
    near(measured(problem, Z, Y, batch_size=5)["top"], want())
    near(measured(problem, Z, Y, W, batch_size=5)["top"], want(sample_weight=W))


def test_top_k_counts_neither_ties_nor_nan_as_right() -> None:
    logits = jnp.array([[1.0, 1.0, 1.0], [jnp.nan, 5.0, 0.0], [2.0, 1.0, 0.0], [2.0, 1.0, 0.0]])
    got = hondo.top_k_accuracy(logits, jnp.array([0, 1, 1, 3]), k=2)
    assert got.tolist() == [0, 0, 1, 0]
    for k in (0, 4, 2.0):
        with pytest.raises((ValueError, TypeCheckError), match="k"):
            hondo.top_k_accuracy(logits, jnp.array([0, 1, 1, 3]), k=k)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(N,), (N, 1), (N, 3)])
@pytest.mark.parametrize("weighted", [False, True])
def test_r_squared_is_of_all_examples(shape, weighted) -> None:
    f = np.float32(RNG.normal(size=shape) + 100)
    y = np.float32(f + RNG.normal(size=shape))
    weights = (W,) if weighted else ()
    problem = problem_of(loss="squared_error", metrics={"r2": hondo.r_squared})
    want = r2_score(np.float64(y), np.float64(f), sample_weight=W if weighted else None)
    for batch_size in (2, 4, 21):
        got = measured(problem, f, y, *weights, batch_size=batch_size)["r2"]
        np.testing.assert_allclose(got, want, atol=1e-4)


def test_r_squared_of_constant_targets() -> None:
    problem = problem_of(loss="squared_error", metrics={"r2": hondo.r_squared})
    ones = np.ones(4, np.float32)
    assert float(measured(problem, ones, ones)["r2"]) == 1.0
    assert float(measured(problem, 2 * ones, ones)["r2"]) == 0.0


def test_a_pooled_metric_sees_every_example_once() -> None:
    def largest(outputs, targets):
        return hondo.Pooled(outputs, jnp.max)

    problem = problem_of(metrics={"largest": largest, "margin": lambda z, y: z[:, 0] - z[:, 1]})
    got = measured(problem, Z, Y, batch_size=8)
    assert float(got["largest"]) == Z.max()
    near(got["margin"], np.mean(Z[:, 0] - Z[:, 1]))
    with pytest.raises(ValueError, match="pooled metric 'all' must be a scalar"):
        measured(problem_of(metrics={"all": lambda z, y: hondo.Pooled(z, jnp.sin)}), Z, Y)
    with pytest.raises(ValueError, match="metrics must be means, or r_squared"):
        measured(problem, Z, Y, W)


@pytest.mark.parametrize(
    "loss",
    [
        lambda z, t: jnp.array([1.0, 2.0, 5.0, 0.5])[t].mean() * hondo.cross_entropy(z, t).mean(),
        lambda z, t: z,
        lambda z, t: hondo.cross_entropy(z, t)[:, None],
    ],
)
def test_a_loss_that_is_not_one_value_each_is_refused(loss) -> None:
    problem = problem_of(loss=loss)
    for call in (objective, measured):
        with pytest.raises(ValueError, match=r"loss must be one value each, of shape \(21,\), got"):
            call(problem, Z, Y)


def test_a_loss_that_weighs_each_example_weighs_it() -> None:
    table = jnp.array([1.0, 2.0, 5.0, 0.5])
    problem = problem_of(loss=lambda z, t: table[t] * hondo.cross_entropy(z, t))
    near(objective(problem, Z, Y), np.mean(np.asarray(table)[Y] * rows()))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"class_weights": "balance"}, "class_weights must be one of 'balanced', got 'balance'"),
        ({"class_weights": (1.0, -1.0)}, "class_weights must be a finite number at least 0"),
        ({"class_weights": 2.0}, r"class_weights must be one weight for each class, got"),
        ({"class_weights": "balanced", "loss": "squared_error"}, "class_weights must be None"),
        ({"class_weights": (1, 2, 3), "loss": "binary_cross_entropy"}, r"each class, \(2,\)"),
        ({"label_smoothing": 2.0}, "label_smoothing must be a number in"),
        ({"label_smoothing": 0.1, "loss": "squared_error"}, "label_smoothing must be 0"),
        ({"metrics": {"loss": hondo.r_squared}}, "metrics must be other names, got 'loss'"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, words) -> None:
    with pytest.raises(ValueError, match=words):
        hondo.supervised(Given(), **{"loss": "cross_entropy", **options})


def test_batches_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="each of the 4 classes, got 3"):
        objective(problem_of(class_weights=(1, 2, 3)), Z, Y)
    with pytest.raises(ValueError, match=r"shape of weights must be \(batch,\), one for each"):
        objective(problem_of(), Z, Y, W[:, None])
    several = problem_of(loss="binary_cross_entropy", class_weights=(1, 2))
    for labels in (2, 4):
        with pytest.raises(ValueError, match="of one label"):
            objective(several, Z[:, :labels], np.float32(Z[:, :labels] > 0))
    balanced = problem_of(loss="binary_cross_entropy", class_weights="balanced")
    with pytest.raises(ValueError, match="of one label"):
        balanced.prepare((Z, jnp.asarray(Z > 0)))


@pytest.mark.slow
def test_an_augmentation_of_pairs_keeps_the_weight() -> None:
    data = jnp.asarray(Z), jnp.asarray(Y), jnp.asarray(W)
    run = partial(
        hondo.fit, hondo.supervised(linen.Dense(4), loss="cross_entropy"), optax.sgd(0.5), data
    )
    options = {"batch_size": N, "max_epochs": 1, "stopper": hondo.early_stopping(3, mode="min")}
    hook = hondo.on_images(lambda key, image: image)
    got, want = (run(data, key=KEY, augment=augment, **options) for augment in (hook, None))
    near(got.history.train["objective"], want.history.train["objective"])


def test_equal_options_make_equal_problems() -> None:
    def make():
        metrics = {"top": partial(hondo.top_k_accuracy, k=2), "r2": hondo.r_squared}
        options = {"class_weights": jnp.array([1.0, 2.0]), "label_smoothing": jnp.float32(0.5)}
        return hondo.supervised(linen.Dense(2), loss="cross_entropy", metrics=metrics, **options)

    assert make() == make()
    assert hash(make()) == hash(make())


@pytest.mark.parametrize("data", [{"inputs": Z, "targets": Y}, Z], ids=["dict", "array"])
def test_data_that_is_no_tuple_is_refused_by_what_it_is(data) -> None:
    with pytest.raises(
        ValueError, match=r"batch must be \(inputs, targets\) or .*, got '(dict|Arr)"
    ):
        problem_of().init(KEY, jax.tree.map(jnp.asarray, data))
