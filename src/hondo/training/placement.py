"""How a step lies on devices: the parameters that the loss takes, the update, what is kept."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from hondo._numerics.sharding import as_shares, from_shares
from hondo._types import Data, Params, Tree


class Placement(NamedTuple):
    """Functions that give a tree back as it is, and say where it is to be.

    Attributes:
        whole: the parameters where the loss takes them.
        shares: the gradient and the parameters where the optimizer takes them.
        kept: the parameters where the state keeps them.
    """

    whole: Callable[[Params], Params]
    shares: Callable[[Tree], Tree]
    kept: Callable[[Params], Params]


def placed_as(data: Data) -> Placement:
    """The update is computed in shares where the data is divided, and whole on each device after.

    What does not depend on an example would be computed by every device else.
    """
    return Placement(_same, partial(as_shares, data=data), partial(from_shares, data=data))


def _same(params: Params) -> Params:
    return params
