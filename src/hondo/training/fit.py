"""The whole run as one pure function."""

from functools import partial
from typing import SupportsIndex

import jax
import optax
from jaxtyping import Array, Bool, PRNGKeyArray

from hondo._fast.whole_program import WholeProgram
from hondo._numerics.sharding import as_carry, from_shares, vary_as
from hondo._types import Augment, Data
from hondo.regularization.early_stopping import EarlyStopping
from hondo.training.finite_steps import NonfinitePolicy, refuse_nonfinite_steps
from hondo.training.loop import init_run, is_running, make_result, run_epoch, run_one_step
from hondo.training.plan import Plan, check_arguments, make_plan, prepare_data
from hondo.training.problem import Problem
from hondo.training.state import FitResult, RecordedRun
from hondo.training.value_checks import check_values


def fit(
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
) -> FitResult:
    r"""Trains from initialization to the end of early stopping, in one pure function.

    Each epoch takes the training examples in a new order, $\lfloor n/B \rfloor$ batches of $B$ (the
    examples left over sit out that epoch), then measures every validation example once, and lets
    the stopping rule decide. All randomness comes from `key`. The run is one compiled program.
    `jax.jit` of it over the data or the key is the same up to the rounding of sums, which the
    options of the compiler decide, and `jax.vmap` over keys trains an ensemble in which each member
    stops by itself:

        run = functools.partial(fit, problem, optimizer, train, valid, batch_size=64, …)
        ensemble = jax.vmap(lambda key: run(key=key))(jax.random.split(key, 8))

    If `train` and `valid` are divided among devices along their examples, each device computes its
    share of each batch; where the mesh has one axis, and an automatic one, its share of every
    update too. The result is that of one device up to rounding, and whole on each.

    Args:
        problem: what is trained.
        optimizer: any optax transformation; clipping, proximal steps and max-norm chain into it.
            It is told `value`, `grad` and `value_fn` of the batch, so line searches work too.
        train: a pytree of arrays with a common leading axis, `(inputs, targets)` for `supervised`.
        valid: the validation data, in the same form; never trained on.
        key: the typed PRNG key of the whole run.
        batch_size: $B$, an integer in [1, n].
        max_epochs: the budget, an integer ≥ 1.
        stopper: the stopping rule, from `early_stopping`.
        monitor: the metric of `problem.metrics` that the stopping rule sees.
        augment: `augment(key, example, partner)` → example, or None; `partner` is a training
            example drawn at random. Its key depends on the run's key, the epoch and the example's
            index only.
        nonfinite: what to do about a step whose loss, gradient or result has NaN or infinities.
            "skip": it changes nothing but the count of such steps, in the history and the result.
            "raise": the run ends, and an error names the rows of the data that are not finite;
            only outside jit and vmap.

    Returns:
        The best state, the last, the history and the reason. A run in which no epoch had a finite
        step and a finite monitored value has no best model: its epoch is -1.

    Raises:
        ValueError: a size that does not fit the data, arrays of different length, an unknown
            monitor; targets that the loss refuses by their values, as classes that there are not.
        TypeError: a key that is not a typed PRNG key.
        FloatingPointError: a step that was not finite, if `nonfinite` is "raise".

    Example:
        >>> import hondo, jax, jax.numpy as jnp, optax
        >>> from flax import linen
        >>> x = jnp.linspace(-1.0, 1.0, 64)[:, None]
        >>> problem = hondo.supervised(linen.Dense(1), loss="squared_error")
        >>> result = hondo.fit(
        ...     problem, optax.sgd(0.1), (x, 2 * x), (x, 2 * x), key=jax.random.key(0),
        ...     batch_size=16, max_epochs=50, stopper=hondo.early_stopping(5, mode="min"),
        ... )
        >>> float(result.best.params["kernel"][0, 0]).__round__(2)
        2.0

    References:
        Slide 4; Goodfellow et al. 2016, algorithm 7.1.
    """
    plan = make_plan(
        problem, optimizer, batch_size, max_epochs, stopper, monitor, augment, nonfinite
    )
    check_arguments(plan, train, valid, key)
    check_values(problem, plan.batch_size, train, valid)
    result = _fit.anywhere(plan, prepare_data(problem, train), valid, key)
    if nonfinite == "raise":
        refuse_nonfinite_steps(result, train)
    return result


@partial(WholeProgram, static_argnums=0)
def _fit(plan: Plan, train: Data, valid: Data, key: PRNGKeyArray) -> FitResult:
    def goes_on(run: RecordedRun) -> Bool[Array, ""]:
        return is_running(plan, run.state)

    run = init_run(plan, train, valid, key)
    run = as_carry(run, lambda run: run_one_step(plan, run, train, valid), goes_on)
    run = jax.lax.while_loop(
        goes_on, lambda old: vary_as(run_epoch(plan, old, train, valid), old), run
    )
    return from_shares(make_result(run, plan.max_epochs), train)
