"""Flax modules, linen and nnx, as pure functions of explicit parameters, state and keys."""

from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

import jax

from hondo._modes import call_in_mode


class Model(NamedTuple):
    """A module as two pure functions.

    Attributes:
        init: `init(key, inputs)` → `(params, model_state)`.
        train: `train(params, model_state, inputs, key)` → `(outputs, new_model_state)`.
        infer: `infer(params, model_state, inputs)` → outputs; no key, no new state.
    """

    init: Callable[[Any, Any], tuple[Any, Any]]
    train: Callable[[Any, Any, Any, Any], tuple[Any, Any]]
    infer: Callable[[Any, Any, Any], Any]


def model(module: Any) -> Model:
    """Makes pure functions of a linen module, an nnx module or a factory of nnx modules.

    The module gets its mode by the arguments of its call that Flax users give that meaning, as
    `hondo._modes.call_in_mode` says; an nnx module is also put into its `train()` or `eval()` mode.

    Args:
        module: a `flax.linen.Module`; or a function `rngs → flax.nnx.Module`, called anew for each
            key; or an `flax.nnx.Module`, whose own parameters are then the start for every key.

    Returns:
        The functions `(init, train, infer)`.

    Raises:
        TypeError: anything else.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from flax import linen
        >>> from hondo.training.flax_models import model
        >>> init, train, infer = model(linen.Dense(3))
        >>> params, state = init(jax.random.key(0), jnp.ones((2, 4)))
        >>> infer(params, state, jnp.ones((2, 4))).shape
        (2, 3)
    """
    from flax import linen

    if isinstance(module, linen.Module):
        return _linen_model(module)
    # Only now: it takes a tenth of a second to import.
    from flax import nnx

    if isinstance(module, nnx.Module):
        # Its own, because switching between training and inference changes the module.
        own = nnx.clone(module)
        return _nnx_model(lambda rngs: nnx.clone(own), keep=own)
    if callable(module):
        return _nnx_model(module)
    raise TypeError(
        f"module must be a linen module, an nnx module or a function rngs → nnx module, got "
        f"{module!r}."
    )


def _linen_model(module: Any) -> Model:
    def training(module: Any, inputs: Any) -> Any:
        return call_in_mode(module, True)(inputs)

    def inference(module: Any, inputs: Any) -> Any:
        return call_in_mode(module, False)(inputs)

    def init(key: Any, inputs: Any) -> tuple[Any, Any]:
        variables = dict(module.init(key, inputs, method=inference))
        return variables.pop("params", {}), variables

    def train(params: Any, model_state: Any, inputs: Any, key: Any) -> tuple[Any, Any]:
        variables = {"params": params, **model_state}
        # One key serves every stream: linen derives each from it by name.
        return module.apply(variables, inputs, method=training, rngs=key, mutable=list(model_state))

    def infer(params: Any, model_state: Any, inputs: Any) -> Any:
        return module.apply({"params": params, **model_state}, inputs, method=inference)

    return Model(init, train, infer)


def _nnx_model(factory: Callable[[Any], Any], keep: Any = None) -> Model:
    from flax import nnx

    def create(key: Any) -> Any:
        return factory(nnx.Rngs(key))

    example = nnx.eval_shape(lambda: create(jax.random.key(0))) if keep is None else keep

    def split(module: Any, train: bool) -> Any:
        (module.train if train else module.eval)()
        return nnx.split(module, nnx.Param, ...)

    train_graph, _, _ = split(example, True)
    infer_graph, _, _ = split(example, False)

    def init(key: Any, inputs: Any) -> tuple[Any, Any]:
        _, params, model_state = split(create(key), True)
        return params, _reseed(model_state, key)

    def train(params: Any, model_state: Any, inputs: Any, key: Any) -> tuple[Any, Any]:
        module = nnx.merge(train_graph, _copy(params), _reseed(model_state, key))
        outputs = call_in_mode(module, True)(inputs)
        _, _, model_state = nnx.split(module, nnx.Param, ...)
        return outputs, model_state

    def infer(params: Any, model_state: Any, inputs: Any) -> Any:
        module = nnx.merge(infer_graph, _copy(params), _copy(model_state))
        return call_in_mode(module, False)(inputs)

    return Model(init, train, infer)


def _copy(state: Any) -> Any:
    """The same arrays in new variables, which belong to the trace in progress."""
    return jax.tree.map(lambda leaf: leaf, state)


def _reseed(model_state: Any, key: Any) -> Any:
    """Every stream restarts from this step's key and its own place among the streams."""
    from flax import nnx

    places = count()

    def fresh(variable: Any) -> Any:
        if isinstance(variable, nnx.RngKey):
            own = jax.random.fold_in(key, next(places))
            shape = variable.get_value().shape
            return variable.replace(jax.random.split(own, shape) if shape else own)
        if isinstance(variable, nnx.RngCount):
            return variable.replace(jax.numpy.zeros_like(variable.get_value()))
        return variable

    leaves, treedef = jax.tree.flatten(
        _copy(model_state), is_leaf=lambda leaf: isinstance(leaf, nnx.Variable)
    )
    return jax.tree.unflatten(treedef, map(fresh, leaves))
