"""Every fast form agrees with its plain form: values and gradients, in every dtype."""

import inspect
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import gamma, unit_roundoff

import hondo
from benchmarks.fast import PAIRS, Pair, arguments, with_gradient
from hondo._fast.uniform_draws import fused_integers
from hondo._numerics.dtypes import accumulation_dtype

CASES = [
    pytest.param(
        *(pair, dtype),
        id=f"{pair.name}-{jnp.dtype(dtype).name}",
        marks=[pytest.mark.slow] * (dtype != pair.dtypes[0]),
    )
    for pair in PAIRS
    for dtype in pair.dtypes
]


@pytest.mark.slow
@pytest.mark.parametrize(("pair", "dtype"), CASES)
def test_the_fast_form_agrees_with_the_plain_one(pair: Pair, dtype) -> None:
    with jax.enable_x64(True):
        args = arguments(pair, pair.shapes, dtype)
        fast, plain = pair.fast, pair.plain
        if pair.gradient:
            fast, plain = with_gradient(fast), with_gradient(plain)
        got = jax.tree.leaves(jax.jit(fast)(*args))
        exact = [arg.astype(jnp.float64) for arg in args] if pair.roundings else args
        want = jax.tree.leaves(jax.jit(plain)(*exact))
        for one, other in zip(got, want, strict=True):
            assert_near(pair, dtype, one, other)


def assert_near(pair: Pair, dtype, got: jax.Array, want: jax.Array) -> None:
    """Within so many roundings of the sums' dtype and two of the result's, of the largest entry."""
    if not pair.roundings:
        np.testing.assert_array_equal(np.asarray(got), np.asarray(want))
        return
    wide = accumulation_dtype(dtype)
    relative = gamma(pair.roundings, wide) + 2 * unit_roundoff(got.dtype)
    gap = np.max(np.abs(np.asarray(got, np.float64) - np.asarray(want, np.float64)))
    assert gap <= relative * np.max(np.abs(np.asarray(want, np.float64)))


def test_every_file_behind_the_door_is_tried_and_says_what_differs() -> None:
    folder = Path(hondo.__file__).parent / "_fast"
    files = {path.stem: path.read_text() for path in folder.glob("*.py") if path.stem != "__init__"}
    assert set(files) == {pair.name.partition(":")[0] for pair in PAIRS}
    for name, text in files.items():
        header = text.split('"""')[1]
        for needed in ("plain form", "What differs", "1. ", "python -m benchmarks"):
            assert needed in header, f"{name}.py must say {needed!r} in its header"


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.uint8, np.uint32])
def test_a_count_may_be_a_numpy_integer(kind) -> None:
    draw = inspect.unwrap(fused_integers)  # The check of types takes Python's alone.
    key = jax.random.key(0)
    np.testing.assert_array_equal(draw(key, (9,), kind(100)), fused_integers(key, (9,), 100))
