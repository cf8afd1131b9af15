"""Training that validates and keeps an average of its parameters, as EMA and SWA do."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PRNGKeyArray

import hondo
from hondo._bind import bind
from hondo._microbatched import microbatched
from hondo._types import Batch, Loss, ModelState, Params, Tree


class Schedule(NamedTuple):
    """Which parameters are averaged, and how.

    Attributes:
        average: `ema` or `swa`.
        first: the first step before which the parameters join the average.
        every: how many steps lie between two that do.
    """

    average: hondo.ParameterAverage
    first: int
    every: int


class AveragedState(NamedTuple):
    """The model state of a run whose parameters are averaged.

    Attributes:
        own: the model state of the parameters that are trained.
        average: the average so far.
        of_average: the model state of the average, which sees every batch too: its running
            statistics are its own, because those of other parameters do not fit it.
        step: how many steps were taken.
    """

    own: ModelState
    average: hondo.ParameterAverageState
    of_average: ModelState
    step: Int[Array, ""]


def averaged(problem: hondo.Problem, schedule: Schedule) -> hondo.Problem:
    """The problem with the same steps, whose metrics are those of the average."""
    return problem._replace(
        init=bind(_init, problem.init, schedule),
        loss=_AveragedLoss(problem.loss, schedule),
        metrics=bind(_metrics, problem.metrics),
    )


def read_average(params: Params, state: AveragedState) -> tuple[Params, ModelState]:
    """The model to predict with: the average, or the parameters before it has any."""
    has_any = state.average.weight > 0
    average = hondo.averaged_params(state.average, params)
    return optax.tree.where(has_any, (average, state.of_average), (params, state.own))


def _init(
    init: Callable[..., tuple[Params, ModelState]],
    schedule: Schedule,
    key: PRNGKeyArray,
    batch: Batch,
) -> tuple[Params, AveragedState]:
    params, own = init(key, batch)
    average = schedule.average.init(params)
    return params, AveragedState(own, average, own, jnp.zeros((), jnp.int32))


def _metrics(
    metrics: Callable[..., Tree], params: Params, state: AveragedState, batch: Batch
) -> Tree:
    return metrics(*read_average(params, state), batch)


# A dataclass, because jax.jit refers weakly to its functions, which a NamedTuple forbids.
@dataclass(frozen=True)
class _AveragedLoss:
    loss: Loss
    schedule: Schedule

    def __call__(
        self, params: Params, state: AveragedState, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Array, tuple[AveragedState, Tree]]:
        value, (own, info) = self.loss(params, state.own, batch, key)
        constant = jax.lax.stop_gradient(params)
        average = self._join(constant, state)
        model = hondo.averaged_params(average, constant), state.of_average
        of_average = self._state_after(average.weight > 0, own, model, (batch, key))
        return value, (AveragedState(own, average, of_average, state.step + 1), info)

    def _join(self, params: Params, state: AveragedState) -> hondo.ParameterAverageState:
        """The average with these parameters in it, where it is their turn."""
        since = state.step - self.schedule.first
        is_due = (since >= 0) & (since % self.schedule.every == 0)
        joined = self.schedule.average.update(state.average, params)
        return optax.tree.where(is_due, joined, state.average)

    def _state_after(
        self,
        has_any: Array,
        own: ModelState,
        model: tuple[Params, ModelState],
        rest: tuple[Batch, PRNGKeyArray],
    ) -> ModelState:
        """The state of the average after this batch, of which nothing is computed without any."""
        if not jax.tree.leaves(own):
            return own

        def see_batch() -> ModelState:
            return self.loss(*model, *rest)[1][0]

        return jax.lax.cond(has_any, see_batch, lambda: jax.lax.stop_gradient(own))

    def microbatched(self, parts: int) -> Loss:
        """The parameters join the average once."""
        return replace(self, loss=microbatched(self.loss, parts))
