"""The networks of the main job as modules of torch."""

from typing import Any

from torch import nn

from benchmarks.job import DROPOUT, Job


def torch_network(job: Job, features: int) -> Any:
    """The network of the job; of images, the features are those of one axis."""
    width = job.width
    if job.network == "PreActResNet":
        return ResNet(job.depth, width)
    if job.network == "CNN":
        return _convolutional(width, side=features)
    if job.network == "DeepMLP":
        blocks = [Block(width) for _ in range(job.depth // 2 - 1)]
        last = [nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 10)]
        return nn.Sequential(_dense(features, width), *blocks, *last)
    layers: list[Any] = []
    for entering in (features, width):
        layers += [
            nn.Linear(entering, width),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
        ]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def _convolutional(width: int, side: int) -> Any:
    layers: list[Any] = [Permute()]
    for entering, leaving in ((1, width), (width, 2 * width)):
        conv = nn.Conv2d(entering, leaving, 3, padding=1)
        layers += [conv, nn.BatchNorm2d(leaving), nn.ReLU(), nn.MaxPool2d(2)]
    wide = 2 * width * (side // 4) ** 2
    ends = nn.Linear(wide, 64), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(64, 10)
    return nn.Sequential(*layers, nn.Flatten(), *ends)


class Permute(nn.Module):
    """Images whose last axis is color as torch has them."""

    def forward(self, x: Any) -> Any:
        """Returns the images with the color before height and width."""
        return x.permute(0, 3, 1, 2)


class Block(nn.Module):
    """Two pre-activated dense layers and what goes past them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first = nn.BatchNorm1d(width), nn.ReLU(), _dense(width, width)
        second = nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(DROPOUT), _dense(width, width)
        self.branch = nn.Sequential(*first, *second)

    def forward(self, x: Any) -> Any:
        """Returns the sum of both ways."""
        return x + self.branch(x)


class ResNet(nn.Module):
    """A stem and three stages of pre-activated convolutions, of images whose last axis is color."""

    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        blocks: list[Any] = []
        for stage in range(3):
            for place in range((depth - 2) // 6):
                leaving, is_first = width * 2**stage, stage > 0 and place == 0
                entering = leaving // 2 if is_first else leaving
                blocks.append(ConvBlock(entering, leaving, 2 if is_first else 1))
        norm = nn.BatchNorm2d(4 * width)
        ends: list[Any] = [norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        self.layers = nn.Sequential(
            Permute(), _convolution(1, width), *blocks, *ends, nn.Linear(4 * width, 10)
        )

    def forward(self, x: Any) -> Any:
        """Returns the logits."""
        return self.layers(x)


class ConvBlock(nn.Module):
    """Two pre-activated convolutions and what goes past them."""

    def __init__(self, entering: int, leaving: int, stride: int) -> None:
        super().__init__()
        first = nn.BatchNorm2d(entering), nn.ReLU(), _convolution(entering, leaving, stride)
        second = nn.BatchNorm2d(leaving), nn.ReLU(), _convolution(leaving, leaving)
        self.branch = nn.Sequential(*first, *second)
        is_same = stride == 1 and entering == leaving
        self.past = nn.Identity() if is_same else _convolution(entering, leaving, stride, 1)

    def forward(self, x: Any) -> Any:
        """Returns the sum of both ways."""
        return self.past(x) + self.branch(x)


def _convolution(entering: int, leaving: int, stride: int = 1, window: int = 3) -> Any:
    layer = nn.Conv2d(entering, leaving, window, stride, window // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight)
    return layer


def _dense(entering: int, width: int) -> Any:
    layer = nn.Linear(entering, width)
    nn.init.kaiming_normal_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
