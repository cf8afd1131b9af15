"""Networks of every framework to diagnose, and faults to plant in them."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import nnx
from laws import Case

import hondo
from hondo._numerics.sharding import on_mesh_of
from hondo.linen import PlainMLP

KEY = jax.random.key(0)
INPUTS = 16
Tree = Any


def batch_of(count: int, inputs: int = INPUTS) -> tuple[jax.Array, jax.Array]:
    return jax.random.normal(KEY, (count, inputs)), jnp.arange(count) % 10


class LinenMLP(nn.Module):
    depth: int
    width: int
    activation: Callable[[jax.Array], jax.Array] = nn.relu
    kernel_init: Any = hondo.he_normal()
    norm: bool = False
    stop: int = -1
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in range(self.depth - 1):
            x = nn.Dense(self.width, kernel_init=self.kernel_init, dtype=self.dtype)(x)
            x = self.activation(nn.LayerNorm()(x) if self.norm else x)
            x = jax.lax.stop_gradient(x) if layer == self.stop else x
        return nn.Dense(10, dtype=self.dtype)(x)


class NNXMLP(nnx.Module):
    def __init__(
        self, depth: int, width: int, rngs: nnx.Rngs, dtype: Any = None, stop: int = -1
    ) -> None:
        dense = partial(nnx.Linear, rngs=rngs, dtype=dtype)
        init = nnx.initializers.he_normal()
        sizes = [INPUTS, *[width] * (depth - 1)]
        self.hidden = nnx.List(
            [dense(a, b, kernel_init=init) for a, b in itertools.pairwise(sizes)]
        )
        self.out = dense(width, 10)
        self.stop = stop

    def __call__(self, x: jax.Array) -> jax.Array:
        for place, layer in enumerate(self.hidden):
            x = nnx.relu(layer(x))
            x = jax.lax.stop_gradient(x) if place == self.stop else x
        return self.out(x)


def as_problem(apply: Callable[[Tree, jax.Array], jax.Array], params: Tree) -> hondo.Problem:
    """A problem of a function of parameters and inputs."""

    def loss(own: Tree, state: Tree, batch: Tree, key: jax.Array) -> tuple[jax.Array, Any]:
        return hondo.cross_entropy(apply(own, batch[0]), batch[1]).mean(), (state, {})

    return hondo.Problem(lambda key, batch: (params, ()), loss, lambda *_: {})


def equinox_problem(depth: int, width: int) -> hondo.Problem:
    import equinox as eqx

    params, static = eqx.partition(eqx.nn.MLP(INPUTS, 10, width, depth - 1, key=KEY), eqx.is_array)
    return as_problem(lambda own, x: jax.vmap(eqx.combine(own, static))(x), params)


def haiku_problem(depth: int, width: int) -> hondo.Problem:
    import haiku as hk

    net = hk.transform(lambda x: hk.nets.MLP([width] * (depth - 1) + [10])(x))
    params = net.init(KEY, jnp.ones((1, INPUTS)))
    return as_problem(lambda own, x: net.apply(own, KEY, x), params)


def function_params(depth: int, width: int) -> Tree:
    keys = jax.random.split(KEY, 3)
    init = hondo.he_normal()
    stack = hondo.he_normal(batch_axis=(0,))(keys[1], (depth - 2, width, width))
    return {
        "in": init(keys[0], (INPUTS, width)),
        "w": stack,
        "out": init(keys[2], (width, 10)),
    }


def unrolled(own: Tree, x: jax.Array) -> jax.Array:
    x = nn.relu(x @ own["in"])
    for w in own["w"]:
        # Written twice, and one layer: JAX does not merge what is equal.
        x = jnp.where(x @ w > 0, x @ w, 0)
    return x @ own["out"]


def scanned(own: Tree, x: jax.Array) -> jax.Array:
    body = jax.checkpoint(lambda x, w: (nn.relu(x @ w), None))
    return jax.lax.scan(body, nn.relu(x @ own["in"]), own["w"])[0] @ own["out"]


def looped(own: Tree, x: jax.Array) -> jax.Array:
    def step(i: jax.Array, x: jax.Array) -> jax.Array:
        return nn.relu(x @ own["w"][i])

    return jax.lax.fori_loop(0, len(own["w"]), step, nn.relu(x @ own["in"])) @ own["out"]


def repeated(own: Tree, x: jax.Array) -> jax.Array:
    deep = hondo.repeat(lambda w, x: nn.relu(x @ w), len(own["w"]), remat=True)
    return deep(own["w"], nn.relu(x @ own["in"])) @ own["out"]


class Fault(NamedTuple):
    """What is done to a leaf of one layer: its kernel or its bias."""

    change: Callable[[jax.Array], jax.Array]
    leaf: str
    kinds: frozenset[str]


def _fault(change: Callable[[jax.Array], jax.Array], leaf: str, *kinds: str) -> Fault:
    return Fault(change, leaf, frozenset(kinds))


FAULTS = {
    "×1e-3": _fault(lambda w: w * 1e-3, "kernel", "vanishing_response", "vanishing_gradient"),
    "×1e3": _fault(
        lambda w: w * 1e3, "kernel", "exploding_response", "exploding_gradient", "saturated"
    ),
    "NaN": _fault(lambda w: w.at[0, 0].set(jnp.nan), "kernel", "nonfinite_response"),
    "inf": _fault(lambda b: b.at[1].set(jnp.inf), "bias", "nonfinite_response"),
    "bias −10": _fault(lambda b: b - 10, "bias", "dead", "saturated"),
    "W = 0": _fault(lambda w: w * 0, "kernel", "vanishing_response", "vanishing_gradient"),
}


def plant(params: Tree, layer: str, index: int | None, fault: Fault) -> Tree:
    """The parameters with one leaf of one layer changed."""

    def change(path: jax.tree_util.KeyPath, leaf: jax.Array) -> jax.Array:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if not name.startswith(f"{layer}/{fault.leaf}"):
            return leaf
        if index is None:
            return fault.change(leaf)
        return leaf.at[index].set(fault.change(leaf[index]))

    return jax.tree_util.tree_map_with_path(change, params)


def linen_problem(**options: Any) -> hondo.Problem:
    return hondo.supervised(LinenMLP(**options), loss="cross_entropy")


def scanned_problem(**options: Any) -> hondo.Problem:
    options = {"activation": nn.relu, "kernel_init": hondo.he_normal(), **options}
    return hondo.supervised(PlainMLP(10, **options), loss="cross_entropy")


def nnx_problem(depth: int, width: int, **options: Any) -> hondo.Problem:
    return hondo.supervised(partial(NNXMLP, depth, width, **options), loss="cross_entropy")


def _small(key: jax.Array, x: jax.Array) -> tuple[hondo.Problem, Tree, Tree]:
    # JAX asks how to divide the gradient of parameters that are not on the data's mesh.
    with on_mesh_of(x):
        draw = hondo.he_normal()
        keys, stack = jax.random.split(KEY, 3), hondo.he_normal(batch_axis=(0,))
        params = {"in": draw(keys[0], (8, 6)), "out": draw(keys[1], (6, 10))}
        params["w"] = stack(keys[2], (2, 6, 6))
    return as_problem(scanned, params), params, (x, jnp.arange(len(x)))


def _diagnose(key: jax.Array, x: jax.Array) -> jax.Array:
    problem, params, batch = _small(key, x)
    return hondo.diagnose(problem, params, (), batch, key=key).values.sizes


def _watch(key: jax.Array, x: jax.Array) -> jax.Array:
    problem, params, batch = _small(key, x)
    watched = hondo.watch(problem, every=2)
    return watched.loss(params, watched.init(key, batch)[1], batch, key)[0]


CASES = (
    Case("diagnose", _diagnose, differentiable=False, keeps=False, ulps=64),
    Case("watch", _watch, keeps=False, ulps=16),
)
EXEMPT = {
    "Diagnosis": "a result",
    "Verdict": "a result",
    "diagnosis": "a module; its functions run on the host",
}
