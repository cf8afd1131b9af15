"""Calls whose bits are hashed beside the cases of the generic laws: shapes with special paths.

Batch statistics have one from 2^17 entries on, layer normalization from 4096 rows and 2^21 entries,
masks for rows shorter than 8 and longer than 2^16.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import hondo

EPS = 1e-5
ALL_KINDS = ("eager", "jit", "eager-gradient", "jit-gradient")
COMPILED = ("jit", "jit-gradient")
DATA = ("near", "far", "huge", "broken")


class Call(NamedTuple):
    """`run(key, x)`, with x an array of `shapes` or a dict of arrays, one of them "x"."""

    name: str
    run: Callable[[Any, Any], Any]
    shapes: Any = (4, 8)
    label: str = ""
    differentiable: bool = True
    kinds: tuple[str, ...] = ("eager", "jit", "jit-gradient")
    data: tuple[str, ...] = DATA

    @property
    def id(self) -> str:
        return f"{self.name}:{self.label}" if self.label else self.name


def _with_rows(shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {"x": shape, "scale": shape[-1:], "bias": shape[-1:]}


def _stats(x: jax.Array) -> hondo.BatchStats:
    ones = jnp.ones(x.shape[-1:], jnp.promote_types(x.dtype, jnp.float32))
    return hondo.BatchStats(mean=0.5 * ones, var=2 * ones, weight=0.25 * ones)


def _where(x: jax.Array) -> jax.Array:
    """Two entries in three, for every feature."""
    return (jnp.arange(x[..., :1].size) % 3 > 0).reshape(*x.shape[:-1], 1)


def _batch_norm(masked: bool) -> Callable[[Any, Any], Any]:
    def run(key: Any, tree: Any) -> Any:
        x, where = tree["x"], _where(tree["x"]) if masked else None
        return hondo.batch_norm(
            x, _stats(x), tree["scale"], tree["bias"], decay=0.9, epsilon=EPS, where=where
        )

    return run


def _masked_fallback(key: Any, tree: Any) -> Any:
    """One entry of each row is valid, of some features none at all."""
    x = tree["x"]
    where = jnp.zeros(x.shape, bool).at[:, 0, ::2].set(True)
    return hondo.batch_normalize(x, None, None, epsilon=EPS, where=where, fallback=_stats(x))


def _over_devices(key: Any, tree: Any) -> Any:
    """Statistics over a named axis as well."""

    def one(x: jax.Array) -> Any:
        return hondo.batch_norm(
            x, _stats(x), tree["scale"], None, decay=0.9, epsilon=EPS, axis_name="devices"
        )

    return jax.vmap(one, axis_name="devices")(tree["x"])


def _moments(key: Any, x: Any) -> Any:
    return hondo.batch_moments(x), hondo.batch_moments(x, where=_where(x))


def _layer(norm: Callable[..., Any], **options: Any) -> Callable[[Any, Any], Any]:
    def run(key: Any, tree: Any) -> Any:
        rows = [tree[name] for name in ("scale", "bias") if name in tree]
        return norm(tree["x"], *rows, epsilon=EPS, **options)

    return run


def _bare_layer(key: Any, x: Any) -> Any:
    return hondo.layer_norm(x, None, None, epsilon=EPS)


def batch_norms() -> list[Call]:
    images = (8, 16, 16, 64)
    batches = {"many": (2**11, 64), "images": images, "few": (37, 6), "one": (1, 6), "none": (0, 6)}
    below = {"below": (2**11 - 1, 64)}
    norms = [
        Call("batch_norm", _batch_norm(masked), _with_rows(shape), f"{name}{masked:d}")
        for name, shape in batches.items()
        for masked in (False, True)
    ]
    return [
        *norms,
        *(
            Call("batch_moments", _moments, shape, name)
            for name, shape in (batches | below).items()
        ),
        Call("batch_norm", _over_devices, {"x": (3, 5, 4), "scale": (4,)}, "devices"),
        Call("batch_normalize", _masked_fallback, {"x": (5, 3, 4)}, "fallback"),
    ]


def layer_norms() -> list[Call]:
    shapes = {"rows": (4099, 512), "few": (37, 16), "images": (3, 5, 5, 8)}
    norms = {
        "layer_norm": _layer(hondo.layer_norm),
        "group_norm": _layer(hondo.group_norm, groups=4),
        "instance_norm": _layer(hondo.instance_norm),
    }
    calls = [
        Call(name, run, _with_rows(shape), label)
        for name, run in norms.items()
        for label, shape in shapes.items()
    ]
    calls += [
        Call("rms_norm", _layer(hondo.rms_norm), {"x": shape, "scale": shape[-1:]}, label)
        for label, shape in shapes.items()
    ]
    bare = {"bare": shapes["rows"], "below": (4095, 512)}
    return calls + [Call("layer_norm", _bare_layer, shape, label) for label, shape in bare.items()]


KEEP_PROBS = (0.0, 1e-9, 1 / 3, 0.5, 0.999, 1.0)
# Of a mask, the lengths of rows where its path changes.
EDGES = {
    "last-short": (9, 7),
    "shortest": (9, 8),
    "longest": (2, 2**16),
    "first-long": (2, 2**16 + 1),
}
ROWS = {"short": (33, 5), "rows": (33, 40), "long": (2, 2**16 + 8), "unit": (), "none": (0, 9)}


def _for_each_keep_prob(function: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    return lambda key, x: [function(key, x, keep_prob=keep_prob) for keep_prob in KEEP_PROBS]


def _shared_mask(key: Any, x: Any) -> Any:
    return hondo.dropout_mask(key, x.shape, keep_prob=0.5, broadcast_dims=(0,))


def _other_key(impl: str) -> Callable[[Any, Any], Any]:
    return lambda key, x: hondo.dropout(jax.random.key(5, impl=impl), x, keep_prob=0.5)


def dropouts() -> list[Call]:
    functions = (
        hondo.dropout,
        hondo.inverted_dropout,
        hondo.gaussian_dropout,
        hondo.drop_connect,
        hondo.stochastic_depth,
    )
    return [
        Call(
            function.__name__, _for_each_keep_prob(function), shape, label, data=("near", "broken")
        )
        for function in functions
        for label, shape in ROWS.items()
    ]


def _of_shape(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda key, x, keep_prob: function(key, x.shape, keep_prob=keep_prob)


def masks() -> list[Call]:
    calls = [
        Call(f.__name__, _for_each_keep_prob(_of_shape(f)), shape, label, False, data=("near",))
        for f in (hondo.dropout_mask, hondo.bernoulli_mask)
        for label, shape in (ROWS | EDGES).items()
    ]
    shared = Call("dropout_mask", _shared_mask, (5, 40), "shared", False, data=("near",))
    impls = ("rbg", "unsafe_rbg")
    others = [Call("dropout", _other_key(impl), (5, 40), impl, data=("near",)) for impl in impls]
    return [*calls, shared, *others]


CALLS = (*batch_norms(), *layer_norms(), *dropouts(), *masks())
