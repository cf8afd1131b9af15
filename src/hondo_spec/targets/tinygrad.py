"""tinygrad's layers and functions, on the CPU, which it computes on by clang."""

import os
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np

from hondo_spec.adapter import Operation, collect_operations, operation
from hondo_spec.draws import single
from hondo_spec.target import Known, of_package, since
from hondo_spec.targets._one_pass import LENGTHS, NO_SUCH_CLASS, OVERFLOWS, PROMOTION, in_halves
from hondo_spec.targets._tensors import CONVENTIONS, Tensors

# tinygrad reads it once, when it is imported.
os.environ.setdefault("DEV", "CPU")
tinygrad: Any = import_module("tinygrad")
nn: Any = import_module("tinygrad.nn")
Tensor: Any = tinygrad.Tensor
try:
    Tensor([1.0]).cast("bfloat16").contiguous().numpy()
except Exception as reason:
    raise ImportError(
        f"tinygrad must compute in bfloat16, got {type(reason).__name__}: {reason}. Its CPU device "
        "needs a clang that knows it, such as 19, which CC may name; DEV chooses another device."
    ) from reason


def _tensor(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x
    x = np.asarray(x)
    if x.dtype.name == "bfloat16":  # NumPy's comes from elsewhere, and tinygrad does not know it.
        return Tensor(single(x)).cast("bfloat16")
    return Tensor(np.array(x, order="C"))


def _numpy(x: Any) -> np.ndarray:
    return x.numpy().astype("bfloat16" if x.dtype == tinygrad.dtypes.bfloat16 else x.numpy().dtype)


def _pull(function: Operation, arrays: list[Any], g: Any) -> Any:
    leaves = [_tensor(x) for x in arrays]
    y = function(*leaves)
    return y.gradient(*leaves, gradient=_tensor(g).cast(y.dtype))


TENSORS = Tensors(_tensor, _numpy, _pull, Tensor.manual_seed)


def _initializer(make: Any, **options: float) -> Operation:
    return TENSORS.initializer(lambda shape: make(*shape, **options))


def _with(layer: Any, **parameters: Any) -> Any:
    """The layer with these parameters."""
    for name, value in parameters.items():
        setattr(layer, name, _tensor(value))
    return layer


def _dropped(x: Any, rate: float, train: bool) -> Any:
    with tinygrad.Context(TRAINING=int(train)):
        return x.dropout(rate)


def _first(x: Any) -> Any:
    """Channels go to axis 1."""
    return x.permute(0, x.ndim - 1, *range(1, x.ndim - 1))


def _last(x: Any) -> Any:
    return x.permute(0, *range(2, x.ndim), 1)


def _batch_norm(x: Any, mean: Any, var: Any, *rest: Any) -> Any:
    scale, bias, decay, epsilon, train = rest
    layer = nn.BatchNorm(x.shape[-1], epsilon, momentum=decay)
    _with(layer, running_mean=mean, running_var=var, weight=scale, bias=bias)
    with tinygrad.Context(TRAINING=int(train)):
        return _last(layer(_first(x))), layer.running_mean, layer.running_var


@operation
def _batch_moments(x):
    var, mean = _tensor(x).var_mean(tuple(range(x.ndim - 1)), correction=0)
    return _numpy(mean), _numpy(var)


_FANS = "the window of a convolution counts as inputs, but its outputs are counted without it"
_HALVES = "the mean and the squares of half-precision data are rounded to its dtype"
KNOWN = {
    "INI-02": Known(_FANS, {"shape": (3, 3, 16, 64)}, case=lambda shape: len(shape) > 2),
    **dict.fromkeys(("INI-10", "INI-11"),
                    Known(_FANS, {"seed": 0}, case=lambda what: "glorot_uniform" in what)),
    "ACT-10": NO_SUCH_CLASS,
    **in_halves("BNT-12 NRM-01 NRM-02 NRM-08 NRM-09", _HALVES, "x.float()"),
    **OVERFLOWS,
    "NRM-05": replace(
        LENGTHS, reason=f"the gradient at 0 is NaN; {LENGTHS.reason}", link="",
        case=lambda case, power, what: power != 0 or case[1] != "float32" or what != "y"),
    **PROMOTION,
}  # fmt: skip

OPERATIONS = {
    **collect_operations(globals()),
    **TENSORS.dropout(_dropped),
    **TENSORS.loss(Tensor.cross_entropy),
    **TENSORS.batch_norm(_batch_norm),
    **TENSORS.with_gradients(
        layer_norm=lambda x, w, b, e: _with(nn.LayerNorm(x.shape[-1], e), weight=w, bias=b)(x),
        group_norm=lambda x, g, e: _last(nn.GroupNorm(g, x.shape[-1], e, False)(_first(x))),
        instance_norm=lambda x, e: _last(nn.InstanceNorm(x.shape[-1], e, False)(_first(x))),
        rms_norm=lambda x, w, e: _with(nn.RMSNorm(x.shape[-1], e), weight=w)(x),
        l2_normalize=lambda x: x.normalize(dim=-1),
    ),
    **TENSORS.activations(Tensor),
    "glorot_uniform": _initializer(Tensor.glorot_uniform),
    # Without a slope; that of 1 gives LeCun's.
    "he_uniform": _initializer(Tensor.kaiming_uniform, a=0.0),
    "he_normal": _initializer(Tensor.kaiming_normal, a=0.0),
    "lecun_normal": _initializer(Tensor.kaiming_normal, a=1.0),
    "leaky_relu": TENSORS.mapped(Tensor.leaky_relu),
    "softmax": TENSORS.mapped(Tensor.softmax),
    "clip_by_value": lambda tree, c: {n: _numpy(_tensor(g).clip(-c, c)) for n, g in tree.items()},
}

KNOWN = since("0.14.0", KNOWN)
TARGET = of_package("tinygrad", OPERATIONS, CONVENTIONS, KNOWN, mode="lazy-float32")
