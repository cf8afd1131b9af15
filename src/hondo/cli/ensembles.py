"""An ensemble as one model: members side by side, and the mean of what they answer."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray

import hondo
from hondo._bind import bind
from hondo._microbatched import microbatched
from hondo._types import (
    Batch,
    Inputs,
    Loss,
    ModelState,
    Outputs,
    Params,
    Targets,
    Tree,
    Updates,
)
from hondo.data.dataset import Task


def average_outputs(task: Task, outputs: Array) -> Array:
    """The ensemble's outputs (n, …) of its members' (K, n, …): of classes the mean probability.

    Where there are classes they are logits again, because the logarithms of probabilities are.

    Example:
        >>> average_outputs("regression", jnp.array([[[1.0]], [[3.0]]])).tolist()
        [[2.0]]
        >>> average_outputs("binary", jnp.array([[[-2.0]], [[2.0]]])).tolist()
        [[0.0]]
    """
    if task == "regression":
        return jnp.mean(outputs, axis=0)
    if task == "classification":
        return hondo.average_log_probabilities(outputs)
    of_two = jnp.concatenate([jnp.zeros_like(outputs), outputs], axis=-1)
    log_p = hondo.average_log_probabilities(of_two)
    return log_p[..., 1:] - log_p[..., :1]


def ensemble(
    member: hondo.Problem,
    members: int,
    answer: Callable[[Params, ModelState, Inputs], Outputs],
    measure: Callable[[Outputs, Targets], Tree],
) -> hondo.Problem:
    """The problem of all members at once, stacked along a leading axis of each array.

    Each has its own start and its own masks, and the gradient that it would have alone; they take
    the same batches.

    Args:
        member: what one member minimizes.
        members: how many there are.
        answer: parameters, model state and inputs → the ensemble's outputs.
        measure: these outputs and the targets → the metrics.
    """
    return member._replace(
        init=bind(_init, member.init, members),
        loss=_EnsembleLoss(member.loss, members),
        metrics=bind(_metrics, answer, measure),
    )


def ensemble_optimizer(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """The optimizer of each member, whose gradient is clipped by its own norm."""
    return optax.GradientTransformation(
        jax.vmap(optimizer.init), bind(_update_each, optimizer.update)
    )


def _update_each(
    update: Callable[..., tuple[Updates, Tree]], updates: Updates, state: Tree, params: Params
) -> tuple[Updates, Tree]:
    return jax.vmap(update)(updates, state, params)


def _init(
    init: Callable[[PRNGKeyArray, Batch], tuple[Params, ModelState]],
    members: int,
    key: PRNGKeyArray,
    batch: Batch,
) -> tuple[Params, ModelState]:
    return hondo.init_ensemble(key, lambda own: init(own, batch), members=members)


def _metrics(
    answer: Callable[[Params, ModelState, Inputs], Outputs],
    measure: Callable[[Outputs, Targets], Tree],
    params: Params,
    model_state: ModelState,
    batch: Batch,
) -> Tree:
    return measure(answer(params, model_state, batch[0]), batch[1])


# A dataclass, because jax.jit refers weakly to its functions, which a NamedTuple forbids.
@dataclass(frozen=True)
class _EnsembleLoss:
    loss: Loss
    members: int

    def __call__(
        self, params: Params, model_state: ModelState, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Array, tuple[ModelState, Tree]]:
        """The sum over the members, so that each has the gradient of its own loss."""
        keys = jax.random.split(key, self.members)
        each = jax.vmap(self.loss, in_axes=(0, 0, None, 0))
        values, (model_state, info) = each(params, model_state, batch, keys)
        return jnp.sum(values), (model_state, jax.tree.map(jnp.mean, info))

    def microbatched(self, parts: int) -> Loss:
        """Each member takes its batch in parts."""
        return replace(self, loss=microbatched(self.loss, parts))
