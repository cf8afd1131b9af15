"""The networks of the main job as modules of torch."""

from typing import Any

from torch import nn

from benchmarks.job import DROPOUT, Job


def torch_network(job: Job, features: int) -> Any:
    """The fully connected networks; torch follows no others here."""
    width = job.width
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


def _dense(entering: int, width: int) -> Any:
    layer = nn.Linear(entering, width)
    nn.init.kaiming_normal_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
