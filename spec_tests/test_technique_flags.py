"""The techniques that `hondo train` composes: what each changes, and what it is refused for."""

import json
from functools import partial
from pathlib import Path
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import hondo
from hondo.cli import augmenting, build, predict
from hondo.cli.augmenting import augmentation
from hondo.cli.averaging import Schedule, averaged
from hondo.cli.config import PredictConfig, TrainConfig
from hondo.cli.drop_connecting import DropConnectLoss
from hondo.cli.ensembles import average_outputs, ensemble, ensemble_optimizer
from hondo.cli.sections import ActivationName
from hondo.cli.train import prepare, prepare_resumed
from hondo.data import load
from hondo.linen import DeepMLP, GaussianDropout, PreActResNet

pytestmark = pytest.mark.compile_quickly

KEY = jax.random.key(0)
DIGITS, DIABETES = load("digits"), load("diabetes")


def loss(params, state, batch, key):
    """Its model state is the latest parameters that it saw."""
    return jnp.sum(params["kernel"] * batch), (jax.tree.map(jnp.negative, params), {})


def metrics(params, state, batch):
    return {"kernel": params["kernel"], "state": state["kernel"]}


NUMBERS = hondo.Problem(
    lambda key, batch: ({"kernel": jnp.zeros(1)}, {"kernel": jnp.zeros(1)}), loss, metrics
)


def averages(schedule: Schedule, values: list[float]) -> list[list[float]]:
    """Before each step, what is measured: the parameters, and the model state."""
    problem, batch = averaged(NUMBERS, schedule), jnp.ones(1)
    _, state = problem.init(KEY, batch)
    measured = []
    for value in values:
        params = {"kernel": jnp.full(1, value)}
        found = problem.metrics(params, state, batch)
        measured.append([float(found[name][0]) for name in ("kernel", "state")])
        state = jax.jit(problem.loss)(params, state, batch, KEY)[1][0]
    return measured


def test_ema_is_measured_with_a_model_state_of_its_own() -> None:
    measured = averages(Schedule(hondo.ema(0.5), 1, 1), [1.0, 2.0, 5.0, 9.0])
    # The start has no weight; then 2, and (5 + 2/2) / (1 + 1/2).
    assert measured[:3] == [[1.0, 0.0], [2.0, -1.0], [2.0, -2.0]]
    assert measured[3] == [4.0, -4.0]


def test_swa_takes_the_ends_of_epochs_from_its_first_on() -> None:
    # Two steps an epoch: the values before steps 2 and 4 are those at the ends of epochs 1 and 2.
    measured = averages(Schedule(hondo.swa(), 2, 2), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    assert [kernel for kernel, _ in measured] == [0.0, 1.0, 2.0, 2.0, 2.0, 3.0]
    assert measured[-1] == [3.0, -3.0]


def test_an_average_takes_no_gradient() -> None:
    problem = averaged(NUMBERS, Schedule(hondo.ema(0.5), 0, 1))
    params, state = problem.init(KEY, jnp.ones(1))
    gradient = jax.grad(lambda p: problem.loss(p, state, jnp.full(1, 3.0), KEY)[0])(params)
    assert gradient["kernel"].tolist() == [3.0]


def member_loss(params, state, batch, key):
    noise = jax.random.normal(key, ())
    value = jnp.sum(jnp.square(params["kernel"] - batch[1])) + noise * jnp.sum(params["kernel"])
    return value, (state, {"loss": value})


@pytest.mark.slow
def test_each_member_of_an_ensemble_has_the_gradient_of_its_own_loss() -> None:
    member = hondo.Problem(
        lambda key, batch: ({"kernel": jax.random.normal(key, (1,))}, ()), member_loss, metrics
    )
    batch = jnp.zeros((2, 1)), jnp.ones(1)
    both = ensemble(member, 2, lambda p, s, x: jnp.mean(p["kernel"]), lambda out, b: {"loss": out})
    params, state = both.init(KEY, batch)
    gradient = jax.grad(lambda p: both.loss(p, state, batch, KEY)[0])(params)
    for place, key in enumerate(jax.random.split(KEY, 2)):
        own = jax.tree.map(lambda leaf, place=place: leaf[place], params)
        alone = jax.grad(lambda p, key=key: member_loss(p, (), batch, key)[0])(own)
        np.testing.assert_allclose(gradient["kernel"][place], alone["kernel"], rtol=1e-6)
    assert params["kernel"][0] != params["kernel"][1]
    assert both.metrics(params, state, batch)["loss"] == jnp.mean(params["kernel"])


def test_each_member_is_clipped_by_its_own_norm() -> None:
    optimizer = ensemble_optimizer(optax.chain(hondo.clip_by_global_norm(1.0), optax.sgd(1.0)))
    params = {"kernel": jnp.array([[3.0, 4.0], [0.3, 0.4]])}
    updates, _ = jax.jit(lambda p: optimizer.update(p, optimizer.init(p), p))(params)
    np.testing.assert_allclose(updates["kernel"], [[-0.6, -0.8], [-0.3, -0.4]], rtol=1e-6)


@pytest.mark.parametrize(("task", "outputs"), [("classification", 3), ("binary", 1)])
def test_an_ensemble_answers_with_the_mean_probability(task, outputs) -> None:
    logits = np.random.default_rng(0).normal(size=(4, 5, outputs)).astype(np.float32)

    def probabilities(z):
        return np.exp(z) / (np.exp(z).sum(-1, keepdims=True) if outputs > 1 else 1 + np.exp(z))

    answer = np.asarray(jax.jit(partial(average_outputs, task))(logits))
    np.testing.assert_allclose(probabilities(answer), probabilities(logits).mean(0), rtol=1e-5)


def test_drop_connect_drops_weights_anew_and_leaves_the_rest() -> None:
    params = {"kernel": jnp.ones((40, 50)), "bias": jnp.ones(50)}
    loss = DropConnectLoss(lambda p, s, batch, key: jnp.sum(p["kernel"]) + jnp.sum(p["bias"]), 0.75)
    masks = jax.jit(jax.grad(lambda p, key: loss(p, (), None, key)))
    first, second = (masks(params, jax.random.key(n)) for n in range(2))
    assert set(first["bias"].tolist()) == {1.0}
    kernels = [np.asarray(each["kernel"]) for each in (first, second)]
    assert not (kernels[0] == kernels[1]).all()
    assert abs(np.mean(kernels[0] > 0) - 0.75) < 6 * (0.1875 / 2000) ** 0.5
    np.testing.assert_allclose(np.unique(kernels[0]), [0.0, 4 / 3], rtol=1e-6)


@pytest.mark.slow
def test_a_dropped_branch_leaves_the_shortcut() -> None:
    x, rngs = jnp.ones((6, 8)), {"dropout": KEY}
    net = DeepMLP(3, depth=4, width=8, rate=0.0, norm=None, branch_rate=1.0)
    variables = jax.jit(partial(net.init, train=False))(KEY, x)
    blocks = {"DenseBlock_0": jax.tree.map(jnp.zeros_like, variables["params"]["DenseBlock_0"])}
    without = {"params": {**variables["params"], **blocks}}
    infer = jax.jit(partial(net.apply, train=False))
    dropped = jax.jit(partial(net.apply, train=True))(variables, x, rngs=rngs)
    np.testing.assert_allclose(dropped, infer(without, x), rtol=1e-6)
    assert not np.array_equal(dropped, infer(variables, x)), "inference drops nothing"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "shape"),
    [(partial(DeepMLP, depth=8), (8,)), (partial(PreActResNet, depth=8), (8, 8, 1))],
    ids=["DeepMLP", "PreActResNet"],
)
def test_a_branch_is_dropped_whole_and_units_one_by_one(network, shape) -> None:
    """Equal examples have as many outputs as there are ways to drop three branches, or units."""
    x, rngs = jnp.ones((64, *shape)), {"dropout": KEY}

    def outputs(**rates: float) -> int:
        net = network(3, width=8, norm=None, **rates)
        variables = jax.jit(partial(net.init, train=False))(KEY, x)
        y = jax.jit(partial(net.apply, train=True))(variables, x, rngs=rngs)
        return len(np.unique(np.asarray(y), axis=0))

    assert 4 <= outputs(rate=0.0, branch_rate=0.5) <= 2**3
    assert outputs(rate=0.5, branch_rate=0.0) > 2**4


def test_gaussian_dropout_is_a_choice_of_the_network() -> None:
    x = jnp.ones((500, 8))
    layer = GaussianDropout(0.2)
    y = np.asarray(jax.jit(partial(layer.apply, {}, train=True))(x, rngs={"dropout": KEY}))
    assert abs(y.std() - 0.5) < 0.05
    assert layer.apply({}, x, train=False) is x
    config = TrainConfig(gaussian_dropout=True, depth=4, width=8)
    assert build.network(config, DIGITS).dropout is GaussianDropout


def augmented(**options: object):
    augment = augmentation(TrainConfig(**options), DIGITS)
    assert augment is not None
    first, second = (
        (jnp.asarray(DIGITS.inputs[n]), jnp.asarray(DIGITS.targets[n])) for n in (0, 1)
    )
    return augment(KEY, first, second)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_mixed_examples_have_the_labels_of_both(name) -> None:
    image, target = map(np.asarray, augmented(augment=False, **{name: 1.0}))
    both = np.eye(10)[DIGITS.targets[:2]]
    share = float(target[DIGITS.targets[0]])
    assert 0 < share < 1
    np.testing.assert_allclose(target, share * both[0] + (1 - share) * both[1], atol=1e-6)
    if name == "mixup":
        expected = share * DIGITS.inputs[0] + (1 - share) * DIGITS.inputs[1]
        np.testing.assert_allclose(image, expected, atol=1e-6)


@pytest.mark.slow
def test_images_are_turned_and_cut_out_and_tables_are_mixed() -> None:
    turned, target = augmented(augment=False, rotation=30.0)
    assert not np.array_equal(turned, DIGITS.inputs[0])
    assert target.dtype == jnp.int32
    hole = np.asarray(augmented(augment=False, cutout=4)[0])
    assert ((hole == DIGITS.inputs[0]) | (hole == 0)).all()
    assert hole.sum() < DIGITS.inputs[0].sum()
    assert augmentation(TrainConfig(), DIABETES) is None
    mix = augmentation(TrainConfig(mixup=1.0), DIABETES)
    assert mix is not None
    pair = jnp.asarray(DIABETES.inputs[:2]), jnp.asarray(DIABETES.targets[:2])
    _, target = jax.jit(mix)(KEY, *((pair[0][n], pair[1][n]) for n in (0, 1)))
    assert DIABETES.targets[:2].min() < float(target) < DIABETES.targets[:2].max()


@pytest.mark.parametrize(("name", "value"), [("rotation", 9.0), ("cutout", 1), ("cutmix", 1.0)])
def test_what_is_for_images_is_refused_for_a_table(name, value) -> None:
    words = f"{name} must be 0 for diabetes, which has no images, got {value}"
    with pytest.raises(ValueError, match=words):
        augmentation(TrainConfig(**{name: value}), DIABETES)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mixup": -1.0}, "mixup must be a finite number at least 0, got -1.0. It is α"),
        ({"mixup": 0.2, "cutmix": 1.0}, "cutmix must be 0.0 beside mixup=0.2, got 1.0"),
        ({"ema": 0.9, "swa": 5}, "swa must be 0 beside ema=0.9, got 5"),
        ({"ema": 1.5}, "ema must be a number in"),
        ({"swa": 100}, "swa must be less than max_epochs, 100, got 100"),
        ({"rotation": 181.0}, "rotation must be a number in"),
        ({"cutout": -1}, "cutout must be an integer of at least 0"),
        ({"ensemble": 0}, "ensemble must be an integer of at least 1"),
        ({"drop_connect": 1.5}, "drop_connect must be a number in"),
        ({"stochastic_depth": 0.8, "residual": False}, "stochastic_depth must be 1 without"),
        ({"stochastic_depth": 0.8, "model": "plain"}, "stochastic_depth must be 1 without"),
        ({"gaussian_dropout": True, "keep_prob": 1.0}, "gaussian_dropout must be left out"),
        ({"gaussian_dropout": True, "model": "plain"}, "gaussian_dropout must be left out"),
    ],
)
def test_techniques_are_refused_where_they_make_no_sense(options, words) -> None:
    with pytest.raises(ValueError, match=words):
        build.check_config(TrainConfig(**options))


def test_the_activations_to_choose_from_are_those_that_there_are() -> None:
    assert get_args(ActivationName) == tuple(hondo.ACTIVATIONS)


# What optax computes strictly.
PLAIN = {"optimizer": "sgd", "schedule": "constant", "learning_rate": 0.02}
SMALL = {"model": "plain", "depth": 3, "width": 8, "max_epochs": 2, "batch_size": 128, **PLAIN}
TOGETHER = {"ensemble": 2, "ema": 0.5, "mixup": 0.2, "drop_connect": 0.9, "dtype": "bfloat16"}


@pytest.mark.slow
def test_what_is_validated_is_what_is_kept_and_predicts(tmp_path: Path, capsys) -> None:
    np.save(tmp_path / "x.npy", DIGITS.inputs[:600].reshape(600, -1))
    np.save(tmp_path / "y.npy", DIGITS.targets[:600])
    data = {"data": tmp_path / "x.npy", "targets": tmp_path / "y.npy", "stream": True}
    out = tmp_path / "run"
    assert prepare(TrainConfig(**SMALL, **TOGETHER, **data, out=out))() == 0
    assert "an ensemble of 2 × plain: 3 layers of width 8 in bfloat16" in capsys.readouterr().out
    result = json.loads((out / "result.json").read_text())
    predict.prepare(PredictConfig(out))()
    assert f"test accuracy {result['test accuracy']:.4f}" in capsys.readouterr().out
    assert {leaf.shape[0] for leaf in jax.tree.leaves(hondo.load_run(out).params)} == {2}
    # A run that has ended gives its result again: it is the same run that its folder describes.
    assert prepare_resumed(out)() == 0
    again = json.loads((out / "result.json").read_text())
    assert {**again, "seconds": 0} == {**result, "seconds": 0}


def test_each_part_of_an_augmentation_has_a_key_of_its_own(monkeypatch) -> None:
    seen = []

    def listen(key, value, *rest, **options):
        seen.append(tuple(jax.random.key_data(key).tolist()))
        return value

    def listen_to_example(config, dataset, key, example):
        seen.append(tuple(jax.random.key_data(key).tolist()))
        return change(config, dataset, key, example)

    change = augmenting._change
    monkeypatch.setattr(augmenting, "_change", listen_to_example)
    for name in ("random_crop", "random_rotation", "gaussian_noise", "cutout", "mixup"):
        monkeypatch.setattr(hondo, name, listen)
    amounts = {"rotation": 10.0, "cutout": 2, "input_noise": 0.1, "mixup": 1.0}
    augment = augmentation(TrainConfig(**amounts), DIGITS)
    example = jnp.asarray(DIGITS.inputs[0]), jnp.asarray(DIGITS.targets[0])
    augment(KEY, example, example)
    # Of the example its own and four of its parts, likewise of its partner; that of the mixture.
    assert len(seen) == len(set(seen)) == 11
