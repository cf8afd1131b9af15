"""What is measured on examples, and how it becomes a number of the whole data."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num, Shaped

from hondo._numerics.array_checks import check_real
from hondo._numerics.checks import check_count, check_floating, error
from hondo._numerics.dtypes import accumulation_dtype
from hondo._types import Outputs, Targets, Tree


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Pooled:
    """A metric that is no mean over examples: a function of what all of them gave together.

    Attributes:
        values: a pytree of arrays with a leading axis of examples.
        reduce: the values of all examples → a scalar.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> worst = hondo.Pooled(jnp.array([1.0, 3.0]), jnp.max)
        >>> float(worst.reduce(worst.values))
        3.0

    References:
        The metrics of `Problem`, which `evaluate` takes together.
    """

    values: Tree
    reduce: Callable[[Tree], Array] = field(metadata={"static": True})


class Variation(NamedTuple):
    """What R² is made of: outputs and targets (batch, …), weights (batch,)."""

    outputs: Array
    targets: Array
    weights: Array


Value: TypeAlias = Array | Pooled
# Outputs and targets of a batch → one value for each example, or a pooled one.
Metric: TypeAlias = Callable[[Outputs, Targets], Value]


def summarize(value: Value) -> Array:
    """The number that these examples come to.

    Example:
        >>> float(summarize(jnp.array([1.0, 3.0])))
        2.0
    """
    return value.reduce(value.values) if isinstance(value, Pooled) else jnp.mean(value)


def with_weights(value: Value, weights: Array | None) -> Value:
    """The metric in which examples have weights: its weighted mean, or what it makes of them.

    Raises:
        ValueError: a pooled metric other than `r_squared`.

    Example:
        >>> float(summarize(with_weights(jnp.array([1.0, 3.0]), jnp.array([3.0, 1.0]))))
        1.5
    """
    if weights is None:
        return value
    if isinstance(value, Pooled):
        if not isinstance(value.values, Variation):
            repair = "Weigh inside the metric, or train without weights."
            raise error("metrics", "a pooled one with weights", "means, or r_squared", repair)
        return Pooled(value.values._replace(weights=weights), value.reduce)
    return Pooled((value, weights), weighted_mean)


def weighted_mean(pair: tuple[Array, Array]) -> Float[Array, ""]:
    r"""Computes $\sum_e w_e v_e / \sum_e w_e$, and 0 where no example has a weight.

    Example:
        >>> float(weighted_mean((jnp.array([1.0, jnp.nan]), jnp.array([2.0, 0.0]))))
        1.0
    """
    values, weights = pair
    weights = weights.astype(accumulation_dtype(values.dtype))
    values = jnp.where(weights == 0, 0, values.astype(weights.dtype))
    total = jnp.sum(weights)
    return jnp.sum(weights * values) / jnp.where(total == 0, 1, total)


def top_k_accuracy(
    logits: Float[Array, "*batch classes"], targets: Shaped[Array, "..."], *, k: int
) -> Float[Array, "*batch"]:
    r"""Says of each example whether its class is among the k of the largest logits.

    $$ m_e = \big[\,\#\{j : z_{ej} \ge z_{e,y_e},\ j \ne y_e\} < k\,\big] $$

    so a class that ties with others counts as the last of them, and constant logits are not right.

    Args:
        logits: z, with the classes on the last axis.
        targets: integer classes of the shape of the batch, or probabilities of that of the logits,
            of which the most probable class is meant.
        k: how many classes may be named, an integer in [1, K].

    Returns:
        1 or 0 for each example; 0 where a logit is NaN, and of a class that there is not.

    Raises:
        ValueError: k that is no integer in [1, K]; targets of another shape.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> logits = jnp.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
        >>> hondo.top_k_accuracy(logits, jnp.array([1, 2]), k=2).tolist()
        [1.0, 0.0]

    References:
        Slide 3, classification; Russakovsky et al. 2015, section 4.1.
    """
    check_floating("logits", logits)
    check_real("targets", targets, "Number the classes from 0.")
    check_count("k", k)
    if k > logits.shape[-1]:
        raise error("k", k, f"at most the {logits.shape[-1]} classes")
    is_class = jnp.issubdtype(targets.dtype, jnp.integer)
    expected = logits.shape[:-1] if is_class else logits.shape
    if targets.shape != expected or targets.dtype == bool:
        form = f"integer classes of shape {logits.shape[:-1]}, or probabilities as the logits"
        raise error("targets", f"{targets.dtype} of shape {targets.shape}", form)
    classes = targets if is_class else jnp.argmax(targets, axis=-1)
    index = jax.lax.broadcasted_iota(jnp.int32, logits.shape, logits.ndim - 1)
    is_own = index == classes[..., None].astype(jnp.int32)
    own = jnp.sum(jnp.where(is_own, logits, 0), axis=-1, keepdims=True)
    rivals = jnp.sum((logits >= own) & ~is_own, axis=-1)
    is_right = (rivals < k) & is_own.any(axis=-1) & ~jnp.isnan(logits).any(axis=-1)
    return is_right.astype(jnp.float32)


def r_squared(outputs: Float[Array, "batch ..."], targets: Num[Array, "..."]) -> Pooled:
    r"""Measures the share of the targets' variance that the outputs explain.

    $$ R^2 = 1 - \frac{\sum_e w_e (y_e - f_e)^2}{\sum_e w_e (y_e - \bar y)^2}, \qquad
       \bar y = \frac{\sum_e w_e y_e}{\sum_e w_e} $$

    over all examples that are evaluated, not as a mean over batches; the mean over the outputs
    where there are several.

    Args:
        outputs: f, (batch, …).
        targets: y, of the same shape; or without a last axis of one that the outputs have.

    Returns:
        A `Pooled` metric. Of constant targets it is 1 if the outputs are right, and else 0.

    Raises:
        ValueError: shapes that differ.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> found = hondo.r_squared(jnp.array([1.0, 2.0, 2.0]), jnp.array([1.0, 2.0, 3.0]))
        >>> float(found.reduce(found.values))
        0.5

    References:
        Slide 3, the squared error of a regression.
    """
    check_floating("outputs", outputs)
    check_real("targets", targets)
    outputs = match_shape(outputs, targets)
    outputs = outputs.astype(accumulation_dtype(outputs.dtype))
    ones = jnp.ones(outputs.shape[:1], outputs.dtype)
    return Pooled(Variation(outputs, targets.astype(outputs.dtype), ones), _explained_share)


def _explained_share(values: Variation) -> Array:
    outputs, targets = (leaf.reshape(len(leaf), -1) for leaf in values[:2])
    weights = values.weights.astype(outputs.dtype)[:, None]
    total = jnp.sum(weights)
    mean = jnp.sum(weights * targets, axis=0, keepdims=True) / jnp.where(total == 0, 1, total)
    left = jnp.sum(weights * jnp.square(targets - outputs), axis=0)
    whole = jnp.sum(weights * jnp.square(targets - mean), axis=0)
    of_constant = jnp.where(left == 0, 1.0, 0.0).astype(left.dtype)
    share = 1 - left / jnp.where(whole == 0, 1, whole)
    return jnp.mean(jnp.where(whole == 0, of_constant, share))


def match_shape(outputs: Array, targets: Array) -> Array:
    """The outputs without their last axis of one, where the targets have none.

    Raises:
        ValueError: shapes that differ otherwise.

    Example:
        >>> match_shape(jnp.ones((3, 1)), jnp.ones(3)).shape
        (3,)
    """
    if outputs.ndim == targets.ndim + 1 and outputs.shape[-1] == 1:
        outputs = outputs[..., 0]
    if outputs.shape != targets.shape:
        raise ValueError(
            f"outputs and targets must have one shape, got {outputs.shape} and {targets.shape}. "
            "Nothing is broadcast between them."
        )
    return outputs
