"""A run's model: what `fit` is given, what is kept of it, and what predicts."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Array, Float

import hondo
from hondo._bind import bind
from hondo._types import Inputs, ModelState, Outputs, Params, Tree
from hondo.cli import build
from hondo.cli.augmenting import is_on
from hondo.cli.averaging import Schedule, averaged, read_average
from hondo.cli.config import TrainConfig
from hondo.cli.ensembles import average_outputs, ensemble, ensemble_optimizer
from hondo.cli.tasks import Head, heads_of, measure, split_outputs
from hondo.data import Dataset


def training_problem(
    config: TrainConfig, dataset: Dataset, examples: int, train_targets: np.ndarray | None = None
) -> hondo.Problem:
    """The problem of `fit`: a network's, with an average of it, and as often as there are members.

    Args:
        config: what was configured.
        dataset: what it is trained on.
        examples: how many of it are trained on.
        train_targets: their targets, if the data is streamed.
    """
    made = build.problem(config, dataset, train_targets)
    schedule = _schedule(config, examples // config.batch_size)
    if schedule is not None:
        made = averaged(made, schedule)
    return _of_all_members(config, dataset, made, is_averaged=schedule is not None)


def kept_problem(config: TrainConfig, dataset: Dataset) -> hondo.Problem:
    """The problem whose parameters and model state are those of the model that is kept."""
    return _of_all_members(config, dataset, build.problem(config, dataset), is_averaged=False)


def optimizer(config: TrainConfig, steps: int) -> optax.GradientTransformation:
    """The optimizer of `fit`; `steps` is the length of the cosine."""
    made = build.optimizer(config, steps)
    return made if config.ensemble == 1 else ensemble_optimizer(made)


def kept_variables(config: TrainConfig, params: Params, model_state: ModelState) -> Tree:
    """The variables of the network that predicts, those of all members stacked."""
    if _is_averaging(config):
        read = read_average if config.ensemble == 1 else jax.vmap(read_average)
        params, model_state = read(params, model_state)
    return {"params": params, **model_state}


def first_trained(
    config: TrainConfig, params: Params, model_state: ModelState
) -> tuple[Params, ModelState]:
    """What is trained, without its average, of the first member."""
    if _is_averaging(config):
        model_state = model_state.own
    return first_member(config, (params, model_state))


def first_member(config: TrainConfig, stacked: Tree) -> Tree:
    """The first member's arrays."""
    return stacked if config.ensemble == 1 else jax.tree.map(lambda leaf: leaf[0], stacked)


def variable_shapes(config: TrainConfig, dataset: Dataset) -> Tree:
    """The shapes of the variables that are kept."""
    example = jax.ShapeDtypeStruct((1, *dataset.inputs.shape[1:]), jnp.float32)
    init = partial(build.network(config, dataset).init, jax.random.key(0), train=False)
    shapes = jax.eval_shape(init, example)
    if config.ensemble == 1:
        return shapes
    return jax.eval_shape(lambda tree: jax.tree.map(partial(_stack, config.ensemble), tree), shapes)


def _stack(members: int, leaf: Array) -> Array:
    return jnp.broadcast_to(leaf, (members, *leaf.shape))


def infer(
    config: TrainConfig, dataset: Dataset, variables: Tree, inputs: Float[Array, "n ..."]
) -> Outputs:
    """What the kept model gives for encoded inputs, float32 (n, …)."""
    network, heads = build.network(config, dataset), heads_of(dataset)
    return _answer(network, heads, config.ensemble, variables, inputs)


def _answer(
    network: nn.Module, heads: tuple[Head, ...], members: int, variables: Tree, inputs: Inputs
) -> Outputs:
    def of_one(variables: Tree) -> Outputs:
        return jnp.asarray(network.apply(variables, inputs, train=False), jnp.float32)

    if members == 1:
        return of_one(variables)
    each = zip(heads, split_outputs(heads, jax.vmap(of_one)(variables)), strict=True)
    return jnp.concatenate([average_outputs(head.task, own) for head, own in each], axis=-1)


def _of_all_members(
    config: TrainConfig, dataset: Dataset, made: hondo.Problem, *, is_averaged: bool
) -> hondo.Problem:
    if config.ensemble == 1:
        return made
    network, heads = build.network(config, dataset), heads_of(dataset, config.task_weights)
    answer = bind(_answer_of_state, network, heads, config.ensemble, is_averaged)
    return ensemble(made, config.ensemble, answer, bind(measure, heads))


def _answer_of_state(
    network: nn.Module,
    heads: tuple[Head, ...],
    members: int,
    is_averaged: bool,
    params: Params,
    model_state: ModelState,
    inputs: Inputs,
) -> Outputs:
    if is_averaged:
        params, model_state = jax.vmap(read_average)(params, model_state)
    return _answer(network, heads, members, {"params": params, **model_state}, inputs)


def _is_averaging(config: TrainConfig) -> bool:
    return is_on(config.ema) or config.swa > 0


def _schedule(config: TrainConfig, steps_per_epoch: int) -> Schedule | None:
    if is_on(config.ema):
        return Schedule(hondo.ema(config.ema), 1, 1)
    if config.swa:
        return Schedule(hondo.swa(), config.swa * steps_per_epoch, steps_per_epoch)
    return None
