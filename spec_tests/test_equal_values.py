"""What hondo makes is equal where its arguments are, so a new but equal one compiles nothing."""

import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import linen

import hondo
from hondo.training.fit import _fit

X = jnp.linspace(-1.0, 1.0, 32)[:, None]
TRAIN = (X, (X[:, 0] > 0).astype(jnp.int32))

MAKERS = {
    "early_stopping": lambda c: hondo.early_stopping(3, mode="min", min_delta=c, target=c),
    "early_stopping of arrays": lambda c: hondo.early_stopping(
        3, mode="max", target=jnp.float32(c)
    ),
    "clip_by_global_norm": hondo.clip_by_global_norm,
    "clip_by_value": lambda c: hondo.clip_by_value(c, nonfinite="skip"),
    "clip_by_layer": lambda c: hondo.clip_by_layer(jnp.float32(c)),
    "adaptive_clip": lambda c: hondo.adaptive_clip(c, in_axis=[0]),
    "max_norm": lambda c: hondo.max_norm(c, in_axis=(0,)),
    "proximal_l1": lambda c: hondo.proximal_l1(c, learning_rate=c),
    "ema": hondo.ema,
    "supervised": lambda c: hondo.supervised(linen.Dense(int(8 * c)), loss="cross_entropy"),
    "penalized": lambda c: hondo.penalized(max, partial(hondo.l2_penalty, strength=c)),
    "compose": lambda c: hondo.compose(partial(hondo.random_flip, probability=c)),
    "on_images": lambda c: hondo.on_images(partial(hondo.random_flip, probability=c)),
    "gaussian": hondo.gaussian,
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_equal_arguments_make_equal_values(make) -> None:
    assert make(0.5) == make(0.5)
    assert hash(make(0.5)) == hash(make(0.5))
    assert make(0.5) != make(0.25)


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


def problem() -> hondo.Problem:
    base = hondo.supervised(linen.Dense(2), loss="cross_entropy")
    penalty = partial(hondo.l2_penalty, strength=1e-4)
    return base._replace(loss=hondo.penalized(base.loss, penalty))


def run(optimizer: optax.GradientTransformation, patience: int = 2) -> None:
    stopper = hondo.early_stopping(patience, mode="min")
    sizes = {"batch_size": 16, "max_epochs": 2}
    hondo.fit(problem(), optimizer, TRAIN, TRAIN, key=jax.random.key(0), stopper=stopper, **sizes)


@pytest.mark.slow
def test_a_run_of_equal_parts_compiles_nothing() -> None:
    run(hondo.clip_by_global_norm(0.1))
    before = _fit._cache_size()
    run(hondo.clip_by_global_norm(0.1))
    assert _fit._cache_size() == before
    run(hondo.clip_by_global_norm(0.1), patience=1)
    assert _fit._cache_size() == before + 1


def test_a_stopping_rule_makes_no_array() -> None:
    leaves = jax.tree.leaves(hondo.early_stopping(3, mode="min", min_delta=0.5, target=1.0))
    assert not any(isinstance(leaf, jax.Array) for leaf in leaves)
    rule = hondo.early_stopping(3, mode="min", min_delta=0.5, target=1.0).update.arguments[0]
    assert not any(isinstance(field, jax.Array) for field in rule)


@pytest.mark.parametrize("relative", ["'false'", "1.0", "None"])
def test_relative_is_true_or_false(relative) -> None:
    # A program of its own, because the suite's type hook refuses some of them by itself.
    program = f"import hondo; hondo.early_stopping(3, mode='min', relative={relative})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert f"ValueError: relative must be True or False, got {relative}." in done.stderr
