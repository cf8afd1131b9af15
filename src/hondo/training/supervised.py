"""Supervised learning: a module and a loss make a `Problem`."""

from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from hondo._bind import bind
from hondo._numerics.checks import check_choice
from hondo._numerics.dtypes import accumulation_dtype
from hondo._types import Batch, ModelState, Module, Outputs, Params, Targets
from hondo.training.flax_models import ModelFunctions, as_functions
from hondo.training.losses import binary_cross_entropy, cross_entropy
from hondo.training.problem import Problem

ExampleLoss = Callable[[Outputs, Targets], Array]
Measure = Callable[[Outputs, Targets], dict[str, Array]]
LOSSES = ("cross_entropy", "binary_cross_entropy", "squared_error")


def supervised(
    module: Module,
    *,
    loss: Literal["cross_entropy", "binary_cross_entropy", "squared_error"] | ExampleLoss,
    reduce: Callable[[Array], Array] = jnp.mean,
) -> Problem:
    r"""Makes the problem of fitting a Flax module to batches `(inputs, targets)`.

    $$ J(\theta) = \operatorname{reduce}_e\, \ell\big(f_\theta(x_e), y_e\big) $$

    with $\ell$ one of

    * "cross_entropy": $-\sum_k y_k \log \operatorname{softmax}(z)_k$ of logits $z$ (…, K);
      targets are integer classes (batch,) or probabilities (batch, K), such as smoothed or
      mixed labels;
    * "binary_cross_entropy": $-y\log\sigma(z) - (1-y)\log(1-\sigma(z))$ of logits and
      targets (batch,) or (batch, 1), the sum of slide 3 with `reduce=jnp.sum`;
    * "squared_error": the mean of $(f_k - y_k)^2$ over the outputs $k$.

    The metrics are "loss" and, for the two cross-entropies, "accuracy" with the targets' most
    probable class; outputs of NaN are never right. A last axis of one output is dropped where the
    targets have none.

    Args:
        module: a linen module, a function `rngs → nnx module`, or an nnx module (whose own
            parameters are then the start for every key). Its call takes inputs and, if it behaves
            differently in training, `train`, `training` or `deterministic`.
        loss: $\ell$ by name, or a function of outputs and targets that gives one value for each
            example.
        reduce: how the examples' losses become the objective: `jnp.mean`, or `jnp.sum` as the
            slide.

    Returns:
        The `Problem`; its model state is every linen collection but "params", or every nnx
        variable but `nnx.Param`.

    Raises:
        ValueError: an unknown loss.
        TypeError: a module of another kind.

    Example:
        >>> import hondo, jax, jax.numpy as jnp
        >>> from flax import linen
        >>> problem = hondo.supervised(linen.Dense(3), loss="cross_entropy")
        >>> batch = jnp.ones((2, 4)), jnp.array([0, 2])
        >>> params, state = problem.init(jax.random.key(0), batch)
        >>> sorted(problem.metrics(params, state, batch))
        ['accuracy', 'loss']

    References:
        Slide 3, the data term of Ẽ(θ).
    """
    if not callable(loss):
        check_choice("loss", loss, LOSSES)
    model = as_functions(module)
    measure = _example_metrics(loss)

    return Problem(
        bind(_init, model), bind(_loss, model, measure, reduce), bind(_metrics, model, measure)
    )


def _init(model: ModelFunctions, key: PRNGKeyArray, batch: Batch) -> tuple[Params, ModelState]:
    return model.init(key, batch[0])


def _loss(
    model: ModelFunctions,
    measure: Measure,
    reduce: Callable[[Array], Array],
    params: Params,
    model_state: ModelState,
    batch: Batch,
    key: PRNGKeyArray,
) -> tuple[Array, tuple[ModelState, dict[str, Array]]]:
    inputs, targets = batch
    outputs, model_state = model.train(params, model_state, inputs, key)
    values = measure(outputs, targets)
    info = {name: jnp.mean(value) for name, value in values.items()}
    return reduce(values["loss"]), (model_state, info)


def _metrics(
    model: ModelFunctions, measure: Measure, params: Params, model_state: ModelState, batch: Batch
) -> dict[str, Array]:
    inputs, targets = batch
    return measure(model.infer(params, model_state, inputs), targets)


def _example_metrics(loss: str | ExampleLoss) -> Measure:
    if not isinstance(loss, str):
        return bind(_only_loss, loss)
    return {
        "cross_entropy": _cross_entropy,
        "binary_cross_entropy": _binary_cross_entropy,
        "squared_error": _squared_error,
    }[loss]


def _only_loss(loss: ExampleLoss, outputs: Outputs, targets: Targets) -> dict[str, Array]:
    return {"loss": loss(outputs, targets)}


def _cross_entropy(logits: Array, targets: Array) -> dict[str, Array]:
    is_class = jnp.issubdtype(targets.dtype, jnp.integer)
    classes = targets if is_class else jnp.argmax(targets, axis=-1)
    loss = cross_entropy(logits, targets)
    right = _is_equal(jnp.argmax(logits, axis=-1), classes)
    return {"loss": loss, "accuracy": _wrong_where(jnp.isnan(logits).any(axis=-1), right)}


def _binary_cross_entropy(logits: Array, targets: Array) -> dict[str, Array]:
    logits = _match_shape(logits, targets)
    if logits.ndim == 2 and logits.shape[1] == 1:
        logits, targets = logits[:, 0], targets[:, 0]
    loss = binary_cross_entropy(logits, targets)
    right = _is_equal(logits > 0, targets > 0.5)
    return {"loss": loss, "accuracy": _wrong_where(jnp.isnan(logits), right)}


def _squared_error(outputs: Array, targets: Array) -> dict[str, Array]:
    outputs = _match_shape(outputs, targets)
    outputs = outputs.astype(accumulation_dtype(outputs.dtype))
    error = jnp.square(outputs - targets.astype(outputs.dtype))
    return {"loss": jnp.mean(error, axis=tuple(range(1, error.ndim)))}


def _is_equal(first: Array, second: Array) -> Array:
    return (first == second.astype(first.dtype)).astype(jnp.float32)


def _wrong_where(is_nan: Array, right: Array) -> Array:
    """No prediction is right that was made of NaN: it compares as if it were class 0."""
    return jnp.where(is_nan, 0.0, right)


def _match_shape(outputs: Array, targets: Array) -> Array:
    """The outputs without their last axis of one, where the targets have none."""
    if outputs.ndim == targets.ndim + 1 and outputs.shape[-1] == 1:
        outputs = outputs[..., 0]
    if outputs.shape != targets.shape:
        raise ValueError(
            f"outputs and targets must have one shape, got {outputs.shape} and {targets.shape}. "
            "Nothing is broadcast between them."
        )
    return outputs
