"""PyTorch's functions, on the CPU."""

from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from hondo_spec.adapter import Operation, collect_operations, operation
from hondo_spec.draws import single
from hondo_spec.operations.shapes import Shape, Tree
from hondo_spec.target import Known, of_package, since
from hondo_spec.targets._one_pass import LENGTHS, PLAIN, infinite_entry, next_seed, one_pass
from hondo_spec.targets._tensors import CONVENTIONS, Tensors

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


def _pull(function: Operation, arrays: list[Any], g: Any) -> Any:
    leaves = [_tensor(x, grad=True) for x in arrays]
    y = function(*leaves)
    return torch.autograd.grad(y, leaves, _tensor(g).to(y.dtype))


TENSORS = Tensors(_tensor, _numpy, _pull, torch.manual_seed)


def initializer(fill: Any, **options: Any) -> Operation:
    """Of what fills a tensor."""

    def make(shape: Shape) -> Any:
        weight = torch.empty(shape)
        fill(weight, **options)
        return weight

    return TENSORS.initializer(make)


def first(x: Any) -> Any:
    """Channels go to axis 1."""
    return x.movedim(-1, 1)


def last(x: Any) -> Any:
    """Channels come back from there."""
    return x.movedim(1, -1)


def _batch_norm(x: Any, mean: Any, var: Any, *rest: Any) -> Any:
    """The statistics are written to."""
    scale, bias, decay, epsilon, train = rest
    y = functional.batch_norm(first(x), mean, var, scale, bias, train, decay, epsilon)
    return last(y), mean, var


@operation
def _batch_moments(x):
    var, mean = torch.var_mean(_tensor(x), dim=tuple(range(x.ndim - 1)), correction=0)
    return _numpy(mean), _numpy(var)


@operation
def _fold_batch_norm(kernel, bias, mean, var, scale, offset, epsilon):
    """Its kernel is (outputs, inputs, *window)."""
    fuse = torch.nn.utils.fusion.fuse_conv_bn_weights
    arrays = map(_tensor, (np.moveaxis(kernel, (-1, -2), (0, 1)), bias, mean, var))
    weight, shift = fuse(*arrays, epsilon, _tensor(scale), _tensor(offset))
    return np.moveaxis(_numpy(weight), (0, 1), (-1, -2)), _numpy(shift)


@operation
def _weight_norm(direction, magnitude):
    """Of a `Linear`, whose weight is (outputs, inputs)."""
    layer = parametrizations.weight_norm(torch.nn.Linear(*direction.shape, bias=False))
    originals = layer.parametrizations.weight
    originals.original0.data = _tensor(magnitude)[:, None]
    originals.original1.data = _tensor(direction.T)
    return _numpy(layer.weight).T


@operation
def _bootstrap_indices(seed, count):
    generator = torch.Generator().manual_seed(seed)
    return list(torch.utils.data.RandomSampler(range(count), True, generator=generator))


@operation
def _epoch_order(seed, epoch, count):
    """Of the sampler that knows its epoch, on one of one process."""
    sampler = torch.utils.data.DistributedSampler(range(count), 1, 0, seed=seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def _clipped(clip: Any, tree: Tree, limit: float) -> dict[str, np.ndarray]:
    """What a function of `nn.utils` makes of the gradients of parameters."""
    parameters = {}
    for name, leaf in tree.items():
        parameters[name] = torch.zeros_like(_tensor(leaf), requires_grad=True)
        parameters[name].grad = _tensor(leaf)
    clip(parameters.values(), limit)
    return {name: _numpy(parameter.grad) for name, parameter in parameters.items()}


INIT = torch.nn.init
STABLE = "https://docs.pytorch.org/docs/stable/"
SAMPLER = f"{STABLE}data.html#torch.utils.data.distributed.DistributedSampler"
CLIPPING = f"{STABLE}generated/torch.nn.utils.clip_grad_norm_.html"


KNOWN = {
    **PLAIN,
    **one_pass("NRM-02"),
    # Beside it, variances in one pass.
    "NRM-09": Known(
        "the gradient of instance_norm is wrong for one image whose channels are last in memory",
        {"seed": 0, "case": ((1, 5, 2, 8), 8, "float32"), "kappa": 0.0}, avoid="x.contiguous()",
        case=lambda kappa, case: kappa or case[0][0] == 1 or np.prod(case[0][1:-1]) < 4,
    ),
    "NRM-05": LENGTHS,
    **infinite_entry(1.0, CLIPPING, "error_if_nonfinite=True"),
    **next_seed("DistributedSampler shuffles", SAMPLER),
}  # fmt: skip

OPERATIONS = {
    **collect_operations(globals()),
    **TENSORS.dropout(functional.dropout),
    **TENSORS.loss(lambda z, classes: functional.cross_entropy(z, classes.long())),
    **TENSORS.batch_norm(_batch_norm),
    **TENSORS.with_gradients(
        layer_norm=lambda x, *rest: functional.layer_norm(x, x.shape[-1:], *rest),
        group_norm=lambda x, groups, e: last(functional.group_norm(first(x), groups, eps=e)),
        instance_norm=lambda x, e: last(functional.instance_norm(first(x), eps=e)),
        rms_norm=lambda x, *rest: functional.rms_norm(x, x.shape[-1:], *rest),
        l2_normalize=partial(functional.normalize, dim=-1),
    ),
    **TENSORS.activations(torch),
    "glorot_uniform": initializer(INIT.xavier_uniform_),
    "glorot_normal": initializer(INIT.xavier_normal_),
    "he_uniform": initializer(INIT.kaiming_uniform_, nonlinearity="relu"),
    "he_normal": initializer(INIT.kaiming_normal_, nonlinearity="relu"),
    "lecun_normal": initializer(INIT.kaiming_normal_, nonlinearity="linear"),
    "leaky_relu": TENSORS.mapped(functional.leaky_relu),
    "softmax": TENSORS.mapped(partial(torch.softmax, dim=-1)),
    "proximal_l1": TENSORS.mapped(functional.softshrink),
    "max_norm": TENSORS.mapped(lambda w, limit: torch.renorm(w, p=2, dim=-1, maxnorm=limit)),
    "clip_by_global_norm": partial(_clipped, torch.nn.utils.clip_grad_norm_),
    "clip_by_value": partial(_clipped, torch.nn.utils.clip_grad_value_),
    "global_norm": lambda t: _numpy(torch.nn.utils.get_total_norm([*map(_tensor, t.values())])),
}

TARGET = of_package("torch", OPERATIONS, CONVENTIONS, since("2.13.0", KNOWN), mode="eager-float32")
