"""Flax modules of both fronts, in training and at inference, whose bits are hashed."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx

import hondo
import hondo.linen
import hondo.nnx

Runs = dict[str, Callable[[], Any]]

KEY = jax.random.key(3)
RNG = np.random.default_rng(0)
ROWS = jnp.asarray(RNG.normal(size=(16, 6)) * 2 + 3, jnp.float32)
IMAGES = jnp.asarray(RNG.normal(size=(50, 6, 6, 2)), jnp.float32)
CLASSES = jnp.asarray(RNG.integers(0, 3, 50), jnp.int32)
LABELS = hondo.label_smoothing(jax.nn.one_hot(CLASSES, 3), amount=0.1)


class LinenNet(linen.Module):
    rate: Any = 0.3

    @linen.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = linen.Dense(8, kernel_init=hondo.he_normal())(x.reshape(len(x), -1))
        x = linen.relu(hondo.linen.BatchNorm(decay=0.9)(x, train=train))
        return linen.Dense(3)(hondo.linen.Dropout(self.rate)(x, train=train))


class NnxNet(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.first = nnx.Linear(72, 8, kernel_init=hondo.he_normal(), rngs=rngs)
        self.norm = hondo.nnx.BatchNorm(8, decay=0.9, rngs=rngs)
        self.dropout = hondo.nnx.Dropout(0.3, rngs=rngs)
        self.last = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = nnx.relu(self.norm(self.first(x.reshape(len(x), -1)), train=train))
        return self.last(self.dropout(x, train=train))


def objective(outputs: jax.Array) -> jax.Array:
    return jnp.sum(jnp.sin(outputs.astype(jnp.float32)))


def linen_parts(make: Callable[[], linen.Module], x: jax.Array) -> dict[str, Any]:
    module = make()
    variables: Any = module.init({"params": KEY, "dropout": KEY}, x, train=True)

    @jax.jit
    def train(params: Any, x: Any) -> Any:
        outputs, new = module.apply(
            variables | {"params": params}, x, train=True, rngs={"dropout": KEY}, mutable=True
        )
        return objective(outputs), (outputs, new)

    gradient, new = jax.grad(train, (0, 1), has_aux=True)(variables.get("params", {}), x)
    infer = jax.jit(partial(module.apply, train=False))
    return {"init": variables, "train": new, "gradient": gradient, "infer": infer(variables, x)}


def nnx_parts(make: Callable[[nnx.Rngs], Any], x: jax.Array) -> dict[str, Any]:
    graph, params, others = nnx.split(make(nnx.Rngs(0, dropout=1)), nnx.Param, ...)

    def rebuilt(params: Any) -> Any:
        return nnx.merge(graph, params, others, copy=True)

    @jax.jit
    def train(params: Any, x: Any) -> Any:
        module = rebuilt(params)
        outputs = module(x, train=True)
        return objective(outputs), (outputs, nnx.state(module))

    gradient, new = jax.grad(train, (0, 1), has_aux=True)(params, x)
    infer = jax.jit(lambda params, x: rebuilt(params)(x, train=False))
    return {"init": (params, others), "train": new, "gradient": gradient, "infer": infer(params, x)}


class Pair(NamedTuple):
    """A module of either front, made when it runs: a face may lose a name."""

    linen: Callable[[], linen.Module]
    nnx: Callable[[nnx.Rngs], nnx.Module] | None
    x: jax.Array = ROWS
    dtypes: tuple[str, ...] = ("float32", "bfloat16")


def norm(name: str, x: jax.Array = ROWS, **options: Any) -> Pair:
    return Pair(
        lambda: getattr(hondo.linen, name)(**options),
        lambda rngs: getattr(hondo.nnx, name)(6, rngs=rngs, **options),
        x,
    )


def network(name: str, x: jax.Array, **options: Any) -> Pair:
    return Pair(lambda: getattr(hondo.linen, name)(3, **options), None, x, ("float32",))


def dense(rngs: nnx.Rngs) -> nnx.Linear:
    return nnx.Linear(6, 6, rngs=rngs)


MODULES = {
    "BatchNorm": norm("BatchNorm"),
    "LayerNorm": norm("LayerNorm"),
    "GroupNorm": norm("GroupNorm", groups=3),
    "InstanceNorm": norm("InstanceNorm", ROWS.reshape(2, 8, 6)),
    "RMSNorm": norm("RMSNorm"),
    "Dropout": Pair(
        lambda: hondo.linen.Dropout(0.3), lambda rngs: hondo.nnx.Dropout(0.3, rngs=rngs)
    ),
    "GaussianDropout": Pair(lambda: hondo.linen.GaussianDropout(0.3), None),
    "Residual": Pair(
        lambda: hondo.linen.Residual(linen.Dense(6)),
        lambda rngs: hondo.nnx.Residual(dense(rngs)),
        dtypes=("float32",),
    ),
    "Repeat": Pair(
        lambda: hondo.linen.Repeat(linen.Dense(6), 3),
        lambda rngs: hondo.nnx.Repeat(dense, 3, rngs=rngs),
        dtypes=("float32",),
    ),
    "DeepMLP": network("DeepMLP", ROWS, depth=6, width=8),
    "PlainMLP": network("PlainMLP", ROWS, depth=4, width=8),
    "PreActResNet": network("PreActResNet", IMAGES[:4], depth=8, width=4, rate=0.2),
}


def module_runs() -> Runs:
    runs: Runs = {}
    for name, pair in MODULES.items():
        for dtype in pair.dtypes:
            x = pair.x.astype(dtype)
            runs[f"linen.{name}:{dtype}"] = partial(linen_parts, pair.linen, x)
            if pair.nnx is not None:
                runs[f"nnx.{name}:{dtype}"] = partial(nnx_parts, pair.nnx, x)
    return runs


MICROBATCHES = IMAGES[:8], IMAGES[8:]


def linen_held() -> Any:
    held = hondo.linen.hold_moments(LinenNet().init(KEY, IMAGES, train=False))
    mutable = ["batch_stats", "batch_moments"]
    for part in MICROBATCHES:
        held |= LinenNet().apply(held, part, train=True, rngs={"dropout": KEY}, mutable=mutable)[1]
    return held


def nnx_held() -> NnxNet:
    net = NnxNet(nnx.Rngs(0))
    hondo.nnx.hold_moments(net)
    for part in MICROBATCHES:
        net(part, train=True)
    return net


def nnx_committed() -> Any:
    net = nnx_held()
    hondo.nnx.commit_moments(net)
    return {"state": nnx.state(net)}


def microbatch_runs() -> Runs:
    return {
        "linen.hold_moments": linen_held,
        "linen.commit_moments": lambda: hondo.linen.commit_moments(linen_held(), decay=0.9),
        "nnx.hold_moments": lambda: {"state": nnx.state(nnx_held())},
        "nnx.commit_moments": nnx_committed,
    }
