"""Flax modules, linen and nnx, as pure functions of explicit parameters, state and keys."""

from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from hondo._bind import bind
from hondo._fast.threefry import fold_in, split_key
from hondo._modes import call_in_mode, call_with_rngs
from hondo._types import Inputs, Leaf, ModelState, Module, Outputs, Params
from hondo.training.flax_microbatches import train_linen_in_parts, train_nnx_in_parts
from hondo.training.hashable_leaves import HashableLeaves

if TYPE_CHECKING:
    from flax import nnx


class ModelFunctions(NamedTuple):
    """A module as three pure functions.

    Attributes:
        init: `init(key, inputs)` → `(params, model_state)`.
        train: `train(params, model_state, inputs, key)` → `(outputs, new_model_state)`.
        infer: `infer(params, model_state, inputs)` → outputs; no key, no new state.
        train_in_parts: `train` with a number of parts before, in which the batch is taken.
    """

    init: Callable[[PRNGKeyArray, Inputs], tuple[Params, ModelState]]
    train: Callable[[Params, ModelState, Inputs, PRNGKeyArray], tuple[Outputs, ModelState]]
    infer: Callable[[Params, ModelState, Inputs], Outputs]
    train_in_parts: Callable[
        [int, Params, ModelState, Inputs, PRNGKeyArray], tuple[Outputs, ModelState]
    ]


def as_functions(module: Module) -> ModelFunctions:
    """Makes pure functions of a linen module, an nnx module or a factory of nnx modules.

    The module gets its mode by the arguments of its call that Flax users give that meaning, as
    `hondo._modes.call_in_mode` says; an nnx module is also put into its `train()` or `eval()` mode.

    Args:
        module: a `flax.linen.Module`; or a function `rngs → flax.nnx.Module`, called anew for each
            key; or an `flax.nnx.Module`, whose own parameters are then the start for every key.

    Returns:
        The functions.

    Raises:
        TypeError: anything else.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from flax import linen
        >>> from hondo.training.flax_models import as_functions
        >>> init, train, infer, _ = as_functions(linen.Dense(3))
        >>> params, state = init(jax.random.key(0), jnp.ones((2, 4)))
        >>> infer(params, state, jnp.ones((2, 4))).shape
        (2, 3)
    """
    from flax import linen

    if isinstance(module, linen.Module):
        return _linen_functions(module)
    # Only now: it takes a tenth of a second to import.
    from flax import nnx

    if isinstance(module, nnx.Module):
        # A copy, because switching between training and inference changes a module.
        copy = nnx.clone(module)
        graph, state = nnx.split(nnx.clone(module))
        return _nnx_functions(bind(_start_again, graph, HashableLeaves(state)), copy)
    if callable(module):
        return _nnx_functions(module, nnx.eval_shape(lambda: _example(module)))
    raise _wrong(module)


def _example(factory: "Callable[[nnx.Rngs], Module]") -> Module:
    """A module of a factory.

    Raises:
        TypeError: it is no such factory.
    """
    from flax import nnx

    try:
        example = call_with_rngs(factory, nnx.Rngs(jax.random.key(0)))
    except (TypeError, AttributeError) as reason:
        raise _wrong(factory, f" Called with an nnx.Rngs, it raises: {reason}") from reason
    if not isinstance(example, nnx.Module):
        raise _wrong(factory, f" Called with an nnx.Rngs, it gives a {type(example).__name__}.")
    return example


def _wrong(module: object, why: str = "") -> TypeError:
    expected = "a linen module, an nnx module or a function rngs → nnx module"
    return TypeError(f"module must be {expected}, got {module!r}.{why}")


def _linen_functions(module: Module) -> ModelFunctions:
    init, train, infer = (bind(f, module) for f in (_init_linen, _train_linen, _infer_linen))
    return ModelFunctions(init, train, infer, bind(train_linen_in_parts, train))


def _call_in_training(module: Module, inputs: Inputs) -> Outputs:
    return call_in_mode(module, True)(inputs)


def _call_in_inference(module: Module, inputs: Inputs) -> Outputs:
    return call_in_mode(module, False)(inputs)


def _init_linen(module: Module, key: PRNGKeyArray, inputs: Inputs) -> tuple[Params, ModelState]:
    variables = dict(module.init(key, inputs, method=_call_in_inference))
    return variables.pop("params", {}), variables


def _train_linen(
    module: Module, params: Params, model_state: ModelState, inputs: Inputs, key: PRNGKeyArray
) -> tuple[Outputs, ModelState]:
    variables = {"params": params, **model_state}
    # By its own name, which `split_rngs` of a scan finds; other streams fall back to "params".
    rngs = {"dropout": key, "params": fold_in(key, 1)}
    options = {"method": _call_in_training, "rngs": rngs, "mutable": list(model_state)}
    return module.apply(variables, inputs, **options)


def _infer_linen(
    module: Module, params: Params, model_state: ModelState, inputs: Inputs
) -> Outputs:
    return module.apply({"params": params, **model_state}, inputs, method=_call_in_inference)


def _nnx_functions(factory: "Callable[[nnx.Rngs], Module]", example: Module) -> ModelFunctions:
    train_graph, _, _ = _split_module(example, True)
    infer_graph, _, _ = _split_module(example, False)
    init, train = bind(_init_nnx, factory), bind(_train_nnx, train_graph)
    in_parts = bind(train_nnx_in_parts, _train_nnx, train_graph)
    return ModelFunctions(init, train, bind(_infer_nnx, infer_graph), in_parts)


def _start_again(graph: "nnx.GraphDef", start: HashableLeaves, _: "nnx.Rngs") -> Module:
    """The module whose parameters are the start for every key."""
    from flax import nnx

    return nnx.merge(graph, _copy_variables(start.leaves))


def _init_nnx(
    factory: "Callable[[nnx.Rngs], Module]", key: PRNGKeyArray, _: Inputs
) -> tuple[Params, ModelState]:
    from flax import nnx

    _, params, model_state = _split_module(call_with_rngs(factory, nnx.Rngs(key)), True)
    return params, _reseed(model_state, key)


def _train_nnx(
    graph: "nnx.GraphDef",
    params: Params,
    model_state: ModelState,
    inputs: Inputs,
    key: PRNGKeyArray,
) -> tuple[Outputs, ModelState]:
    from flax import nnx

    module = nnx.merge(graph, _copy_variables(params), _reseed(model_state, key))
    outputs = call_in_mode(module, True)(inputs)
    _, _, model_state = nnx.split(module, nnx.Param, ...)
    return outputs, model_state


def _infer_nnx(
    graph: "nnx.GraphDef", params: Params, model_state: ModelState, inputs: Inputs
) -> Outputs:
    from flax import nnx

    module = nnx.merge(graph, _copy_variables(params), _copy_variables(model_state))
    return call_in_mode(module, False)(inputs)


def _split_module(module: Module, train: bool) -> "tuple[nnx.GraphDef, Params, ModelState]":
    """The graph of the module in this mode, its parameters, and the rest of its variables."""
    from flax import nnx

    (module.train if train else module.eval)()
    graph, params, model_state = nnx.split(module, nnx.Param, ...)
    return graph, params, model_state


def _copy_variables(state: ModelState) -> ModelState:
    """The same arrays in new variables, which belong to the trace in progress."""
    return jax.tree.map(lambda leaf: leaf, state)


def _reseed(model_state: ModelState, key: PRNGKeyArray) -> ModelState:
    """The state with every random stream restarted from the key and the stream's position."""
    from flax import nnx

    positions = count()

    def restart(variable: Leaf) -> Leaf:
        if isinstance(variable, nnx.RngKey):
            stream_key = fold_in(key, next(positions))
            shape = variable.get_value().shape
            return variable.replace(split_key(stream_key, shape) if shape else stream_key)
        if isinstance(variable, nnx.RngCount):
            return variable.replace(jnp.zeros_like(variable.get_value()))
        return variable

    leaves, treedef = jax.tree.flatten(
        _copy_variables(model_state), is_leaf=lambda leaf: isinstance(leaf, nnx.Variable)
    )
    return jax.tree.unflatten(treedef, map(restart, leaves))
