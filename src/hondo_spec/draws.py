"""What properties draw: one strategy each of shapes, dtypes, hyperparameters and trees.

All properties share them, so that what one has compiled another finds compiled: a new shape is a
new compilation, a new value is nothing. Every size comes as a batch and as a width.
"""

import importlib.util
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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


# Everything is drawn from integers below 100: among larger ones and floats hypothesis mixes numbers
# of the code around it, by which a checkout would draw other data than an installation.
_digits = st.integers(0, 99)
# Below 2^31, so that the next ones are 31 bits too.
seeds = st.tuples(st.integers(0, 20), *[_digits] * 4).map(lambda parts: int(np.polyval(parts, 100)))
# Batches, and vectors, of these widths; words, images, and volumes. Some are as long as wide.
MATRICES = ((1, 16), (2, 9), (3, 8), (5, 7), (7, 33), (8, 1), (9, 2), (16, 5), (33, 3), (7, 7))
DEEP = ((3, 5, 9), (2, 3, 5, 8), (3, 8, 2, 8), (2, 3, 1, 2, 5))
VECTORS = ((7,), (16,))
OF_ANY_RANK = (*VECTORS, *MATRICES, *DEEP)
ENTRIES = ((), (1,), (7,), (33,), (5, 7), (16, 5), (3, 5, 9), (2, 3, 5, 8))
# Examples and classes.
LOGITS = ((6, 4), (1, 3), (5, 2), (2, 9), (3, 8), (9, 5), (40, 300), (600, 2), (2, 1100))
# Windows of one, two and three axes, before inputs and units.
KERNELS = (*MATRICES, (3, 5, 9), (3, 1, 8, 2), (2, 3, 5, 5), (2, 3, 1, 2, 5))
IN_HALVES = ((3, 8), (16, 5), (2, 3, 5, 8))

# Near the ends of what they may be, and between; 1/2 is no P: there keep and drop look the same.
PROBABILITIES = (0.001, 0.1, 0.2, 0.37, 0.8, 0.9, 0.99, 0.9995)
LIMITS = (0.0, 2.0**-10, 0.25, 2.5, 1e10, math.inf)
PATIENCES = (1, 2, 3, 5, 9, 17, 100, 300)
# All that is in use, and what no default is near.
COMMON, SMALL = (2.0**-10, 0.5), 2.0**-20
epsilons = st.sampled_from((*(*COMMON, 1e-5) * 8, *(1.1 * 2.0**k for k in range(-40, 10))))
decays = st.sampled_from((0.0, 1.0, 0.999)) | seeds.map(lambda seed: float(single(seed / 2**31)))
# Dyadic, so that products with integers are exact, or any, below and above what a half holds.
strengths = st.sampled_from([0.0, *map(math.exp2, range(-20, 16))])
strengths |= st.builds(lambda k, part: math.exp2(k + part / 100), st.integers(-40, 19), _digits)


@dataclass(frozen=True)
class Cases:
    """A strategy for each case: each of them has its turn, whatever else is drawn."""

    strategies: tuple[st.SearchStrategy[Any], ...]

    def __or__(self, other: "Cases") -> "Cases":
        return Cases(self.strategies + other.strategies)


def shapes_and_dtypes(
    shapes: tuple[tuple[int, ...], ...] = MATRICES + DEEP, halves: bool = True
) -> tuple[tuple[tuple[int, ...], str], ...]:
    """Every shape in float32, a few of them in halves too."""
    few = [shape for shape in shapes if shape in IN_HALVES] if halves else []
    return (*((s, "float32") for s in shapes), *((s, dtype) for s in few for dtype in HALVES))


def arrays(
    shapes: tuple[tuple[int, ...], ...] = MATRICES + DEEP, halves: bool = False,
    offset: float = 0.0, scale: float = 1.0,
) -> Cases:  # fmt: skip
    """Normal numbers of such a case."""
    cases = shapes_and_dtypes(shapes, halves)
    named = [(s, {} if dtype == "float32" else {"dtype": dtype}) for s, dtype in cases]
    return Cases(tuple(seeded(normal, shape=s, offset=offset, scale=scale, **d) for s, d in named))


def whole(shapes: tuple[tuple[int, ...], ...], low: int = -8, high: int = 8) -> Cases:
    """Small integers of such shapes in float32, on which sums and products are exact."""
    return Cases(tuple(seeded(lattice_of, shape=shape, low=low, high=high) for shape in shapes))


def seeded(recipe: Callable[..., Any], **others: Any) -> st.SearchStrategy["Made"]:
    """What the recipe makes of any seed, and of these values or of what such strategies draw."""
    drawn = {k: v if isinstance(v, st.SearchStrategy) else st.just(v) for k, v in others.items()}
    return st.fixed_dictionaries({"seed": seeds, **drawn}).map(lambda v: Made(recipe, v))


def classes_of(logits: np.ndarray) -> np.ndarray:
    """A class for each example, the last one among them."""
    m, count = logits.shape
    return ((count - 1 - np.arange(m) * 5) % count).astype(np.int32)


# What may be refused, by the convention that declares it: not everybody takes it.
REFUSABLE: Mapping[str, Callable[[np.ndarray], bool]] = {
    "half_precision": lambda x: x.dtype.itemsize == 2,
    "batch_of_one": lambda x: x.ndim > 1 and len(x) == 1,
    "other_ranks": lambda x: x.ndim != 2,
}


def refusable(drawn: object) -> set[str]:
    """The conventions by which a target may refuse what was drawn."""
    if isinstance(drawn, Made):
        made = drawn()
        arrays = made if isinstance(made, list) else [made]
        return {name for name, is_such in REFUSABLE.items() if any(map(is_such, arrays))}
    leaves = drawn.values() if isinstance(drawn, Mapping) else ()
    parts = drawn if isinstance(drawn, tuple) else (drawn,)
    dtypes = [part for part in parts if isinstance(part, str)]
    dtypes += [leaf.dtype.name for leaf in leaves if isinstance(leaf, np.ndarray)]
    return {"half_precision"} if set(dtypes) & set(HALVES) else set()


def floats(size: int, reach: float) -> st.SearchStrategy[np.ndarray]:
    """Numbers up to `reach`, of one magnitude or of many, small integers and zeros among them."""

    def of_seed(seed: int) -> np.ndarray:
        random = np.random.default_rng(seed)
        powers = random.choice((0, 0, 60)) * random.random() + random.choice((0, 2, 60), size)
        values = random.uniform(-reach, reach, size) * 2.0**-powers
        return single(np.where(random.random(size) < 0.3, np.clip(np.round(values), -3, 3), values))

    return seeds.map(of_seed)


class Made(NamedTuple):
    """An array by its recipe, which is what a failure prints; bodies get the array.

    Attributes:
        recipe: a function of this module.
        arguments: of it.
    """

    recipe: Callable[..., Any]
    arguments: Mapping[str, Any]

    def __call__(self) -> Any:
        """The array, or the arrays."""
        return self.recipe(**self.arguments)


def normal(
    seed: int, shape: tuple[int, ...], offset: float = 0.0, scale: float = 1.0,
    dtype: str = "float32",
) -> np.ndarray:  # fmt: skip
    """The scale times the sum of standard normal numbers and the offset."""
    return single(scale * (np.random.default_rng(seed).normal(size=shape) + offset)).astype(dtype)


def present(count: int, kept: int) -> np.ndarray:
    """Which of so many entries are left, as many or, below 0, all but as many, here and there."""
    return np.arange(count) * 5 % count < kept + count * (kept < 0)


def seed_of(x: np.ndarray) -> int:
    """Another number for other data."""
    return int(np.abs(np.float64(x.flat[-1])) * 2**16)


def epsilon_of(seed: int, dtype: str) -> float:
    """For one third of the seeds the usual ε, else any from 1e-12, or `SMALL` in halves, to 1e3."""
    power = seed // 16 % 51 - (40 if dtype == "float32" else 20)
    return 2.0 ** min(power, 10) if seed // 8 % 3 else COMMON[0]


def level(epsilon: float) -> np.float32:
    """What makes the variances of normal data 4 ε, for each ε that is not a common one."""
    return np.float32(1 if epsilon in COMMON else 2 * math.sqrt(epsilon))


def lattice_of(seed: int, shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
    """Integers from low to high, in float32."""
    return single(np.random.default_rng(seed).integers(low, high + 1, shape))


def batches(seed: int, sizes: tuple[int, ...], images: bool, width: int) -> list[np.ndarray]:
    """Integers, on which means and squares are exact in float64; images are of unlike sizes."""
    shapes = [(m, *((2, 1 + k % 3) if images else ()), width) for k, m in enumerate(sizes)]
    return [lattice_of(seed + k, shape, -16, 16) for k, shape in enumerate(shapes)]


# Trees by the shapes of their leaves: flat, deep and of many leaves, with an empty one, of one.
TREES: tuple[dict[str, tuple[int, ...]], ...] = (
    {"a": (1,), "b": (2, 3), "c": (), "d": (2, 1, 1, 2)},
    {f"block/{k}/attention/{role}": shape for k in range(10)
     for role, shape in (("kernel", (1, 1)), ("bias", (1,)), ("scale", ()))},
    {"empty/kernel": (0, 3), "a/kernel": (5, 1), "b/bias": (7,)},
    {"w": (33,)},
)  # fmt: skip
TREE_SIZE = 33  # entries of such a tree, at most


def trees(mixed: bool = False) -> Cases:
    """A tree over many magnitudes; its leaves are of mixed dtypes too if that is wanted."""
    values = floats(12, reach=2.0**60)
    dtypes = st.sampled_from(((), HALVES) if mixed else ((),))
    return Cases(tuple(st.builds(as_tree, values, st.just(tree), dtypes) for tree in TREES))


def as_tree(
    values: np.ndarray, shapes: Mapping[str, tuple[int, ...]], dtypes: tuple[str, ...] = ()
) -> dict[str, np.ndarray]:
    """The values in turn for all leaves, which have these dtypes from the second one on."""
    sizes = [math.prod(shape) for shape in shapes.values()]
    parts = np.split(np.resize(values, sum(sizes)), np.cumsum(sizes)[:-1])
    tree = {name: p.reshape(s) for p, (name, s) in zip(parts, shapes.items(), strict=True)}
    for k, name in enumerate(list(tree)[1:] if dtypes else ()):
        tree[name] = np.clip(tree[name], -8, 8).astype(dtypes[k % len(dtypes)])
    return tree


def uneven_tree(seed: int) -> dict[str, np.ndarray]:
    """Deep names, many leaves, an empty one, and mixed dtypes."""
    return as_tree(normal(seed, (12,)), {**TREES[2], **TREES[1]}, HALVES)


def columns(
    shapes: tuple[tuple[int, ...], ...] = ((64, 4), (9, 130), *MATRICES[1:], *DEEP),
    kappas: tuple[float, ...] = KAPPAS,
) -> Cases:
    """Columns on which statistics are hard, with |mean|/std among `kappas`."""
    kinds = st.sampled_from(("offset", "constant", "outlier", "flat", "huge", "zeros"))
    spreads = st.sampled_from([2.0**k for k in range(-10, 4)])
    column = st.tuples(kinds, spreads, st.sampled_from(kappas))
    several = st.lists(column, min_size=4, max_size=4)
    return Cases(tuple(seeded(hard_columns, shape=shape, columns=several) for shape in shapes))


def hard_columns(
    seed: int, shape: tuple[int, ...], columns: list[tuple[str, float, float]]
) -> np.ndarray:
    """Offsets, constants, an outlier, v ≪ ε, 2^40, zeros of both signs.

    The columns are (kind, spread, κ) each, in turn for all features.
    """
    rng, m = np.random.default_rng(seed), math.prod(shape[:-1])
    kinds = [columns[j % len(columns)] for j in range(shape[-1])]
    made = [_column(kind, rng.normal(size=m), spread, kappa) for kind, spread, kappa in kinds]
    return single(np.stack(made, axis=-1)).reshape(shape)


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


def sequences(length: int = 6) -> st.SearchStrategy[list[float]]:
    """Validation values: ties, NaN and infinities are likely."""
    values = st.sampled_from([0.0, 1.0, 2.0, 3.0, -1.0, 0.5, np.nan, np.inf, -np.inf, 1 + 2**-23])
    return st.lists(values, min_size=1, max_size=length)
