"""How much each example weighs: by its class, and by itself."""

from collections.abc import Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from hondo._numerics.array_checks import check_entries, check_real
from hondo._numerics.checks import check_choice, error
from hondo._numerics.dtypes import accumulation_dtype
from hondo._types import Batch, Data, Inputs, Leaf, Targets

# One weight for each class; a tuple where it has values, so that problems are equal by value.
ClassWeights: TypeAlias = tuple[float, ...] | Array
BALANCED = "balanced"


def check_class_weights(
    weights: ArrayLike | Sequence[float | int] | str | None, loss: object
) -> ClassWeights | str | None:
    """The weights by class, as values where they are known.

    Raises:
        ValueError: a loss without classes, another word, weights that are negative or no vector.
    """
    if weights is None:
        return None
    if loss not in ("cross_entropy", "binary_cross_entropy"):
        repair = "Give weights of examples, as batches (inputs, targets, weights)."
        raise error("class_weights", weights, f"None for the loss {loss!r}", repair)
    if isinstance(weights, str):
        check_choice("class_weights", weights, (BALANCED,))
        return BALANCED
    check_entries("class_weights", weights, 0.0, np.inf)
    if np.ndim(weights) != 1 or (loss == "binary_cross_entropy" and np.shape(weights) != (2,)):
        expected = "one weight for each class" + (", (2,)" if "binary" in str(loss) else "")
        raise error("class_weights", f"shape {np.shape(weights)}", expected)
    if isinstance(weights, Tracer):
        return weights
    return tuple(np.asarray(weights, np.float64).tolist())


def unpack_batch(batch: Batch) -> tuple[Inputs, Targets, Leaf | None]:
    """Inputs, targets, and the weights of the examples if they are there.

    Raises:
        ValueError: no tuple, neither two parts nor three, weights not one for each example.
    """
    expected = "(inputs, targets) or (inputs, targets, weights)"
    if not isinstance(batch, tuple | list):
        raise error("batch", type(batch).__name__, expected)
    if len(batch) not in (2, 3):
        raise error("batch", f"{len(batch)} parts", expected)
    inputs, targets, *rest = batch
    examples = jnp.shape(jax.tree.leaves(targets)[0])[:1]
    for weights in rest:
        if jnp.shape(weights) != examples:
            raise error(
                "the shape of weights", jnp.shape(weights), "(batch,), one for each example"
            )
    return inputs, targets, rest[0] if rest else None


def weigh_classes(
    table: ClassWeights, targets: Shaped[Array, "..."], outputs: Float[Array, "..."]
) -> Float[Array, " batch"]:
    """Each example's weight by its class; of probabilities of classes, their mean weight.

    Raises:
        ValueError: another number of weights than of classes.
    """
    weights = jnp.asarray(table, accumulation_dtype(outputs.dtype))
    if len(weights) != outputs.shape[-1]:
        expected = f"one weight for each of the {outputs.shape[-1]} classes"
        raise error("class_weights", len(weights), expected)
    if jnp.issubdtype(targets.dtype, jnp.integer):
        return jnp.take(weights, targets.astype(jnp.int32), axis=0, mode="clip")
    return targets.astype(weights.dtype) @ weights


def weigh_binary(
    table: ClassWeights, targets: Shaped[Array, "..."], outputs: Float[Array, "..."]
) -> Float[Array, " batch"]:
    """Each example's weight by its one label, $w_0 + y(w_1 - w_0)$.

    Raises:
        ValueError: several labels an example.
    """
    weights = jnp.asarray(table, accumulation_dtype(outputs.dtype))
    positive = _positive_share(targets).astype(weights.dtype)
    return weights[0] + positive * (weights[1] - weights[0])


def _positive_share(targets: Array) -> Array:
    """The targets of a binary loss as (batch,)."""
    if targets.ndim > 1 and targets.shape[1:] != (1,):
        repair = "Give weights of examples, as batches (inputs, targets, weights)."
        raise error("class_weights", f"targets of shape {targets.shape}", "of one label", repair)
    return targets.reshape(len(targets))


def balanced_weights(targets: Shaped[Array, "..."]) -> Float[Array, " examples"]:
    r"""Computes the weights with which each class that there is weighs the same.

    $$ w_e = \frac{n}{K\, n_{y_e}} $$

    for n examples, of which $n_k$ are of class k, and K classes that there are; of probabilities,
    $n_k$ is their sum, and $w_e$ the mean over the classes of the example. Their mean is 1.

    Args:
        targets: integer or binary classes (n,), or (n, 1); or probabilities (n, K).

    Returns:
        One weight for each example, in float32.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> hondo.balanced_weights(jnp.array([0, 0, 5, 5, 5, 5])).tolist()
        [1.5, 1.5, 0.75, 0.75, 0.75, 0.75]

    References:
        King and Zeng 2001, section 4.2; scikit-learn's `class_weight="balanced"`.
    """
    check_real("targets", targets, "Number the classes from 0.")
    if targets.ndim == 2 and targets.shape[1] > 1:
        shares = targets.astype(jnp.float32)
        counts = jnp.sum(shares, axis=0)
        return shares @ _weight_of_count(counts, len(targets), jnp.sum(counts > 0))
    classes = targets.reshape(len(targets))
    # By sorting, so that neither the classes nor their number need be known.
    ordered = jnp.sort(classes)
    last, first = (jnp.searchsorted(ordered, classes, side=side) for side in ("right", "left"))
    present = 1 + jnp.sum(ordered[1:] != ordered[:-1])
    return _weight_of_count((last - first).astype(jnp.float32), len(targets), present)


def _weight_of_count(counts: Array, examples: int, classes: Array) -> Array:
    safe = jnp.where(counts == 0, 1, counts)
    return jnp.where(counts == 0, 0, examples / (classes.astype(jnp.float32) * safe))


def append_balanced(loss: str, data: Data) -> Data:
    """The data with weights by the frequencies of its classes, times those that it has."""
    inputs, targets, weights = unpack_batch(data)
    targets = jnp.asarray(targets)
    is_binary = loss == "binary_cross_entropy"
    balance = balanced_weights(_positive_share(targets) > 0 if is_binary else targets)
    return inputs, targets, balance if weights is None else balance * weights.astype(jnp.float32)
