"""Cross-entropies from logits: the data terms that penalties are added to (slide 3)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Shaped

from hondo._numerics.array_checks import check_entries, check_mask, check_real
from hondo._numerics.checks import check_callable, check_floating, error
from hondo._numerics.dtypes import accumulation_dtype

Reduce = Callable[[Array], Array] | None

_ONE_LABEL = "Of several classes at once each has its own binary_cross_entropy."


def binary_cross_entropy(
    logits: Float[Array, "*batch"],
    targets: Shaped[Array, "..."],
    *,
    reduce: Reduce = None,
    where: Bool[Array, "..."] | None = None,
) -> Float[Array, "..."]:
    r"""Computes the terms of the slide's data term from logits z, with $a = \sigma(z)$.

    $$ \ell_e = -\big(y_e \log a_e + (1 - y_e)\log(1 - a_e)\big), \qquad
       \tilde E = \sum_e \ell_e $$

    Neither logarithm nor exponential overflows for any finite z, and the gradient is $a - y$.

    Args:
        logits: z, of any shape.
        targets: y in [0, 1] or bool, of the same shape; nothing is broadcast.
        reduce: how the values become one: the slide's `jnp.sum`, `jnp.mean`; None keeps one for
            each logit.
        where: which logits count, of their shape; the value of the others is 0, whatever they are.

    Returns:
        The losses, in float32 or wider.

    Raises:
        ValueError: shapes that differ; targets outside [0, 1], where they are no tracers.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> hondo.binary_cross_entropy(jnp.array([1e4, -1e4]), jnp.array([1.0, 1.0])).tolist()
        [0.0, 10000.0]

    References:
        Slide 3, Ẽ(θ); Goodfellow et al. 2016, section 6.2.2.2.
    """
    check_floating("logits", logits)
    check_real("targets", targets, "The classes are 0 and 1.")
    _check_reduce(reduce)
    if logits.shape != targets.shape:
        raise ValueError(
            f"targets must have the shape of logits, {logits.shape}, got {targets.shape}. "
            "Nothing is broadcast between them."
        )
    if where is not None:
        _check_where(where, logits.shape)
        # Before the loss too, so that what does not count has the gradient 0.
        logits, targets = (jnp.where(where, a, jnp.zeros_like(a)) for a in (logits, targets))
    repair = "Of classes -1 and 1, (targets + 1) / 2 is 0 and 1."
    check_entries("targets", targets, 0.0, 1.0, repair)
    logits = jnp.asarray(logits)
    logits = logits.astype(accumulation_dtype(logits.dtype))
    targets = targets.astype(logits.dtype)
    values = optax.sigmoid_binary_cross_entropy(logits, targets)
    values = values if where is None else jnp.where(where, values, 0)
    return values if reduce is None else reduce(values)


def cross_entropy(
    logits: Float[Array, "*batch classes"],
    targets: Shaped[Array, "..."],
    *,
    reduce: Reduce = None,
    where: Bool[Array, "..."] | None = None,
    axis: int | tuple[int, ...] = -1,
) -> Float[Array, "..."]:
    r"""Computes the cross-entropy of each example's class and the softmax of its logits z.

    $$ \ell_e = \log\sum_k e^{z_{ek}} - z_{e,y_e}, \qquad
       \frac{\partial \ell_e}{\partial z_e} = \operatorname{softmax}(z_e) - y_e $$

    An offset common to all logits of an example costs no accuracy: the largest is subtracted first.

    Args:
        logits: z, with the classes on `axis`.
        targets: integer classes in [0, K), of the shape of the batch; or probabilities of the
            shape of the logits, such as smoothed or mixed labels. Of a row that sums to s, the loss
            is s times that of its shares.
        reduce: how the examples' values become one: `jnp.mean`, `jnp.sum`; None keeps one for
            each example.
        where: of the shape of the logits, which classes there are; or of the batch, which examples
            count. An example without a class has the loss 0, whatever its logits are.
        axis: that of the classes; several are as one, flattened in their order.

    Returns:
        The losses, in float32 or wider; infinity for a class that `where` leaves out, whose share
        of a row of probabilities does not count, and under jit NaN for one that there is not.

    Raises:
        ValueError: shapes that fit neither form, a mask that is not bool or of neither shape; a
            class that there is not, entries that are no probabilities, or rows of labels with none
            or several, where they are no tracers.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> logits = jnp.array([[1e4, 0.0], [1e4, 0.0]])
        >>> hondo.cross_entropy(logits, jnp.array([0, 1])).tolist()
        [0.0, 10000.0]

    References:
        Slide 3, for K classes; Goodfellow et al. 2016, section 6.2.2.3.
    """
    check_floating("logits", logits)
    check_real("targets", targets, "Number the classes from 0.")
    _check_reduce(reduce)
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise error("the shape of logits", logits.shape, "(…, K) with the classes last")
    is_class = jnp.issubdtype(targets.dtype, jnp.integer)
    logits = _classes_last(logits, axis)
    targets = targets if is_class else _classes_last(targets, axis)
    expected = logits.shape[:-1] if is_class else logits.shape
    if targets.shape != expected:
        form = "integer classes" if is_class else "probabilities"
        got = f"{targets.shape} beside logits of {logits.shape}"
        raise ValueError(f"targets, {form}, must have shape {expected}, got {got}.")
    counts = None if where is None else _counting_classes(where, logits, axis)
    targets = targets if counts is None else _counting_targets(targets, counts)
    if is_class:
        repair = "Classes count from 0: subtract 1 from 1 to K."
        check_entries("targets", targets, 0.0, logits.shape[-1] - 1.0, repair)
    else:
        _check_shares(targets, is_whole=counts is None)
    logits = jnp.asarray(logits)
    logits = logits.astype(accumulation_dtype(logits.dtype))
    logits = _shifted(logits if counts is None else _of_counting(logits, counts))
    values = _class_losses(logits, targets) if is_class else _probability_losses(logits, targets)
    values = values if counts is None else jnp.where(counts.any(axis=-1), values, 0)
    return values if reduce is None else reduce(values)


def _check_where(where: Array, shape: tuple[int, ...]) -> None:
    check_mask("where", where)
    if where.shape != shape:
        raise error("where", f"shape {where.shape}", f"of shape {shape}")


def _check_reduce(reduce: Reduce) -> None:
    if reduce is not None:
        check_callable("reduce", reduce, "a function of the losses, or None")


def _check_shares(targets: Array, *, is_whole: bool) -> None:
    """Raises unless all are probabilities, up to rounding, and a whole row of labels has one."""
    if jnp.issubdtype(targets.dtype, jnp.bool_):
        raise error("targets", "bool", "integer classes or probabilities", "Use .astype(float).")
    check_entries("targets", targets, -0.01, 1.01, "They are probabilities, not logits.")
    if is_whole and not isinstance(targets, Tracer):
        shares = np.asarray(targets, np.float64)
        # Shares may sum to a weight; ones and zeros are labels, of several classes or of none.
        is_labels = np.isin(shares, (0.0, 1.0)).all(axis=-1)
        labels = np.where(is_labels, shares.sum(axis=-1), 1.0)
        check_entries("the labels in each row of targets", labels, 1.0, 1.0, _ONE_LABEL)


def _classes_last(array: Array, axis: int | tuple[int, ...]) -> Array:
    axes = (axis,) if isinstance(axis, int) else axis
    if axes == (-1,) or array.ndim < len(axes):
        return array
    last = jnp.moveaxis(array, axes, range(-len(axes), 0))
    return last.reshape(*last.shape[: last.ndim - len(axes)], -1)


def _counting_classes(where: Array, logits: Array, axis: int | tuple[int, ...]) -> Array:
    """For each logit, whether it counts; of a mask of examples, all or none of theirs."""
    check_mask("where", where)
    if where.shape == logits.shape[:-1]:
        return jnp.broadcast_to(where[..., None], logits.shape)
    where = _classes_last(where, axis)
    _check_where(where, logits.shape)
    return where


def _counting_targets(targets: Array, counts: Array) -> Array:
    """The targets with 0, a class or no share, where nothing counts and any value may stand."""
    counts = counts if targets.ndim == counts.ndim else counts.any(axis=-1)
    return jnp.where(counts, targets, jnp.zeros_like(targets))


def _of_counting(logits: Array, counts: Array) -> Array:
    """The logits, impossible where they do not count, and 0 in an example of which none does."""
    otherwise = jnp.where(counts.any(axis=-1, keepdims=True), -jnp.inf, 0.0)
    return jnp.where(counts, logits, otherwise.astype(logits.dtype))


def _shifted(logits: Array) -> Array:
    """The same softmax with its largest logit at 0, where a float resolves ln K best."""
    top = lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    return logits - jnp.where(jnp.isfinite(top), top, 0)


def _class_losses(logits: Array, classes: Array) -> Array:
    # The number of classes need not fit the dtype of a class: of 256, none is too large for uint8.
    classes = jnp.asarray(classes)
    classes = classes.astype(jnp.int32) if classes.dtype.itemsize < 4 else classes
    # By comparison, not by index: the gradient of an index is a scatter, a loop of its own.
    index = lax.broadcasted_iota(classes.dtype, logits.shape, logits.ndim - 1)
    label = jnp.sum(jnp.where(index == classes[..., None], logits, 0), axis=-1)
    exists = (classes >= 0) & (classes < logits.shape[-1])
    return jnp.where(exists, jax.nn.logsumexp(logits, axis=-1) - label, jnp.nan)


def _probability_losses(logits: Array, probabilities: Array) -> Array:
    probabilities = probabilities.astype(logits.dtype)
    log_p = jax.nn.log_softmax(logits, axis=-1)
    # A class that is impossible and has no share of the target adds nothing.
    nothing = (probabilities == 0) & (log_p == -jnp.inf)
    return -jnp.sum(probabilities * jnp.where(nothing, 0, log_p), axis=-1)
