"""Losses that can take their batch in parts, and how one asks them to."""

from typing import Protocol, runtime_checkable

from hondo._numerics.checks import error
from hondo._types import Loss


@runtime_checkable
class Divisible(Protocol):
    """A loss that knows how to be computed in parts."""

    def microbatched(self, parts: int, /) -> Loss:
        """The loss whose model takes its batch in so many parts."""
        ...


def microbatched(loss: Loss, parts: int) -> Loss:
    """The loss whose model is applied to so many parts of the batch, one after another.

    What is made of the outputs, a mean, a sum, weights, a penalty, is made once, of all of them.

    Raises:
        ValueError: a loss that does not know how.
    """
    if isinstance(loss, Divisible):
        return loss.microbatched(parts)
    name = getattr(loss, "__qualname__", type(loss).__name__)
    repair = (
        "The losses of hondo.supervised, hondo.penalized and hondo.noisy_parameters have it; one "
        "of your own gets it as the method of an object that is called."
    )
    raise error("problem.loss", name, "one with a method microbatched(parts) → loss", repair)
