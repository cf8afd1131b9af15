"""One run in its parts: start, step, epoch. `fit`, `fit_with_progress` and `sweep` share them."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from hondo._fast.threefry import with_default_impl, with_fused_threefry
from hondo._numerics.checks import check_count, check_key, error, python_value
from hondo.regularization.early_stopping import EarlyStopping, StopReason
from hondo.training.batches import examples, take
from hondo.training.evaluation import evaluate
from hondo.training.problem import Problem
from hondo.training.state import Best, FitResult, History, TrainState


class Plan(NamedTuple):
    """Everything of a run that is known before it is traced; hashable, the static argument."""

    problem: Problem
    optimizer: optax.GradientTransformation
    batch_size: int
    max_epochs: int
    stopper: EarlyStopping
    monitor: str
    augment: Any


def make_plan(
    problem: Problem,
    optimizer: optax.GradientTransformation,
    batch_size: Any,
    max_epochs: Any,
    stopper: EarlyStopping,
    monitor: str,
    augment: Any,
) -> Plan:
    """The plan of these arguments, NumPy's integers as Python's, which promote nothing."""
    sizes = python_value(batch_size), python_value(max_epochs)
    return Plan(problem, optimizer, *sizes, stopper, monitor, augment)


def check(plan: Plan, train: Any, valid: Any, key: Any) -> None:
    """Raises for every mistake that shows without tracing.

    Raises:
        ValueError: sizes that do not fit.
        TypeError: a key that is not a typed PRNG key.
    """
    check_key(key)
    check_count("max_epochs", plan.max_epochs)
    check_count("batch_size", plan.batch_size)
    count = examples("train", train)
    examples("valid", valid)
    if plan.batch_size > count:
        repair = "A batch is drawn without replacement."
        raise error("batch_size", plan.batch_size, f"at most the {count} training examples", repair)


def steps_per_epoch(plan: Plan, train: Any) -> int:
    """How many whole batches an epoch has; what is left over sits out that epoch only."""
    return examples("train", train) // plan.batch_size


def start(plan: Plan, train: Any, valid: Any, key: Any) -> TrainState:
    """The state before the first step."""
    init_key, run_key = jax.random.split(with_fused_threefry(key))
    batch = take(train, jnp.arange(plan.batch_size))
    params, model_state = with_default_impl(plan.problem.init(init_key, batch))
    zero = jnp.zeros((), jnp.int32)
    state = TrainState(
        params=params,
        model_state=model_state,
        opt_state=plan.optimizer.init(params),
        stopper=plan.stopper.init((params, model_state)),
        epoch=zero,
        step=zero,
        order=jnp.arange(examples("train", train)),
        sums={},
        history=History({}, {}),
        key=with_default_impl(run_key),
    )
    return _with_metrics(plan, state, train, valid)


def _with_metrics(plan: Plan, state: TrainState, train: Any, valid: Any) -> TrainState:
    """The state with places for all the metrics that its steps and epochs will bring."""
    model_state, info = jax.eval_shape(
        lambda s, t: _objective(plan, s.params, s, t)[1], state, train
    )
    _check_returned(state.model_state, model_state, info)
    measured = jax.eval_shape(lambda s, v: _evaluated(plan, s, v), state, valid)
    if plan.monitor not in measured:
        choices = "one of " + ", ".join(map(repr, sorted(measured)))
        raise error("monitor", plan.monitor, choices, "They are the problem's metrics.")
    zero, empty = jnp.zeros((), jnp.float32), jnp.full((plan.max_epochs,), jnp.nan, jnp.float32)
    trained = ("objective", *info)
    history = History(dict.fromkeys(trained, empty), dict.fromkeys(measured, empty))
    return state._replace(sums=dict.fromkeys(trained, zero), history=history)


def _check_returned(before: Any, after: Any, info: dict[str, Any]) -> None:
    """Raises for what a loss returns beside its value and a loop could not carry."""
    old, new = _shapes(before), _shapes(after)
    changed = [path for path in {**old, **new} if old.get(path) != new.get(path)]
    if changed:
        path = changed[0]
        raise ValueError(
            f"the model state that loss returns must have the arrays of init's, got {path}: "
            f"{new.get(path, 'nothing')} for {old.get(path, 'nothing')}. Keep what grows, as with "
            "sow, or comes with training only, out of it."
        )
    for name, leaf in info.items():
        if leaf.shape or name == "objective":
            expected = "a scalar, and not named 'objective'"
            raise error(f"info {name!r} of loss", f"shape {leaf.shape}", expected)


def _shapes(tree: Any) -> dict[str, str]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path): f"{jnp.result_type(leaf)}{list(jnp.shape(leaf))}"
        for path, leaf in leaves
    }


def _evaluated(plan: Plan, state: TrainState, valid: Any) -> dict[str, Array]:
    return evaluate(plan.problem, state.params, state.model_state, valid)


def step(plan: Plan, state: TrainState, train: Any) -> TrainState:
    """One optimiser step on the epoch's next batch."""
    state, values = _gradient_step(plan, state, train)
    sums = {name: state.sums[name] + value for name, value in values.items()}
    return state._replace(sums=sums, step=state.step + 1)


def _gradient_step(
    plan: Plan, state: TrainState, train: Any
) -> tuple[TrainState, dict[str, Array]]:
    def value_of(params: Any) -> Array:
        return _objective(plan, params, state, train)[0]

    objective = jax.value_and_grad(partial(_objective, plan), has_aux=True)
    (value, (model_state, info)), gradient = objective(state.params, state, train)
    optimizer = optax.with_extra_args_support(plan.optimizer)
    for_line_searches: dict[str, Any] = {"value": value, "grad": gradient, "value_fn": value_of}
    updates, opt_state = optimizer.update(
        gradient, state.opt_state, state.params, **for_line_searches
    )
    state = state._replace(
        params=optax.apply_updates(state.params, updates),
        model_state=model_state,
        opt_state=opt_state,
    )
    values = {"objective": value, **info}
    return state, {name: jnp.asarray(v).astype(jnp.float32) for name, v in values.items()}


def _objective(plan: Plan, params: Any, state: TrainState, train: Any) -> Any:
    batch, key = next_batch(plan, state, train)
    value, (model_state, info) = plan.problem.loss(params, state.model_state, batch, key)
    return value, (with_default_impl(model_state), info)


def next_batch(plan: Plan, state: TrainState, train: Any) -> tuple[Any, Any]:
    """The epoch's next batch, augmented, and the key of its loss."""
    _, loss_key, augment_key = jax.random.split(with_fused_threefry(state.key), 3)
    first = state.step * plan.batch_size
    indices = jax.lax.dynamic_slice_in_dim(state.order, first, plan.batch_size)
    batch = _augmented(plan, augment_key, state.epoch, train, indices)
    return batch, jax.random.fold_in(jax.random.fold_in(loss_key, state.epoch), state.step)


def _order(key: Any, epoch: Array, count: int) -> Array:
    order_key, _, _ = jax.random.split(with_fused_threefry(key), 3)
    return jax.random.permutation(jax.random.fold_in(order_key, epoch), count)


def _augmented(plan: Plan, key: Any, epoch: Array, train: Any, indices: Array) -> Any:
    if plan.augment is None:
        return take(train, indices)
    count = examples("train", train)

    def one(index: Array) -> Any:
        example_key = jax.random.fold_in(jax.random.fold_in(key, epoch), index)
        own_key, partner_key = jax.random.split(example_key)
        partner = jax.random.randint(partner_key, (), 0, count)
        return plan.augment(own_key, take(train, index), take(train, partner))

    return jax.vmap(one)(indices)


def begin_epoch(state: TrainState) -> TrainState:
    """Draws the order in which the epoch takes the examples."""
    return state._replace(order=_order(state.key, state.epoch, state.order.size))


def finish_epoch(plan: Plan, state: TrainState, train: Any, valid: Any) -> TrainState:
    """Validates, records, and lets the stopping rule see the value."""
    means = {name: value / steps_per_epoch(plan, train) for name, value in state.sums.items()}
    metrics = _evaluated(plan, state, valid)
    history = History(
        {name: state.history.train[name].at[state.epoch].set(v) for name, v in means.items()},
        {name: state.history.valid[name].at[state.epoch].set(v) for name, v in metrics.items()},
    )
    payload = (state.params, state.model_state)
    return state._replace(
        stopper=plan.stopper.update(state.stopper, metrics[plan.monitor], payload),
        history=history,
        epoch=state.epoch + 1,
        step=jnp.zeros_like(state.step),
        sums={name: jnp.zeros_like(value) for name, value in state.sums.items()},
    )


def running(plan: Plan, state: TrainState) -> Array:
    """Whether the run goes on: neither its rule nor its budget has ended it."""
    return (state.epoch < plan.max_epochs) & ~state.stopper.stopped


def epoch(plan: Plan, state: TrainState, train: Any, valid: Any) -> TrainState:
    """One whole epoch from its first step."""
    steps = steps_per_epoch(plan, train)
    state = begin_epoch(state)
    state = jax.lax.fori_loop(0, steps, lambda _, state: step(plan, state, train), state)
    return finish_epoch(plan, state, train, valid)


def result(state: TrainState, max_epochs: int) -> FitResult:
    """The result of one run, or of runs stacked along a leading axis.

    A run that neither its rule nor its budget has ended is one that was interrupted.
    """
    stopper = state.stopper
    params, model_state = stopper.best
    best = Best(params, model_state, stopper.best_value, stopper.best_step)
    in_time = state.epoch >= max_epochs
    ended = jnp.where(in_time, int(StopReason.BUDGET), int(StopReason.INTERRUPTED))
    reason = jnp.where(stopper.stopped, stopper.reason, ended).astype(jnp.int32)
    return FitResult(best, state, state.history, reason)
