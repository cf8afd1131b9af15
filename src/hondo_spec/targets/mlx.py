"""MLX's layers and functions, on the CPU."""

from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from hondo_spec.adapter import Operation
from hondo_spec.draws import single
from hondo_spec.operations.shapes import Shape, Tree
from hondo_spec.target import Known, of_package, since
from hondo_spec.targets._one_pass import PLAIN, PROMOTION, in_halves
from hondo_spec.targets._tensors import CONVENTIONS, Tensors

mx: Any = import_module("mlx.core")
nn: Any = import_module("mlx.nn")
optimizers: Any = import_module("mlx.optimizers")
mx.set_default_device(mx.cpu)


def _numpy(x: Any) -> np.ndarray:
    if x.dtype == mx.bfloat16:  # NumPy's comes from elsewhere, and MLX's does not go there.
        return np.asarray(x.astype(mx.float32)).astype("bfloat16")
    return np.asarray(x)


def _array(x: Any) -> Any:
    if isinstance(x, mx.array):
        return x
    x = np.asarray(x)
    if x.dtype.name == "bfloat16":
        return mx.array(single(x)).astype(mx.bfloat16)
    return mx.array(x)


def _pull(function: Operation, arrays: list[Any], g: Any) -> Any:
    return mx.vjp(function, [*map(_array, arrays)], [_array(g)])[1]


TENSORS = Tensors(_array, _numpy, _pull, mx.random.seed)


def _initializer(make: Any, **options: Any) -> Operation:
    def init(seed: int, shape: Shape) -> np.ndarray:
        mx.random.seed(int(seed))
        # Weights are (outputs, …, inputs) here.
        weight = make()(mx.zeros((shape[-1], *shape[:-1])), **options)
        return np.moveaxis(_numpy(weight), 0, -1)

    return init


def _with(layer: Any, **parameters: Any) -> Any:
    """The layer with these parameters."""
    return layer.update({name: _array(value) for name, value in parameters.items()})


def _folded(x: Any) -> Any:
    """The axes of space as one where there are more than two, which MLX does not take."""
    return x if x.ndim < 5 else x.reshape(x.shape[0], -1, x.shape[-1])


def _batch_norm(x: Any, mean: Any, var: Any, *rest: Any) -> Any:
    scale, bias, decay, epsilon, train = rest
    layer = nn.BatchNorm(len(scale), eps=epsilon, momentum=decay).train(train)
    _with(layer, running_mean=mean, running_var=var, weight=scale, bias=bias)
    return layer(_folded(x)).reshape(x.shape), layer.running_mean, layer.running_var


def _clipped(tree: Tree, limit: float) -> Any:
    """(the clipped tree, the norm)."""
    return optimizers.clip_grad_norm({name: _array(leaf) for name, leaf in tree.items()}, limit)


KNOWN = {
    "ACT-05": Known(
        "it is max(x, a x), which is another function where a is above 1",
        {"x": single([1.0] * 16), "slope": 2.0}, case=lambda slope: slope > 1,
    ),
    "ACT-10": Known(
        "class −1 is taken for the last one; those above the last are read behind the logits, and "
        "class 10⁷ ends the process",
        {"bad": -1, "place": 0},
    ),
    **PLAIN,
    **in_halves(
        "BNT-12", "moments of half-precision data are summed in its dtype", "x.astype(mx.float32)"
    ),
    **PROMOTION,
}  # fmt: skip

OPERATIONS = {
    **TENSORS.dropout(lambda x, rate, train: nn.Dropout(rate).train(train)(x)),
    **TENSORS.loss(partial(nn.losses.cross_entropy, reduction="mean")),
    **TENSORS.batch_norm(_batch_norm),
    # The groups of `pytorch_compatible` are neighbors.
    **TENSORS.with_gradients(
        layer_norm=lambda x, w, b, e: _with(nn.LayerNorm(x.shape[-1], e), weight=w, bias=b)(x),
        group_norm=lambda x, *by: nn.GroupNorm(by[0], x.shape[-1], by[1], False, True)(x),
        instance_norm=lambda x, e: nn.InstanceNorm(x.shape[-1], e)(x),
        rms_norm=lambda x, w, e: _with(nn.RMSNorm(x.shape[-1], e), weight=w)(x),
    ),
    **TENSORS.activations(nn),
    "glorot_uniform": _initializer(nn.init.glorot_uniform),
    "glorot_normal": _initializer(nn.init.glorot_normal),
    # The gain of √2 is the caller's here; without it the normal one is LeCun's.
    "he_uniform": _initializer(nn.init.he_uniform, gain=2**0.5),
    "he_normal": _initializer(nn.init.he_normal, gain=2**0.5),
    "lecun_normal": _initializer(nn.init.he_normal),
    "leaky_relu": TENSORS.mapped(nn.leaky_relu),
    "softmax": TENSORS.mapped(partial(mx.softmax, axis=-1)),
    "proximal_l1": TENSORS.mapped(nn.softshrink),
    "clip_by_global_norm": lambda *given: {n: _numpy(g) for n, g in _clipped(*given)[0].items()},
    "global_norm": lambda tree: _numpy(_clipped(tree, 1.0)[1]),
}

DECLARED, KNOWN = {**CONVENTIONS, "dropping_all": "refused"}, since("0.32.4", KNOWN)
TARGET = of_package("mlx", OPERATIONS, DECLARED, KNOWN, mode="eager-float32")
