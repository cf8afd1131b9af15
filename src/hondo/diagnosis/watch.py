"""A problem that diagnoses itself while it is trained."""

from collections.abc import Mapping
from typing import NamedTuple, SupportsIndex

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from hondo._bind import bind
from hondo._numerics.checks import check_count, check_type
from hondo._types import Batch, ModelState, Params
from hondo.diagnosis.diagnose import diagnose
from hondo.diagnosis.report import Diagnosis
from hondo.training.metrics import Value
from hondo.training.problem import Problem


class Watched(NamedTuple):
    """The model state of a watched problem.

    Attributes:
        model_state: of the problem itself.
        step: how many losses have been computed.
        diagnosis: the last one; that of the initial network before the first step.
    """

    model_state: ModelState
    step: Int[Array, ""]
    diagnosis: Diagnosis


def watch(problem: Problem, *, every: SupportsIndex = 100) -> Problem:
    """Makes a problem that is trained as before, and diagnosed every so many steps.

    The last diagnosis is part of the model state, so `fit`, `sweep` and checkpoints need no change:
    `result.last.model_state.diagnosis`, beside the problem's own `model_state`. Parameters and
    losses are those of the run without it. Under `jax.vmap` both sides of a condition are
    computed, so it costs every step there.

    Args:
        problem: what is trained.
        every: how many steps, an integer ≥ 1.

    Returns:
        The watched problem.

    Raises:
        ValueError: every < 1.

    Example:
        >>> import hondo, jax, jax.numpy as jnp
        >>> from flax import linen
        >>> net = linen.Sequential([linen.Dense(8), linen.relu, linen.Dense(3)])
        >>> problem = hondo.watch(hondo.supervised(net, loss="cross_entropy"), every=10)
        >>> batch = jnp.ones((4, 5)), jnp.zeros(4, int)
        >>> params, state = problem.init(jax.random.key(0), batch)
        >>> [layer.layer for layer in state.diagnosis.layers]
        ['layers_0', 'layers_2']

    References:
        Slides 9 and 10; cockpit (Schneider et al. 2021) watches PyTorch's training likewise.
    """
    check_type("problem", problem, Problem, "hondo.supervised makes one.")
    check_count("every", every)
    return Problem(bind(_init, problem), bind(_loss, problem, int(every)), bind(_metrics, problem))


def _init(problem: Problem, key: PRNGKeyArray, batch: Batch) -> tuple[Params, Watched]:
    params, model_state = problem.init(key, batch)
    diagnosis = diagnose(problem, params, model_state, batch, key=key)
    return params, Watched(model_state, jnp.zeros((), jnp.int32), diagnosis)


def _loss(
    problem: Problem,
    every: int,
    params: Params,
    watched: Watched,
    batch: Batch,
    key: PRNGKeyArray,
) -> tuple[Array, tuple[Watched, dict[str, Array]]]:
    value, (model_state, info) = problem.loss(params, watched.model_state, batch, key)
    # Nothing of a diagnosis is differentiated again.
    inputs = jax.tree.map(jax.lax.stop_gradient, (params, watched.model_state))
    diagnosis = jax.lax.cond(
        watched.step % every == 0,
        lambda own: diagnose(problem, own[0], own[1], batch, key=key),
        lambda _: watched.diagnosis,
        inputs,
    )
    return value, (Watched(model_state, watched.step + 1, diagnosis), info)


def _metrics(
    problem: Problem, params: Params, watched: Watched, batch: Batch
) -> Mapping[str, Value]:
    return problem.metrics(params, watched.model_state, batch)
