"""Every case of the generic laws on eight devices; prints those that fail or have other values.

A program of its own, because the number of devices is settled before JAX starts. It is told the
kind: an explicit mesh, whose axis divides each axis of x in turn, an automatic one, which divides
the examples, or shard_map, with its checks, in which a device has an x of its own.
"""

import importlib
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from laws import Case, assert_close, example

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
KEY = jax.random.key(17)
MODULES = [path.stem for path in sorted(pathlib.Path(__file__).parent.glob("cases_*.py"))]
CASES = [case for name in MODULES for case in importlib.import_module(name).CASES]
# Shapes with paths of their own: few examples a device, many entries, many rows, few groups,
# much space.
SHAPES = {
    "batch_moments": ((16, 4), (8, 8), (8, 3, 8), (4096, 32)),
    "batch_normalize": ((16, 4), (8, 8), (8, 3, 8), (4096, 32)),
    "layer_norm": ((4096, 512), (2, 64), (8, 2048)),
    "rms_norm": ((8, 2048),),
    "group_norm": ((8, 3, 16), (2, 3, 64), (8, 64, 16), (2, 64, 256)),
    "rotate": ((8, 8, 8),),
    "random_crop": ((8, 8, 8),),
}
CASES += [
    case._replace(shape=shape, label=str(shape))
    for case in CASES
    if not case.label
    for shape in SHAPES.get(case.name, ())
]
# Axes that the case itself cuts, as in x[0], which JAX allows of no axis that a mesh divides; and
# the channels of a convolution, of which it asks how to divide the sum.
CUTS = {
    "ambiguity": (0,),
    "bias_variance": (0,),
    "conv_general_dilated": (1,),
    "early_stopping": (0,),
    "elastic_net_penalty": (0,),
    "ema": (0,),
    "error_covariance": (0,),
    "evaluate": (0,),
    "inverted_dropout-traced": (0, 1),
    "l1_penalty": (0,),
    "l2_penalty": (0,),
    "multitask_loss": (0,),
    "on_images": (0,),
    "pcgrad": (1,),
    "swa": (0,),
    "uncertainty_weighting": (0, 1),
}
# Eight products are summed in another order.
ULPS = {"projection": 8}
Run = Callable[[Any, Any], Any]


def with_gradient(case: Case) -> Run:
    """The case, and the gradient of its squares."""

    def squares(key, x):
        out = case.run(key, x)
        floats = [leaf for leaf in jax.tree.leaves(out) if jnp.issubdtype(leaf.dtype, jnp.floating)]
        return sum(jnp.square(leaf.astype(jnp.float32)).sum() for leaf in floats), out

    def run(key, x):
        (_, out), gradient = jax.value_and_grad(squares, 1, has_aux=True)(key, x)
        return out, gradient

    return run if case.differentiable else case.run


def on_meshes(case: Case, kind: AxisType) -> Iterator[tuple[str, Callable[[], None]]]:
    """Divides each axis of x in turn; on automatic meshes, where XLA decides all, the examples."""
    x = example(case)
    axes = case.shape if kind == AxisType.Explicit else case.shape[:1]
    for axis, size in enumerate(axes):
        devices = max(n for n in (1, 2, 4, 8) if size % n == 0)
        is_cut = kind == AxisType.Explicit and axis in CUTS.get(case.id, ())
        if devices > 1 and not is_cut:
            yield f"axis {axis}", lambda axis=axis, n=devices: check_mesh(case, x, axis, n, kind)


def check_mesh(case: Case, x: jax.Array, axis: int, devices: int, kind: AxisType) -> None:
    """The values of one device, where x is divided and nobody has set a mesh.

    Where the examples are divided, also the types of a gradient.
    """
    mesh = jax.make_mesh((devices,), ("d",), axis_types=(kind,))
    divided = jax.device_put(x, NamedSharding(mesh, P(*(None,) * axis, "d")))
    want = jax.jit(case.run)(KEY, x)
    assert_close(jax.jit(case.run)(KEY, divided), want, 2 * ULPS.get(case.id, case.ulps))
    if kind == AxisType.Explicit and axis == 0:
        with jax.set_mesh(mesh):
            jax.jit(with_gradient(case)).lower(KEY, divided)


def in_shard_map(case: Case, _: None) -> Iterator[tuple[str, Callable[[], None]]]:
    """Gives each device a key and an x of its own, or shares one of them."""
    yield "own", lambda: check_shard_map(case, P("d"), P("d"))
    yield "one key", lambda: check_shard_map(case, P(), P("d"))
    yield "one x", lambda: check_shard_map(case, P("d"), P())


def check_shard_map(case: Case, key_spec: P, x_spec: P) -> None:
    """The values of each device by itself, and a gradient; of what is shared, the types alone."""
    mesh = jax.make_mesh((2,), ("d",), axis_types=(AxisType.Auto,))
    keys, xs = jax.random.split(KEY, 2), jnp.stack([example(case, seed=seed) for seed in range(2)])

    def local(run, key, x):
        out = run(key[0], x[0])
        return jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], out)

    def mapped(run):
        return jax.jit(
            jax.shard_map(
                lambda key, x: local(run, key, x),
                mesh=mesh,
                in_specs=(key_spec, x_spec),
                out_specs=P("d"),
            )
        )

    if (key_spec, x_spec) != (P("d"), P("d")):
        mapped(case.run).lower(keys, xs)
        return
    mapped(with_gradient(case)).lower(keys, xs)
    each = [jax.jit(case.run)(key, x) for key, x in zip(keys, xs, strict=True)]
    want = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
    assert_close(mapped(case.run)(keys, xs), want, case.ulps)


KINDS = {
    "explicit": (on_meshes, AxisType.Explicit),
    "auto": (on_meshes, AxisType.Auto),
    "shard_map": (in_shard_map, None),
}


def main(kind: str) -> None:
    """Walks all cases."""
    assert jax.device_count() == 8
    checks, argument = KINDS[kind]
    for case in CASES:
        for name, check in checks(case, argument):
            try:
                check()
            except Exception as error:
                print(f"{case.id}, {name}: {type(error).__name__} {str(error)[:300]!r}")


main(sys.argv[1])
