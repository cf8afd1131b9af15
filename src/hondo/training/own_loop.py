"""The parts of `fit` for a loop of one's own: how it starts, steps, ends an epoch, is saved."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PRNGKeyArray

from hondo._numerics.checks import check_key, check_type, error
from hondo._types import Batch, Data, Tree
from hondo.regularization.early_stopping import EarlyStopping, early_stopping
from hondo.training import loop
from hondo.training.batches import count_examples
from hondo.training.placement import placed_as
from hondo.training.plan import Plan, check_argument, make_plan
from hondo.training.problem import Problem
from hondo.training.randomness import run_keys, step_key
from hondo.training.saving.checkpoint import restore_newest, save_newest
from hondo.training.state import EpochMetrics, TrainState

# What a part of the loop does not look at.
_ANY_OPTIMIZER, _ANY_STOPPER = optax.identity(), early_stopping(1, mode="min")


def start(
    problem: Problem,
    optimizer: optax.GradientTransformation,
    batch: Batch,
    *,
    key: PRNGKeyArray,
    stopper: EarlyStopping,
) -> TrainState:
    """Makes the state before the first step, that of `fit` with this key.

    Args:
        problem: what is trained.
        optimizer: any optax transformation.
        batch: some examples, which the model is initialized with.
        key: the typed PRNG key of the whole run.
        stopper: the stopping rule, from `early_stopping`; the state keeps the best model.

    Returns:
        The state, whose structure, shapes and dtypes no step changes.

    Raises:
        ValueError: arguments of other kinds, a batch of arrays of different length, a problem that
            prepares the data as a whole, as balanced classes do.
        TypeError: a key that is not a typed PRNG key.

    Example:
        >>> import hondo, jax, jax.numpy as jnp, optax
        >>> from flax import linen
        >>> problem = hondo.supervised(linen.Dense(1), loss="squared_error")
        >>> optimizer, stopper = optax.sgd(0.1), hondo.early_stopping(5, mode="min")
        >>> x = jnp.linspace(-1.0, 1.0, 16)[:, None]
        >>> state = hondo.start(
        ...     problem, optimizer, (x, 2 * x), key=jax.random.key(0), stopper=stopper
        ... )
        >>> while not state.stopper.stopped:
        ...     for _ in range(10):
        ...         state = hondo.step(problem, optimizer, state, (x, 2 * x))
        ...     state, metrics = hondo.finish_epoch(problem, stopper, state, (x, 2 * x))
        >>> params, model_state = state.stopper.best
        >>> float(params["kernel"][0, 0]).__round__(2)
        2.0

    References:
        Goodfellow et al. 2016, algorithm 7.1.
    """
    for name, value in (("problem", problem), ("optimizer", optimizer), ("stopper", stopper)):
        check_argument(name, value)
    check_key(key)
    if problem.prepare is not None:
        repair = "Take batches of problem.prepare(train) and problem._replace(prepare=None)."
        raise error("problem", "one that prepares the whole data", "without prepare", repair)
    plan = make_plan(problem, optimizer, count_examples("batch", batch), 1, stopper, "loss", None)
    return _start(plan, batch, key)


_start = jax.jit(loop.init_state, static_argnums=0)


def step(
    problem: Problem, optimizer: optax.GradientTransformation, state: TrainState, batch: Batch
) -> TrainState:
    """Takes one step of the optimizer on this batch, as `fit` does.

    The key of the loss is a function of the run's key, the epoch and the number of the step. A step
    whose loss, gradient or result is not finite changes nothing but `state.nonfinite_steps`.

    Args:
        problem: what is trained.
        optimizer: that of `start`.
        state: the state before.
        batch: the examples, augmented if they are to be.

    Returns:
        The state after.

    Raises:
        ValueError: arguments of other kinds.

    Example:
        >>> import hondo, jax, jax.numpy as jnp, optax
        >>> from flax import linen
        >>> problem = hondo.supervised(linen.Dense(1), loss="squared_error")
        >>> optimizer, stopper = optax.sgd(0.1), hondo.early_stopping(5, mode="min")
        >>> batch = jnp.ones((4, 1)), jnp.ones((4, 1))
        >>> state = hondo.start(problem, optimizer, batch, key=jax.random.key(0), stopper=stopper)
        >>> state = hondo.step(problem, optimizer, state, batch)
        >>> int(state.step), int(state.nonfinite_steps)
        (1, 0)

    References:
        Goodfellow et al. 2016, algorithm 8.1.
    """
    for name, value in (("problem", problem), ("optimizer", optimizer)):
        check_argument(name, value)
    check_type("state", state, TrainState, "hondo.start makes the first.")
    count_examples("batch", batch)
    return _step(make_plan(problem, optimizer, 1, 1, _ANY_STOPPER, "loss", None), state, batch)


@partial(jax.jit, static_argnums=0)
def _step(plan: Plan, state: TrainState, batch: Batch) -> TrainState:
    key = step_key(run_keys(state.key), state.epoch, state.step)
    return loop.update(plan, state, batch, key, placed_as(batch))


def finish_epoch(
    problem: Problem,
    stopper: EarlyStopping,
    state: TrainState,
    valid: Data,
    *,
    monitor: str = "loss",
) -> tuple[TrainState, EpochMetrics]:
    """Validates, and shows the monitored metric to the stopping rule, as `fit` does.

    A model that is not finite is never the best.

    Args:
        problem: what is trained.
        stopper: that of `start`.
        state: the state after the last step of the epoch.
        valid: the validation data; every example counts once.
        monitor: the metric of `problem.metrics` that the stopping rule sees.

    Returns:
        The state before the next epoch, and the metrics of this one. `state.stopper` says whether
        the rule has stopped, and has the best model: `state.stopper.best`.

    Raises:
        ValueError: arguments of other kinds, an unknown monitor.

    Example:
        >>> import hondo, jax, jax.numpy as jnp, optax
        >>> from flax import linen
        >>> problem = hondo.supervised(linen.Dense(1), loss="squared_error")
        >>> optimizer, stopper = optax.sgd(0.1), hondo.early_stopping(5, mode="min")
        >>> data = jnp.ones((4, 1)), jnp.ones((4, 1))
        >>> state = hondo.start(problem, optimizer, data, key=jax.random.key(0), stopper=stopper)
        >>> state = hondo.step(problem, optimizer, state, data)
        >>> state, metrics = hondo.finish_epoch(problem, stopper, state, data)
        >>> int(state.epoch), sorted(metrics.train), sorted(metrics.valid)
        (1, ['loss', 'nonfinite_steps', 'objective'], ['loss'])

    References:
        Slide 4; Goodfellow et al. 2016, algorithm 7.1.
    """
    for name, value in (("problem", problem), ("stopper", stopper), ("monitor", monitor)):
        check_argument(name, value)
    check_type("state", state, TrainState, "hondo.start makes the first.")
    count_examples("valid", valid)
    plan = make_plan(problem, _ANY_OPTIMIZER, 1, 1, stopper, monitor, None)
    return _finish_epoch(plan, state, valid)


@partial(jax.jit, static_argnums=0)
def _finish_epoch(plan: Plan, state: TrainState, valid: Data) -> tuple[TrainState, EpochMetrics]:
    measured = loop.validate(plan, state, valid)
    return loop.finish_epoch(plan, state, state.step.astype(jnp.float32), measured)


def save(folder: Path | str, state: Tree) -> None:
    """Saves a state in a folder, whole or not at all, whatever ends the process.

    The newest two are kept. Orbax writes them, so arrays that are divided among devices are too.

    Args:
        folder: is made where there is none.
        state: any tree of arrays, such as that of `step`.

    Raises:
        OSError: it could not be written; what was saved before is there still.
        ValueError: a folder that is no path.
        ModuleNotFoundError: without the extra `train`.

    Example:
        >>> import hondo, jax.numpy as jnp, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> for step in range(3):
        ...     hondo.save(folder, {"w": jnp.full(2, step)})
        >>> hondo.restore(folder, {"w": jnp.zeros(2, int)})["w"].tolist()
        [2, 2]

    References:
        Orbax, which writes them: https://orbax.readthedocs.io.
    """
    save_newest(_check_folder(folder), state)


def restore(folder: Path | str, like: Tree) -> Tree:
    """Reads the newest state that `save` wrote in a folder, or gives `like` where there is none.

    So that a script that is started anew goes on where it was killed:

        state = hondo.restore("run", hondo.start(…))

    Args:
        folder: that of `save`.
        like: a state of the same structure, shapes and dtypes; the arrays that are read lie on its
            devices.

    Returns:
        The state, bit for bit.

    Raises:
        ValueError: a state of another structure, or one that was damaged; it names the file.
        ModuleNotFoundError: without the extra `train`.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> hondo.restore("nothing/was/saved/here", jnp.ones(2)).tolist()
        [1.0, 1.0]

    References:
        Orbax, which reads them: https://orbax.readthedocs.io.
    """
    found = restore_newest(_check_folder(folder), like)
    return like if found is None else found


def _check_folder(folder: Path | str) -> Path:
    if not isinstance(folder, Path | str):
        raise error("folder", folder, "a path")
    return Path(folder)
