"""Supervised learning: a module and a loss make a `Problem`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, PRNGKeyArray

from hondo._bind import bind, by_value
from hondo._numerics.checks import check_choice, check_probability, error, python_value
from hondo._numerics.dtypes import accumulation_dtype
from hondo._types import Batch, Loss, ModelState, Module, Outputs, Params, Targets
from hondo.regularization.noise import label_smoothing as smooth_labels
from hondo.training.example_weights import (
    append_balanced,
    check_class_weights,
    unpack_batch,
    weigh_binary,
    weigh_classes,
)
from hondo.training.flax_models import ModelFunctions, as_functions
from hondo.training.losses import binary_cross_entropy, cross_entropy
from hondo.training.metrics import (
    Metric,
    Value,
    match_shape,
    summarize,
    weighted_mean,
    with_weights,
)
from hondo.training.problem import Problem

ExampleLoss = Callable[[Outputs, Targets], Array]
Measure = Callable[[Outputs, Targets], dict[str, Array]]
LOSSES = ("cross_entropy", "binary_cross_entropy", "squared_error")


def supervised(
    module: Module,
    *,
    loss: Literal["cross_entropy", "binary_cross_entropy", "squared_error"] | ExampleLoss,
    reduce: Callable[[Array], Array] = jnp.mean,
    metrics: Mapping[str, Metric] | None = None,
    class_weights: ArrayLike | Sequence[float | int] | str | None = None,
    label_smoothing: float | Array = 0.0,
) -> Problem:
    r"""Makes the problem of fitting a Flax module to batches `(inputs, targets[, weights])`.

    $$ J(\theta) = \operatorname{reduce}_e\, \ell\big(f_\theta(x_e), y_e\big), \qquad
       J(\theta) = \frac{\sum_e w_e\, \ell_e}{\sum_e w_e} \text{ with weights} $$

    with $\ell$ one of

    * "cross_entropy": $-\sum_k y_k \log \operatorname{softmax}(z)_k$ of logits $z$ (…, K);
      targets are integer classes (batch,) or probabilities (batch, K), such as smoothed or
      mixed labels;
    * "binary_cross_entropy": $-y\log\sigma(z) - (1-y)\log(1-\sigma(z))$ of logits and
      targets (batch,) or (batch, 1), the sum of slide 3 with `reduce=jnp.sum`; of several labels
      an example, (batch, L), the mean over them;
    * "squared_error": the mean of $(f_k - y_k)^2$ over the outputs $k$.

    The metrics are "loss", for the two cross-entropies "accuracy" with the targets' most probable
    class (of several labels, the share that is right), and those given; outputs of NaN are never
    right. A last axis of one output is dropped where the targets have none.

    Weights of examples, (batch,), weigh the objective and every mean of a metric. Weights of
    classes multiply them in training alone, as does the smoothing, so that validation measures the
    same whatever helps training.

    Args:
        module: a linen module, a function `rngs → nnx module`, or an nnx module (whose own
            parameters are then the start for every key). Its call takes inputs and, if it behaves
            differently in training, `train`, `training`, `is_training` or `deterministic`.
        loss: $\ell$ by name, or a function of outputs and targets that gives one value for each
            example.
        reduce: how the examples' losses become the objective: `jnp.mean`, or `jnp.sum` as the
            slide, of $w_e \ell_e$ where there are weights.
        metrics: further metrics by name, functions of outputs and targets that give one value for
            each example, such as `top_k_accuracy` with k bound, or a `Pooled`, such as `r_squared`.
        class_weights: for a cross-entropy, one weight ≥ 0 for each class, (2,) for the binary one;
            or "balanced", those of `balanced_weights` of the training data that `fit` is given.
        label_smoothing: ε in [0, 1] of `label_smoothing` for a cross-entropy's training targets; a
            binary target becomes (1 − ε)y + ε/2.

    Returns:
        The `Problem`; its model state is every linen collection but "params", or every nnx
        variable but `nnx.Param`. Equal arguments make equal problems, for which `fit` compiles
        once; a lambda equals itself alone.

    Raises:
        ValueError: an unknown loss, class weights or smoothing of a loss without classes, a
            metric named "loss"; in training, a loss or a metric that is not one value for each
            example, weights that are not.
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
        Slide 3, the data term of Ẽ(θ); slide 2, noise on outputs.
    """
    if not callable(loss):
        check_choice("loss", loss, LOSSES)
    has_classes = loss in LOSSES[:2]
    check_probability("label_smoothing", label_smoothing)
    smoothing = python_value(label_smoothing)
    if not has_classes and _is_on(smoothing):
        raise error("label_smoothing", smoothing, "0 for a loss without classes")
    classes = check_class_weights(class_weights, loss)
    extra = tuple(sorted((name, by_value(metric)) for name, metric in (metrics or {}).items()))
    if "loss" in dict(extra):
        raise error("metrics", "loss", "other names", "'loss' is that of the argument loss.")
    model = as_functions(module)
    measure = example_metrics(loss)
    smooth = bind(_smooth, smoothing, loss) if _is_on(smoothing) else None
    is_balanced = isinstance(classes, str)
    weigh = None
    if not (is_balanced or classes is None):
        weigh = bind(weigh_classes if loss == "cross_entropy" else weigh_binary, classes)
    rule = _Rule(by_value(reduce), smooth, weigh)
    return Problem(
        bind(_init, model),
        _SupervisedLoss(model, bind(_measure, measure, extra), measure, rule),
        bind(_metrics, model, bind(_measure, measure, extra)),
        bind(append_balanced, loss) if is_balanced else None,
    )


class _Rule(NamedTuple):
    """How the losses of a batch become the objective."""

    reduce: Callable[[Array], Array]
    smooth: Callable[[Targets, Outputs], Targets] | None
    weigh: Callable[[Targets, Outputs], Array] | None


def _is_on(amount: float | Array) -> bool:
    return not isinstance(amount, int | float) or amount != 0


def _init(model: ModelFunctions, key: PRNGKeyArray, batch: Batch) -> tuple[Params, ModelState]:
    return model.init(key, unpack_batch(batch)[0])


# A dataclass, because jax.jit refers weakly to its functions, which a NamedTuple forbids.
@dataclass(frozen=True)
class _SupervisedLoss:
    model: ModelFunctions
    measure_all: Callable[[Outputs, Targets], dict[str, Value]]
    measure: Measure
    rule: _Rule

    def __call__(
        self, params: Params, model_state: ModelState, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Array, tuple[ModelState, dict[str, Array]]]:
        inputs, targets, weights = unpack_batch(batch)
        outputs, model_state = self.model.train(params, model_state, inputs, key)
        values, rule = self.measure_all(outputs, targets), self.rule
        if rule.smooth is not None:
            values["loss"] = self.measure(outputs, rule.smooth(targets, outputs))["loss"]
        if rule.weigh is not None:
            by_class = rule.weigh(targets, outputs)
            weights = by_class if weights is None else by_class * weights.astype(by_class.dtype)
        info = {name: summarize(with_weights(value, weights)) for name, value in values.items()}
        return _reduce(rule.reduce, jnp.asarray(values["loss"]), weights), (model_state, info)

    def microbatched(self, parts: int) -> Loss:
        """The model takes the batch in parts; the losses become one value once."""
        model = self.model._replace(train=bind(self.model.train_in_parts, parts))
        return replace(self, model=model)


def _reduce(reduce: Callable[[Array], Array], losses: Array, weights: Array | None) -> Array:
    if weights is None:
        return reduce(losses)
    if reduce is jnp.mean:
        return weighted_mean((losses, weights))
    return reduce(losses * weights.astype(losses.dtype))


def _smooth(amount: float | Array, loss: str, targets: Targets, outputs: Outputs) -> Targets:
    dtype = accumulation_dtype(outputs.dtype)
    if loss == "binary_cross_entropy":
        amount = jnp.asarray(amount, dtype)
        return targets.astype(dtype) * (1 - amount) + amount / 2
    if jnp.issubdtype(targets.dtype, jnp.integer):
        targets = jax.nn.one_hot(targets, outputs.shape[-1], dtype=dtype)
    return smooth_labels(targets, amount=amount)


def _metrics(
    model: ModelFunctions,
    measure_all: Callable[[Outputs, Targets], dict[str, Value]],
    params: Params,
    model_state: ModelState,
    batch: Batch,
) -> dict[str, Value]:
    inputs, targets, weights = unpack_batch(batch)
    values = measure_all(model.infer(params, model_state, inputs), targets)
    return {name: with_weights(value, weights) for name, value in values.items()}


def _measure(
    measure: Measure, extra: tuple[tuple[str, Metric], ...], outputs: Outputs, targets: Targets
) -> dict[str, Value]:
    values: dict[str, Value] = {**measure(outputs, targets)}
    values |= {name: metric(outputs, targets) for name, metric in extra}
    batch = jnp.shape(jax.tree.leaves(targets)[0])[:1]
    for name, value in values.items():
        if isinstance(value, Array) and value.shape != batch:
            what = "loss" if name == "loss" else f"metric {name!r}"
            repair = (
                "Do not average over the examples: weights and reduce come after. hondo's losses "
                "and optax's keep one each."
            )
            raise error(what, f"shape {value.shape}", f"one value each, of shape {batch}", repair)
    return values


def example_metrics(loss: str | ExampleLoss) -> Measure:
    """Outputs and targets → "loss" and, of a cross-entropy, "accuracy", one value for each example.

    Example:
        >>> measure = example_metrics("squared_error")
        >>> measure(jnp.array([1.0, 2.0]), jnp.array([1.0, 0.0]))["loss"].tolist()
        [0.0, 4.0]
    """
    if not isinstance(loss, str):
        return bind(_only_loss, loss)
    return {
        "cross_entropy": _cross_entropy,
        "binary_cross_entropy": _binary_cross_entropy,
        "squared_error": _squared_error,
    }[loss]


def _only_loss(loss: ExampleLoss, outputs: Outputs, targets: Targets) -> dict[str, Array]:
    return {"loss": jnp.asarray(loss(outputs, targets))}


def _cross_entropy(logits: Array, targets: Array) -> dict[str, Array]:
    is_class = jnp.issubdtype(targets.dtype, jnp.integer)
    classes = targets if is_class else jnp.argmax(targets, axis=-1)
    loss = cross_entropy(logits, targets)
    right = _is_equal(jnp.argmax(logits, axis=-1), classes)
    return {"loss": loss, "accuracy": _wrong_where(jnp.isnan(logits).any(axis=-1), right)}


def _binary_cross_entropy(logits: Array, targets: Array) -> dict[str, Array]:
    logits = match_shape(logits, targets)
    if logits.ndim == 2 and logits.shape[1] == 1:
        logits, targets = logits[:, 0], targets[:, 0]
    loss = binary_cross_entropy(logits, targets)
    right = _wrong_where(
        jnp.isnan(logits), _is_equal(logits > 0, targets.astype(logits.dtype) > 0.5)
    )
    # Of several labels, the mean.
    labels = tuple(range(1, logits.ndim))
    return {"loss": jnp.mean(loss, axis=labels), "accuracy": jnp.mean(right, axis=labels)}


def _squared_error(outputs: Array, targets: Array) -> dict[str, Array]:
    outputs = match_shape(outputs, targets)
    outputs = outputs.astype(accumulation_dtype(outputs.dtype))
    error = jnp.square(outputs - targets.astype(outputs.dtype))
    return {"loss": jnp.mean(error, axis=tuple(range(1, error.ndim)))}


def _is_equal(first: Array, second: Array) -> Array:
    return (first == second.astype(first.dtype)).astype(jnp.float32)


def _wrong_where(is_nan: Array, right: Array) -> Array:
    """No prediction is right that was made of NaN: it compares as if it were class 0."""
    return jnp.where(is_nan, 0.0, right)
