"""Batch normalization in training: time, forward with backward, and the error of its output."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import hondo
from benchmarks.measure import Rows, Settings, against, bound, grid, race, single, temporaries
from benchmarks.peers import installed, only_installed, synchronized, to_torch

NAME = "batch_norm"
SHAPES = [(256, 1024), (8192, 256), (32, 56, 56, 64)]
EPSILON, DECAY = 1e-5, 0.9
Norm = Callable[[Any, Any, Any], Any]


def compare(settings: Settings) -> Rows:
    """Each shape and dtype, then the error far from zero."""
    shapes = SHAPES[:1] if settings.quick else SHAPES
    for shape, dtype in grid(shapes, [jnp.float32, jnp.bfloat16]):
        yield from _case(settings, shape, dtype)
    yield from _errors()


def _case(settings: Settings, shape: Any, dtype: Any) -> Rows:
    x, g = (jax.random.normal(jax.random.key(seed), shape, dtype) for seed in (0, 1))
    scale, bias = jnp.ones(shape[-1]), jnp.zeros(shape[-1])
    runs = {
        name: bound(_with_backward(norm), x, scale, bias, g)
        for name, norm in {"hondo": _hondo, **_jax_peers()}.items()
    }
    # What has to move at the least: x is read twice forward, x̂'s x and g twice backward.
    runs["x*c, g*c"] = bound(
        lambda x, g: (x * jnp.asarray(3, dtype), g * jnp.asarray(3, dtype)), x, g
    )
    if installed("torch"):
        runs["torch"] = _torch_run(x, g)
    times = race(runs, settings)
    single_precision = dtype == jnp.float32
    goals = {"flax.linen": 0.75 if single_precision else 0.6, "torch": 1.05}
    case = f"{'×'.join(map(str, shape))} {jnp.dtype(dtype).name}"
    for other in [name for name in runs if name != "hondo"]:
        yield against(NAME, case, times, other, goals.get(other))
    for name, norm in {"hondo": _hondo, **_jax_peers()}.items():
        spare = temporaries(_with_backward(norm), x, scale, bias, g)
        yield single(NAME, case, f"temporaries of {name} / x", spare / x.nbytes)


def _errors() -> Rows:
    """The largest error of the normalized output against float64, where the mean is large."""
    rng = np.random.default_rng(0)
    for distance in (0.0, 1e2, 1e3, 1e4):
        x = (rng.standard_normal((8192, 256)) + distance).astype(np.float32)
        exact = x.astype(np.float64)
        want = (exact - exact.mean(0)) / np.sqrt(exact.var(0) + EPSILON)
        one, zero = jnp.ones(256), jnp.zeros(256)
        for name, norm in {"hondo": _hondo, **_jax_peers()}.items():
            got = np.asarray(jax.jit(norm)(x, one, zero)[0], np.float64)
            goal = 2e-6 if name == "hondo" else None
            yield single(
                NAME, f"|mean|/std={distance:g}", f"error of {name}", _far(got, want), goal
            )


def _far(got: Any, want: Any) -> float:
    return float(np.max(np.abs(got - want)))


def _with_backward(norm: Norm) -> Callable[..., Any]:
    def both(x: Any, scale: Any, bias: Any, g: Any) -> Any:
        y, pullback, running = jax.vjp(norm, x, scale, bias, has_aux=True)
        return y, running, pullback(g)

    return both


def _hondo(x: Any, scale: Any, bias: Any) -> Any:
    stats = hondo.init_batch_stats(x.shape[-1])
    return hondo.batch_norm(x, stats, scale, bias, decay=DECAY, epsilon=EPSILON)


def _jax_peers() -> dict[str, Norm]:
    makers = {
        "flax.linen": ("flax", _linen(use_fast_variance=True)),
        "flax.linen exact": ("flax", _linen(use_fast_variance=False)),
        "flax.nnx": ("flax", _nnx),
        "equinox": ("equinox", _equinox),
        "haiku": ("haiku", _haiku),
        "keras": ("keras", _keras),
    }
    return only_installed(makers)


def _linen(*, use_fast_variance: bool) -> Norm:
    def norm(x: Any, scale: Any, bias: Any) -> Any:
        from flax import linen

        module = linen.BatchNorm(
            use_running_average=False,
            momentum=DECAY,
            epsilon=EPSILON,
            dtype=x.dtype,
            use_fast_variance=use_fast_variance,
        )
        running = {"mean": jnp.zeros_like(scale), "var": jnp.ones_like(scale)}
        variables = {"params": {"scale": scale, "bias": bias}, "batch_stats": running}
        return module.apply(variables, x, mutable=["batch_stats"])

    return norm


def _nnx(x: Any, scale: Any, bias: Any) -> Any:
    from flax import nnx

    module = nnx.BatchNorm(
        x.shape[-1],
        use_running_average=False,
        momentum=DECAY,
        epsilon=EPSILON,
        dtype=x.dtype,
        rngs=nnx.Rngs(0),
    )
    module.scale[...], module.bias[...] = scale, bias
    y = module(x)
    return y, (module.mean[...], module.var[...])


def _equinox(x: Any, scale: Any, bias: Any) -> Any:
    import equinox

    module, state = equinox.nn.make_with_state(equinox.nn.BatchNorm)(
        x.shape[-1], axis_name="batch", mode="batch", momentum=DECAY, eps=EPSILON
    )
    module = equinox.tree_at(lambda m: (m.weight, m.bias), module, (scale, bias))
    # Equinox maps over examples and has channels first.
    mapped = jax.vmap(module, axis_name="batch", in_axes=(0, None), out_axes=(0, None))
    y, state = mapped(jnp.moveaxis(x, -1, 1), state)
    return jnp.moveaxis(y, 1, -1).astype(x.dtype), state


def _haiku(x: Any, scale: Any, bias: Any) -> Any:
    import haiku

    def forward(x: Any) -> Any:
        norm = haiku.BatchNorm(True, True, DECAY, EPSILON)
        return norm(x, is_training=True, scale=None, offset=None)

    forward = haiku.without_apply_rng(haiku.transform_with_state(forward))
    like = jax.eval_shape(forward.init, jax.random.key(0), x)
    state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like[1])
    dtype = like[0]["batch_norm"]["scale"].dtype
    params = {"scale": scale.astype(dtype), "offset": bias.astype(dtype)}
    params = {
        name: value.reshape(like[0]["batch_norm"][name].shape) for name, value in params.items()
    }
    return forward.apply({"batch_norm": params}, state, x)


def _keras(x: Any, scale: Any, bias: Any) -> Any:
    import keras

    layer = keras.layers.BatchNormalization(momentum=DECAY, epsilon=EPSILON, dtype=x.dtype.name)
    layer.build(x.shape)
    running = [jnp.zeros_like(scale), jnp.ones_like(scale)]
    return layer.stateless_call([scale, bias], running, x, training=True)


def _torch_run(x: Any, g: Any) -> Callable[[], Any]:
    import torch

    channels, axes = x.shape[-1], (0, x.ndim - 1, *range(1, x.ndim - 1))
    image = {"memory_format": torch.channels_last} if x.ndim == 4 else {}
    data, cotangent = (to_torch(a).permute(axes).contiguous(**image) for a in (x, g))
    module = torch.nn.BatchNorm2d if x.ndim == 4 else torch.nn.BatchNorm1d
    norm = module(channels, eps=EPSILON, momentum=1 - DECAY, device=data.device)

    def both() -> Any:
        leaf = data.detach().requires_grad_()
        y = norm(leaf)
        return y.detach(), torch.autograd.grad(y, [leaf, norm.weight, norm.bias], cotangent)

    return synchronized(both)
