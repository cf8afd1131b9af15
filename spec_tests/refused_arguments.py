"""Calls modules with wrong arguments; prints the calls that accept one, or say badly what it is.

A program of its own, because the test suite checks types at run time and refuses some by itself.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from hondo import linen as hl
from hondo import nnx as hx

X, RNGS = jnp.ones((4, 1, 6)), nnx.Rngs(0)


def linen(make, **options):
    return lambda: make(**options).init(jax.random.key(0), X, train=False)


def of_nnx(make, **options):
    return lambda: make(**options, rngs=RNGS)(X, train=True)


def calls_with_number(value):
    yield "decay", linen(hl.BatchNorm, decay=value)
    yield "decay", of_nnx(hx.BatchNorm, features=6, decay=value)
    yield "momentum", linen(hl.BatchNorm, momentum=value)
    yield "momentum", of_nnx(hx.BatchNorm, features=6, momentum=value)
    yield "group_size", linen(hl.GroupNorm, group_size=value)
    yield "features", of_nnx(hx.RMSNorm, num_features=value)
    yield "rate", linen(hl.Dropout, rate=value)
    yield "rate", of_nnx(hx.Dropout, rate=value)
    yield "groups", linen(hl.GroupNorm, groups=value)
    yield "groups", of_nnx(hx.GroupNorm, features=6, groups=value)
    yield "depth", linen(hl.Repeat, block=hl.RMSNorm(), depth=value)
    yield "depth", linen(hl.DeepMLP, outputs=3, depth=value)
    for norm in ("BatchNorm", "LayerNorm", "InstanceNorm", "RMSNorm"):
        yield "epsilon", linen(getattr(hl, norm), epsilon=value)
        yield "epsilon", of_nnx(getattr(hx, norm), features=6, epsilon=value)


LINEN = [
    (hl.BatchNorm(), X),
    (hl.Dropout(0.0), X),
    (hl.Residual(hl.Dropout(0.0)), X),
    (hl.Repeat(hl.Dropout(0.0), 2), X),
    (hl.DeepMLP(3, depth=4, norm=None, rate=0.0), X),
    (hl.PlainMLP(3, depth=3), X),
    (hl.PreActResNet(3, norm=None), jnp.ones((1, 8, 8, 1))),
]
NNX = [
    hx.BatchNorm(6, rngs=RNGS),
    hx.Dropout(0.0, rngs=RNGS),
    hx.Residual(hx.Dropout(0.0)),
    hx.Repeat(lambda rngs: hx.Dropout(0.0, rngs=rngs), 2, rngs=RNGS),
]


def calls_by_name(mode):
    """Flax's words, at the call and as what the layer holds."""
    for layer in (hl.BatchNorm, partial(hl.Dropout, 0.5)):
        name = hl.Dropout.mode_attribute if isinstance(layer, partial) else layer.mode_attribute
        yield name, partial(layer().init, jax.random.key(0), X, **{name: mode})
        yield name, partial(layer(**{name: mode}).init, jax.random.key(0), X)
    norm, dropout = partial(hx.BatchNorm, 6, rngs=RNGS), partial(hx.Dropout, 0.5, rngs=RNGS)
    yield "use_running_average", partial(norm(), X, use_running_average=mode)
    yield "use_running_average", partial(norm(use_running_average=mode), X)
    yield "deterministic", partial(dropout(), X, deterministic=mode)
    yield "deterministic", partial(dropout(deterministic=mode), X)


def calls_in_mode(train):
    for module, x in LINEN:
        variables = module.init(jax.random.key(0), x, False)
        yield "train", partial(module.init, jax.random.key(0), x, train)
        yield "train", partial(module.apply, variables, x, train)
    for module in NNX:
        yield "train", partial(module, X, train)


def calls_of_norms(_):
    for name in ("LayerNorm", "InstanceNorm", "RMSNorm", "BatchNorm"):
        make, of_nnx = getattr(hl, name), partial(getattr(hx, name), 6, rngs=RNGS)
        init = partial(make().init, jax.random.key(0))
        yield "mask", partial(init, X, train=True, mask=jnp.ones(6))
        yield "mask", partial(of_nnx(), X, True, mask=np.ones(6, int))
        yield "train", partial(init, X, jnp.ones(6, bool))
        yield "train", partial(of_nnx(), X, jnp.ones(6, bool))
        yield "x", partial(init, jnp.ones((2, 3, 6), int), True)
        yield "axis_index_groups", partial(linen(make, axis_index_groups=[[0, 1]]))
        yield "axis_index_groups", partial(of_nnx, axis_index_groups=[[0, 1]])


def calls_of_dropout(_):
    yield "rngs", partial(hx.Dropout, 0.5, rngs=3)
    for key in (3, jnp.ones(2), jax.random.split(jax.random.key(0))):
        yield "rngs", partial(hx.Dropout(0.5), X, True, rngs=key)
        yield "rng", partial(hl.Dropout(0.5).apply, {}, X, True, rng=key)


def judge(calls):
    for number, (name, call) in enumerate(calls):
        try:
            call()
            print(f"{name}: call {number} of {calls.__name__} accepts it")
        except Exception as error:
            if not (
                isinstance(error, ValueError | TypeError)
                and str(error).startswith(f"{name} must be ")
            ):
                print(f"{name}: call {number} of {calls.__name__} says {error!r}")


def traced(train):
    """As under a jit that does not know the mode to be static."""
    judge(calls_in_mode(train))
    return train


for value in (True, False, np.True_, np.False_):
    judge(calls_with_number(value))
judge(calls_of_norms(None))
judge(calls_of_dropout(None))
for value in (None, 0, 1, 1.0, "false"):
    judge(calls_in_mode(value))
    if value is not None:
        judge(calls_by_name(value))
jax.make_jaxpr(traced)(True)
# What is a bool stays one, whoever made it.
for value in (np.True_, np.False_, jnp.array(True)):
    hl.BatchNorm().init(jax.random.key(0), X, value)
    hx.Dropout(0.5, rngs=RNGS)(X, value)
