"""One rule says which module gets its mode by which argument, in blocks and in `fit` alike."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from exact import normal
from flax import linen as nn
from flax import nnx

import hondo
from hondo import linen as hl
from hondo import nnx as hx
from hondo._modes import call_in_mode

pytestmark = pytest.mark.compile_quickly

KEY = jax.random.key(0)
X = normal(1, 16, 6) * 2 + 3


def seen(x, **mode):
    return mode


def takes_train(x, train):
    return seen(x, train=train)


def takes_training(x, *, training=None):
    return seen(x, training=training)


def takes_deterministic(x, mask=None, deterministic=None):
    return seen(x, deterministic=deterministic)


def takes_two(x, use_running_average, *, train):
    return seen(x, use_running_average=use_running_average, train=train)


def takes_any(x, **keywords):
    return keywords


@pytest.mark.parametrize(
    ("function", "mode"),
    [
        (takes_train, {"train": True}),
        (takes_training, {"training": True}),
        (takes_deterministic, {"deterministic": False}),
        (takes_two, {"use_running_average": False, "train": True}),
        (takes_any, {"train": True}),
        (seen, {"train": True}),
    ],
)
def test_a_function_gets_its_mode_by_the_names_that_it_takes(function, mode) -> None:
    assert call_in_mode(function, True)(X) == mode
    opposite = {name: not value for name, value in mode.items()}
    assert call_in_mode(function, False)(X) == opposite


@pytest.mark.slow
def test_a_function_without_a_mode_is_called_as_it_is() -> None:
    assert call_in_mode(lambda x, scale=2.0: scale * x, True)(3.0) == 6.0
    block = hl.Residual(nn.Sequential([nn.Dense(6), nn.relu]), shortcut=lambda x: 2 * x)
    y, variables = block.init_with_output(KEY, X, train=True)
    dense = variables["params"]["branch"]["layers_0"]
    np.testing.assert_array_equal(y, 2 * X + nn.relu(nn.Dense(6).apply({"params": dense}, X)))


@pytest.mark.parametrize(
    ("function", "mode"),
    [
        (partial(takes_train, train=False), {"train": False}),
        (partial(takes_any, train=False), {"train": False}),
        (partial(takes_any, deterministic=True), {"deterministic": True}),
        (partial(takes_deterministic, mask=X), {"deterministic": False}),
        (
            partial(takes_two, use_running_average=True),
            {"use_running_average": True, "train": True},
        ),
    ],
)
def test_a_mode_that_partial_gave_stays(function, mode) -> None:
    assert call_in_mode(function, True)(X) == mode


class Recorder(nn.Module):
    """Says which mode it got, by a field or by the call as Flax's modules."""

    deterministic: bool | None = None

    def __call__(self, x, deterministic=None, *, train=None):
        return nn.merge_param("deterministic", self.deterministic, deterministic), train


def test_a_mode_that_a_field_gave_stays() -> None:
    assert call_in_mode(Recorder(), True)(X) == (False, True)
    assert call_in_mode(Recorder(deterministic=True), True)(X) == (True, True)
    assert call_in_mode(partial(Recorder(deterministic=True)), True)(X) == (True, True)


class Preset(nn.Module):
    """Its field has a default that the call may override."""

    deterministic: bool = True

    def __call__(self, x, deterministic=None):
        return self.deterministic if deterministic is None else deterministic


def test_a_default_that_the_call_overrides_is_no_mode_given() -> None:
    assert call_in_mode(Preset(), True)(X) is False


class Takes(nn.Module):
    """A norm behind a call that takes the mode by this or that name."""

    def setup(self):
        self.norm = nn.BatchNorm()

    def of(self, x, train):
        return self.norm(x, use_running_average=not train)


class Training(Takes):
    def __call__(self, x, training=False):
        return self.of(x, training)


class Deterministic(Takes):
    def __call__(self, x, *, deterministic=True):
        return self.of(x, not deterministic)


class Inner(Takes):
    def __call__(self, x, train=False):
        return self.of(x, train)


class Wrapper(nn.Module):
    """Hands its keywords on."""

    inner: nn.Module

    @nn.compact
    def __call__(self, x, **keywords):
        return self.inner(x, **keywords)


NORMS = [
    nn.BatchNorm(),
    Training(),
    Deterministic(),
    Wrapper(Inner()),
    nn.Sequential([nn.BatchNorm(), nn.relu]),
    nn.Sequential([nn.Sequential([Training()])]),
    nn.remat(Inner, static_argnums=(2,))(),
]


def changed(old, new) -> bool:
    same = [np.array_equal(*pair) for pair in zip(*map(jax.tree.leaves, (old, new)), strict=True)]
    assert len(set(same)) == 1
    return not same[0]


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    "wrap",
    [hl.Residual, lambda f: hl.Residual(nn.Dense(6), shortcut=f), lambda f: hl.Repeat(f, 2)],
    ids=["branch", "shortcut", "repeat"],
)
def test_linen_blocks_train_the_modules_of_flax_and_its_users(wrap, norm) -> None:
    block = wrap(norm)
    variables = block.init(KEY, X, train=False)
    for train in (True, False):
        _, new = block.apply(variables, X, train=train, mutable=["batch_stats"])
        assert changed(variables["batch_stats"], new["batch_stats"]) == train


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS)
def test_fit_trains_the_same_modules(norm) -> None:
    problem = hondo.supervised(norm, loss=lambda y, t: jnp.sum(y * t, -1))
    params, state = problem.init(KEY, (X, X))
    _, (new, _) = problem.loss(params, state, (X, X), KEY)
    assert changed(state, new)
    problem.metrics(params, new, (X, X))


@pytest.mark.slow
def test_blocks_of_dropout_drop_in_training_only() -> None:
    for block in (hl.Residual(nn.Dropout(0.5)), hl.Repeat(nn.Dropout(0.5), 1)):
        y = block.apply({}, X, train=True, rngs={"dropout": KEY})
        plain = block.apply({}, X, train=False)
        assert not np.array_equal(y, plain)
    given = hl.Residual(nn.Dropout(0.5, deterministic=True))
    np.testing.assert_array_equal(given.apply({}, X, train=True), 2 * X)


@pytest.mark.slow
@pytest.mark.parametrize("norm", [hl.BatchNorm, nn.BatchNorm, Training, nn.LayerNorm, None])
def test_networks_take_any_norm(norm) -> None:
    net = hl.DeepMLP(3, depth=4, width=6, norm=norm)
    variables = net.init(KEY, X, train=False)
    state = list(set(variables) - {"params"})
    _, new = net.apply(variables, X, train=True, rngs=KEY, mutable=state)
    for name in state:
        assert changed(variables[name], new[name])


class NnxDropout(nnx.Module):
    """Flax's layers behind a name that users choose."""

    def __init__(self, rngs):
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x, training=False):
        return self.dropout(x, deterministic=not training)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda rngs: nnx.Dropout(0.5, rngs=rngs),
        NnxDropout,
        lambda rngs: nnx.Sequential(nnx.Dropout(0.5, rngs=rngs), nnx.relu),
    ],
)
def test_nnx_blocks_drop_in_training_only(make) -> None:
    for block in (hx.Residual(make(nnx.Rngs(0))), hx.Repeat(make, 1, rngs=nnx.Rngs(0))):
        plain = block(X, train=False)
        np.testing.assert_array_equal(block(X, train=False), plain)
        assert not np.array_equal(block(X, train=True), plain)


@pytest.mark.slow
def test_nnx_blocks_train_batch_norm_and_fit_does() -> None:
    norm = nnx.BatchNorm(6, rngs=nnx.Rngs(0))
    block = hx.Residual(nnx.Linear(6, 6, rngs=nnx.Rngs(0)), shortcut=norm)
    before = np.asarray(norm.mean[...])
    block(X, train=False)
    np.testing.assert_array_equal(norm.mean[...], before)
    block(X, train=True)
    assert not np.array_equal(norm.mean[...], before)
    result = hondo.fit(
        hondo.supervised(block, loss="squared_error"), optax.sgd(0.1), (X, X), (X, X),
        key=KEY, batch_size=8, max_epochs=1, stopper=hondo.early_stopping(1, mode="min"),
    )  # fmt: skip
    assert not np.array_equal(result.last.model_state["shortcut"]["mean"][...], norm.mean[...])
