"""PyTorch's functions, on the CPU."""

import math
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from importlib.metadata import version
from typing import Any

import numpy as np

from hondo_spec.draws import normal, single
from hondo_spec.target import Known, Target, since

torch: Any = import_module("torch")
functional: Any = import_module("torch.nn.functional")
parametrizations: Any = import_module("torch.nn.utils.parametrizations")


def _tensor(x: Any, grad: bool = False) -> Any:
    # A copy: some functions write into their arguments.
    x = np.asarray(x)
    if x.dtype.name == "bfloat16":  # NumPy's comes from elsewhere, and torch does not know it.
        return torch.tensor(single(x), requires_grad=grad).to(torch.bfloat16)
    return torch.tensor(x, requires_grad=grad)


def _numpy(x: Any) -> np.ndarray:
    if x.dtype == torch.bfloat16:
        return x.detach().float().numpy().astype("bfloat16")
    return x.detach().numpy()


def _mapped(function: Any) -> Any:
    return lambda x, *options: _numpy(function(_tensor(x), *options))


def _gradient(function: Any, x: Any, g: Any) -> np.ndarray:
    """The gradient of g · function(x)."""
    leaf = _tensor(x, grad=True)
    return _numpy(torch.autograd.grad(function(leaf), leaf, _tensor(g))[0])


def _slope(function: Any) -> Any:
    return lambda x: _gradient(function, x, np.ones_like(x))


def _initializer(fill: Any, **options: Any) -> Any:
    def init(seed: int, shape: Any) -> np.ndarray:
        # Weights are (outputs, inputs, …) here.
        weight = torch.empty(shape[-1], shape[-2], *shape[:-2])
        fill(weight, generator=torch.Generator().manual_seed(int(seed)), **options)
        return np.moveaxis(_numpy(weight), (0, 1), (-1, -2))

    return init


def _dropout(seed: int, x: Any, keep_prob: float) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return functional.dropout(x, 1 - keep_prob)


def dropout(seed: int, x: np.ndarray, keep_prob: float) -> np.ndarray:
    """`functional.dropout`, whose p is that of dropping: 1 − P; the global seed is restored."""
    return _numpy(_dropout(seed, _tensor(x), keep_prob))


def dropout_gradient(
    seed: int, x: np.ndarray, keep_prob: float, g: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`functional.dropout` called once for y and once for autograd, by the same seed."""
    return dropout(seed, x, keep_prob), _gradient(lambda x: _dropout(seed, x, keep_prob), x, g)


def dropout_inference(x: np.ndarray, keep_prob: float) -> np.ndarray:
    """`functional.dropout` with `training=False`, which leaves x as it is."""
    return _numpy(functional.dropout(_tensor(x), 1 - keep_prob, training=False))


def cross_entropy(z: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """`functional.cross_entropy`, which wants classes in int64 and averages by default."""
    return _numpy(functional.cross_entropy(_tensor(z), _tensor(classes).long()))


def cross_entropy_gradient(z: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Autograd through `functional.cross_entropy`, for the logits alone."""
    targets = _tensor(classes).long()
    return _gradient(lambda z: functional.cross_entropy(z, targets), z, np.float32(1))


def _first(x: Any) -> Any:
    return x.movedim(-1, 1)


def _last(x: Any) -> Any:
    return x.movedim(1, -1)


def batch_norm(
    x: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    scale: np.ndarray,
    bias: np.ndarray,
    decay: float,
    epsilon: float,
) -> tuple[np.ndarray, ...]:
    """`functional.batch_norm` in training: momentum is the weight of the new, var's is unbiased."""
    stats, affine = (_tensor(mean), _tensor(var)), (_tensor(scale), _tensor(bias))
    y = functional.batch_norm(_first(_tensor(x)), *stats, *affine, True, decay, epsilon)
    return _numpy(_last(y)), *map(_numpy, stats)


def batch_norm_gradient(
    x: np.ndarray, scale: np.ndarray, bias: np.ndarray, epsilon: float, g: np.ndarray
) -> np.ndarray:
    """Autograd through `functional.batch_norm` without running averages; channels go to axis 1."""
    affine = {"weight": _tensor(scale), "bias": _tensor(bias), "training": True, "eps": epsilon}

    def normalized(x: Any) -> Any:
        return _last(functional.batch_norm(_first(x), None, None, **affine))

    return _gradient(normalized, x, g)


def batch_norm_inference(
    x: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    scale: np.ndarray,
    bias: np.ndarray,
    epsilon: float,
) -> np.ndarray:
    """`functional.batch_norm` out of training, its default; channels go to axis 1 and back."""
    arrays = map(_tensor, (mean, var, scale, bias))
    return _numpy(_last(functional.batch_norm(_first(_tensor(x)), *arrays, eps=epsilon)))


def batch_moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`torch.var_mean` without Bessel's correction, its two results swapped."""
    var, mean = torch.var_mean(_tensor(x), dim=tuple(range(x.ndim - 1)), correction=0)
    return _numpy(mean), _numpy(var)


def fold_batch_norm(
    kernel: np.ndarray,
    bias: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    scale: np.ndarray,
    offset: np.ndarray,
    epsilon: float,
) -> tuple[np.ndarray, np.ndarray]:
    """`fuse_linear_bn_weights`, whose kernel is (outputs, inputs): transposed there and back."""
    fuse = torch.nn.utils.fusion.fuse_linear_bn_weights
    arrays = map(_tensor, (kernel.T, bias, mean, var))
    weight, shift = fuse(*arrays, epsilon, _tensor(scale), _tensor(offset))
    return _numpy(weight).T, _numpy(shift)


def layer_norm(x: np.ndarray, scale: np.ndarray, bias: np.ndarray, epsilon: float) -> np.ndarray:
    """`functional.layer_norm` with the last axis for the normalized shape."""
    shape = x.shape[-1:]
    y = functional.layer_norm(_tensor(x), shape, _tensor(scale), _tensor(bias), epsilon)
    return _numpy(y)


def group_norm(x: np.ndarray, groups: int, epsilon: float) -> np.ndarray:
    """`functional.group_norm` without weight and bias; channels go to axis 1 and back."""
    return _numpy(_last(functional.group_norm(_first(_tensor(x)), groups, eps=epsilon)))


def instance_norm(x: np.ndarray, epsilon: float) -> np.ndarray:
    """`functional.instance_norm` without weight and bias; channels go to axis 1 and back."""
    return _numpy(_last(functional.instance_norm(_first(_tensor(x)), eps=epsilon)))


def rms_norm(x: np.ndarray, scale: np.ndarray, epsilon: float) -> np.ndarray:
    """`functional.rms_norm` with the last axis for the normalized shape; scale is its weight."""
    return _numpy(functional.rms_norm(_tensor(x), x.shape[-1:], _tensor(scale), epsilon))


def weight_norm(direction: np.ndarray, magnitude: np.ndarray) -> np.ndarray:
    """`parametrizations.weight_norm` of a `Linear`, whose weight is (outputs, inputs)."""
    layer = parametrizations.weight_norm(torch.nn.Linear(*direction.shape, bias=False))
    originals = layer.parametrizations.weight
    originals.original0.data = _tensor(magnitude)[:, None]
    originals.original1.data = _tensor(direction.T)
    return _numpy(layer.weight).T


def max_norm(w: np.ndarray, limit: float) -> np.ndarray:
    """`torch.renorm` with p = 2 and dim = 1: it limits the norm of each column."""
    return _numpy(torch.renorm(_tensor(w), p=2, dim=1, maxnorm=limit))


def l2_normalize_gradient(x: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Autograd through `functional.normalize` over the last axis."""
    return _gradient(partial(functional.normalize, dim=-1), x, g)


def bootstrap_indices(seed: int, count: int) -> list[int]:
    """`RandomSampler` with replacement, of as many as there are; the seed makes its generator."""
    generator = torch.Generator().manual_seed(seed)
    sampler = torch.utils.data.RandomSampler(range(count), replacement=True, generator=generator)
    return list(sampler)


def _clipped(clip: Any, tree: Any, limit: float) -> Any:
    parameters = {name: torch.zeros(leaf.shape) for name, leaf in tree.items()}
    for name, leaf in tree.items():
        parameters[name] = torch.zeros_like(_tensor(leaf), requires_grad=True)
        parameters[name].grad = _tensor(leaf)
    clip(parameters.values(), limit)
    return {name: _numpy(parameter.grad) for name, parameter in parameters.items()}


def global_norm(tree: Mapping[str, np.ndarray]) -> np.ndarray:
    """`nn.utils.get_total_norm` of the leaves, by default their 2-norm."""
    return _numpy(torch.nn.utils.get_total_norm([_tensor(leaf) for leaf in tree.values()]))


INIT = torch.nn.init
CLIPPING = "https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html"
NORMALIZE = "https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.normalize.html"
ADDED = "1e-6 is added to the norm, which shows where the limit is small"

KNOWN = {
    "DRP-13": Known(
        "x is multiplied by the mask: 0 · ∞ is NaN", {"bad": math.inf, "dtype": "float16"}
    ),
    "BNT-09": Known("a batch of one is refused", {"x": np.ones((1, 3), np.float32)}),
    "NRM-02": Known(
        "the variance is computed as E[x²] − E[x]², which cancels where the mean is large",
        {"x": normal(0, (2, 4, 4, 6)), "groups": 2, "kappa": 1e4},
    ),
    "NRM-05": Known(
        "squares under- and overflow, and lengths below 1e-12 count as 1e-12",
        {"scale": 2.0**-80, "seed": 0},
        NORMALIZE,
    ),
    "CLP-03": Known(ADDED, {"tree": {"a": single([1e-6])}, "factor": 1.001}),
    "CLP-05": Known(ADDED, {"tree": {"a": single([0.125])}, "factor": 1e-3}),
    "CLP-07": Known(
        "squares overflow, and the gradient is 0", {"case": ("float32", (3e19, 4e19), 1.0)}
    ),
    "CLP-08": Known(
        "with an infinite entry the finite ones become 0 and that one NaN",
        {"bad": math.inf, "limit": 1.0},
        CLIPPING,
        avoid="error_if_nonfinite=True",
    ),
    "CLP-09": Known(ADDED, {"values": single([1, 0, 0, 0, 0, 0]), "power": -8}),
    "GRD-05": Known(
        "squares over- and underflow",
        {"tree": {"a": single([1])}, "case": ("float32", (3e19, 4e19), 1.0)},
    ),
}

TARGET = Target(
    name="torch",
    operations={
        "glorot_uniform": _initializer(INIT.xavier_uniform_),
        "glorot_normal": _initializer(INIT.xavier_normal_),
        "he_uniform": _initializer(INIT.kaiming_uniform_, nonlinearity="relu"),
        "he_normal": _initializer(INIT.kaiming_normal_, nonlinearity="relu"),
        "lecun_normal": _initializer(INIT.kaiming_normal_, nonlinearity="linear"),
        "sigmoid": _mapped(torch.sigmoid),
        "sigmoid_gradient": _slope(torch.sigmoid),
        "tanh": _mapped(torch.tanh),
        "tanh_gradient": _slope(torch.tanh),
        "relu": _mapped(torch.relu),
        "relu_gradient": _slope(torch.relu),
        "leaky_relu": _mapped(functional.leaky_relu),
        "softmax": _mapped(partial(torch.softmax, dim=-1)),
        "cross_entropy": cross_entropy,
        "cross_entropy_gradient": cross_entropy_gradient,
        "dropout": dropout,
        "dropout_gradient": dropout_gradient,
        "dropout_inference": dropout_inference,
        "batch_norm": batch_norm,
        "batch_norm_gradient": batch_norm_gradient,
        "batch_norm_inference": batch_norm_inference,
        "batch_moments": batch_moments,
        "fold_batch_norm": fold_batch_norm,
        "layer_norm": layer_norm,
        "group_norm": group_norm,
        "instance_norm": instance_norm,
        "rms_norm": rms_norm,
        "weight_norm": weight_norm,
        "proximal_l1": _mapped(functional.softshrink),
        "max_norm": max_norm,
        "l2_normalize": _mapped(partial(functional.normalize, dim=-1)),
        "l2_normalize_gradient": l2_normalize_gradient,
        "bootstrap_indices": bootstrap_indices,
        "clip_by_global_norm": partial(_clipped, torch.nn.utils.clip_grad_norm_),
        "clip_by_value": partial(_clipped, torch.nn.utils.clip_grad_value_),
        "global_norm": global_norm,
    },
    version=version("torch"),
    conventions={
        "dropout": "inverted",
        "decay": "new",
        "running_variance": "unbiased",
        "normal": "full",
    },
    known=since("2.13.0", KNOWN),
    mode="eager-float32",
)
