"""The ways in which JAX runs an operation, for every target that is made of it."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Operations = Mapping[str, Callable[..., Any]]


def modes(operations: Operations) -> dict[str, Callable[..., Any]]:
    """The operations `ways` and `traces` of a target that has these.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo_spec.targets.jax_modes import modes
        >>> ways = modes({"relu": lambda x: jnp.maximum(x, 0)})["ways"]
        >>> {way: y.tolist() for way, y in ways("relu", np.float32([-1, 2])).items()}
        {'eager': [0.0, 2.0], 'compiled': [0.0, 2.0], 'mapped': [0.0, 2.0]}
    """

    def ways(name: str, *arguments: Any) -> dict[str, Any]:
        on_device = jax.tree.map(_array, arguments)
        with jax.disable_jit():
            eager = operations[name](*on_device)
        compiled = operations[name](*arguments)
        return {
            "eager": eager,
            "compiled": compiled,
            "mapped": _mapped(operations[name], arguments),
        }

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

    return {"ways": ways, "traces": traces}


def _array(leaf: Any) -> Any:
    return jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf


def _mapped(operation: Callable[..., Any], arguments: Any) -> Any:
    """The first of two problems that are solved together; the second is another one."""
    # Data, trees and the seed, which comes first, are mapped over; hyperparameters are not.
    mapped = [isinstance(leaf, (np.ndarray, dict)) or k == 0 for k, leaf in enumerate(arguments)]
    data = [leaf for leaf, is_mapped in zip(arguments, mapped, strict=True) if is_mapped]

    def one(*data: Any) -> Any:
        rest = iter(data)
        pairs = zip(arguments, mapped, strict=True)
        return operation(*[next(rest) if is_mapped else leaf for leaf, is_mapped in pairs])

    both = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf), jnp.asarray(leaf) + 1]), data)
    return jax.tree.map(lambda leaf: leaf[0], jax.vmap(one)(*both))
