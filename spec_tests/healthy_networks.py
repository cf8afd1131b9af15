"""Healthy networks of many kinds, and how many of them get a verdict: none should.

`python spec_tests/healthy_networks.py [seeds]` counts them all, a kind at a time. Depth is at most
half the width for plain networks: beyond, the finite width itself spreads ln RMS by more than the
tolerated factor of 100 (Var ln‖z_L‖² = 5L/n), and a verdict is true.
"""

import math
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import hondo

Init = Callable[..., jax.Array]


class Kind(NamedTuple):
    """A network of equal hidden layers under one scan."""

    width: int
    depth: int
    activation: str
    init: str
    norm: str = ""
    residual: bool = False
    keep_prob: float = 1.0
    batch: int = 32
    inputs: int = 20


INITS: dict[str, Init] = {
    "he_normal": hondo.he_normal(batch_axis=(0,)),
    "he_uniform": hondo.he_uniform(batch_axis=(0,)),
    "glorot_normal": hondo.glorot_normal(batch_axis=(0,)),
    "glorot_uniform": hondo.glorot_uniform(batch_axis=(0,)),
    "lecun_normal": hondo.lecun_normal(batch_axis=(0,)),
}
FITTING = (
    ("relu", "he_normal"),
    ("relu", "he_uniform"),
    ("leaky_relu", "he_normal"),
    ("tanh", "glorot_normal"),
    ("tanh", "glorot_uniform"),
    ("soft_sign", "glorot_normal"),
    ("selu", "lecun_normal"),
    ("elu", "he_normal"),
    ("gelu", "he_normal"),
    ("silu", "he_uniform"),
)
SIZES = ((16, 2), (16, 5), (32, 10), (64, 20), (128, 50), (256, 100), (1024, 6))


def kinds() -> list[Kind]:
    """All of them: plain, with norm, with residual connections and norm, with dropout."""
    plain = [Kind(n, depth, *pair) for pair in FITTING for n, depth in SIZES if fits(pair, depth)]
    normed = [
        Kind(n, depth, *pair, norm=norm)
        for pair in (FITTING[0], FITTING[3], FITTING[8])
        for norm in ("batch", "layer", "rms")
        for n, depth in ((32, 4), (128, 8))
    ]
    residual = [
        Kind(n, depth, *pair, norm=norm, residual=True)
        for pair in (FITTING[0], FITTING[3])
        for norm in ("batch", "layer")
        for n, depth in ((32, 20), (64, 100))
    ]
    dropped = [
        Kind(64, depth, *pair, keep_prob=0.8)
        for pair in (FITTING[0], FITTING[3])
        for depth in (4, 10)
    ]
    return [*plain, *normed, *residual, *dropped]


def fits(pair: tuple[str, str], depth: int) -> bool:
    """He's variance suits relu and its kin exactly, smooth ones to a moderate depth only.

    silu halves small signals: at depth 20 its responses do vanish, by a factor of hundreds.
    """
    most = {"soft_sign": 20, "elu": 20, "gelu": 20, "silu": 10}
    return depth <= most.get(pair[0], 100)


def problem(kind: Kind) -> hondo.Problem:
    """The classification of noise by a network of this kind."""
    return hondo.Problem(partial(_init, kind), partial(_loss, kind), lambda *_: {})


def _init(kind: Kind, key: jax.Array, _: Any) -> tuple[Any, tuple[()]]:
    keys = jax.random.split(key, 3)
    init = INITS[kind.init]
    first = init(keys[0], (1, kind.inputs, kind.width))[0]
    last = init(keys[2], (1, kind.width, 10))[0]
    shape = kind.depth - 2, kind.width, kind.width
    hidden = init(keys[1], shape) if kind.depth > 2 else jnp.zeros(shape)
    return {"first": first, "hidden": hidden, "last": last}, ()


def _loss(kind: Kind, params: Any, state: Any, batch: Any, key: jax.Array) -> Any:
    x = _act(kind, batch[0] @ params["first"])

    def body(x: jax.Array, layer: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        weights, own = layer
        if kind.residual:
            return x + _drop(kind, own, _act(kind, x) @ weights), None
        return _drop(kind, own, _act(kind, x @ weights)), None

    keys = jax.random.split(key, len(params["hidden"]))
    x, _ = jax.lax.scan(body, x, (params["hidden"], keys))
    x = _act(kind, x) if kind.residual else x
    return hondo.cross_entropy(x @ params["last"], batch[1]).mean(), (state, {})


def _act(kind: Kind, z: jax.Array) -> jax.Array:
    one, zero = jnp.ones(z.shape[-1]), jnp.zeros(z.shape[-1])
    if kind.norm == "batch":
        z = (z - jnp.mean(z, axis=0, keepdims=True)) / jnp.sqrt(
            jnp.var(z, axis=0, keepdims=True) + 1e-5
        )
    if kind.norm == "layer":
        z = hondo.layer_norm(z, one, zero, epsilon=1e-5)
    if kind.norm == "rms":
        z = hondo.rms_norm(z, one, epsilon=1e-5)
    return hondo.ACTIVATIONS[kind.activation].function(z)


def _drop(kind: Kind, key: jax.Array, x: jax.Array) -> jax.Array:
    if kind.keep_prob == 1:
        return x
    return hondo.inverted_dropout(key, x, keep_prob=kind.keep_prob)


def count_verdicts(kind: Kind, seeds: int, first: int = 0) -> jax.Array:
    """For each kind of verdict, how many of so many networks get it."""

    def found(seed: jax.Array) -> jax.Array:
        key = jax.random.key(seed)
        batch = jax.random.normal(key, (kind.batch, kind.inputs)), jnp.arange(kind.batch) % 10
        own = problem(kind)
        params, state = own.init(key, batch)
        report = hondo.diagnose(own, params, state, batch, key=key)
        return jnp.any(report.findings.found, axis=1)

    seeds_of = jnp.arange(first, first + seeds)
    return jnp.sum(jax.jit(partial(jax.lax.map, found))(seeds_of), axis=0)


def upper_bound(networks: int, confidence: float = 0.95) -> float:
    """The largest rate that none in so many does not refute."""
    return -math.log(1 - confidence) / networks


def main() -> None:
    """Counts all kinds from the place that the arguments name, and prints as it goes."""
    given = [int(word) for word in sys.argv[1:]]
    seeds, start, stop = given + [32, 0, 999][len(given) :]
    total = wrong = 0
    for kind in kinds()[start:stop]:
        began = time.perf_counter()
        found = count_verdicts(kind, seeds)
        total, wrong = total + seeds, wrong + int(jnp.sum(found))
        named = {k: int(n) for k, n in zip(hondo.diagnosis.KINDS, found, strict=True) if n}
        print(tuple(kind), named or "healthy", f"{time.perf_counter() - began:.1f} s", flush=True)
    print(f"{wrong} verdicts on {total} networks; bound at 95 % {upper_bound(total):.2g}")


if __name__ == "__main__":
    main()
