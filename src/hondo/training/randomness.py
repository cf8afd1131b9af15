"""Everything that a run draws, as functions of its key, the epoch, the step and the example.

Keys that the problem and the augmentation receive are JAX's own.
"""

from typing import NamedTuple

import jax
from jaxtyping import Array, Int, Key, PRNGKeyArray

from hondo._fast.threefry import fold_in, permutation, split_key
from hondo._fast.uniform_draws import fused_integers
from hondo._types import Augment, Batch, Data, Example
from hondo.training.batches import batch_sharding, count_examples, take_examples

ScalarInt = Int[Array, ""]


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


def epoch_order(keys: RunKeys, epoch: ScalarInt, count: int) -> Int[Array, " examples"]:
    """A permutation of the examples, another one for each epoch."""
    return permutation(fold_in(keys.order, epoch), count)


def step_key(keys: RunKeys, epoch: ScalarInt, step: ScalarInt) -> PRNGKeyArray:
    """The key of one step's loss."""
    return fold_in(fold_in(keys.loss, epoch), step)


class Drawn(NamedTuple):
    """A batch as it comes from the data.

    Attributes:
        examples: the batch.
        keys: the key of each example's augmentation; None without one.
        partners: for each example another of the data, drawn at random; None without augmentation.
    """

    examples: Batch
    keys: Key[Array, " batch"] | None = None
    partners: Batch = None


def draw_batch(
    keys: RunKeys, epoch: ScalarInt, train: Data, indices: Int[Array, " batch"], has_partners: bool
) -> Drawn:
    """The examples at these indices and, if asked for, what augments them."""
    examples = take_examples(train, indices)
    if not has_partners:
        return Drawn(examples)
    sharding = batch_sharding(train, indices.size)
    indices = indices if sharding is None else jax.sharding.reshard(indices, sharding)
    count = count_examples("train", train)
    own_keys, partners = draw_partners(keys, epoch, indices, count)
    return Drawn(examples, own_keys, take_examples(train, partners))


def draw_partners(
    keys: RunKeys, epoch: ScalarInt, indices: Int[Array, " batch"], count: int
) -> tuple[Key[Array, " batch"], Int[Array, " batch"]]:
    """For each example the key of its augmentation and the index of its partner.

    Both depend on the run's key, the epoch and the example's index only.
    """

    def draw(index: ScalarInt) -> tuple[PRNGKeyArray, ScalarInt]:
        own_key, partner_key = split_key(fold_in(fold_in(keys.augment, epoch), index))
        return own_key, fused_integers(partner_key, (), count)

    return jax.vmap(draw)(indices)


def augment_batch(augment: Augment | None, drawn: Drawn, is_prepared: bool) -> Batch:
    """The batch, each of its examples augmented by itself.

    The weights that `prepare` appended to pairs are not the augmentation's business.
    """
    examples, keys, partners = drawn
    if augment is None or keys is None:
        return examples
    if is_prepared:
        *pair, weights = examples
        return *_augment(augment, keys, tuple(pair), partners[:2]), weights
    return _augment(augment, keys, examples, partners)


def _augment(
    augment: Augment, keys: Key[Array, " batch"], examples: Batch, partners: Batch
) -> Batch:
    def augment_one(key: PRNGKeyArray, example: Example, partner: Example) -> Example:
        return _keep_weight(example, augment(key, example, partner))

    return jax.vmap(augment_one)(keys, examples, partners)


def _keep_weight(example: Example, augmented: Example) -> Example:
    """The augmented example with the weight that an augmentation of (input, target) left out."""
    is_weighted = isinstance(example, tuple) and len(example) == 3
    if is_weighted and isinstance(augmented, tuple) and len(augmented) == 2:
        return *augmented, example[2]
    return augmented
