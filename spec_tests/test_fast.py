"""Every fast form agrees with its plain form: values and gradients, in every dtype."""

import importlib
import inspect
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import gamma, unit_roundoff

from benchmarks.fast import PAIRS
from benchmarks.fast_pair import Pair, arguments, with_gradient
from hondo import _fast
from hondo._fast.uniform_draws import fused_integers
from hondo._numerics.dtypes import accumulation_dtype

FILES = [file.name for file in pkgutil.iter_modules(_fast.__path__)]
# Functions that no plain form is compared with, and why.
NOT_COMPARED = {
    "bernoulli_threshold.drawn_probability": "says with which probability the masks are drawn",
    "convolution.layout_of": "names the axes of a layout",
    "hashed_bits.hash_bits": "has other bits than its plain form: test_masks.py judges them",
    "hashed_bits.hash_of_index": "has other bits than its plain form: test_masks.py judges them",
    "layer_norm_rows.has_many_rows": "says where `rows_tangent` is the faster one",
    "whole_program.whole_options": "says how the program is compiled that is compared",
}
CASES = [
    pytest.param(
        *(pair, dtype),
        id=f"{pair.name}-{jnp.dtype(dtype).name}",
        marks=[] if pair.is_quick and dtype == pair.dtypes[0] else pytest.mark.slow,
    )
    for pair in PAIRS
    for dtype in pair.dtypes
    if pair.roundings is not None
]


@pytest.mark.parametrize(("pair", "dtype"), CASES)
def test_the_fast_form_agrees_with_the_plain_one(pair: Pair, dtype) -> None:
    with jax.enable_x64(True):
        args = arguments(pair, pair.shapes, dtype)
        fast, plain = pair.fast, pair.plain
        if pair.gradient:
            fast, plain = with_gradient(fast), with_gradient(plain)
        got = jax.tree.leaves(pair.compiled(fast, is_fast=True)(*args))
        exact = [arg.astype(jnp.float64) for arg in args] if pair.roundings else args
        want = jax.tree.leaves(jax.jit(plain)(*exact))
        for one, other in zip(got, want, strict=True):
            assert_near(pair, dtype, one, other)


def assert_near(pair: Pair, dtype, got: jax.Array, want: jax.Array) -> None:
    """Within so many roundings of the sums' dtype and two of the result's, of the largest entry."""
    if not pair.roundings or got.dtype == bool:
        np.testing.assert_array_equal(np.asarray(got), np.asarray(want))
        return
    relative = gamma(pair.roundings, accumulation_dtype(dtype)) + 2 * unit_roundoff(got.dtype)
    relative += pair.of_dtype * unit_roundoff(dtype)
    gap = np.max(np.abs(np.asarray(got, np.float64) - np.asarray(want, np.float64)))
    assert gap <= relative * np.max(np.abs(np.asarray(want, np.float64)))


def public_functions(file: str) -> dict[str, object]:
    """The functions of a file of `_fast/`, by `file.name`."""
    module = importlib.import_module(f"hondo._fast.{file}")
    return {
        f"{file}.{name}": value
        for name, value in vars(module).items()
        if callable(value) and not inspect.isclass(value) and not name.startswith("_")
        if getattr(value, "__module__", None) == module.__name__
    }


def test_every_function_behind_the_door_is_compared_or_says_why_not() -> None:
    functions = {name: f for file in FILES for name, f in public_functions(file).items()}
    compared = {f for pair in PAIRS if pair.roundings is not None for f in pair.tries}
    assert {name for name, f in functions.items() if f not in compared} == set(NOT_COMPARED)


@pytest.mark.parametrize("file", FILES)
def test_every_file_behind_the_door_says_what_differs(file: str) -> None:
    assert file in {pair.name.partition(":")[0] for pair in PAIRS}
    header = importlib.import_module(f"hondo._fast.{file}").__doc__
    for needed in ("plain form", "What differs", "1. ", "Measured", "python -m benchmarks fast"):
        assert needed in header, f"{file}.py must say {needed!r} in its header"


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.uint8, np.uint32])
def test_a_count_may_be_a_numpy_integer(kind) -> None:
    draw = inspect.unwrap(fused_integers)  # The check of types takes Python's alone.
    key = jax.random.key(0)
    np.testing.assert_array_equal(draw(key, (9,), kind(100)), fused_integers(key, (9,), 100))
