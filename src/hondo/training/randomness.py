"""Everything that a run draws, as functions of its key, the epoch, the step and the example.

Keys that the problem and the augmentation receive are JAX's own.
"""

from typing import NamedTuple

import jax
from jaxtyping import Array, Int, PRNGKeyArray

from hondo._fast.threefry import fold_in, permutation, split_key
from hondo._types import Augment, Batch, Data, Example
from hondo.training.batches import batch_sharding, count_examples, take_examples

Count = Int[Array, ""]


class RunKeys(NamedTuple):
    """The keys of a run, from which those of its epochs, steps and examples are folded.

    Attributes:
        order: of the order in which an epoch takes the examples.
        loss: of what the loss draws, such as dropout masks.
        augment: of the augmentation.
    """

    order: PRNGKeyArray
    loss: PRNGKeyArray
    augment: PRNGKeyArray


def run_keys(key: PRNGKeyArray) -> RunKeys:
    """The keys that are split off the run's key."""
    order, loss, augment = split_key(key, (3,))
    return RunKeys(order, loss, augment)


def epoch_order(keys: RunKeys, epoch: Count, count: int) -> Int[Array, " examples"]:
    """A permutation of the examples, another one for each epoch."""
    return permutation(fold_in(keys.order, epoch), count)


def step_key(keys: RunKeys, epoch: Count, step: Count) -> PRNGKeyArray:
    """The key of one step's loss."""
    return fold_in(fold_in(keys.loss, epoch), step)


def augment_examples(
    augment: Augment, keys: RunKeys, epoch: Count, train: Data, indices: Int[Array, " batch"]
) -> Batch:
    """The examples at these indices, augmented; each depends on the epoch and its index only."""
    count = count_examples("train", train)

    def draw(index: Count) -> tuple[PRNGKeyArray, Count]:
        own_key, partner_key = split_key(fold_in(fold_in(keys.augment, epoch), index))
        return own_key, jax.random.randint(partner_key, (), 0, count)

    def augment_one(key: PRNGKeyArray, example: Example, partner: Example) -> Example:
        return _keep_weight(example, augment(key, example, partner))

    batch = take_examples(train, indices)
    sharding = batch_sharding(train, indices.size)
    indices = indices if sharding is None else jax.sharding.reshard(indices, sharding)
    own_keys, partners = jax.vmap(draw)(indices)
    return jax.vmap(augment_one)(own_keys, batch, take_examples(train, partners))


def _keep_weight(example: Example, augmented: Example) -> Example:
    """The augmented example with the weight that an augmentation of (input, target) left out."""
    is_weighted = isinstance(example, tuple) and len(example) == 3
    if is_weighted and isinstance(augmented, tuple) and len(augmented) == 2:
        return *augmented, example[2]
    return augmented
