"""Whole runs as programs that LLVM optimizes a level less, on CPU.

The plain form: `jax.jit`.

What differs:

1. On CPU a program is optimized at level 2 instead of 3, unless `XLA_FLAGS` named a level when this
   was imported. The third level takes its time for large bodies, such as those that draw normal
   numbers, and nothing of it shows in a run. Where it vectorizes a sum in another way, last bits
   differ.
2. Options are those of a whole program: within another one, and for tracers, there is `plain`.

Measured by `python -m benchmarks fast --only whole_program` on 2 cores with nothing else running
(2026-11-29), time over that of the plain form: normal weights of two layers and ten steps of
descent .38 to compile, 1.00 to run. Whole runs and first runs by it are in docs/benchmarks.md.
"""

import os
from collections.abc import Callable
from functools import cached_property
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
from jax.core import Tracer

Result = TypeVar("Result")
_LEVEL = "xla_backend_optimization_level"
_HAS_LEVEL = _LEVEL in os.environ.get("XLA_FLAGS", "")


def whole_options() -> dict[str, str | bool]:
    """What XLA is told about a whole program.

    Example:
        >>> set(whole_options()) <= {"xla_backend_optimization_level"}
        True
    """
    return {} if _HAS_LEVEL or jax.default_backend() != "cpu" else {_LEVEL: "2"}


class WholeProgram(Generic[Result]):
    """`jax.jit(function, **options)`, for calls that are in no other program.

    Attributes:
        plain: that.
        lower: its method.

    Example:
        >>> WholeProgram(lambda x: 2 * x)(jnp.ones(2)).tolist()
        [2.0, 2.0]
    """

    def __init__(self, function: Callable[..., Result], **options: Any):
        self.plain = jax.jit(function, **options)
        self.lower = self.plain.lower
        self._function, self._options = function, options

    @cached_property
    def whole(self) -> Callable[..., Result]:
        """The program, with the options of the device that there is at its first call."""
        return jax.jit(self._function, **self._options, compiler_options=whole_options())

    def __call__(self, *arguments: Any) -> Result:
        """The function's result; NaN in it is its caller's, whatever `jax_debug_nans` is."""
        with jax.debug_nans(False):
            return self.whole(*arguments)

    def anywhere(self, *arguments: Any) -> Result:
        """The same, also of tracers and within another program."""
        return (self.plain if _is_traced(arguments) else self)(*arguments)


def _is_traced(arguments: tuple[Any, ...]) -> bool:
    # Within another program whatever is computed is a tracer.
    leaves = [*jax.tree.leaves(arguments), jnp.zeros(())]
    return any(isinstance(leaf, Tracer) for leaf in leaves)
