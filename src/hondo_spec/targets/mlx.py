"""MLX's layers and functions, on the CPU."""

import math
from functools import partial
from importlib import import_module
from importlib.metadata import version
from typing import Any

import numpy as np

from hondo_spec.adapter import Operation, collect_operations, operation
from hondo_spec.draws import single
from hondo_spec.operations.shapes import Shape
from hondo_spec.target import Known, Target, since
from hondo_spec.targets._one_pass import ADDED, OVERFLOWS, PLAIN_CLIPPING

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


def _mapped(function: Any, arrays: int = 1) -> Operation:
    """The operation of a function whose first arguments are arrays."""
    return lambda *given: _numpy(function(*map(_array, given[:arrays]), *given[arrays:]))


def _pulled_back(function: Any, arrays: int = 1) -> Operation:
    """(…, g) → the gradients of Σ g · function(…) in these arrays."""

    def gradients(*given: Any) -> Any:
        def y(*first: Any) -> Any:
            return function(*first, *given[arrays:-1])

        found = mx.vjp(y, [*map(_array, given[:arrays])], [_array(given[-1])])[1]
        return [*map(_numpy, found)] if arrays > 1 else _numpy(found[0])

    return gradients


def _slope(function: Any) -> Operation:
    return lambda x: _pulled_back(function)(x, np.ones_like(x))


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


@operation
def _dropout(seed, x, keep_prob):
    mx.random.seed(int(seed))
    return _numpy(nn.Dropout(1 - keep_prob)(_array(x)))


@operation
def _dropout_gradient(seed, x, keep_prob, g):
    """Called once for y and once for the gradient, by the same seed."""

    def dropped(x: Any) -> Any:
        mx.random.seed(int(seed))
        return nn.Dropout(1 - keep_prob)(x)

    return _dropout(seed, x, keep_prob), _pulled_back(dropped)(x, g)


@operation
def _dropout_inference(x, keep_prob):
    return _numpy(nn.Dropout(1 - keep_prob).eval()(_array(x)))


def _loss(z: Any, classes: Any) -> Any:
    return nn.losses.cross_entropy(z, _array(classes), reduction="mean")


@operation
def _cross_entropy_gradient(z, classes):
    return _pulled_back(_loss)(z, classes, np.float32(1))


def _folded(x: Any) -> Any:
    """The axes of space as one where there are more than two, which MLX does not take."""
    return x if x.ndim < 5 else x.reshape(x.shape[0], -1, x.shape[-1])


def _batch_norm_layer(
    mean: Any, var: Any, scale: Any, bias: Any, decay: float, epsilon: float
) -> Any:
    layer = nn.BatchNorm(len(scale), eps=epsilon, momentum=decay)
    return _with(layer, running_mean=mean, running_var=var, weight=scale, bias=bias)


@operation
def _batch_norm(x, mean, var, scale, bias, decay, epsilon):
    layer = _batch_norm_layer(mean, var, scale, bias, decay, epsilon)
    y = layer(_folded(_array(x))).reshape(x.shape)
    return _numpy(y), _numpy(layer.running_mean), _numpy(layer.running_var)


@operation
def _batch_norm_gradient(x, scale, bias, epsilon, g):
    layer = _batch_norm_layer(0 * bias, 0 * bias + 1, scale, bias, 0.1, epsilon)
    return _pulled_back(lambda x: layer(_folded(x)).reshape(x.shape))(x, g)


@operation
def _batch_norm_inference(x, mean, var, scale, bias, epsilon):
    layer = _batch_norm_layer(mean, var, scale, bias, 0.1, epsilon).eval()
    return _numpy(layer(_folded(_array(x))).reshape(x.shape))


def _layer(x: Any, scale: Any, bias: Any, epsilon: float) -> Any:
    return _with(nn.LayerNorm(x.shape[-1], eps=epsilon), weight=scale, bias=bias)(x)


def _group(x: Any, groups: int, epsilon: float) -> Any:
    """The groups of `pytorch_compatible` are neighbors."""
    return nn.GroupNorm(groups, x.shape[-1], epsilon, affine=False, pytorch_compatible=True)(x)


def _instance(x: Any, epsilon: float) -> Any:
    return nn.InstanceNorm(x.shape[-1], epsilon)(x)


def _rms(x: Any, scale: Any, epsilon: float) -> Any:
    return _with(nn.RMSNorm(x.shape[-1], epsilon), weight=scale)(x)


@operation
def _clip_by_global_norm(tree, limit):
    clipped, _ = optimizers.clip_grad_norm({n: _array(leaf) for n, leaf in tree.items()}, limit)
    return {name: _numpy(leaf) for name, leaf in clipped.items()}


@operation
def _global_norm(tree):
    gradients = {name: _array(leaf) for name, leaf in tree.items()}
    return _numpy(optimizers.clip_grad_norm(gradients, 1.0)[1])


def _is_one(x: np.ndarray) -> bool:
    return x.size == x.shape[-1]


REFUSED = "Dropout refuses to drop everything"

KNOWN = {
    "ACT-05": Known(
        "it is max(x, a x), which is another function where a is above 1",
        {"x": single([1.0] * 16), "slope": 2.0},
        case=lambda slope: slope > 1,
    ),
    "ACT-10": Known(
        "class −1 is taken for the last one; those above the last are read behind the logits, and "
        "class 10⁷ ends the process",
        {"bad": -1, "place": 0},
    ),
    "DRP-11": Known(REFUSED, {"x": np.ones((8, 8), np.float32), "seed": 0}),
    "DRP-13": Known(
        "x is multiplied by the mask: 0 · ∞ is NaN",
        {"bad": math.inf, "dtype": "float16"},
        case=lambda what: what.startswith("dropped"),
    ),
    "ACT-01": Known(
        "in half precision e⁻ˣ overflows and σ is 0",
        {"x": np.full(16, -12.0, np.float16)},
        case=lambda x: x.dtype != np.float32,
    ),
    **{
        id: Known(
            "a batch of one is refused", {"x": np.ones((1, 16), np.float32), **more}, case=_is_one
        )
        for id, more in (("BNT-10", {"seed": 0}), ("BNT-11", {"seed": 0, "kappa": 0.0}))
    },
    "BNT-09": Known("a batch of one is refused", {"x": np.ones((1, 3), np.float32)}),
    "BNT-12": Known(
        "moments of half-precision data are summed in its dtype",
        {"seed": 0, "shape": (256, 3), "offset": 0.0, "dtype": "float16"},
        avoid="x.astype(mx.float32)",
        case=lambda dtype: dtype != "float32",
    ),
    **OVERFLOWS,
    **PLAIN_CLIPPING,
    "CLP-05": Known(
        ADDED, {"tree": {"a": single([0.125])}, "factor": 1e-3}, case=lambda what: what == "norm"
    ),
    "CLP-08": Known(
        "with an infinite entry the finite ones become 0 and that one NaN",
        {"bad": math.inf, "limit": 10.0},
    ),
    "XCT-02": Known(
        "batch norm of half-precision data gives the dtype of its parameters",
        {"dtype": "float16", "shape": (4, 3)},
    ),
}

OPERATIONS = {
    **collect_operations(globals()),
    "cross_entropy": _mapped(_loss),
    "layer_norm": _mapped(_layer, 3),
    "layer_norm_gradient": _pulled_back(_layer, 3),
    "group_norm": _mapped(_group),
    "group_norm_gradient": _pulled_back(_group),
    "instance_norm": _mapped(_instance),
    "instance_norm_gradient": _pulled_back(_instance),
    "rms_norm": _mapped(_rms, 2),
    "rms_norm_gradient": _pulled_back(_rms, 2),
    "glorot_uniform": _initializer(nn.init.glorot_uniform),
    "glorot_normal": _initializer(nn.init.glorot_normal),
    # The gain of √2 is the caller's here; without it the normal one is LeCun's.
    "he_uniform": _initializer(nn.init.he_uniform, gain=2**0.5),
    "he_normal": _initializer(nn.init.he_normal, gain=2**0.5),
    "lecun_normal": _initializer(nn.init.he_normal),
    "sigmoid": _mapped(nn.sigmoid),
    "sigmoid_gradient": _slope(nn.sigmoid),
    "tanh": _mapped(nn.tanh),
    "tanh_gradient": _slope(nn.tanh),
    "relu": _mapped(nn.relu),
    "relu_gradient": _slope(nn.relu),
    "leaky_relu": _mapped(nn.leaky_relu),
    "softmax": _mapped(partial(mx.softmax, axis=-1)),
    "proximal_l1": _mapped(nn.softshrink),
}

TARGET = Target(
    name="mlx",
    operations=OPERATIONS,
    version=version("mlx"),
    conventions={
        "dropout": "inverted",
        "decay": "new",
        "running_variance": "unbiased",
        "normal": "full",
    },
    known=since("0.32.4", KNOWN),
    mode="eager-float32",
)
