"""Means over a data set that do not depend on how it is cut into batches."""

from collections.abc import Iterable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from hondo._fast.loop_convolutions import channels_last
from hondo._numerics.checks import check_count, check_type, error
from hondo._types import Batch, Data, Metrics, ModelState, Params
from hondo.training.batches import count_examples, take_examples
from hondo.training.metrics import Pooled, Value
from hondo.training.problem import Problem, check_model
from hondo.training.value_checks import check_measured, is_concrete


def evaluate(
    problem: Problem, params: Params, model_state: ModelState, data: Data, *, batch_size: int = 512
) -> Metrics:
    r"""Averages each per-example metric over every example of the data, each counted once.

    $$ M = \frac1n \sum_{e=1}^{n} m_e $$

    A `Pooled` metric, such as a weighted mean, is computed of what all examples gave together.

    The last batch is filled up to `batch_size` with repeated examples that are selected away, so
    the mean is the same for every batch size up to the rounding of float32 sums.

    Args:
        problem: what is measured; only `problem.metrics` is used.
        params: the parameters.
        model_state: the model's state, read only.
        data: a pytree of arrays with a common leading axis of n ≥ 1 examples.
        batch_size: how many examples at a time, an integer ≥ 1.

    Returns:
        A float32 scalar for each metric.

    Raises:
        ValueError: no examples, leading axes that differ, batch_size < 1, a metric that is not
            one number for each example, or a pooled one that is no number in the end; something
            else than arrays in the model; a metric of NaN, if it is for targets that there are not.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> problem = hondo.Problem(None, None, lambda w, s, batch: {"loss": (batch - w) ** 2})
        >>> got = hondo.evaluate(problem, 1.0, (), jnp.arange(5.0), batch_size=2)
        >>> float(got["loss"])
        3.0

    References:
        Slide 4: the validation value that early stopping compares.
    """
    check_type("problem", problem, Problem, "hondo.supervised makes one.")
    check_count("batch_size", batch_size)
    check_model(params, model_state)
    count = count_examples("data", data)
    found = _sums_of_batches(problem, min(int(batch_size), count), params, model_state, data)
    metrics = {name: _finish(name, value, count) for name, value in found.items()}
    # Outputs are traced once more to check them, which only a NaN metric calls for.
    if is_concrete(metrics) and any(map(jnp.isnan, metrics.values())):
        check_measured(problem, params, model_state, data)
    return metrics


def _finish(name: str, value: Value, count: int) -> Float[Array, ""]:
    """The metric of all examples, of sums of batches or of values in batches."""
    if not isinstance(value, Pooled):
        return jnp.sum(value) / count
    every = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:count], value.values)
    result = value.reduce(every)
    if jnp.shape(result):
        raise error(f"pooled metric {name!r}", f"shape {jnp.shape(result)}", "a scalar")
    return result.astype(jnp.float32)


@partial(jax.jit, static_argnums=(0, 1))
def _sums_of_batches(
    problem: Problem, batch_size: int, params: Params, model_state: ModelState, data: Data
) -> dict[str, Value]:
    count = count_examples("data", data)
    batches = -(-count // batch_size)

    def sum_batch(index: Int[Array, ""]) -> dict[str, Value]:
        position = index * batch_size + jnp.arange(batch_size)
        batch = take_examples(data, position)
        return _sum_batch(problem, params, model_state, batch, position < count)

    return jax.lax.map(sum_batch, jnp.arange(batches))


def _sum_batch(
    problem: Problem,
    params: Params,
    model_state: ModelState,
    batch: Batch,
    valid: Bool[Array, " batch"],
) -> dict[str, Value]:
    values = channels_last(problem.metrics)(params, model_state, batch)
    return {
        name: value if isinstance(value, Pooled) else _sum_valid(name, value, valid)
        for name, value in values.items()
    }


_sum_one_batch = jax.jit(_sum_batch, static_argnums=0)


def evaluate_batches(
    problem: Problem, params: Params, model_state: ModelState, batches: Iterable[Batch], count: int
) -> Metrics:
    """What `evaluate` gives for `count` examples that come in batches of one size.

    The last batch is filled up with examples that are selected away.
    """
    found, position = [], 0
    for batch in batches:
        size = count_examples("batch", batch)
        valid = position + np.arange(size) < count
        found.append(_sum_one_batch(problem, params, model_state, batch, valid))
        position += size
    stacked = jax.tree.map(lambda *values: jnp.stack(values), *found)
    return {name: _finish(name, value, count) for name, value in stacked.items()}


def _sum_valid(name: str, value: Array, valid: Bool[Array, " batch"]) -> Float[Array, ""]:
    if value.shape != valid.shape:
        raise ValueError(
            f"metric {name!r} must have one value for each example, of shape {valid.shape}, "
            f"got {value.shape}. Do not average inside metrics: evaluate does."
        )
    return jnp.sum(jnp.where(valid, value.astype(jnp.float32), 0.0))
