"""What makes linen modules equal by value."""

from dataclasses import fields

from flax import linen as nn

from hondo._bind import frozen


class ValueModule(nn.Module):
    """A module whose fields have a hash, so that a new but equal one compiles nothing anew.

    Example:
        >>> from functools import partial
        >>> from hondo.linen import BatchNorm, DeepMLP
        >>> first, second = (DeepMLP(3, norm=partial(BatchNorm, momentum=0.9)) for _ in range(2))
        >>> first == second, hash(first) == hash(second)
        (True, True)
    """

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, frozen(getattr(self, field.name)))
        super().__post_init__()
