"""How a module is told whether it trains: one rule for blocks, for `fit` and for `evaluate`."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from hondo._numerics.checks import error, python_value
from hondo._types import Inputs, Outputs

Module = Callable[..., Any]

# The arguments by which a Flax module takes its mode, each with its value in training.
_IN_TRAINING = {
    "train": True,
    "training": True,
    "deterministic": False,
    "use_running_average": False,
}


def call_in_mode(module: Module, train: bool) -> Callable[[Inputs], Outputs]:
    """Makes a function of x that calls a module in training mode or in inference mode.

    The mode is passed by every argument of the call that has one of the names Flax and its users
    give it: `train`, `training`, `deterministic`, `use_running_average`. Each name is looked at by
    itself:

    * a module that takes two of them gets both, which then agree;
    * a mode that was given before stays: by `functools.partial`, or by a dataclass field that is
      None until it is given, as linen's, whose modules refuse a field and an argument together;
    * a call that takes `**kwargs` and none of the names hands its keywords on. It gets what its
      first layer takes if it has `layers`, as the Sequentials of Flax, and else `train`.

    The mode goes by position where it follows x directly, because `nn.remat`, `nn.jit` and
    `nn.vmap` trace keywords.

    Args:
        module: a module of linen or nnx, or any function of x.
        train: the mode, True for training.

    Returns:
        The function.

    Raises:
        ValueError: a mode that is neither True nor False.

    Example:
        >>> call_in_mode(lambda x, *, train: (x, train), True)(3)
        (3, True)
        >>> call_in_mode(lambda x, deterministic=None: (x, deterministic), True)(3)
        (3, False)
        >>> call_in_mode(lambda x: x, True)(3)
        3
    """
    check_train(train)
    mode = {name: _IN_TRAINING[name] == train for name in _mode_names(module)}
    if not mode:
        return module

    def call(x: Inputs) -> Outputs:
        bound = inspect.signature(module).bind_partial(x, **mode)
        return module(*bound.args, **bound.kwargs)

    return call


def check_train(train: object) -> None:
    """Raises unless the mode is True or False: None would silently mean inference.

    Raises:
        ValueError: anything else, a traced bool too.

    Example:
        >>> check_train(True)
    """
    if not isinstance(python_value(train), bool):
        repair = "Under a transformation it must be static, as by nn.remat(…, static_argnums=(2,))."
        raise error("train", train, "True or False", repair)


def _mode_names(module: Module) -> list[str]:
    """The arguments by which the module still waits for its mode."""
    is_partial = isinstance(module, functools.partial)
    given, inner = (set(module.keywords), module.func) if is_partial else (set(), module)
    parameters = inspect.signature(module).parameters
    names = [name for name in _IN_TRAINING if name in {*parameters, *given}]
    kinds = {parameter.kind for parameter in parameters.values()}
    if names or inspect.Parameter.VAR_KEYWORD not in kinds:
        return [name for name in names if name not in given and not _is_given(inner, name)]
    layers = getattr(inner, "layers", ())
    return _mode_names(layers[0]) if isinstance(layers, Sequence) and layers else ["train"]


def _is_given(module: Module, name: str) -> bool:
    field = getattr(module, "__dataclass_fields__", {}).get(name)
    return field is not None and field.default is None and getattr(module, name) is not None
