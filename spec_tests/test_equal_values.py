"""What hondo makes is equal where its arguments are, so a new but equal one compiles nothing."""

import inspect
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import get_origin

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import linen, nnx

import hondo
from hondo import linen as hl
from hondo import nnx as hx
from hondo.training.fit import _fit

pytestmark = pytest.mark.compile_quickly

X = jnp.linspace(-1.0, 1.0, 32)[:, None]
TRAIN = (X, (X[:, 0] > 0).astype(jnp.int32))


class Net(nnx.Module):
    """A network with a block for each whole number of units."""

    def __init__(self, rngs, units=2):
        self.norm = hx.BatchNorm(1, rngs=rngs)
        self.dense = hx.Residual(
            nnx.Linear(1, units, rngs=rngs), shortcut=partial(jnp.repeat, repeats=units, axis=1)
        )

    def __call__(self, x):
        return self.dense(self.norm(x))


def layer(make, *arguments, **options):
    """The graph of an nnx layer, which is what `nnx.jit` compiles for."""
    return nnx.graphdef(make(*arguments, **options, rngs=nnx.Rngs(0)))


def loss(params, model_state, batch, key):
    return params


def problem_of(module, **options) -> hondo.Problem:
    return hondo.supervised(module, **{"loss": "cross_entropy", **options})


# Each makes a value of 0.5 or 0.25; the first word is the name of what makes it.
MAKERS = {
    "early_stopping": lambda c: hondo.early_stopping(3, mode="min", min_delta=c, target=c),
    "early_stopping of arrays": lambda c: hondo.early_stopping(
        3, mode="max", target=jnp.float32(c)
    ),
    "clip_by_global_norm": hondo.clip_by_global_norm,
    "clip_by_value": lambda c: hondo.clip_by_value(c, nonfinite="skip"),
    "clip_by_layer": lambda c: hondo.clip_by_layer(jnp.float32(c)),
    "clip_by_block_rms": hondo.clip_by_block_rms,
    "adaptive_clip": lambda c: hondo.adaptive_clip(c, in_axis=[0]),
    "max_norm": lambda c: hondo.max_norm(c, in_axis=(0,)),
    "proximal_l1": lambda c: hondo.proximal_l1(c, learning_rate=c),
    "ema": hondo.ema,
    "swa": lambda c: hondo.swa() if c == 0.5 else hondo.ema(c),
    "supervised": lambda c: problem_of(linen.Dense(int(8 * c))),
    "supervised by a metric": lambda c: problem_of(
        linen.Dense(2), metrics={"top": partial(hondo.top_k_accuracy, k=int(4 * c))}
    ),
    "supervised by a loss": lambda c: problem_of(
        linen.Dense(2), loss=partial(optax.huber_loss, delta=c), reduce=partial(jnp.mean, axis=0)
    ),
    "supervised with weights": lambda c: problem_of(linen.Dense(2), class_weights=[1.0, c]),
    "supervised of nnx": lambda c: problem_of(partial(Net, units=int(8 * c))),
    "supervised of a module of nnx": lambda c: problem_of(Net(nnx.Rngs(int(8 * c)))),
    "supervised of a Repeat": lambda c: problem_of(hl.Repeat(linen.Dense(int(8 * c)), 2)),
    "watch": lambda c: hondo.watch(problem_of(linen.Dense(2)), every=int(8 * c)),
    "penalized": lambda c: hondo.penalized(partial(max, c), partial(hondo.l2_penalty, strength=c)),
    "noisy_parameters": lambda c: hondo.noisy_parameters(loss, std=jnp.float32(c)),
    "compose": lambda c: hondo.compose(partial(hondo.random_flip, probability=c)),
    "on_images": lambda c: hondo.on_images(partial(hondo.random_flip, probability=c)),
    "residual": lambda c: hondo.residual(partial(max, c), shortcut=partial(min, c)),
    "pre_activation": lambda c: hondo.pre_activation(partial(max, c), activation=abs),
    "repeat": lambda c: hondo.repeat(max, int(8 * c), remat=True),
    "multitask": lambda c: hondo.multitask(max, {"depth": partial(max, c), "normals": min}),
    "gaussian": hondo.gaussian,
    "orthogonal": hondo.orthogonal,
    "depth_scaled": lambda c: hondo.depth_scaled(hondo.gaussian(c), 4),
    "zero_last": lambda c: hondo.zero_last() if c == 0.5 else hondo.gaussian(c),
}
MAKERS["fully_sharded"] = lambda c: hondo.fully_sharded(min_size=int(64 * c))
MAKERS |= {
    name: lambda c, name=name: getattr(hondo, name)(in_axis=[int(4 * c)])
    for name in hondo.__all__
    if name.startswith(("glorot_", "he_", "lecun_"))
}
LINEN = {
    "BatchNorm": lambda c: hl.BatchNorm(momentum=c, axis=[-1]),
    "LayerNorm": lambda c: hl.LayerNorm(c, reduction_axes=[-1]),
    "GroupNorm": lambda c: hl.GroupNorm(int(8 * c), reduction_axes=[-1]),
    "InstanceNorm": lambda c: hl.InstanceNorm(c, feature_axes=[-1]),
    "RMSNorm": lambda c: hl.RMSNorm(c, reduction_axes=[-1]),
    "Dropout": lambda c: hl.Dropout(c, broadcast_dims=[0]),
    "GaussianDropout": lambda c: hl.GaussianDropout(c),
    "WeightNorm": lambda c: hl.WeightNorm(linen.Dense(int(8 * c)), variable_filter={"kernel"}),
    "Residual": lambda c: hl.Residual(partial(hondo.rms_norm, scale=None, epsilon=c)),
    "Repeat": lambda c: hl.Repeat(hl.Residual(linen.Dense(int(8 * c))), 2),
    "PlainMLP": lambda c: hl.PlainMLP(3, kernel_init=hondo.gaussian(c)),
    "DeepMLP": lambda c: hl.DeepMLP(3, norm=partial(hl.BatchNorm, momentum=c)),
    "PreActResNet": lambda c: hl.PreActResNet(3, norm=partial(hl.LayerNorm, c)),
}
NNX = {
    "BatchNorm": lambda c: layer(hx.BatchNorm, 3, momentum=c, axis=[-1]),
    "LayerNorm": lambda c: layer(hx.LayerNorm, 3, epsilon=c, reduction_axes=[-1]),
    "GroupNorm": lambda c: layer(hx.GroupNorm, 4, int(8 * c), reduction_axes=[-1]),
    "InstanceNorm": lambda c: layer(hx.InstanceNorm, 3, epsilon=c, feature_axes=[-1]),
    "RMSNorm": lambda c: layer(hx.RMSNorm, 3, epsilon=c, feature_axes=[-1]),
    "Dropout": lambda c: layer(hx.Dropout, c, broadcast_dims=[0]),
    "WeightNorm": lambda c: layer(
        hx.WeightNorm, nnx.Linear(3, int(8 * c), rngs=nnx.Rngs(0)), feature_axes=[-1]
    ),
    "Residual": lambda c: nnx.graphdef(
        hx.Residual(partial(hondo.rms_norm, scale=None, epsilon=c), shortcut=partial(jnp.add, c))
    ),
    "Repeat": lambda c: layer(hx.Repeat, partial(Net, units=int(8 * c)), 2),
}
ALL = {
    f"{place}{name}": make
    for place, makers in (("", MAKERS), ("linen ", LINEN), ("nnx ", NNX))
    for name, make in makers.items()
}


@pytest.mark.slow
@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
def test_a_new_but_equal_value_compiles_nothing(make) -> None:
    compiled = jax.jit(lambda value, x: x, static_argnums=0)
    for c in (0.5, 0.5):
        compiled(make(c), X)
    assert compiled._cache_size() == 1
    compiled(make(0.25), X)
    assert compiled._cache_size() == 2
    assert make(0.5) == make(0.5)
    assert hash(make(0.5)) == hash(make(0.5))


def makes_functions(function: Callable) -> bool:
    made = inspect.signature(function).return_annotation
    pairs = hondo.Problem, hondo.EarlyStopping, hondo.ParameterAverage, optax.GradientTransformation
    return made in pairs or get_origin(made) is Callable


def test_everything_that_makes_functions_is_here() -> None:
    functions = {n for n in hondo.__all__ if inspect.isfunction(getattr(hondo, n))}
    found = {name for name in functions if makes_functions(getattr(hondo, name))}
    # A projection holds its kernel, and an array has no hash.
    assert found - {"projection"} == {name.split()[0] for name in MAKERS}
    for library, module, makers in ((hl, linen.Module, LINEN), (hx, nnx.Module, NNX)):
        members = {name: getattr(library, name) for name in library.__all__}
        classes = {name: member for name, member in members.items() if inspect.isclass(member)}
        assert {name for name, one in classes.items() if issubclass(one, module)} == set(makers)


@pytest.mark.parametrize("make", [hondo.clip_by_value, hondo.max_norm, hondo.ema])
def test_a_traced_argument_is_taken_all_the_same(make) -> None:
    params = {"kernel": jnp.ones((2, 2))}

    @jax.jit
    def run(c):
        made = make(c)
        return (
            made.update(made.init(params), params)
            if make is hondo.ema
            else made.update(params, made.init(params), params)
        )

    assert jax.tree.leaves(run(0.5))


def run(make: Callable, patience: int = 2) -> None:
    base = problem_of(make())
    penalty = partial(hondo.l2_penalty, strength=1e-4)
    problem = base._replace(loss=hondo.penalized(base.loss, penalty))
    options = {"key": jax.random.key(0), "batch_size": 16, "max_epochs": 2}
    options["stopper"] = hondo.early_stopping(patience, mode="min")
    hondo.fit(problem, hondo.clip_by_global_norm(0.1), TRAIN, TRAIN, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: linen.Dense(2),
        lambda: hl.DeepMLP(2, depth=6, width=4, norm=partial(hl.BatchNorm, momentum=0.9)),
        lambda: Net,
        lambda: Net(nnx.Rngs(0)),
    ],
    ids=["linen", "linen of blocks", "nnx", "a module of nnx"],
)
def test_a_run_of_equal_parts_compiles_nothing(make) -> None:
    run(make)
    before = _fit.whole._cache_size()
    run(make)
    assert _fit.whole._cache_size() == before
    run(make, patience=1)
    assert _fit.whole._cache_size() == before + 1


def test_a_stopping_rule_makes_no_array() -> None:
    leaves = jax.tree.leaves(hondo.early_stopping(3, mode="min", min_delta=0.5, target=1.0))
    assert not any(isinstance(leaf, jax.Array) for leaf in leaves)
    rule = hondo.early_stopping(3, mode="min", min_delta=0.5, target=1.0).update.args[0]
    assert not any(isinstance(field, jax.Array) for field in rule)


@pytest.mark.slow
@pytest.mark.parametrize("relative", ["'false'", "1.0", "None"])
def test_relative_is_true_or_false(relative) -> None:
    # A program of its own, because the suite's type hook refuses some of them by itself.
    program = f"import hondo; hondo.early_stopping(3, mode='min', relative={relative})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert f"ValueError: relative must be True or False, got {relative}." in done.stderr
