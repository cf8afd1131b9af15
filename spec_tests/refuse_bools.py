"""Gives bools to the numbers of each module; prints the modules that accept one, or say it badly.

A program of its own, because the test suite checks types at run time and refuses bools by itself.
"""

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


def calls(value):
    yield "decay", linen(hl.BatchNorm, decay=value)
    yield "decay", of_nnx(hx.BatchNorm, features=6, decay=value)
    yield "rate", linen(hl.Dropout, rate=value)
    yield "rate", of_nnx(hx.Dropout, rate=value)
    yield "groups", linen(hl.GroupNorm, groups=value)
    yield "groups", of_nnx(hx.GroupNorm, features=6, groups=value)
    yield "depth", linen(hl.Repeat, block=hl.RMSNorm(), depth=value)
    yield "depth", linen(hl.DeepMLP, outputs=3, depth=value)
    for norm in ("BatchNorm", "LayerNorm", "InstanceNorm", "RMSNorm"):
        yield "epsilon", linen(getattr(hl, norm), epsilon=value)
        yield "epsilon", of_nnx(getattr(hx, norm), features=6, epsilon=value)


for value in (True, False, np.True_, np.False_):
    for number, (name, call) in enumerate(calls(value)):
        try:
            call()
            print(f"call {number} accepts {name}={value!r}")
        except ValueError as error:
            if not str(error).startswith(f"{name} must be "):
                print(f"call {number} says of {name}={value!r}: {error}")
