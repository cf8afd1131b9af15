"""The run of `fit` seen from outside: a progress bar, a report for each epoch, Ctrl-C."""

from functools import partial
from pathlib import Path
from typing import SupportsIndex

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PRNGKeyArray

from hondo._extras import check_extra
from hondo._fast.whole_program import WholeProgram
from hondo._numerics.checks import check_bool, check_callable, check_type, error
from hondo._numerics.sharding import from_shares
from hondo._types import Augment, Data
from hondo.regularization.early_stopping import EarlyStopping
from hondo.training.chunks import Advance, HostedRun, draw_order_of, run_on_host, run_steps
from hondo.training.finite_steps import NonfinitePolicy, refuse_nonfinite_steps
from hondo.training.loop import init_run
from hondo.training.pace import make_pace
from hondo.training.plan import Plan, check_arguments, make_plan, prepare_data, steps_per_epoch
from hondo.training.problem import Problem
from hondo.training.processes import team_of
from hondo.training.saving.due import Every
from hondo.training.saving.event_file import check_tensorboard
from hondo.training.saving.identity import Identity, describe, identify
from hondo.training.saving.kept_run import Keeper
from hondo.training.state import FitResult, RecordedRun
from hondo.training.value_checks import check_values
from hondo.training.watching import Report, Save, tell


def fit_with_progress(
    problem: Problem,
    optimizer: optax.GradientTransformation,
    train: Data,
    valid: Data,
    *,
    key: PRNGKeyArray,
    batch_size: SupportsIndex,
    max_epochs: SupportsIndex,
    stopper: EarlyStopping,
    monitor: str = "loss",
    augment: Augment | None = None,
    nonfinite: NonfinitePolicy = "skip",
    report: Report | None = None,
    save: Save | None = None,
    folder: Path | str | None = None,
    save_every: Every | None = None,
    tensorboard: bool = False,
) -> FitResult:
    r"""Runs `fit` in chunks of steps, under a progress bar with the live metrics.

    It takes the arguments of `fit` and the same steps with the same keys, so the result is that
    of `fit` up to rounding. Ctrl-C ends the run after the chunk in progress, and the best state
    so far comes back with the reason `StopReason.INTERRUPTED`. A second Ctrl-C changes nothing;
    a third raises KeyboardInterrupt as soon as JAX returns, and loses the run. A few numbers come
    to the host for each chunk of about a third of a second, which may be a part of an epoch or
    many epochs.

    With a `folder` the run outlives its process. Called again with the same arguments, it goes on
    where it was saved last, and ends in the bits of the run that nothing cut: after SIGKILL at any
    moment, a save included, any number of times. A run that has ended gives its result at once; a
    larger `max_epochs` lets it go on. Ctrl-C and SIGTERM save and end; SIGTERM then takes its usual
    course, which is the end of the process.

    Args:
        problem: what is trained.
        optimizer: any optax transformation.
        train: the training data.
        valid: the validation data.
        key: the typed PRNG key of the whole run.
        batch_size: examples in a batch, an integer in [1, n].
        max_epochs: the budget, an integer ≥ 1.
        stopper: the stopping rule.
        monitor: the metric that the stopping rule sees.
        augment: as in `fit`.
        nonfinite: as in `fit`.
        report: called for each epoch, soon after it, with its index and its metrics, named
            `train/…` and `valid/…`.
        save: called with the best so far, a `Best`, where there is a new one and ten seconds have
            passed since the last; the run waits for it.
        folder: the folder that the run is kept in; None keeps nothing. `metrics.jsonl` in it has a
            line for each epoch, `run.json` the arguments, versions and digests of the data.
        save_every: how often the state is saved, from `every`; by default after half a minute, and
            so that it takes at most a hundredth of the time.
        tensorboard: whether TensorBoard's folder `tensorboard` in it holds the metrics too, at
            their steps, with the numbers that `optax.inject_hyperparams` keeps, such as the
            learning rate. It needs the extra `tensorboard`.

    Returns:
        The best state, the last, the history and the reason.

    Raises:
        ValueError: as `fit`; a folder of another problem, optimizer, key, data or the like, which
            it names, or one that another process trains in.
        TypeError: as `fit`.
        FloatingPointError: as `fit`.
        CallbackError: `report` or `save` raised; the result so far is its attribute `result`.
        SaveError: the folder could not be written; it has the result too.

    Example:
        >>> import hondo, jax, jax.numpy as jnp, optax
        >>> from flax import linen
        >>> x = jnp.linspace(-1.0, 1.0, 64)[:, None]
        >>> problem = hondo.supervised(linen.Dense(1), loss="squared_error")
        >>> result = hondo.fit_with_progress(
        ...     problem, optax.sgd(0.1), (x, 2 * x), (x, 2 * x), key=jax.random.key(0),
        ...     batch_size=16, max_epochs=3, stopper=hondo.early_stopping(5, mode="min"),
        ... )
        >>> hondo.StopReason(int(result.reason)).name
        'BUDGET'

    References:
        Slide 4.
    """
    plan = make_plan(
        problem, optimizer, batch_size, max_epochs, stopper, monitor, augment, nonfinite
    )
    check_arguments(plan, train, valid, key)
    check_values(problem, plan.batch_size, train, valid)
    check_observers(report, save, folder, save_every, tensorboard)
    # NumPy's arrays are sent to the device once, not with every chunk.
    data = jax.tree.map(jnp.asarray, (prepare_data(problem, train), valid))
    hosted = HostedRun(
        partial(_init_run, plan, *data, key),
        partial(_identify, plan, data, key),
        partial(_start_advancing, plan, data),
    )
    pace = make_pace(steps_per_epoch(plan, train), plan.max_epochs)
    keeper = None if folder is None else Keeper(Path(folder), save_every, pace, tensorboard)
    caller = partial(tell, report, save, pace)
    result = run_on_host(plan, pace, hosted, caller, keeper, team_of(data))
    if nonfinite == "raise":
        refuse_nonfinite_steps(result, train)
    return result


def check_observers(
    report: Report | None,
    save: Save | None,
    folder: Path | str | None,
    save_every: Every | None,
    tensorboard: bool,
) -> None:
    """Raises for what is not what `fit_with_progress` takes by these names.

    Raises:
        ValueError: any other value.
        ModuleNotFoundError: a folder, without the extra `train`; TensorBoard's, without its own.
    """
    if report is not None:
        check_callable("report", report, "a function of an epoch and its metrics, or None")
    if save is not None:
        check_callable("save", save, "a function of the best so far, or None")
    if not isinstance(folder, Path | str | None):
        raise error("folder", folder, "a path, or None")
    if save_every is not None:
        check_type("save_every", save_every, Every, "hondo.every makes one.")
        if folder is None:
            raise error("save_every", save_every, "None without a folder")
    check_bool("tensorboard", tensorboard)
    if tensorboard:
        if folder is None:
            raise error("tensorboard", tensorboard, "False without a folder")
        check_tensorboard()
    if folder is not None:
        check_extra("train", "orbax")


def _identify(plan: Plan, data: tuple[Data, Data], key: PRNGKeyArray, run: RecordedRun) -> Identity:
    start = _init_run.lower(plan, *data, key)
    steps = run_steps.lower(plan, run, draw_order_of(run.state, data[0]), *data, 1)
    train, valid = map(describe, data)
    return identify(plan, train, valid, key, start, steps)


def _start_advancing(plan: Plan, data: tuple[Data, Data], run: RecordedRun) -> Advance:
    order = draw_order_of(run.state, data[0])

    def advance(run: RecordedRun, count: int) -> RecordedRun:
        nonlocal order
        run, order = run_steps(plan, run, order, *data, count)
        return run

    return advance


# The data is kept even if only its shapes are used, because it says which devices there are.
@partial(WholeProgram, static_argnums=0, keep_unused=True)
def _init_run(plan: Plan, train: Data, valid: Data, key: PRNGKeyArray) -> RecordedRun:
    return from_shares(init_run(plan, train, valid, key), train)
