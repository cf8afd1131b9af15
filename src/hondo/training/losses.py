"""Cross-entropies from logits: the data terms that penalties are added to (slide 3)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.core import Tracer
from jaxtyping import Array, Float, Shaped

from hondo._numerics.array_checks import check_entries, check_real
from hondo._numerics.checks import check_callable, check_floating, error
from hondo._numerics.dtypes import accumulation_dtype

Reduce = Callable[[Array], Array] | None


def binary_cross_entropy(
    logits: Float[Array, "*batch"], targets: Shaped[Array, "..."], *, reduce: Reduce = jnp.sum
) -> Float[Array, "..."]:
    r"""Computes the slide's data term from logits z, with $a = \sigma(z)$.

    $$ \tilde E = -\sum_e \big(y_e \log a_e + (1 - y_e)\log(1 - a_e)\big) $$

    Neither logarithm nor exponential overflows for any finite z, and the gradient is $a - y$.

    Args:
        logits: z, of any shape.
        targets: y in [0, 1] or bool, of the same shape; nothing is broadcast.
        reduce: how the values become the objective: the slide's `jnp.sum`, `jnp.mean`, or None to
            keep one for each logit.

    Returns:
        The loss, in float32 or wider.

    Raises:
        ValueError: shapes that differ; targets outside [0, 1], where they are no tracers.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> float(hondo.binary_cross_entropy(jnp.array([1e4, -1e4]), jnp.array([1.0, 1.0])))
        10000.0

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
    check_entries(
        "targets", targets, 0.0, 1.0, "Of classes -1 and 1, (targets + 1) / 2 is 0 and 1."
    )
    logits = logits.astype(accumulation_dtype(logits.dtype))
    values = optax.sigmoid_binary_cross_entropy(logits, targets.astype(logits.dtype))
    return values if reduce is None else reduce(values)


def cross_entropy(
    logits: Float[Array, "*batch classes"],
    targets: Shaped[Array, "..."],
    *,
    reduce: Reduce = jnp.mean,
) -> Float[Array, "..."]:
    r"""Computes the cross-entropy of classes and the softmax of logits z.

    $$ E = \frac1m\sum_e\Big(\log\sum_k e^{z_{ek}} - z_{e,y_e}\Big), \qquad
       \frac{\partial E}{\partial z} = \frac1m\big(\operatorname{softmax}(z) - y\big) $$

    An offset common to all logits of an example costs no accuracy: the largest is subtracted first.

    Args:
        logits: z, with the classes on the last axis.
        targets: integer classes in [0, K), of the shape of the batch; or probabilities of the
            shape of the logits, such as smoothed or mixed labels.
        reduce: how the examples' values become the objective: `jnp.mean`, `jnp.sum`, or None to
            keep one for each example.

    Returns:
        The loss, in float32 or wider; under jit NaN for a class that there is not.

    Raises:
        ValueError: shapes that fit neither form; a class that there is not, or rows that are no
            probabilities, where they are no tracers.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> round(float(hondo.cross_entropy(jnp.zeros((2, 4)), jnp.array([0, 3]))), 5)
        1.38629

    References:
        Slide 3, for K classes; Goodfellow et al. 2016, section 6.2.2.3.
    """
    check_floating("logits", logits)
    check_real("targets", targets, "Number the classes from 0.")
    _check_reduce(reduce)
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise error("the shape of logits", logits.shape, "(…, K) with the classes last")
    is_class = jnp.issubdtype(targets.dtype, jnp.integer)
    expected = logits.shape[:-1] if is_class else logits.shape
    if targets.shape != expected:
        form = "integer classes" if is_class else "probabilities"
        got = f"{targets.shape} beside logits of {logits.shape}"
        raise ValueError(f"targets, {form}, must have shape {expected}, got {got}.")
    if is_class:
        repair = "Classes count from 0: subtract 1 from 1 to K."
        check_entries("targets", targets, 0.0, logits.shape[-1] - 1.0, repair)
    else:
        _check_distribution(targets)
    logits = _shifted(logits.astype(accumulation_dtype(logits.dtype)))
    values = _class_losses(logits, targets) if is_class else _probability_losses(logits, targets)
    return values if reduce is None else reduce(values)


def _check_reduce(reduce: Reduce) -> None:
    if reduce is not None:
        check_callable("reduce", reduce, "a function of the losses, or None")


def _check_distribution(targets: Array) -> None:
    """Raises unless the rows are probabilities, up to the rounding of their sum."""
    if jnp.issubdtype(targets.dtype, jnp.bool_):
        raise error("targets", "bool", "integer classes or probabilities", "Use .astype(float).")
    check_entries("targets", targets, 0.0, 1.0, "They are probabilities, not logits.")
    if not isinstance(targets, Tracer):
        sums = np.sum(np.asarray(targets, np.float64), axis=-1)
        # Rows that somebody has rounded pass; counts, several classes or none do not.
        check_entries("the sums of targets", sums, 0.99, 1.01, "Divide each row by its sum.")


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
