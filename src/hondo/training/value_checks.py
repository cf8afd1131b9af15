"""Data as a problem's own checks see it: with the values that a compiled program does not have."""

from collections.abc import Mapping
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
from jax.core import Tracer

from hondo._types import Data, Inputs, ModelState, Params, TreeDef
from hondo.training.batches import take_examples
from hondo.training.hashable_leaves import HashableLeaves
from hondo.training.metrics import Value
from hondo.training.problem import Problem, init_model


def check_values(problem: Problem, batch_size: int, train: Data, valid: Data) -> None:
    """Lets a new model's metrics look at the data, as `check_measured` does.

    Raises:
        ValueError: whatever the problem refuses.
    """
    if is_concrete(train) and is_concrete(valid):
        batch = jax.eval_shape(take_examples, train, jax.ShapeDtypeStruct((batch_size,), jnp.int32))
        key = jax.eval_shape(jax.random.key, 0)
        params, model_state = init_model.eval_shape(problem, key, batch)
        for data in (train, valid):
            check_measured(problem, params, model_state, data)


def check_measured(problem: Problem, params: Params, model_state: ModelState, data: Data) -> None:
    """Lets the metrics look at data with values, so that a loss can refuse targets by them.

    Under jit data has none, and a class that there is not would be NaN for a whole run. Nothing is
    computed but shapes. The model has no values here either, nor have the inputs of a pair.

    Raises:
        ValueError: whatever the problem refuses.
    """
    if not is_concrete(data):
        return
    is_pair = type(data) is tuple and len(data) > 1
    inputs, known = (data[:1], data[1:]) if is_pair else ((), data)
    shapes, treedef = jax.tree.flatten(
        jax.eval_shape(lambda *trees: trees, params, model_state, inputs)
    )
    # What is large is not worth keeping: the trace takes less than the epochs to come.
    look = _look_once if sum(leaf.nbytes for leaf in jax.tree.leaves(known)) < 2**20 else _look
    look(problem, is_pair, HashableLeaves(known), treedef, tuple(shapes))


def _look(
    problem: Problem,
    is_pair: bool,
    known: HashableLeaves,
    treedef: TreeDef,
    shapes: tuple[jax.ShapeDtypeStruct, ...],
) -> None:
    measure = partial(_measure, problem, is_pair, jax.tree.map(jnp.asarray, known.leaves))
    jax.eval_shape(measure, *treedef.unflatten(shapes))


# Data that has passed once passes again without a trace.
_look_once = lru_cache(maxsize=32)(_look)


def is_concrete(data: Data) -> bool:
    """Whether every array has its values.

    Example:
        >>> is_concrete({"x": jnp.ones(2)})
        True
    """
    return not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(data))


def _measure(
    problem: Problem,
    is_pair: bool,
    known: Data,
    params: Params,
    model_state: ModelState,
    inputs: tuple[Inputs, ...],
) -> Mapping[str, Value]:
    return problem.metrics(params, model_state, (*inputs, *known) if is_pair else known)
