"""Calls with values that are wrong in their place only; prints as JSON what is not refused well."""

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import nnx

# Without types, since these are the calls that a type checker refuses as well.
hondo, hl, hx = (import_module(name) for name in ("hondo", "hondo.linen", "hondo.nnx"))

KEY, X = jax.random.key(0), jnp.arange(12.0).reshape(4, 3)
BATCH = jnp.ones((5, 6, 7, 2))
INTEGERS = jnp.array([3, 4])
NORM = {"scale": None, "epsilon": 1e-5}
Refused = tuple[str, Callable[[], object]]


def masks() -> Iterator[Refused]:
    """A mask selects: what is not of bools would be a weight, and is one nowhere."""
    calls = {
        "mask": [
            partial(hondo.masked_mean, jnp.ones(3)),
            lambda mask: hondo.fill_missing(jnp.ones(3), mask=mask),
            lambda mask: hondo.labelled_mean(jnp.subtract, X[0], X[0], mask=mask),
            partial(hondo.apply_dropout_mask, jnp.ones(3)),
        ],
        "where": [
            lambda where: hondo.batch_moments(X[:3], where=where),
            lambda where: hondo.batch_normalize(X[:3], bias=None, where=where, **NORM),
        ],
    }
    for name, functions in calls.items():
        for mask in ([0.5, 1.0, 0.0], [0, 2, 2], [0.1, 10.0, 1.0], [-1.0, 0.0, 1.0]):
            for function in functions:
                for call in (function, jax.jit(function)):
                    words = rf"{name} must be a boolean mask, got '(float|int)32'. Write {name} > 0"
                    yield words, partial(call, jnp.array(mask))


def images() -> Iterator[Refused]:
    """Of a batch there would be one coin for all, across the wrong axes."""
    words = r"the shape of image must be \(height, width\) or .*got \(5, 6, 7, 2\).*jax\.vmap"
    yield words, lambda: hondo.random_flip(KEY, BATCH)
    yield words, lambda: hondo.cutout(KEY, BATCH, size=2)
    yield words, lambda: hondo.random_crop(KEY, BATCH, padding=1)
    yield words, lambda: hondo.random_shift(KEY, BATCH, max_shift=1)
    yield words, lambda: hondo.rotate(BATCH, angle=20.0)
    yield words, lambda: hondo.random_rotation(KEY, BATCH, max_angle=20.0)
    yield words, lambda: hondo.random_quarter_turn(KEY, BATCH)
    yield words, lambda: hondo.cutmix(KEY, (BATCH, X[0]), (BATCH, X[0]), alpha=1.0)
    yield words, jax.jit(lambda: hondo.compose(hondo.random_flip)(KEY, BATCH))
    yield words, lambda: hondo.on_images(hondo.random_flip)(KEY, (BATCH, 0), (BATCH, 0))
    yield "method must be 'nearest'", lambda: hondo.rotate(X > 1, angle=20.0, method="linear")


def integers() -> Iterator[Refused]:
    """What integers would cut off."""
    for make in (hondo.clip_by_global_norm, hondo.clip_by_layer, hondo.clip_by_value):
        clip, gradient = make(1.0), {"w": INTEGERS}
        words = r"updates\['w'\] must be of a floating dtype, got 'int32'"
        yield words, partial(clip.update, gradient, clip.init(gradient))
        yield words, partial(jax.jit(clip.update), gradient, clip.init(gradient))
    for average in (hondo.average_probabilities, hondo.average_log_probabilities):
        yield "logits must be of a floating dtype", partial(average, jnp.ones((2, 3), int))
    words = r"gradients\['w'\] must be of a floating dtype"
    yield words, partial(hondo.pcgrad, KEY, {"w": jnp.ones((2, 3), int)})
    yield "values must be of a floating dtype", partial(hondo.masked_mean, INTEGERS, INTEGERS > 3)
    yield (
        "fill must be a value of the targets' dtype",
        partial(hondo.fill_missing, INTEGERS, fill=0.5),
    )
    yield "fill must be a number in", partial(hondo.fill_missing, INTEGERS, fill=jnp.nan)
    yield "indices must be of an integer dtype", partial(hondo.example_keys, KEY, 0, X)
    yield "epoch must be an integer", partial(hondo.example_keys, KEY, 0.5, INTEGERS)


def numbers() -> Iterator[Refused]:
    """Strings, bytes, bools and lists are no numbers."""
    moments = hondo.batch_moments(X)
    for value in ("0.5", b"0.5", True, np.True_, jnp.array(True), [0.5], None):
        yield "limit must be", partial(hondo.clip_by_global_norm, value)
        yield "keep_prob must be", partial(hondo.dropout, KEY, X, keep_prob=value)
        yield "decay must be", partial(hondo.ema, value)
        yield (
            "decay must be",
            partial(hondo.update_batch_stats, hondo.init_batch_stats(3), moments, decay=value),
        )
        yield "epsilon must be", partial(hondo.rms_norm, X, None, epsilon=value)
    for value in ("false", 0, 1.0, None, jnp.array(1.0)):
        yield (
            "relative must be True or False",
            partial(hondo.early_stopping, 2, mode="min", relative=value),
        )
    yield "shape must be", partial(hondo.fans, (4, -1))
    yield r"in_axis must be at least one axis, got \(\)", partial(hondo.fans, (4, 4), in_axis=())
    yield r"the shape of moments must be \(sets, features\)", partial(hondo.pool_moments, moments)
    yield r"the shape of moments must be \(sets,", partial(hondo.batch_averaged_stats, moments)
    yield "ddof must be 0", partial(hondo.moments_variance, moments, ddof=True)


def labels() -> Iterator[Refused]:
    """Targets that a loss cannot mean."""
    strings, ones = np.array(["a", "b", "c", "a"]), jnp.array([1, 2, 3, 3])
    yield (
        r"targets must be .*\[0, 2\], got 3 at 2.*subtract 1",
        partial(hondo.cross_entropy, X, ones),
    )
    for loss in (hondo.cross_entropy, hondo.binary_cross_entropy):
        yield "targets must be an array of real numbers", partial(loss, X, strings)
    for labels in (jnp.ones((4, 1)), jnp.ones(()), jnp.ones((4, 0))):
        words = r"the shape of labels must be \(…, K\) with K ≥ 2.*\[1 - y, y\]"
        yield words, partial(hondo.label_smoothing, labels, amount=0.1)


def runs() -> Iterator[Refused]:
    """Targets within a run, where a compiled program has no values to look at."""
    model, x = nn.Dense(3), np.ones((4, 2), np.float32)
    options = {
        "key": KEY,
        "batch_size": 2,
        "max_epochs": 1,
        "stopper": hondo.early_stopping(1, mode="min"),
    }
    problem = hondo.supervised(model, loss="cross_entropy")
    own = hondo.supervised(model, loss=partial(hondo.cross_entropy, reduce=None))
    coin = hondo.supervised(nn.Dense(1), loss="binary_cross_entropy")
    right, wrong = np.array([0, 1, 2, 1]), np.array([1, 2, 3, 1])
    words, signs = r"targets must be .*\[0, 2\], got 3 at 2", np.array([-1.0, 1.0, 1.0, -1.0])
    sgd = optax.sgd(0.1)
    for targets in (wrong, jnp.array(wrong)):
        for one in (problem, own):
            for data in ([(x, right), (x, targets)], [(x, targets), (x, right)]):
                yield words, partial(hondo.fit, one, sgd, *data, **options)
            params, state = one.init(KEY, (x, right))
            yield words, partial(hondo.evaluate, one, params, state, (x, targets))
        given = {"problem": problem, "optimizer": sgd, **options}
        sweep = partial(hondo.sweep, lambda _: {}, {"l2": np.ones(2)}, **given)
        yield words, partial(sweep, (x, targets), (x, right))
        bar = partial(hondo.fit_with_progress, problem, sgd, **options)
        yield words, partial(bar, (x, targets), (x, right))
    words = r"targets must be .*\[0, 1\], got -1.0 at 0.*\(targets \+ 1\) / 2"
    yield words, partial(hondo.fit, coin, sgd, (x, signs), (x, signs), **options)
    strings = np.array(["a", "b", "a", "a"])
    words = r"train\[1\] must be an array of numbers, got array\(\['a', 'b'"
    yield words, partial(hondo.fit, coin, sgd, (x, strings), (x, strings), **options)


def other_names() -> Iterator[Refused]:
    """Arguments by the names that other libraries have for them."""
    linen, rngs = hl.BatchNorm(), nnx.Rngs(0)
    averages = hondo.init_batch_stats(3)
    variables = linen.init(KEY, X, False)
    words = r"momentum must not be given, got 0\.9\. It is decay="
    yield words, lambda: hl.commit_moments(variables, momentum=0.9)
    yield words, lambda: hondo.update_batch_stats(averages, hondo.batch_moments(X), momentum=0.9)
    yield words, lambda: hondo.batch_norm(X, averages, None, None, momentum=0.9, epsilon=1e-5)
    words = "use_running_average must not be given, got True. Modules take train=True"
    options = {"epsilon": 1e-5, "use_running_average": True}
    yield words, lambda: hondo.batch_norm(X, averages, None, None, decay=0.9, **options)
    words = "deterministic must not be given, got True. Modules take train=True"
    for function in (hondo.dropout, hondo.inverted_dropout, hondo.gaussian_dropout):
        yield words, partial(function, KEY, X, keep_prob=0.5, deterministic=True)
        yield (
            "rate must not be given, got 0.5. It is keep_prob=",
            partial(function, KEY, X, rate=0.5),
        )
    for make in (hl.Dropout, partial(hx.Dropout, rngs=rngs)):
        yield "rate must be a number", partial(lambda make: make(1.5).apply({}, X, False), make)


def states() -> Iterator[Refused]:
    """The state, payload or parameters of another run."""
    stopper, params = hondo.early_stopping(2, mode="min"), {"w": jnp.zeros(3)}
    state = stopper.init(params)
    for wrong in (jnp.zeros(()), jnp.zeros((1, 3)), jnp.zeros(3, jnp.bfloat16), jnp.arange(3)):
        yield (
            r"payload\['w'\] must be as in init's, float32\(3,\), got",
            partial(stopper.update, state, 1.0, {"w": wrong}),
        )
        yield (
            r"params\['w'\] must be as in state.average, float32",
            partial(hondo.ema(0.5).update, hondo.swa().init(params), {"w": wrong[None] * 1.0}),
        )
    yield (
        r"payload\['v'\] must be .*not there",
        partial(stopper.update, state, 1.0, {**params, "v": X}),
    )
    clip, adam = hondo.clip_by_value(1.0), optax.adam(0.1)
    words = r"state must be a ClippingState, got .*init\(params\)"
    yield words, partial(clip.update, params, ())
    yield words, partial(clip.update, params, adam.init(params))
    yield (
        "updates must be the tree that init got, of 1 leaves",
        partial(clip.update, {**params, "v": X}, clip.init(params)),
    )
    yield "state must be a EarlyStoppingState", partial(stopper.update, None, 1.0, params)
    yield "state must be a ParameterAverageState", partial(hondo.ema(0.5).update, state, params)


def judge(words: str, call: Callable[[], object]) -> str | None:
    """What is wrong with how the call is refused; None if nothing is."""
    try:
        call()
    except (TypeError, ValueError) as error:
        found = re.search(words, str(error))
        return None if found else f"{words!r}: {error}"
    except Exception as error:
        return f"{words!r}: {error!r}"
    return f"{words!r}: accepted by {call}"


if __name__ == "__main__":
    groups = (masks, images, integers, numbers, labels, runs, states, other_names)
    complaints = [judge(*refused) for group in groups for refused in group()]
    print(json.dumps([complaint for complaint in complaints if complaint]))
