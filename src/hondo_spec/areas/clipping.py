"""CLP: gradient clipping (slide 11)."""

import math

import numpy as np

from hondo_spec import draws
from hondo_spec.bounds import GRID, gamma
from hondo_spec.property import prop
from hondo_spec.results import Check, Exact, Holds, refused

SOURCE = "slide 11; Pascanu, Mikolov and Bengio 2013, algorithm 1"
LIMITS = (0.25, 1.0, 1e10)
TINY = 9 * float(np.finfo(np.float32).tiny)
BOUND = gamma(9 + 4)


def _flushed(limit) -> float:
    """What is lost where code flushes numbers below the smallest normal one, in nine entries."""
    return TINY * max(limit, 1.0)


def _norm(tree) -> float:
    return math.sqrt(sum(float(np.sum(np.float64(leaf) ** 2)) for leaf in tree.values()))


def _flat(tree) -> np.ndarray:
    return np.concatenate([np.ravel(np.float64(tree[name])) for name in sorted(tree)])


@prop(
    "CLP-01",
    "X M",
    "clipping by value clamps every entry; it is idempotent and odd",
    formula=r"g' = \min(\max(g, -c), c)",
    source="slide 11; Goodfellow et al. 2016, section 10.11.1",
    symbols="clip_by_value",
    tree=draws.trees(),
    limit=LIMITS,
)
def _clp_01(clip_by_value, *, tree, limit):
    clipped = clip_by_value(tree, limit)
    for name, leaf in tree.items():
        yield Exact(name, clipped[name], np.clip(leaf, -np.float32(limit), np.float32(limit)))
    again = clip_by_value(clipped, limit)
    negative = clip_by_value({name: -leaf for name, leaf in tree.items()}, limit)
    for name in tree:
        yield Exact("twice", again[name], clipped[name])
        yield Exact("odd", negative[name], -np.asarray(clipped[name]))


@prop(
    "CLP-02",
    "B M",
    "the norm over the whole tree is at most the limit",
    formula=r"\lVert g'\rVert_2 \le c\,(1 + \gamma_{n+4})",
    source=SOURCE,
    symbols="clip_by_global_norm",
    tree=draws.trees(),
    limit=LIMITS,
)
def _clp_02(clip_by_global_norm, *, tree, limit):
    reached = _norm(clip_by_global_norm(tree, limit))
    return Holds("norm ≤ limit", reached <= limit * (1 + BOUND) + _flushed(limit), reached)


@prop(
    "CLP-03",
    "X M",
    "a gradient inside the limit comes back bit for bit",
    formula=r"\lVert g\rVert_2 < c \Rightarrow g' = g",
    source=SOURCE,
    symbols="clip_by_global_norm",
    tree=draws.trees(),
    factor=(1.001, 1.5, 10.0),
)
def _clp_03(clip_by_global_norm, *, tree, factor):
    limit = max(_norm(tree), TINY) * factor
    clipped = clip_by_global_norm(tree, limit)
    for name in tree:
        yield Exact(name, clipped[name], tree[name])


@prop(
    "CLP-04",
    "B M",
    "all leaves are scaled by one number in (0, 1]",
    formula=r"g' = s\,g,\ 0 < s \le 1",
    source=SOURCE,
    symbols="clip_by_global_norm",
    tree=draws.trees(),
    limit=LIMITS,
)
def _clp_04(clip_by_global_norm, *, tree, limit):
    before, after = _flat(tree), _flat(clip_by_global_norm(tree, limit))
    largest = np.argmax(np.abs(before))
    scale = after[largest] / before[largest] if before[largest] else 1.0
    yield Holds("0 < s ≤ 1", 0 < scale <= 1 + BOUND, scale)
    # Where all of it may be flushed there is nothing to compare.
    if np.max(np.abs(before)) * scale > _flushed(limit):
        bound = 2 * BOUND * np.abs(scale * before) + _flushed(limit)
        yield Check("g'", after, scale * before, bound)


@prop(
    "CLP-05",
    "B M",
    "a gradient beyond the limit ends on it",
    formula=r"\lVert g\rVert_2 > c \Rightarrow \lVert g'\rVert_2 = c",
    source=SOURCE,
    symbols="clip_by_global_norm",
    tree=draws.trees(),
    factor=(1e-3, 0.3, 0.999),
)
def _clp_05(clip_by_global_norm, *, tree, factor):
    limit = _norm(tree) * factor
    if limit > TINY / gamma(1):
        reached = _norm(clip_by_global_norm(tree, limit))
        yield Check("norm", reached, limit, BOUND * limit + _flushed(limit))


@prop(
    "CLP-06",
    "X M",
    "a gradient of zeros stays zero for every limit",
    formula=r"g = 0 \Rightarrow g' = 0",
    source=SOURCE,
    symbols="clip_by_global_norm clip_by_value",
    limit=(0.0, 1e-30, 1.0),
)
def _clp_06(clip_by_global_norm, clip_by_value=None, *, limit):
    tree = {"a": np.zeros(2, np.float32), "b": np.zeros((2, 3), np.float32)}
    for clip in filter(None, (clip_by_global_norm, clip_by_value)):
        clipped = clip(tree, limit)
        for name, leaf in tree.items():
            yield Exact(name, clipped[name], leaf)


HARD = (
    ("float16", (300.0, 400.0), 1.0),
    ("float32", (3e19, 4e19), 1.0),
    ("float32", (3e-25, 4e-25), 1e-30),
)


@prop(
    "CLP-07",
    "B s",
    "the direction survives where squares over- or underflow",
    formula=r"g' = c\,g / \lVert g\rVert_2",
    source=SOURCE,
    symbols="clip_by_global_norm",
    case=HARD,
)
def _clp_07(clip_by_global_norm, *, case):
    dtype, values, limit = case
    leaf = np.asarray(values, dtype)
    exact = leaf.astype(np.float64)
    want = exact * (limit / math.sqrt(float(np.sum(exact**2))))
    got = np.asarray(clip_by_global_norm({"a": leaf}, limit)["a"])
    unit = float(np.finfo(dtype).eps) / 2
    return Check("g'", got.astype(np.float64), want, (gamma(8) + 2 * unit) * np.abs(want))


@prop(
    "CLP-08",
    "T s",
    "non-finite gradients follow the declared policy on all leaves",
    formula=r"\text{propagate: } g' = g;\ \text{zero: 0 for them, the rest clipped};"
    r"\ \text{skip: } g' = 0;\ \text{error: raises}",
    source=SOURCE,
    symbols="clip_by_global_norm nonfinite_leaves",
    bad=(math.inf, -math.inf, math.nan),
    limit=(10.0, 1.0),
)
def _clp_08(clip_by_global_norm, conventions, *, bad, limit):
    tree = {"a": draws.single([bad, 4.0]), "b": draws.single([3.0])}
    policy = conventions.get("nonfinite", "propagate")
    if policy == "error":
        return Holds("raises", refused(clip_by_global_norm, tree, limit))
    factor = {"propagate": 1.0, "zero": min(1.0, limit / 5), "skip": 0.0}[policy]
    first = bad if policy == "propagate" else 0.0
    want = np.array([first, 4 * factor, 3 * factor])
    got = _flat(clip_by_global_norm(tree, limit))
    places = [Exact("the non-finite entry", got[:1], want[:1])]
    return [*places, Check("the others", got[1:], want[1:], BOUND * want[1:], 1.0)]


@prop(
    "CLP-09",
    "X M",
    "clipping is homogeneous in powers of two and blind to how the tree is cut",
    formula=r"\operatorname{clip}(ag, ac) = a\operatorname{clip}(g, c),\ a = 2^k",
    source=SOURCE,
    symbols="clip_by_global_norm",
    values=draws.floats(6),
    power=(-8, 3, 12),
)
def _clp_09(clip_by_global_norm, *, values, power):
    values = np.where(np.abs(values) < GRID, 0, values).astype(np.float32)
    factor = np.float32(2.0**power)
    whole = np.asarray(clip_by_global_norm({"a": values}, 1.0)["a"])
    scaled = np.asarray(clip_by_global_norm({"a": values * factor}, float(factor))["a"])
    yield Exact("a g'", scaled, whole * factor)
    parts = {"a": values[:2], "b": values[2:].reshape(2, 2)}
    cut = _flat(clip_by_global_norm(parts, 1.0))
    yield Check("cut", cut, whole, 2 * gamma(10) * np.abs(whole) + TINY)


PROPERTIES = (_clp_01, _clp_02, _clp_03, _clp_04, _clp_05, _clp_06, _clp_07, _clp_08, _clp_09)
