"""What properties draw: at most a handful of shapes, because a new shape is a new compilation."""

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

KAPPAS = (0.0, 1e2, 1e3, 1e4)
# NumPy knows bfloat16 by name once ml_dtypes is imported, which comes with JAX.
HALVES = ("float16", "bfloat16") if importlib.util.find_spec("ml_dtypes") else ("float16",)
if "bfloat16" in HALVES:
    importlib.import_module("ml_dtypes")


def single(values: Any) -> np.ndarray:
    """An array in float32."""
    return np.asarray(values, np.float32)


def double(values: Any) -> np.ndarray:
    """An array in float64."""
    return np.asarray(values, np.float64)


seeds = st.integers(0, 2**31 - 1)
dyadic = st.sampled_from([2.0**k for k in range(-6, 4)])


def integers(*shape: int, low: int = -8, high: int = 8) -> st.SearchStrategy[np.ndarray]:
    """Small integers in float32, on which sums and products are exact in any order."""
    size = int(np.prod(shape))
    values = st.lists(st.integers(low, high), min_size=size, max_size=size)
    return values.map(lambda v: single(v).reshape(shape))


def floats(*shape: int, reach: float = 100.0) -> st.SearchStrategy[np.ndarray]:
    """Arbitrary normal numbers and zeros in float32."""
    size = int(np.prod(shape))
    one = st.floats(-reach, reach, width=32, allow_subnormal=False)
    values = st.lists(one, min_size=size, max_size=size)
    return values.map(lambda v: single(v).reshape(shape))


class Made(NamedTuple):
    """An array by its recipe, which is what a failure prints; bodies get the array.

    Attributes:
        recipe: a function of this module.
        arguments: of it.
    """

    recipe: Callable[..., np.ndarray]
    arguments: Mapping[str, Any]

    def __call__(self) -> np.ndarray:
        """The array."""
        return self.recipe(**self.arguments)


def normal(
    seed: int, shape: tuple[int, ...], offset: float = 0.0, scale: float = 1.0
) -> np.ndarray:
    """The scale times the sum of standard normal numbers and the offset, in float32."""
    return single(scale * (np.random.default_rng(seed).normal(size=shape) + offset))


def normals(*shape: int) -> st.SearchStrategy[Made]:
    """Standard normal numbers in float32, from a drawn seed."""
    return seeds.map(lambda seed: Made(normal, {"seed": seed, "shape": shape}))


TREE_SIZE = 12  # entries of such a tree


def trees() -> st.SearchStrategy[dict[str, np.ndarray]]:
    """A tree over many magnitudes: a vector, a matrix, a number and the kernel of a convolution."""
    one = st.floats(-(2.0**60), 2.0**60, width=32, allow_subnormal=False)
    values = st.lists(one, min_size=TREE_SIZE, max_size=TREE_SIZE).map(single)
    return values.map(
        lambda v: {
            "a": v[:1],
            "b": v[1:7].reshape(2, 3),
            "c": v[7].reshape(()),
            "d": v[8:].reshape(2, 1, 1, 2),
        }
    )


def columns(
    m: int = 64, features: int = 4, kappas: tuple[float, ...] = KAPPAS
) -> st.SearchStrategy[Made]:
    """Columns on which statistics are hard, with |mean|/std among `kappas`."""
    kinds = st.sampled_from(("offset", "constant", "outlier", "flat", "huge", "zeros"))
    spreads = st.sampled_from([2.0**k for k in range(-10, 4)])
    column = st.tuples(kinds, spreads, st.sampled_from(kappas))
    drawn = st.tuples(seeds, st.lists(column, min_size=features, max_size=features))
    return drawn.map(lambda both: Made(hard_columns, {"seed": both[0], "m": m, "columns": both[1]}))


def hard_columns(seed: int, m: int, columns: list[tuple[str, float, float]]) -> np.ndarray:
    """Offsets, constants, an outlier, v ≪ ε, 2^40, zeros of both signs: (kind, spread, κ) each."""
    rng = np.random.default_rng(seed)
    made = [_column(kind, rng.normal(size=m), spread, kappa) for kind, spread, kappa in columns]
    return single(np.stack(made, axis=-1))


def _column(kind: str, z: np.ndarray, spread: float, kappa: float) -> np.ndarray:
    place = np.arange(z.size)
    return {
        "offset": spread * (z + kappa),
        "constant": np.full(z.size, 1.1 * spread),
        "outlier": spread * np.where(place == z.size // 2, 1e3, z),
        "flat": 1e-6 * z,
        "huge": 2.0**40 * z,
        "zeros": np.where(place % 2, 0.0, -0.0),
    }[kind]


def lattice(m: int = 16, features: int = 3) -> st.SearchStrategy[np.ndarray]:
    """Integers |x| ≤ 2^4 in columns of 2^k: float32 statistics are exact in any order."""
    return integers(m, features, low=-16, high=16)


def sequences(length: int = 6) -> st.SearchStrategy[list[float]]:
    """Validation values: ties, NaN and infinities are likely."""
    values = st.sampled_from([0.0, 1.0, 2.0, 3.0, -1.0, 0.5, np.nan, np.inf, -np.inf])
    return st.lists(values, min_size=1, max_size=length)
