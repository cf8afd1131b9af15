"""Drop-connect of a whole network: its weights are dropped before its loss is taken."""

from dataclasses import dataclass, replace

import jax
from jaxtyping import Array, PRNGKeyArray

import hondo
from hondo._microbatched import microbatched
from hondo._types import Batch, Loss, ModelState, Params, Tree


def drop_weights(key: PRNGKeyArray, params: Params, *, keep_prob: float | Array) -> Params:
    """A copy in which each weight, by its role, is kept with this probability, or is 0.

    Example:
        >>> import jax.numpy as jnp
        >>> params = {"kernel": jnp.ones(99), "bias": jnp.ones(99)}
        >>> dropped = drop_weights(jax.random.key(0), params, keep_prob=0.5)
        >>> sorted(set(dropped["kernel"].tolist())), sorted(set(dropped["bias"].tolist()))
        ([0.0, 2.0], [1.0])
    """
    leaves, treedef = jax.tree.flatten(params)
    is_weight = jax.tree.leaves(hondo.weight_mask(params))
    kept = [
        hondo.drop_connect(jax.random.fold_in(key, place), leaf, keep_prob=keep_prob)
        if is_chosen
        else leaf
        for place, (leaf, is_chosen) in enumerate(zip(leaves, is_weight, strict=True))
    ]
    return treedef.unflatten(kept)


# A dataclass, because jax.jit refers weakly to its functions, which a NamedTuple forbids.
@dataclass(frozen=True)
class DropConnectLoss:
    """The loss of a network whose weights are dropped anew at every call.

    Attributes:
        loss: `loss(params, model_state, batch, key)`.
        keep_prob: P.
    """

    loss: Loss
    keep_prob: float | Array

    def __call__(
        self, params: Params, model_state: ModelState, batch: Batch, key: PRNGKeyArray
    ) -> Tree:
        """The loss with this key's masks."""
        mask_key, loss_key = jax.random.split(key)
        dropped = drop_weights(mask_key, params, keep_prob=self.keep_prob)
        return self.loss(dropped, model_state, batch, loss_key)

    def microbatched(self, parts: int) -> Loss:
        """The masks are drawn once."""
        return replace(self, loss=microbatched(self.loss, parts))
