"""The steps and epochs of a run, which `fit`, `fit_with_progress` and `sweep` share."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, PRNGKeyArray

from hondo._fast.threefry import split_key
from hondo._numerics.checks import error
from hondo._numerics.sharding import as_shares, from_shares, on_mesh_of
from hondo._types import Batch, Data, Metrics, ModelState, Params, Tree, Updates
from hondo.regularization.early_stopping import StopReason
from hondo.training.batches import count_examples, take_examples
from hondo.training.evaluation import evaluate
from hondo.training.finite_steps import COUNT, all_finite, count_nonfinite_steps, stays_finite
from hondo.training.plan import Plan, steps_per_epoch
from hondo.training.randomness import augment_examples, epoch_order, run_keys, step_key
from hondo.training.state import Best, FitResult, History, TrainState


def init_state(plan: Plan, train: Data, valid: Data, key: PRNGKeyArray) -> TrainState:
    """The state before the first step."""
    init_key, run_key = split_key(key)
    batch = take_examples(train, jnp.arange(plan.batch_size))
    with on_mesh_of(train):
        params, model_state = plan.problem.init(init_key, batch)
        params = from_shares(as_shares(params, train), train)
        zero = jnp.zeros((), jnp.int32)
        state = TrainState(
            params=params,
            model_state=model_state,
            opt_state=plan.optimizer.init(params),
            stopper=plan.stopper.init((params, model_state)),
            epoch=zero,
            step=zero,
            order=jnp.arange(count_examples("train", train)),
            sums={},
            history=History({}, {}),
            key=run_key,
        )
        return _reserve_metrics(plan, state, train, valid)


def _reserve_metrics(plan: Plan, state: TrainState, train: Data, valid: Data) -> TrainState:
    """The state with places for all the metrics that its steps and epochs will bring."""
    model_state, info = jax.eval_shape(
        lambda s, t: _objective(plan, s.params, s, t)[1], state, train
    )
    _check_loss_returns(state.model_state, model_state, info)
    measured = jax.eval_shape(lambda s, v: _validate(plan, s, v), state, valid)
    if plan.monitor not in measured:
        choices = "one of " + ", ".join(map(repr, sorted(measured)))
        raise error("monitor", plan.monitor, choices, "They are the problem's metrics.")
    zero, empty = jnp.zeros((), jnp.float32), jnp.full((plan.max_epochs,), jnp.nan, jnp.float32)
    trained = ("objective", *info, COUNT)
    history = History(dict.fromkeys(trained, empty), dict.fromkeys(measured, empty))
    return state._replace(sums=dict.fromkeys(trained, zero), history=history)


def _check_loss_returns(before: ModelState, after: ModelState, info: dict[str, Any]) -> None:
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


def _validate(plan: Plan, state: TrainState, valid: Data) -> Metrics:
    return evaluate(plan.problem, state.params, state.model_state, valid)


def train_step(plan: Plan, state: TrainState, train: Data) -> TrainState:
    """One step of the optimizer on the epoch's next batch; if it is not finite, but a count."""
    updated, values, is_finite = _update_params(plan, state, train)
    kept = jax.tree.map(partial(jnp.where, is_finite), updated, _Updated.of(state))
    added = {name: jnp.where(is_finite, value, 0) for name, value in values.items()}
    added[COUNT] = 1 - is_finite.astype(jnp.float32)
    sums = {name: state.sums[name] + value for name, value in added.items()}
    return state._replace(**kept._asdict(), sums=sums, step=state.step + 1)


class _Updated(NamedTuple):
    """What a step updates."""

    params: Params
    model_state: ModelState
    opt_state: optax.OptState

    @classmethod
    def of(cls, state: TrainState) -> "_Updated":
        return cls(state.params, state.model_state, state.opt_state)


def _update_params(
    plan: Plan, state: TrainState, train: Data
) -> tuple[_Updated, Metrics, Bool[Array, ""]]:
    """What the step makes, its metrics, and whether they are finite."""

    def value_of(params: Params) -> Array:
        return _objective(plan, params, state, train)[0]

    def gradient_of(params: Params, _: int = 0) -> Updates:
        return jax.grad(value_of)(params)

    objective = jax.value_and_grad(partial(_objective, plan), has_aux=True)
    (value, (model_state, info)), gradient = objective(state.params, state, train)
    optimizer = optax.with_extra_args_support(plan.optimizer)
    for_line_searches = {"value": value, "grad": gradient, "value_fn": value_of}
    extra = _accepted(optimizer.update, for_line_searches, for_sam={"grad_fn": gradient_of})
    is_finite = all_finite((value, gradient)) & stays_finite(state.model_state, model_state)
    gradient, params = as_shares((gradient, state.params), train)
    updates, opt_state = optimizer.update(gradient, state.opt_state, params, **extra)
    params = from_shares(optax.apply_updates(params, updates), train)
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


def _objective(
    plan: Plan, params: Params, state: TrainState, train: Data
) -> tuple[Array, tuple[ModelState, dict[str, Any]]]:
    batch, key = next_batch(plan, state, train)
    return plan.problem.loss(params, state.model_state, batch, key)


def next_batch(plan: Plan, state: TrainState, train: Data) -> tuple[Batch, PRNGKeyArray]:
    """The epoch's next batch, augmented, and the key of its loss."""
    keys = run_keys(state.key)
    first = state.step * plan.batch_size
    indices = jax.lax.dynamic_slice_in_dim(state.order, first, plan.batch_size)
    if plan.augment is None:
        batch = take_examples(train, indices)
    elif plan.problem.prepare is None:
        batch = augment_examples(plan.augment, keys, state.epoch, train, indices)
    else:
        # The weights that were prepared are not the augmentation's business.
        pair, weights = train[:2], train[2]
        augmented = augment_examples(plan.augment, keys, state.epoch, pair, indices)
        batch = *augmented, take_examples(weights, indices)
    return batch, step_key(keys, state.epoch, state.step)


def begin_epoch(state: TrainState) -> TrainState:
    """Draws the order in which the epoch takes the examples."""
    order = epoch_order(run_keys(state.key), state.epoch, state.order.size)
    return state._replace(order=order)


def finish_epoch(plan: Plan, state: TrainState, train: Data, valid: Data) -> TrainState:
    """Validates, records the metrics, and shows the monitored one to the stopping rule."""
    steps = steps_per_epoch(plan, train)
    means = _mean_sums(state, steps)
    metrics = _validate(plan, state, valid)
    history = History(
        {name: state.history.train[name].at[state.epoch].set(v) for name, v in means.items()},
        {name: state.history.valid[name].at[state.epoch].set(v) for name, v in metrics.items()},
    )
    # Without a finite step the model is that of the epoch before, or of the start.
    is_sound = (state.sums[COUNT] < steps) & _is_finite_model(plan, metrics)
    value = jnp.where(is_sound, metrics[plan.monitor], jnp.nan)
    payload = (state.params, state.model_state)
    return state._replace(
        stopper=plan.stopper.update(state.stopper, value, payload),
        history=history,
        epoch=state.epoch + 1,
        step=jnp.zeros_like(state.step),
        sums={name: jnp.zeros_like(value) for name, value in state.sums.items()},
    )


def _is_finite_model(plan: Plan, metrics: Metrics) -> Bool[Array, ""]:
    """Whether the monitored metric is finite, and the loss, which an accuracy of NaN hides."""
    return all_finite([metrics[plan.monitor], metrics.get("loss", ())])


def _mean_sums(state: TrainState, steps: int) -> Metrics:
    """The means over the epoch's steps that were finite, NaN if none was, and how many were not."""
    share = steps / (steps - state.sums[COUNT])
    means = {name: value / steps * share for name, value in state.sums.items()}
    return {**means, COUNT: state.sums[COUNT]}


def is_running(plan: Plan, state: TrainState) -> Bool[Array, ""]:
    """Whether the run goes on: neither its rule nor its budget nor a refused step has ended it."""
    goes_on = (state.epoch < plan.max_epochs) & ~state.stopper.stopped
    return goes_on if plan.nonfinite == "skip" else goes_on & (count_nonfinite_steps(state) == 0)


def run_epoch(plan: Plan, state: TrainState, train: Data, valid: Data) -> TrainState:
    """One whole epoch from its first step."""
    steps = steps_per_epoch(plan, train)
    state = begin_epoch(state)
    state = jax.lax.fori_loop(0, steps, lambda _, state: train_step(plan, state, train), state)
    return finish_epoch(plan, state, train, valid)


def run_one_step(plan: Plan, state: TrainState, train: Data, valid: Data) -> TrainState:
    """An epoch that ends after one step: all that happens to a state, without a loop."""
    return finish_epoch(plan, train_step(plan, begin_epoch(state), train), train, valid)


def make_result(state: TrainState, max_epochs: int) -> FitResult:
    """The result of one run, or of runs stacked along a leading axis.

    A run that neither its rule nor its budget has ended is one that was interrupted. One in which
    no epoch had a finite value says so, whatever ended it.
    """
    stopper = state.stopper
    params, model_state = stopper.best
    best = Best(params, model_state, stopper.best_value, stopper.best_step)
    in_budget = state.epoch < max_epochs
    unstopped = jnp.where(in_budget, int(StopReason.INTERRUPTED), int(StopReason.BUDGET))
    reason = jnp.where(stopper.stopped, stopper.reason, unstopped)
    has_none = (stopper.best_step < 0) & (reason != int(StopReason.INTERRUPTED))
    reason = jnp.where(has_none, int(StopReason.NONFINITE), reason).astype(jnp.int32)
    return FitResult(best, state, state.history, reason, count_nonfinite_steps(state))
