"""The steps and epochs of a run, which `fit`, `fit_with_progress` and `sweep` share."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from hondo._fast.loop_convolutions import channels_last
from hondo._fast.threefry import split_key
from hondo._numerics.checks import error
from hondo._numerics.sharding import as_shares, from_shares, on_mesh_of
from hondo._types import Batch, Data, Info, Metrics, ModelState, Params, Tree, Updates
from hondo.regularization.early_stopping import StopReason
from hondo.training.batches import count_examples, take_examples
from hondo.training.evaluation import evaluate
from hondo.training.finite_steps import COUNT, all_finite, stays_finite
from hondo.training.placement import Placement, placed_as
from hondo.training.plan import Plan, steps_per_epoch
from hondo.training.problem import init_model
from hondo.training.randomness import (
    Drawn,
    augment_batch,
    draw_batch,
    epoch_order,
    run_keys,
    step_key,
)
from hondo.training.state import (
    Best,
    EpochMetrics,
    FitResult,
    History,
    RecordedRun,
    TrainState,
)

# The examples of an epoch, in the order in which it takes them.
Order = Int[Array, " examples"]


def init_state(plan: Plan, train: Data, key: PRNGKeyArray) -> TrainState:
    """The state before the first step."""
    init_key, run_key = split_key(key)
    batch = take_examples(train, jnp.arange(plan.batch_size))
    with on_mesh_of(train):
        params, model_state = init_model(plan.problem, init_key, batch)
        params = from_shares(as_shares(params, train), train)
        zero = jnp.zeros((), jnp.int32)
        state = TrainState(
            params=params,
            model_state=model_state,
            opt_state=plan.optimizer.init(params),
            stopper=plan.stopper.init((params, model_state)),
            epoch=zero,
            step=zero,
            sums={},
            nonfinite_steps=zero,
            key=run_key,
        )
        return _reserve_sums(plan, state, train)


def init_run(
    plan: Plan, train: Data, valid: Data, key: PRNGKeyArray, rows: int | None = None
) -> RecordedRun:
    """The state before the first step, and places for the metrics of all epochs, or of so many."""
    state = init_state(plan, train, key)
    return RecordedRun(state, _reserve_history(plan, state, valid, rows or plan.max_epochs))


def _reserve_sums(plan: Plan, state: TrainState, train: Data) -> TrainState:
    """The state with places for all that its steps add up."""
    order = jnp.arange(count_examples("train", train))

    def info_of(state: TrainState, train: Data) -> tuple[ModelState, Info]:
        return _loss_of(plan, *state[:2], *next_batch(plan, state, order, train))[1]

    model_state, info = jax.eval_shape(info_of, state, train)
    _check_loss_returns(state.model_state, model_state, info)
    sums = dict.fromkeys(("objective", *info, COUNT), jnp.zeros((), jnp.float32))
    return state._replace(sums=sums)


def _reserve_history(plan: Plan, state: TrainState, valid: Data, rows: int) -> History:
    measured = jax.eval_shape(lambda s, v: validate(plan, s, v), state, valid)
    empty = jnp.full((rows,), jnp.nan, jnp.float32)
    return History(dict.fromkeys(state.sums, empty), dict.fromkeys(measured, empty))


def _check_loss_returns(before: ModelState, after: ModelState, info: Info) -> None:
    """Raises for what a loss returns beside its value and a loop could not carry."""
    old, new = _describe_leaves(before), _describe_leaves(after)
    changed = [path for path in {**old, **new} if old.get(path) != new.get(path)]
    if changed:
        path = changed[0]
        raise ValueError(
            f"the model state that loss returns must have the arrays of init's, got {path}: "
            f"{new.get(path, 'nothing')} for {old.get(path, 'nothing')}. Keep what grows, as with "
            "sow, or comes with training only, out of it."
        )
    for name, leaf in info.items():
        if leaf.shape or name in ("objective", COUNT):
            expected = f"a scalar, and named neither 'objective' nor {COUNT!r}"
            raise error(f"info {name!r} of loss", f"shape {leaf.shape}", expected)


def _describe_leaves(tree: Tree) -> dict[str, str]:
    """Each leaf's dtype and shape, by its path."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path): f"{jnp.result_type(leaf)}{list(jnp.shape(leaf))}"
        for path, leaf in leaves
    }


def validate(plan: Plan, state: TrainState, valid: Data) -> Metrics:
    """The metrics of the validation data.

    Raises:
        ValueError: the one to monitor is not among them.
    """
    measured = evaluate(plan.problem, state.params, state.model_state, valid)
    if plan.monitor not in measured:
        choices = "one of " + ", ".join(map(repr, sorted(measured)))
        raise error("monitor", plan.monitor, choices, "They are the problem's metrics.")
    return measured


def train_step(plan: Plan, state: TrainState, order: Order, train: Data) -> TrainState:
    """One step on the next batch of the epoch, which takes the examples in this order."""
    return update(plan, state, *next_batch(plan, state, order, train), placed_as(train))


def update(
    plan: Plan, state: TrainState, batch: Batch, key: PRNGKeyArray, place: Placement
) -> TrainState:
    """One step of the optimizer on this batch; if it is not finite, but a count."""
    updated, values, is_finite = _update_params(plan, state, batch, key, place)
    kept = jax.tree.map(partial(jnp.where, is_finite), updated, _Updated.of(state))
    added = {name: jnp.where(is_finite, value, 0) for name, value in values.items()}
    added[COUNT] = 1 - is_finite.astype(jnp.float32)
    sums = {name: state.sums[name] + value for name, value in added.items()}
    skipped = state.nonfinite_steps + 1 - is_finite.astype(jnp.int32)
    return state._replace(**kept._asdict(), sums=sums, step=state.step + 1, nonfinite_steps=skipped)


# Jitted, so that asking what it returns and taking its gradient trace it once.
@partial(jax.jit, static_argnums=0)
def _loss_of(
    plan: Plan, params: Params, model_state: ModelState, batch: Batch, key: PRNGKeyArray
) -> tuple[Array, tuple[ModelState, Info]]:
    return plan.loss(params, model_state, batch, key)


class _Updated(NamedTuple):
    """What a step updates."""

    params: Params
    model_state: ModelState
    opt_state: optax.OptState

    @classmethod
    def of(cls, state: TrainState) -> "_Updated":
        return cls(state.params, state.model_state, state.opt_state)


def _update_params(
    plan: Plan, state: TrainState, batch: Batch, key: PRNGKeyArray, place: Placement
) -> tuple[_Updated, Metrics, Bool[Array, ""]]:
    """What the step makes, its metrics, and whether they are finite."""

    def objective(params: Params) -> tuple[Array, tuple[ModelState, Info]]:
        return _loss_of(plan, place.whole(params), state.model_state, batch, key)

    def value_of(params: Params) -> Array:
        return objective(params)[0]

    def gradient_of(params: Params, _: int = 0) -> Updates:
        return jax.grad(value_of)(params)

    differentiated = jax.value_and_grad(objective, has_aux=True)
    found, gradient = channels_last(differentiated, objective)(state.params)
    value, (model_state, info) = found
    optimizer = optax.with_extra_args_support(plan.optimizer)
    for_line_searches = {"value": value, "grad": gradient, "value_fn": value_of}
    extra = _accepted(optimizer.update, for_line_searches, for_sam={"grad_fn": gradient_of})
    is_finite = all_finite((value, gradient)) & stays_finite(state.model_state, model_state)
    gradient, params = place.shares((gradient, state.params))
    # Line searches and SAM differentiate the loss themselves.
    update = channels_last(partial(optimizer.update, **extra), lambda *_: value_of(state.params))
    updates, opt_state = update(gradient, state.opt_state, params)
    params = place.kept(optax.apply_updates(params, updates))
    values = {"objective": value, **info}
    metrics = {name: jnp.asarray(v).astype(jnp.float32) for name, v in values.items()}
    return _Updated(params, model_state, opt_state), metrics, is_finite


def _accepted(
    update: Callable[..., Any], for_line_searches: dict[str, Any], for_sam: dict[str, Any]
) -> dict[str, Any]:
    """What this update takes of all that there is; a chain takes what line searches do."""
    parameters = inspect.signature(update).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return for_line_searches
    offered = for_line_searches | for_sam
    return {name: value for name, value in offered.items() if name in parameters}


def next_batch(
    plan: Plan, state: TrainState, order: Order, train: Data
) -> tuple[Batch, PRNGKeyArray]:
    """The epoch's next batch, augmented, and the key of its loss."""
    first = state.step * plan.batch_size
    indices = jax.lax.dynamic_slice_in_dim(order, first, plan.batch_size)
    has_partners = plan.augment is not None
    drawn = draw_batch(run_keys(state.key), state.epoch, train, indices, has_partners)
    return augmented(plan, state, drawn)


def augmented(plan: Plan, state: TrainState, drawn: Drawn) -> tuple[Batch, PRNGKeyArray]:
    """The batch that was drawn, augmented, and the key of its loss."""
    batch = augment_batch(plan.augment, drawn, plan.problem.prepare is not None)
    return batch, step_key(run_keys(state.key), state.epoch, state.step)


def draw_order(state: TrainState, train: Data) -> Order:
    """The order in which the epoch in progress takes the examples."""
    return epoch_order(run_keys(state.key), state.epoch, count_examples("train", train))


def finish_epoch(
    plan: Plan, state: TrainState, steps: int | Float[Array, ""], measured: Metrics
) -> tuple[TrainState, EpochMetrics]:
    """Ends the epoch, and the period between validations that it is."""
    state, metrics = finish_period(plan, state, steps, measured)
    return next_epoch(state), metrics


def next_epoch(state: TrainState) -> TrainState:
    """The state before the first step of the next epoch."""
    return state._replace(epoch=state.epoch + 1, step=jnp.zeros_like(state.step))


def finish_period(
    plan: Plan, state: TrainState, steps: int | Float[Array, ""], measured: Metrics
) -> tuple[TrainState, EpochMetrics]:
    """Shows the monitored metric, measured after so many steps, to the stopping rule."""
    metrics = EpochMetrics(_mean_sums(state, steps), measured)
    # Without a finite step the model is that of the period before, or of the start.
    is_sound = (state.sums[COUNT] < steps) & _is_finite_model(plan, metrics.valid)
    value = jnp.where(is_sound, metrics.valid[plan.monitor], jnp.nan)
    payload = (state.params, state.model_state)
    state = state._replace(
        stopper=plan.stopper.update(state.stopper, value, payload),
        sums={name: jnp.zeros_like(value) for name, value in state.sums.items()},
    )
    return state, metrics


def record_epoch(plan: Plan, run: RecordedRun, steps: int, measured: Metrics) -> RecordedRun:
    """Finishes the epoch and writes its metrics into the history."""
    state, metrics = finish_epoch(plan, run.state, steps, measured)
    return RecordedRun(state, _write_row(run.history, run.state.epoch, metrics))


def record_period(
    plan: Plan, run: RecordedRun, row: int | Int[Array, ""], steps: int, measured: Metrics
) -> RecordedRun:
    """Finishes a period within an epoch and writes its metrics into this row of the history."""
    state, metrics = finish_period(plan, run.state, steps, measured)
    return RecordedRun(state, _write_row(run.history, row, metrics))


def _write_row(history: History, row: int | Int[Array, ""], metrics: EpochMetrics) -> History:
    def write(values: Array, value: Array) -> Array:
        return values.at[row].set(value)

    return History(*jax.tree.map(write, tuple(history), tuple(metrics)))


def _is_finite_model(plan: Plan, metrics: Metrics) -> Bool[Array, ""]:
    """Whether the monitored metric is finite, and the loss, which an accuracy of NaN hides."""
    return all_finite([metrics[plan.monitor], metrics.get("loss", ())])


def _mean_sums(state: TrainState, steps: int | Float[Array, ""]) -> Metrics:
    """The means over the epoch's steps that were finite, NaN if none was, and how many were not."""
    share = steps / (steps - state.sums[COUNT])
    means = {name: value / steps * share for name, value in state.sums.items()}
    return {**means, COUNT: state.sums[COUNT]}


def is_running(plan: Plan, state: TrainState) -> Bool[Array, ""]:
    """Whether the run goes on: neither its rule nor its budget nor a refused step has ended it."""
    goes_on = (state.epoch < plan.max_epochs) & ~state.stopper.stopped
    return goes_on if plan.nonfinite == "skip" else goes_on & (state.nonfinite_steps == 0)


def run_epoch(plan: Plan, run: RecordedRun, train: Data, valid: Data) -> RecordedRun:
    """One whole epoch from its first step."""
    steps, order = steps_per_epoch(plan, train), draw_order(run.state, train)
    state = jax.lax.fori_loop(
        0, steps, lambda _, state: train_step(plan, state, order, train), run.state
    )
    return record_epoch(plan, run._replace(state=state), steps, validate(plan, state, valid))


def run_one_step(plan: Plan, run: RecordedRun, train: Data, valid: Data) -> RecordedRun:
    """An epoch that ends after one step: all that happens to a state, without a loop."""
    state = train_step(plan, run.state, draw_order(run.state, train), train)
    measured = validate(plan, state, valid)
    return record_epoch(plan, run._replace(state=state), steps_per_epoch(plan, train), measured)


def make_result(run: RecordedRun, max_epochs: int) -> FitResult:
    """The result of one run, or of runs stacked along a leading axis.

    A run that neither its rule nor its budget has ended is one that was interrupted. One in which
    no epoch had a finite value says so, whatever ended it.
    """
    state, stopper = run.state, run.state.stopper
    params, model_state = stopper.best
    best = Best(params, model_state, stopper.best_value, stopper.best_step)
    in_budget = state.epoch < max_epochs
    unstopped = jnp.where(in_budget, int(StopReason.INTERRUPTED), int(StopReason.BUDGET))
    reason = jnp.where(stopper.stopped, stopper.reason, unstopped)
    has_none = (stopper.best_step < 0) & (reason != int(StopReason.INTERRUPTED))
    reason = jnp.where(has_none, int(StopReason.NONFINITE), reason).astype(jnp.int32)
    return FitResult(best, state, run.history, reason, state.nonfinite_steps)
