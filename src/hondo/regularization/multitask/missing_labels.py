"""Missing labels: zero loss and zero, finite gradients, averages over what is labeled."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Num, Shaped

from hondo._numerics.array_checks import check_mask, check_real, check_same_shape
from hondo._numerics.checks import (
    check_callable,
    check_floating,
    check_range,
    check_real_number,
    error,
)
from hondo._numerics.dtypes import accumulation_dtype


class Labels(NamedTuple):
    """Targets in which nothing is missing any more.

    Attributes:
        targets: the targets; a harmless value where they were missing.
        mask: True where there was a label.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> hondo.fill_missing(jnp.array([1.0, jnp.nan])).mask.tolist()
        [True, False]
    """

    targets: Num[Array, "*shape"]
    mask: Bool[Array, "*shape"]


def fill_missing(
    targets: Num[Array, "*shape"],
    *,
    mask: Bool[Array, "*shape"] | None = None,
    fill: ArrayLike = 0,
) -> Labels:
    r"""Replaces missing targets, before a loss sees them.

    $$ m_i = [\,y_i \text{ is not NaN and } \mathrm{mask}_i\,], \qquad
       y'_i = m_i\, ?\; y_i : \mathrm{fill} $$

    A loss of the filled targets is finite, and so is its gradient, which the mask can then select
    away; selecting after a loss of NaN would leave the gradient NaN.

    Args:
        targets: $y$, any shape; NaN where a floating-point target is missing.
        mask: True where there is a label; None if only NaN says what is missing.
        fill: a value at which the loss is finite and differentiable.

    Returns:
        $(y', m)$; $y'$ has the dtype of `targets`.

    Raises:
        ValueError: a mask that is not of bools or has another shape than the targets; a value that
            their dtype does not have.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import fill_missing
        >>> targets, mask = fill_missing(jnp.array([1.0, jnp.nan]))
        >>> targets.tolist(), mask.tolist()
        ([1.0, 0.0], [True, False])

    References:
        Slide 5, "Aprendizaje multitarea".
    """
    check_real("targets", targets)
    _check_fill(fill, targets)
    if mask is not None:
        check_mask("mask", mask)
        check_same_shape("mask", mask, "targets", targets)
    present = ~jnp.isnan(targets)
    present = present if mask is None else present & mask
    return Labels(jnp.where(present, targets, jnp.asarray(fill).astype(targets.dtype)), present)


def _check_fill(fill: ArrayLike, targets: Array) -> None:
    """Raises unless the dtype of the targets has the value."""
    check_real_number("fill", fill)
    if isinstance(fill, Tracer) or jnp.issubdtype(targets.dtype, jnp.floating):
        return
    is_integer = jnp.issubdtype(targets.dtype, jnp.integer)
    info = jnp.iinfo(targets.dtype if is_integer else jnp.uint8)
    check_range("fill", fill, float(info.min), float(info.max if is_integer else 1))
    if np.asarray(fill) % 1 != 0:
        raise error("fill", fill, f"a value of the targets' dtype, {targets.dtype}")


def masked_mean(values: Float[Array, "*shape"], mask: Bool[Array, "*shape"]) -> Float[Array, ""]:
    r"""Averages the values that the mask keeps; the mean of none is 0.

    $$ \bar v = \frac{\sum_i m_i v_i}{\max(1, \sum_i m_i)} $$

    by selection: a value that the mask drops may be infinite or NaN.

    Args:
        values: $v$, any shape.
        mask: $m$, of the same shape.

    Returns:
        $\bar v$, float32 (float64 for float64 values).

    Raises:
        ValueError: a mask that is not of bools or has another shape than the values; integers.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import masked_mean
        >>> float(masked_mean(jnp.array([1.0, 3.0, jnp.inf]), jnp.array([True, True, False])))
        2.0

    References:
        Slide 5, "Aprendizaje multitarea".
    """
    check_floating("values", values)
    check_mask("mask", mask)
    check_same_shape("mask", mask, "values", values)
    values = values.astype(accumulation_dtype(values.dtype))
    count = jnp.sum(mask, dtype=values.dtype)
    return jnp.sum(jnp.where(mask, values, 0)) / jnp.maximum(count, 1)


def labelled_mean(
    loss: Callable[[Array, Array], Array],
    predictions: Shaped[Array, "..."],
    targets: Num[Array, "..."],
    *,
    mask: Bool[Array, "..."] | None = None,
    fill: ArrayLike = 0,
) -> Float[Array, ""]:
    r"""Averages a loss over the examples that have a label.

    $$ J_t = \frac{1}{\max(1, n_t)} \sum_{e\ \text{labeled}} \ell(\hat y_e, y_e) $$

    with $n_t$ the number of labeled examples, not the batch size. Predictions for unlabeled
    examples get a gradient of exactly 0; without any label $J_t$ = 0.

    Args:
        loss: $\ell$, `(predictions, targets)` → one value for each example.
        predictions: $\hat y$ (batch, …).
        targets: $y$ (batch, …); NaN where missing.
        mask: of the targets' shape, True where there is a label; None if only NaN says.
        fill: what the loss sees in place of a missing target; it must be finite there.

    Returns:
        $J_t$, float32 (float64 for float64 losses). Where one example has several targets but
        one loss, it counts if all of its targets are there.

    Raises:
        ValueError: as `fill_missing`; losses whose shape is not the
            beginning of the targets' shape, such as one loss for the whole batch.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import labelled_mean
        >>> squared_error = lambda predicted, target: (predicted - target) ** 2
        >>> targets = jnp.array([1.0, jnp.nan, 3.0])
        >>> float(labelled_mean(squared_error, jnp.zeros(3), targets))
        5.0

    References:
        Slide 5, "Aprendizaje multitarea"; Caruana 1997.
    """
    check_callable("loss", loss, "a function of predictions and targets")
    targets, present = fill_missing(targets, mask=mask, fill=fill)
    values = loss(_labelled(predictions, present), targets)
    check_floating("what loss returns", values)
    if targets.shape[: values.ndim] != values.shape or values.ndim == 0 < targets.ndim:
        expected = f"one for each example, the beginning of {targets.shape}"
        repair = "Hondo's own losses keep it, without reduce."
        raise error("the shape of the losses", values.shape, expected, repair)
    axes = tuple(range(values.ndim, targets.ndim))
    return masked_mean(values, jnp.all(present, axis=axes))


def _labelled(predictions: Array, present: Bool[Array, "..."]) -> Array:
    """Zeros where there is no label: what is infinite there has no gradient either."""
    shape = jnp.shape(predictions)
    if not present.ndim or shape[: present.ndim] != present.shape:
        return predictions
    predictions = jnp.asarray(predictions)
    there = present.reshape(*present.shape, *[1] * (len(shape) - present.ndim))
    return jnp.where(there, predictions, jnp.zeros((), predictions.dtype))
