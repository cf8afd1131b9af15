"""What is trained, as pure functions: the contract between models and the loop."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import jax
from jaxtyping import Array, PRNGKeyArray

from hondo._numerics.checks import error
from hondo._numerics.tree_checks import check_leaves
from hondo._types import Batch, Data, Info, ModelState, Params
from hondo.training.metrics import Value

_DIVIDE = (
    "A model with functions in it, such as Equinox's, is divided: "
    "params, rest = equinox.partition(model, equinox.is_inexact_array)."
)


class Problem(NamedTuple):
    r"""What is trained: how it starts, what is minimized, what is measured.

    Any framework fits: five lines wrap an equinox, haiku or plain function, and
    `hondo.supervised` makes one of a linen or nnx module. A batch is any pytree of arrays that
    share their leading axis, for supervised learning the pair `(inputs, targets)`.

    Attributes:
        init: `init(key, batch)` → `(params, model_state)`; `params` is what gradients reach,
            `model_state` whatever else the model carries (running statistics, or `()`).
        loss: `loss(params, model_state, batch, key)` → `(scalar, (model_state, info))`, the
            training objective on one batch; `info` is a dict of scalars to record. An object that
            is called, and whose `microbatched(parts)` gives the loss that takes its batch in parts,
            can be streamed in microbatches; those of `supervised` can, and what `penalized` and
            `noisy_parameters` make of them.
        metrics: `metrics(params, model_state, batch)` → a dict of per-example arrays (batch,), of
            which `evaluate` takes the mean, or `Pooled` values; inference: no key, no new state.
        prepare: the training data → the data that the run draws its batches from, such as with
            weights by its frequencies; None leaves it as it is.

    Example:
        >>> import hondo, jax, jax.numpy as jnp
        >>> def error(w, batch):
        ...     return (batch[0] @ w - batch[1]) ** 2
        >>> problem = hondo.Problem(
        ...     init=lambda key, batch: (jax.random.normal(key, (batch[0].shape[1],)), ()),
        ...     loss=lambda w, state, batch, key: (jnp.mean(error(w, batch)), (state, {})),
        ...     metrics=lambda w, state, batch: {"loss": error(w, batch)},
        ... )
        >>> sorted(problem._fields)
        ['init', 'loss', 'metrics', 'prepare']

    References:
        The objective is the loss of slide 3; `hondo.penalized` adds its penalty.
    """

    init: Callable[[PRNGKeyArray, Batch], tuple[Params, ModelState]]
    loss: Callable[[Params, ModelState, Batch, PRNGKeyArray], tuple[Array, tuple[ModelState, Info]]]
    metrics: Callable[[Params, ModelState, Batch], Mapping[str, Value]]
    prepare: Callable[[Data], Data] | None = None


# Jitted, so that asking for its shapes and asking for its values trace it once.
@partial(jax.jit, static_argnums=0)
def init_model(problem: Problem, key: PRNGKeyArray, batch: Batch) -> tuple[Params, ModelState]:
    """The problem's start.

    Raises:
        ValueError: it is no pair, or has something else than arrays in it.
    """
    start = problem.init(key, batch)
    if not isinstance(start, tuple) or len(start) != 2:
        raise error("what problem.init returns", start, "the pair (params, model_state)")
    check_model(*start)
    return start


def check_model(params: Params, model_state: ModelState) -> None:
    """Raises unless a model consists of arrays.

    Raises:
        ValueError: names the first leaf that is something else.

    Example:
        >>> check_model({"kernel": jax.numpy.ones(2)}, ())
    """
    check_leaves("params", params, _DIVIDE)
    check_leaves("model_state", model_state, _DIVIDE)
