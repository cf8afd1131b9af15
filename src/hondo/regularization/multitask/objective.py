"""Multitask learning (slide 5): one representation, many heads, one objective."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from typing import NamedTuple, TypeAlias

import jax.numpy as jnp
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from hondo._bind import bind, by_value
from hondo._numerics.array_checks import check_mask, check_real
from hondo._numerics.checks import (
    check_callable,
    check_range,
    check_scalar,
    check_type,
    error,
    python_value,
)
from hondo._numerics.dtypes import accumulation_dtype
from hondo._types import Inputs, Outputs, Params

# `(params, x)` → output.
Model: TypeAlias = Callable[[Params, Inputs], Outputs]


class MultitaskParams(NamedTuple):
    """The parameters of a multitask model.

    Attributes:
        trunk: the parameters that all tasks share, once.
        heads: each task's own parameters, by task.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> model = hondo.multitask(lambda w, x: w * x, {"sum": lambda b, h: h.sum() + b})
        >>> params = hondo.MultitaskParams(trunk=jnp.array(2.0), heads={"sum": jnp.array(1.0)})
        >>> float(model(params, jnp.array([1.0, 3.0]))["sum"])
        9.0
    """

    trunk: Params
    heads: dict[str, Params]


def multitask(
    trunk: Model, heads: Mapping[str, Model]
) -> Callable[[MultitaskParams, Inputs], dict[str, Outputs]]:
    r"""Composes one trunk and many heads.

    $$ \hat y_t = h_t\big(f(x; \theta_s);\, \theta_t\big) $$

    The trunk runs once. Its gradient is the sum over tasks of what each head sends back; a head
    receives the gradient of its own task only.

    Args:
        trunk: $f$, `(params, x)` → representation.
        heads: $h_t$ by task, each `(params, representation)` → output.

    Returns:
        The model `(params, x)` → {task: output}, for `MultitaskParams` $(\theta_s, \{\theta_t\})$.

    Raises:
        ValueError: no heads; parameters for other tasks than `heads` has.

    Example:
        >>> from hondo import MultitaskParams, multitask
        >>> scale = lambda weight, x: weight * x
        >>> model = multitask(scale, {"depth": scale, "normals": scale})
        >>> model(MultitaskParams(2.0, {"depth": 3.0, "normals": -1.0}), 5.0)
        {'depth': 30.0, 'normals': -10.0}

    References:
        Slide 5, "Aprendizaje multitarea"; Caruana 1997; Goodfellow et al. 2016, section 7.7.
    """
    check_callable("trunk", trunk)
    if not isinstance(heads, Mapping) or not heads:
        raise error("heads", heads, "a head for at least one task")
    for task, head in heads.items():
        check_callable(f"heads[{task!r}]", head)
    return bind(_model, trunk, tuple((task, by_value(head)) for task, head in heads.items()))


def _model(
    trunk: Model, heads: tuple[tuple[str, Model], ...], params: MultitaskParams, x: Inputs
) -> dict[str, Outputs]:
    check_type("params", params, MultitaskParams)
    _check_tasks("params.heads", params.heads, "heads", dict(heads))
    representation = trunk(params.trunk, x)
    return {task: head(params.heads[task], representation) for task, head in heads}


def multitask_loss(
    losses: Mapping[str, ArrayLike], *, weights: Mapping[str, ArrayLike]
) -> Float[Array, ""]:
    r"""Sums the tasks' losses with weights.

    $$ J = \sum_t a_t J_t $$

    in the order of the tasks' names, so that the order of the mappings is of no account. A weight
    of 0 removes a task, also one whose loss is infinite or NaN; if the weight is a number and
    not traced, the task's gradients are exactly 0 too.

    Args:
        losses: $J_t$ by task, scalars.
        weights: $a_t$ ≥ 0 by task, scalars.

    Returns:
        $J$, float32 (float64 if a loss is).

    Raises:
        ValueError: a weight that is negative, infinite or NaN; a weight or a loss that is an
            array; losses and weights of different tasks.

    Example:
        >>> from hondo import multitask_loss
        >>> losses = {"depth": 2.0, "normals": 3.0}
        >>> float(multitask_loss(losses, weights={"depth": 1.0, "normals": 0.5}))
        3.5

    References:
        Slide 5, "Aprendizaje multitarea"; Kendall et al. 2018, equation 1.
    """
    _check_losses(losses)
    _check_tasks("weights", weights, "losses", losses)
    for task, weight in weights.items():
        check_range(f"weights[{task!r}]", weight, 0.0)
    used = [task for task in sorted(losses) if _may_count(weights[task])]
    return _total([_weighted(weights[task], losses[task]) for task in used])


def _may_count(weight: ArrayLike) -> bool:
    return isinstance(weight, Tracer) or python_value(weight) != 0


def _weighted(weight: ArrayLike, loss: ArrayLike) -> Array:
    loss = _accumulable(loss)
    weight = jnp.asarray(weight).astype(loss.dtype)
    # Only 0·∞ and 0·NaN are selected away, so that the weight of a finite loss keeps its gradient.
    removed = (weight == 0) & ~jnp.isfinite(loss)
    return weight * jnp.where(removed, 0, loss)


def uncertainty_weighting(
    losses: Mapping[str, ArrayLike],
    log_variances: Mapping[str, ArrayLike],
    *,
    classification: Collection[str] = (),
    labelled: Mapping[str, Bool[ArrayLike, ""]] | None = None,
) -> Float[Array, ""]:
    r"""Sums the tasks' losses with weights that are learned as the tasks' noise variances.

    $$ J = \sum_t c_t\, e^{-s_t} J_t + \tfrac12 s_t, \qquad s_t = \log \sigma_t^2 $$

    with $c_t = \tfrac12$ for a squared error, the Gaussian likelihood, and $c_t = 1$ for a
    cross-entropy. Every real $s_t$ is allowed; $J$ may be negative. For fixed losses the best
    $s_t$ is $\log(2 c_t J_t)$.

    Args:
        losses: $J_t$ ≥ 0 by task, scalars.
        log_variances: $s_t$ by task, scalars, trained with the parameters; 0 is a usual start.
        classification: the tasks whose loss is a cross-entropy.
        labelled: whether the batch has a label for a task, by task; a task without one adds
            exactly 0, as otherwise its $s_t$ would fall for ever. None if all have.

    Returns:
        $J$, float32 (float64 if a loss is).

    Raises:
        ValueError: mappings of different tasks, an unknown task in `classification`.

    Example:
        >>> from hondo import uncertainty_weighting
        >>> losses, s = {"depth": 2.0, "class": 3.0}, {"depth": 0.0, "class": 0.0}
        >>> float(uncertainty_weighting(losses, s, classification=["class"]))
        4.0

    References:
        Slide 5, "Aprendizaje multitarea"; Kendall et al. 2018, equations 7 and 10.
    """
    _check_losses(losses)
    _check_tasks("log_variances", log_variances, "losses", losses)
    for task, log_variance in log_variances.items():
        check_range(f"log_variances[{task!r}]", log_variance)
    labelled = dict.fromkeys(losses, True) if labelled is None else labelled
    _check_tasks("labelled", labelled, "losses", losses)
    for task, is_labeled in labelled.items():
        if not isinstance(is_labeled, bool):
            check_mask(f"labelled[{task!r}]", is_labeled)
            check_scalar(f"labelled[{task!r}]", is_labeled)
    is_collection = isinstance(classification, Sequence | Set | Mapping) and not isinstance(
        classification, str
    )
    if not is_collection or any(task not in losses for task in list(classification)):
        raise error("classification", classification, f"some of the tasks {sorted(losses)}")
    factors = {task: 1.0 if task in classification else 0.5 for task in losses}
    return _total(
        [
            _likelihood(losses[task], log_variances[task], labelled[task], factor=factors[task])
            for task in sorted(losses)
        ]
    )


def _likelihood(
    loss: ArrayLike, log_variance: ArrayLike, is_labeled: Bool[ArrayLike, ""], *, factor: float
) -> Float[Array, ""]:
    """Gives c·exp(-s)·J + s/2, and 0 without a label."""
    there = jnp.asarray(is_labeled)
    # Selected before the product too, because the gradient of a product with NaN is NaN.
    loss = jnp.where(there, _accumulable(loss), 0)
    s = jnp.asarray(log_variance).astype(loss.dtype)
    # For a loss of 0 the exponential is kept in range, so that the product is 0.
    exponent = jnp.where(loss == 0, jnp.minimum(-s, _largest_exponent(s)), -s)
    return jnp.where(there, factor * jnp.exp(exponent) * loss + s / 2, 0)


def _largest_exponent(s: Array) -> float:
    return float(math.floor(math.log(float(jnp.finfo(s.dtype).max))))


def _total(terms: list[Array]) -> Array:
    dtype = max(
        (term.dtype for term in terms), key=lambda dtype: dtype.itemsize, default=jnp.float32
    )
    return sum((term.astype(dtype) for term in terms), start=jnp.zeros((), dtype))


def _accumulable(loss: ArrayLike) -> Array:
    loss = jnp.asarray(loss)
    return loss.astype(accumulation_dtype(loss.dtype))


def _check_losses(losses: Mapping[str, ArrayLike]) -> None:
    _check_mapping("losses", losses)
    for task, loss in losses.items():
        check_scalar(f"losses[{task!r}]", loss)
        check_real(
            f"losses[{task!r}]", jnp.asarray(loss) if isinstance(loss, int | float) else loss
        )


def _check_mapping(name: str, got: object) -> None:
    if not isinstance(got, Mapping):
        raise error(name, got, "one for each task, by name")


def _check_tasks(
    name: str, got: Mapping[str, object], of: str, expected: Mapping[str, object]
) -> None:
    _check_mapping(name, got)
    if set(got) != set(expected):
        raise error(name, sorted(got), f"for the tasks of {of}, {sorted(expected)}")
