"""What the targets of JAX frameworks share: initializers, gradients, and the ways to run."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from hondo_spec.adapter import Operation, operation
from hondo_spec.target import Known, Target, of_package

Operations = Mapping[str, Operation]
INITIALIZERS = ("glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_normal")
UNBIASED = {"dropout": "inverted", "decay": "old", "running_variance": "unbiased"}
BIASED = {**UNBIASED, "running_variance": "biased"}
TRUNCATED = {**BIASED, "normal": "truncated"}
# What the norms take that have parameters.
PARAMETERS = {"layer_norm": ("scale", "bias"), "rms_norm": ("scale",)}


def target(
    name: str, package: str, operations: Operations, conventions: Mapping[str, str],
    known: Mapping[str, Known],
) -> Target:  # fmt: skip
    """A target of compiled operations and what JAX makes of them: gradients, and ways to run."""
    every = with_gradients(on_devices(operations))
    every["ways"] = ways_of(every)
    made = {name: _precise(operation) for name, operation in every.items()}
    return of_package(name, made, conventions, known, mode="jit-float32", package=package)


def compiled(*, static: str | Sequence[str] = ()) -> Callable[[Operation], Operation]:
    """The decorator `operation`, of what `jax.jit` makes of the function with static arguments."""
    return lambda function: jax.jit(operation(function), static_argnames=static)


def _precise(function: Operation) -> Operation:
    """Its products are of whole float32 numbers, which matrix units would cut short."""

    @wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        with jax.default_matmul_precision("highest"):
            return function(*args, **options)

    return run


def with_gradients(operations: Operations) -> dict[str, Operation]:
    """The operations with the gradients of those that have none of their own."""
    made = {
        f"{name}_gradient": gradient(operations[name])
        for name, gradient in GRADIENTS.items()
        if name in operations
    }
    return {**made, **operations}


def on_devices(operations: Operations) -> dict[str, Operation]:
    """The operations, and those that can be had of them on several devices.

    A CPU is eight of them if JAX_NUM_CPU_DEVICES=8 is there before JAX is imported.
    """

    def dropout_on_devices(seed: Any, x: Any, keep_prob: float, devices: int) -> Any:
        return operations["dropout"](seed, divided(x, devices), keep_prob)

    def clip_on_devices(tree: Any, limit: float, devices: int) -> Any:
        return operations["clip_by_global_norm"](divided(tree, devices), limit)

    def statistics_on_devices(x: Any, present: Any, devices: int) -> Any:
        """Running statistics that keep nothing of those before."""
        x, present = divided((x, present), devices)
        one = jnp.ones(x.shape[-1])
        rest = 0 * one, one, one, 0 * one, 0.0, 1e-3
        return operations["masked_batch_norm"](x, present, *rest)[1:]

    made = {
        "dropout": dropout_on_devices,
        "clip_by_global_norm": clip_on_devices,
        "masked_batch_norm": statistics_on_devices,
    }
    found = {made[name].__name__: made[name] for name in made if name in operations}
    return {**operations, **found, "device_count": jax.device_count}


def divided(tree: Any, devices: int) -> Any:
    """The arrays, whose first axis so many devices share where they can; else they are whole."""
    axes, first = (AxisType.Auto,), jax.devices()[:devices]
    mesh = jax.make_mesh((devices,), ("data",), axis_types=axes, devices=first)

    def put(leaf: Any) -> jax.Array:
        axes = ("data",) if np.ndim(leaf) and len(leaf) % devices == 0 else ()
        return jax.device_put(leaf, NamedSharding(mesh, PartitionSpec(*axes)))

    return jax.tree.map(put, tree)


def initializers(namespace: Any) -> dict[str, Operation]:
    """The operations of initializers by their usual names: `namespace.he_normal()` and so on."""
    return {name: initializer(getattr(namespace, name)()) for name in INITIALIZERS}


def activations(namespace: Any) -> dict[str, Operation]:
    """The operations of activations by their usual names."""
    names = ("sigmoid", "tanh", "relu", "softmax")
    return {name: jax.jit(getattr(namespace, name)) for name in names}


def norms(call: Operation, **layers: Operation) -> dict[str, Operation]:
    """The norms of a library of layers.

    Args:
        call: what a layer with these parameters makes of x: `call(layer, x, **parameters)`.
        **layers: by operation, what makes its layer of x and of the options.
    """

    def norm(name: str, make: Operation) -> Operation:
        given = PARAMETERS.get(name, ())

        def normalized(x: Any, *rest: Any) -> Any:
            params = dict(zip(given, rest, strict=False))
            return call(make(x, *rest[len(given) :]), x, **params)

        return jax.jit(normalized, static_argnums=1 if name == "group_norm" else ())

    return {name: norm(name, make) for name, make in layers.items()}


def unmasked(masked_batch_norm: Operation) -> Operation:
    """The operation `batch_norm` of one whose mask may be None."""
    return jax.jit(lambda x, *rest: inspect.unwrap(masked_batch_norm)(x, None, *rest))


def initializer(init: Any) -> Any:
    """The operation of an initializer `init(key, shape, dtype)`."""
    return jax.jit(
        lambda seed, shape: init(jax.random.key(seed), shape, jnp.float32), static_argnums=1
    )


def update(make: Operation) -> Operation:
    """The operation (tree, limit) of what `make(limit)` makes of a gradient."""

    @jax.jit
    def updated(tree: Any, limit: Any) -> Any:
        transformation = make(limit)
        return transformation.update(tree, transformation.init(tree))[0]

    return updated


def slope(function: Any) -> Any:
    """The derivative of an elementwise function."""
    return jax.jit(jax.grad(lambda x: jnp.sum(function(x))))


def dropout_gradient(dropout: Any) -> Any:
    """The operation of that name, of a dropout."""

    @partial(jax.jit, static_argnames="keep_prob")
    def both(seed: Any, x: Any, keep_prob: float, g: Any) -> Any:
        y, vjp = jax.vjp(lambda x: dropout(seed, x, keep_prob), x)
        return y, vjp(g)[0]

    return both


def pulled_back(arrays: int = 1, static: Sequence[int] = ()) -> Callable[[Operation], Operation]:
    """Makes (…, g) → the gradients of Σ g · y in the first arguments, which are arrays, of a y(…).

    Args:
        arrays: how many gradients there are, of one by itself.
        static: the places of the arguments that are not traced.
    """

    def gradient(function: Operation) -> Operation:
        def pull(*given: Any) -> Any:
            rest = given[arrays:-1]
            y, back = jax.vjp(lambda *first: function(*first, *rest), *given[:arrays])
            found = back(jnp.asarray(given[-1], y.dtype))
            return found if arrays > 1 else found[0]

        return jax.jit(pull, static_argnums=static)

    return gradient


def batch_norm_gradient(batch_norm: Operation, static: Sequence[int] = ()) -> Operation:
    """The operation of that name, of a batch normalization."""

    def train(x: Any, scale: Any, bias: Any, epsilon: float) -> Any:
        return batch_norm(x, 0 * bias, 0 * bias + 1, scale, bias, 0.9, epsilon)[0]

    return pulled_back(static=static)(train)


def of_number(function: Any) -> Any:
    """The gradient of a number in its first argument."""
    return jax.jit(jax.grad(function))


GRADIENTS = {
    **dict.fromkeys(("sigmoid", "tanh", "relu"), slope),
    "dropout": dropout_gradient,
    "batch_norm": batch_norm_gradient,
    "layer_norm": pulled_back(3),
    "group_norm": pulled_back(static=(1,)),
    "rms_norm": pulled_back(2),
    **dict.fromkeys(("instance_norm", "residual", "l2_normalize"), pulled_back()),
    **dict.fromkeys(("cross_entropy", "l1_penalty", "l2_penalty"), of_number),
}


def ways_of(operations: Operations) -> Operation:
    """The operation `ways` of a target that has these.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo_spec.targets._jax import ways_of
        >>> ways = ways_of({"relu": lambda x: jnp.maximum(x, 0)})
        >>> {way: y.tolist() for way, y in ways("relu", np.float32([-1, 2])).items()}
        {'eager': [0.0, 2.0], 'compiled': [0.0, 2.0], 'mapped': [0.0, 2.0]}
    """

    def ways(name: str, *arguments: Any) -> dict[str, Any]:
        on_device = jax.tree.map(_array, arguments)
        return {
            "eager": inspect.unwrap(operations[name])(*on_device),
            "compiled": operations[name](*arguments),
            "mapped": _mapped(operations[name], arguments),
        }

    return ways


def traces_of(operations: Operations) -> Operation:
    """The operation `traces` of a target that has these."""

    def traces(name: str, calls: Any) -> int:
        count = 0

        @jax.jit
        def counted(*arguments: Any) -> Any:
            nonlocal count
            count += 1
            return operations[name](*arguments)

        for arguments in calls:
            counted(*arguments)
        return count

    return traces


def _array(leaf: Any) -> Any:
    return jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf


def _mapped(function: Operation, arguments: Any) -> Any:
    """The first of two problems that are solved together; the second is another one."""
    # Data, trees and the seed, which comes first, are mapped over; hyperparameters are not.
    is_data = [isinstance(leaf, (np.ndarray, dict)) or k == 0 for k, leaf in enumerate(arguments)]
    data = {k: leaf for k, leaf in enumerate(arguments) if is_data[k]}

    def one(data: Any) -> Any:
        return function(*[data.get(k, leaf) for k, leaf in enumerate(arguments)])

    both = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf), jnp.asarray(leaf) + 1]), data)
    return jax.tree.map(lambda leaf: leaf[0], jax.vmap(one)(both))
