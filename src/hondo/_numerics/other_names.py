"""Names that other libraries have for arguments; who brings them is told the name here."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_MODE = "Modules take train=True or train=False when called"
_REPAIRS = {
    "momentum": "It is decay=, the weight of the old value, as Flax's; PyTorch's is 1 - decay.",
    "use_running_average": f"{_MODE}; of the functions, batch_norm_inference uses the averages.",
    "deterministic": f"{_MODE}; at inference, leave the functions of dropout out.",
    "rate": "It is keep_prob=, the probability of keeping: 1 - rate.",
}


def refuse_names(*names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Makes a function refuse arguments of these names in words of its own, with the repair.

    Raises:
        TypeError: at a call with one of these names.

    Example:
        >>> @refuse_names("momentum")
        ... def average(decay):
        ...     return decay
        >>> average(decay=0.9)
        0.9
        >>> average(momentum=0.9)
        Traceback (most recent call last):
        TypeError: momentum must not be given, got 0.9. It is decay=, the weight of the old value, \
as Flax's; PyTorch's is 1 - decay.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for name in names:
                if name in kwargs:
                    got = f"{name} must not be given, got {kwargs[name]!r}"
                    raise TypeError(f"{got}. {_REPAIRS[name]}")
            return function(*args, **kwargs)

        return call

    return decorate
