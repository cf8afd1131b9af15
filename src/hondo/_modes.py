"""How a module is told whether it trains: one rule for layers, blocks, `fit` and `evaluate`."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from hondo._numerics.checks import error, python_value
from hondo._types import Inputs, Module, Outputs

if TYPE_CHECKING:
    from flax import nnx

CallableModule = Callable[..., Any]

# The arguments by which a Flax module takes its mode, each with its value in training.
_IN_TRAINING = {
    "train": True,
    "training": True,
    "is_training": True,
    "deterministic": False,
    "use_running_average": False,
}


@runtime_checkable
class Layer(Protocol):
    """A layer of this package with two modes.

    `mode_attribute` names the attribute that says which one, with Flax's meaning; None leaves it to
    the call. `train` is the other word for it at the call.
    """

    mode_attribute: ClassVar[str]


def is_training(layer: Layer, train: bool | None, by_name: bool | None) -> bool:
    """Says whether a layer trains: as its call says by either word, and else by its attribute.

    Args:
        layer: has the attribute that `layer.mode_attribute` names.
        train: the mode, as the call has it; None if it does not say.
        by_name: what the call says by the attribute's name, of which True means inference.

    Returns:
        The mode.

    Raises:
        ValueError: neither the call nor the attribute says it, the two words of the call
            contradict each other, or a mode is neither True nor False.
    """
    name = layer.mode_attribute
    mode = getattr(layer, name) if by_name is None else by_name
    if train is not None:
        check_train(train)
        if by_name is not None and by_name == train:
            raise error(name, by_name, f"{not train} beside train={train}", "Give one of them.")
        return bool(train)
    if mode is None:
        repair = f"Or make the layer with {name}=…; in nnx, net.train() and net.eval() set it."
        raise error("train", None, "True or False", repair)
    check_mode(name, mode)
    return not mode


def ignore_mode(train: object) -> None:
    """Lets the mode of a layer that has one mode only pass, but nothing else in its place.

    Raises:
        ValueError: an array, as of a mask given by position.

    Example:
        >>> ignore_mode(None)
    """
    if np.ndim(python_value(train)):
        raise error("train", train, "True or False", "A mask goes by its name, mask=….")


def call_in_mode(module: CallableModule, train: bool | None) -> Callable[[Inputs], Outputs]:
    """Makes a function of x that calls a module in training mode or in inference mode.

    The mode is passed by every argument of the call that has one of the names Flax and its users
    give it: `train`, `training`, `is_training`, `deterministic`, `use_running_average`. Each name
    is looked at by itself:

    * a module that takes two of them gets both, which then agree;
    * a mode that was given before stays: by `functools.partial`, or by a dataclass field that is
      None until it is given, as linen's, whose modules refuse a field and an argument together;
    * a layer of this package takes `train`, which wins over an attribute of nnx; one of linen whose
      field gives the mode keeps it, as Flax's do;
    * a call that takes `**kwargs` and none of the names hands its keywords on. It gets what its
      first layer takes if it has `layers` or a `layer_instance`, as Flax's Sequential and
      WeightNorm, and else `train`.

    The mode goes by position where it follows x directly, because `nn.remat`, `nn.jit` and
    `nn.vmap` trace keywords.

    Args:
        module: a module of linen or nnx, or any function of x.
        train: the mode, True for training; None leaves the module to itself.

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
    if train is None:
        return module
    check_train(train)
    mode = {name: _IN_TRAINING[name] == train for name in _mode_names(module)}
    if not mode:
        return module

    def call(x: Inputs) -> Outputs:
        bound = inspect.signature(module).bind_partial(x, **mode)
        return module(*bound.args, **bound.kwargs)

    return call


def call_with_rngs(factory: CallableModule, rngs: "nnx.Rngs") -> Module:
    """Calls a factory of nnx modules, which takes `rngs` first, or by its name alone.

    Example:
        >>> call_with_rngs(lambda *, rngs: rngs, 3), call_with_rngs(lambda r: r, 3)
        (3, 3)
    """
    inner = factory.func if isinstance(factory, functools.partial) else factory
    # A class of nnx has the signature of its metaclass.
    parameters = inspect.signature(inner.__init__ if inspect.isclass(inner) else inner).parameters
    parameter = parameters.get("rngs")
    by_name = parameter is not None and parameter.kind == inspect.Parameter.KEYWORD_ONLY
    return factory(rngs=rngs) if by_name else factory(rngs)


def check_train(train: object) -> None:
    """Raises unless the mode is True or False: None would silently mean inference.

    Raises:
        ValueError: anything else, a traced bool too.

    Example:
        >>> check_train(True)
    """
    check_mode("train", train)


def check_mode(name: str, mode: object) -> None:
    """Raises unless an argument that says the mode is True or False.

    Raises:
        ValueError: anything else, a traced bool too.

    Example:
        >>> check_mode("deterministic", False)
    """
    if not isinstance(python_value(mode), bool):
        repair = "Under a transformation it must be static, as by nn.remat(…, static_argnums=(2,))."
        raise error(name, mode, "True or False", repair)


def _mode_names(module: CallableModule) -> list[str]:
    """The arguments by which the module still waits for its mode."""
    is_partial = isinstance(module, functools.partial)
    given, inner = (set(module.keywords), module.func) if is_partial else (set(), module)
    if (attribute := getattr(inner, "mode_attribute", None)) is not None:
        return [] if {"train", attribute} & given or _is_given(inner, attribute) else ["train"]
    parameters = inspect.signature(module).parameters
    names = [name for name in _IN_TRAINING if name in {*parameters, *given}]
    kinds = {parameter.kind for parameter in parameters.values()}
    if names or inspect.Parameter.VAR_KEYWORD not in kinds:
        return [name for name in names if name not in given and not _is_given(inner, name)]
    layers = getattr(inner, "layers", ())
    first = layers[0] if isinstance(layers, Sequence) and layers else None
    first = getattr(inner, "layer_instance", first)
    return ["train"] if first is None else _mode_names(first)


def _is_given(module: CallableModule, name: str) -> bool:
    field = getattr(module, "__dataclass_fields__", {}).get(name)
    return field is not None and field.default is None and getattr(module, name) is not None
