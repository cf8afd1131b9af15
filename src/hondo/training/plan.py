"""What is known of a run before it is traced, and the checks that need no trace."""

from typing import NamedTuple, SupportsIndex

import optax
from jaxtyping import PRNGKeyArray

from hondo._numerics.checks import check_count, check_key, error, python_value
from hondo._types import Augment, Data
from hondo.regularization.early_stopping import EarlyStopping
from hondo.training.batches import count_examples
from hondo.training.problem import Problem


class Plan(NamedTuple):
    """Every argument of `fit` but the data and the key; hashable, a static argument."""

    problem: Problem
    optimizer: optax.GradientTransformation
    batch_size: int
    max_epochs: int
    stopper: EarlyStopping
    monitor: str
    augment: Augment | None


def make_plan(
    problem: Problem,
    optimizer: optax.GradientTransformation,
    batch_size: SupportsIndex,
    max_epochs: SupportsIndex,
    stopper: EarlyStopping,
    monitor: str,
    augment: Augment | None,
) -> Plan:
    """The plan of these arguments, with Python's integers for NumPy's: those promote nothing."""
    sizes = python_value(batch_size), python_value(max_epochs)
    return Plan(problem, optimizer, *sizes, stopper, monitor, augment)


def check_arguments(plan: Plan, train: Data, valid: Data, key: PRNGKeyArray) -> None:
    """Raises for every mistake that shows without tracing.

    Raises:
        ValueError: sizes that do not fit.
        TypeError: a key that is not a typed PRNG key.
    """
    check_key(key)
    check_count("max_epochs", plan.max_epochs)
    check_count("batch_size", plan.batch_size)
    count = count_examples("train", train)
    count_examples("valid", valid)
    if plan.batch_size > count:
        repair = "A batch is drawn without replacement."
        raise error("batch_size", plan.batch_size, f"at most the {count} training examples", repair)


def steps_per_epoch(plan: Plan, train: Data) -> int:
    """How many whole batches an epoch has; the examples left over sit out that epoch only."""
    return count_examples("train", train) // plan.batch_size
