"""timm's layers, loss, clipping, mixing, sampler and checkpoints, on PyTorch on the CPU."""

import math
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from hondo_spec.adapter import collect_operations, operation
from hondo_spec.target import Known, of_package, since
from hondo_spec.targets._one_pass import NAN_IS_RIGHT, OVERFLOWS, PLAIN, in_halves, one_pass
from hondo_spec.targets.torch import CONVENTIONS, TENSORS, first, initializer, last, torch

try:
    import_module("torchvision")
except RuntimeError:
    # The torchvision of PyPI is built for CUDA. Beside a PyTorch for the CPU its compiled part does
    # not load, and its import ends where it gives the shapes of what two operators return that are
    # in that part. So they are defined here, with nothing behind them. What is judged of timm calls
    # neither of them, nor anything else that torchvision has compiled.
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor a, Tensor b, float c) -> Tensor")
timm: Any = import_module("timm")
layers: Any = timm.layers
utils: Any = timm.utils


def _called(layer: Any, x: Any, **tensors: Any) -> Any:
    """What the layer with these tensors makes of x as images, channels first."""
    images = first(x.reshape(len(x), -1, 1, x.shape[-1]))
    return last(torch.func.functional_call(layer, tensors, images)).reshape(x.shape)


def _batch_norm(x: Any, mean: Any, var: Any, *rest: Any) -> Any:
    """The statistics are written to."""
    scale, bias, decay, epsilon, train = rest
    layer = layers.BatchNormAct2d(len(scale), epsilon, decay, apply_act=False).train(train)
    y = _called(layer, x, running_mean=mean, running_var=var, weight=scale, bias=bias)
    return y, mean, var


@operation
def _adaptive_clip(g, w, ratio, epsilon):
    """Units are numbered by the first axis."""
    weight, gradient = (TENSORS.tensor(np.moveaxis(x, -1, 0)) for x in (w, g))
    weight.grad = gradient
    utils.adaptive_clip_grad(weight, ratio, epsilon)
    return np.moveaxis(gradient.numpy(), 0, -1)


@operation
def _mixup(seed, images, labels):
    """Of classes, which come out as mixed labels."""
    utils.random_seed(seed)
    mix = timm.data.Mixup(label_smoothing=0.0, num_classes=labels.shape[-1])
    mixed, targets = mix(first(TENSORS.tensor(images)), TENSORS.tensor(labels).argmax(-1))
    return last(mixed), targets


@operation
def _epoch_order(seed, epoch, count):
    """Of the sampler for repeated augmentation, with each example once; it takes no seed."""
    sampler = timm.data.distributed_sampler.RepeatAugSampler(range(count), 1, 0, True, 1, 0)
    sampler.set_epoch(epoch)
    return list(sampler)


@operation
def _best_and_newest(losses):
    model = torch.nn.Linear(1, 1)
    descent = torch.optim.SGD(model.parameters())
    with TemporaryDirectory() as at:
        saver = utils.CheckpointSaver(model, descent, checkpoint_dir=at, decreasing=True)
        best = [saver.save_checkpoint(epoch, loss)[1] for epoch, loss in enumerate(losses)]
        return best[-1], timm.models.resume_checkpoint(model, f"{at}/last.pth.tar") - 1


KNOWN = {
    "ACT-07": Known(
        "smoothing of 0 times the loss of a class of probability 0 is 0 · ∞: NaN",
        {"z": np.zeros((6, 4), np.float32), "level": 0.0, "ruled_out": 1},
        avoid="torch.nn.CrossEntropyLoss, as create_classification_loss does",
        case=lambda ruled_out: ruled_out > 0,
    ),
    "ACT-09": NAN_IS_RIGHT,
    "DRP-13": PLAIN["DRP-13"],
    **OVERFLOWS,
    **one_pass("NRM-02 NRM-09"),
    **in_halves("NRM-03 NRM-10", "squares of halves are halves, above 2^16 ∞", "RmsNorm2dFp32"),
    **in_halves("CLP-10", "the length of a gradient in halves is a half", "gradients in float32"),
    "AUG-05": Known(
        "a batch of odd size is refused", {"seed": 0, "count": 5}, case=lambda count: count % 2 > 0
    ),
    "STR-10": Known(
        "the first loss is the best, whatever it is, and no later one is below NaN",
        {"losses": (math.nan, 1.0, 2.0)}, case=lambda losses: not math.isfinite(losses[0]),
    ),
    "STR-11": Known(
        "RepeatAugSampler shuffles by the epoch alone: every run has the same orders",
        {"other": (1, 0), "seed": 0}, case=lambda other: other[1] == 0,
    ),
}  # fmt: skip
LOSS = import_module("timm.loss").LabelSmoothingCrossEntropy(smoothing=0.0)
CUT = {"distribution": "truncated_normal"}
FILL = layers.variance_scaling_
OPERATIONS = {
    **collect_operations(globals()),
    # It drops whole examples, each of which has one entry here.
    **TENSORS.dropout(lambda x, *by: layers.drop_path(x.reshape(-1, 1), *by).reshape(x.shape)),
    **TENSORS.loss(lambda z, classes: LOSS(z, classes.long())),
    **TENSORS.batch_norm(_batch_norm),
    **TENSORS.with_gradients(
        layer_norm=lambda x, w, b, e: _called(layers.LayerNorm2d(len(w), e), x, weight=w, bias=b),
        group_norm=lambda x, *by: _called(layers.GroupNorm(x.shape[-1], *by, affine=False), x),
        rms_norm=lambda x, w, e: _called(layers.RmsNorm2d(len(w), e), x, weight=w),
    ),
    "accuracy": TENSORS.mapped(lambda z, classes: utils.accuracy(z, classes)[0] / 100, 2),
    "glorot_uniform": initializer(FILL, mode="fan_avg", distribution="uniform"),
    "glorot_normal": initializer(FILL, mode="fan_avg", **CUT),
    "he_uniform": initializer(FILL, scale=2.0, distribution="uniform"),
    "he_normal": initializer(FILL, scale=2.0, **CUT),
    "lecun_normal": initializer(layers.lecun_normal_),
    "truncated_normal": initializer(layers.lecun_normal_),
}
DECLARED, KNOWN = {**CONVENTIONS, "normal": "truncated"}, since("1.0.31", KNOWN)
TARGET = of_package("timm", OPERATIONS, DECLARED, KNOWN, mode="eager-float32")
