"""What is known of a run before it is traced, and the checks that need no trace."""

from typing import NamedTuple, SupportsIndex, get_args

import jax
import optax
from jax.extend.core import Primitive
from jaxtyping import PRNGKeyArray

from hondo._microbatched import microbatched
from hondo._numerics.checks import (
    check_bool,
    check_callable,
    check_choice,
    check_count,
    check_key,
    check_type,
    error,
    python_value,
)
from hondo._types import Augment, Data, Loss
from hondo.regularization.early_stopping import EarlyStopping
from hondo.training.batches import count_examples
from hondo.training.finite_steps import NonfinitePolicy
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
    nonfinite: NonfinitePolicy = "skip"
    microbatches: int = 1
    valid_every: int | None = None
    remat: bool = False

    @property
    def loss(self) -> Loss:
        """The problem's loss, whose model takes a batch in as many parts as is said."""
        if self.microbatches > 1:
            return microbatched(self.problem.loss, self.microbatches)
        if self.remat:
            return jax.checkpoint(self.problem.loss, policy=_is_product)
        return self.problem.loss


def _is_product(primitive: Primitive, *_: object, **__: object) -> bool:
    """Whether it is worth its memory: all else is cheap to compute again."""
    return primitive.name in ("dot_general", "conv_general_dilated")


def make_plan(
    problem: Problem,
    optimizer: optax.GradientTransformation,
    batch_size: SupportsIndex,
    max_epochs: SupportsIndex,
    stopper: EarlyStopping,
    monitor: str,
    augment: Augment | None,
    nonfinite: NonfinitePolicy = "skip",
    microbatches: SupportsIndex = 1,
    valid_every: SupportsIndex | None = None,
    remat: bool = False,
) -> Plan:
    """The plan of these arguments, with Python's integers for NumPy's: those promote nothing."""
    sizes = python_value(batch_size), python_value(max_epochs)
    rest = python_value(microbatches), python_value(valid_every)
    return Plan(problem, optimizer, *sizes, stopper, monitor, augment, nonfinite, *rest, remat)


def check_arguments(plan: Plan, train: Data, valid: Data, key: PRNGKeyArray) -> None:
    """Raises for every mistake that shows without tracing.

    Raises:
        ValueError: sizes that do not fit.
        TypeError: a key that is not a typed PRNG key.
    """
    check_plan(plan, key)
    count = count_examples("train", train)
    count_examples("valid", valid)
    check_batch_size(plan, count)


def check_plan(plan: Plan, key: PRNGKeyArray) -> None:
    """Raises for every mistake that shows without the data.

    Raises:
        ValueError: another value than `fit` takes.
        TypeError: a key that is not a typed PRNG key.
    """
    for name, value in plan._asdict().items():
        check_argument(name, value)
    check_key(key)
    check_choice("nonfinite", plan.nonfinite, get_args(NonfinitePolicy))
    if plan.batch_size % plan.microbatches:
        expected = f"a divisor of the batch size, {plan.batch_size}"
        raise error("microbatches", plan.microbatches, expected)


def check_batch_size(plan: Plan, count: int) -> None:
    """Raises where a batch would need more than so many examples.

    Raises:
        ValueError: it would.
    """
    if plan.batch_size > count:
        repair = "A batch is drawn without replacement."
        raise error("batch_size", plan.batch_size, f"at most the {count} training examples", repair)


def check_argument(name: str, value: object) -> None:
    """Raises unless value is what `fit` takes by this name, which is neither data nor key.

    Raises:
        ValueError: any other value.

    Example:
        >>> check_argument("batch_size", 32)
    """
    match name:
        case "problem":
            check_type(name, value, Problem, "hondo.supervised makes one.")
        case "optimizer":
            for part in ("init", "update"):
                function = getattr(value, part, None)
                check_callable(f"optimizer.{part}", function, "that of an optax transformation")
        case "stopper":
            check_type(name, value, EarlyStopping, "hondo.early_stopping makes one.")
        case "remat":
            check_bool(name, value)
        case "monitor":
            check_type(name, value, str)
        case "batch_size" | "max_epochs" | "microbatches":
            check_count(name, python_value(value))
        case "valid_every" if value is not None:
            check_count(name, python_value(value))
        case "augment" if value is not None:
            check_callable(name, value, "a function (key, example, partner) → example, or None")


def prepare_data(problem: Problem, train: Data) -> Data:
    """The data that a run draws its batches from."""
    return train if problem.prepare is None else problem.prepare(train)


def steps_per_epoch(plan: Plan, train: Data) -> int:
    """How many whole batches an epoch has; the examples left over sit out that epoch only."""
    return count_examples("train", train) // plan.batch_size
