"""Initializers, clipping and convolution, whose bits are hashed."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from bits_calls import COMPILED, Call

import hondo

KERNELS = ((7, 11), (11, 7), (1, 1), (3, 3, 4, 6), (129, 65))


def _initialize(init: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    return lambda key, x: [init(key, shape, x.dtype) for shape in KERNELS]


def initializers() -> list[Call]:
    scaled = (
        hondo.glorot_normal,
        hondo.glorot_uniform,
        hondo.he_normal,
        hondo.he_uniform,
        hondo.lecun_normal,
        hondo.lecun_uniform,
    )
    inits = {f.__name__: f() for f in scaled} | {
        "gaussian": hondo.gaussian(0.3),
        "orthogonal": hondo.orthogonal(1.5),
        "depth_scaled": hondo.depth_scaled(hondo.he_uniform(), 9, layers=2),
    }
    turned = {f.__name__: f(in_axis=-1, out_axis=0) for f in (*scaled, hondo.orthogonal)}
    only = {"differentiable": False, "kinds": COMPILED, "data": ("near",)}
    plain = [Call(name, _initialize(init), (1,), "shapes", **only) for name, init in inits.items()]
    return plain + [
        Call(name, _initialize(init), (1,), "turned", **only) for name, init in turned.items()
    ]


def _clip(*clips: optax.GradientTransformation) -> Callable[[Any, Any], Any]:
    """One update by each, of a tree with leaves of two dtypes."""

    def run(key: Any, tree: Any) -> Any:
        tree = tree | {"bias": tree["bias"].astype(jnp.float32)}
        params = jax.tree.map(lambda g: jnp.linspace(0, 1, g.size).reshape(g.shape), tree)
        return [clip.update(tree, clip.init(params), params) for clip in clips]

    return run


POLICIES: tuple[Literal["propagate", "zero", "skip"], ...] = ("propagate", "zero", "skip")


def clips() -> list[Call]:
    shapes = {"x": (5, 6), "kernel": (3, 4), "bias": (4,)}
    adaptive = _clip(*(hondo.adaptive_clip(0.1, nonfinite=policy) for policy in POLICIES))
    calls = [
        Call("adaptive_clip", adaptive, shapes, "policies", kinds=COMPILED),
        Call("global_norm", lambda key, tree: hondo.global_norm(tree), shapes, "tree"),
    ]
    makers = hondo.clip_by_global_norm, hondo.clip_by_layer, hondo.clip_by_value
    for make in (*makers, hondo.clip_by_block_rms):
        policies = _clip(*(make(1.0, nonfinite=policy) for policy in POLICIES))
        limits = _clip(make(0.0), make(1e3))
        calls += [
            Call(make.__name__, policies, shapes, "policies", kinds=COMPILED),
            Call(make.__name__, limits, shapes, "limits", differentiable=False, kinds=COMPILED),
        ]
    return calls


def _convolve(*window: Any, **options: Any) -> Callable[[Any, Any], Any]:
    def run(key: Any, tree: Any) -> Any:
        return hondo.conv_general_dilated(tree["x"], tree["kernel"], *window, **options)

    return run


def convolutions() -> list[Call]:
    images, last = {"x": (3, 9, 8, 4), "kernel": (3, 2, 4, 6)}, ("NHWC", "HWIO", "NHWC")
    windows = {
        "same": ((1, 1), "SAME"),
        "valid": ((2, 1), "VALID"),
        "pairs": ((2, 3), ((0, 1), (2, 0)), None, (2, 1)),
        "transposed": ((1, 1), ((1, 1), (0, 1)), (2, 1)),
    }
    calls = [
        Call("conv_general_dilated", _convolve(*window, dimension_numbers=last), images, label)
        for label, window in windows.items()
    ]
    grouped = _convolve((1, 1), "SAME", dimension_numbers=last, feature_group_count=2)
    shapes = {"x": (3, 9, 8, 4), "kernel": (3, 2, 2, 6)}
    first = {"x": (3, 4, 9, 8), "kernel": (6, 4, 3, 2)}
    return [
        *calls,
        Call("conv_general_dilated", grouped, shapes, "grouped"),
        Call("conv_general_dilated", _convolve((1, 1), "SAME"), first, "first"),
    ]


GRADIENT_CALLS = (*initializers(), *clips(), *convolutions())
