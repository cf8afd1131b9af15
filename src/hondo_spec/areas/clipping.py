"""CLP: gradient clipping (slide 11)."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from hondo_spec import draws
from hondo_spec.areas.norms import unit_lengths
from hondo_spec.bounds import FLUSHED, GRID, UNITS, gamma, rounded
from hondo_spec.property import Area, given
from hondo_spec.results import Check, Exact, Holds, exact_leaves, refused

SOURCE = "slide 11; Pascanu, Mikolov and Bengio 2013, algorithm 1"
BY_VALUE = "slide 11; Goodfellow et al. 2016, section 10.11.1"
prop = Area("CLP", source=SOURCE, symbols="clip_by_global_norm")
LIMITS = (2.0**-10, 0.25, 1.0, 1e10)
STEPS = "slide 11; Micikevicius et al. 2018, section 3.2"
ADAPTIVE = "slide 11; Brock et al. 2021, equation 3"
LEAST = 2.0**-6  # the ε of adaptive clipping
NOT_FINITE = (math.inf, -math.inf, math.nan)
# Of more than one axis, so that units have inputs; a square, and windows.
UNITS_OF = ((8, 4), (3, 8), (7, 33), (7, 7), (131, 3), (3, 5, 9), (2, 3, 5, 5), (2, 3, 1, 2, 5))
# Leaves that no power of two divides, and more of them than a block has.
LARGE = {"a/kernel": (67, 3), "b/bias": (131,), "c": (), "d/kernel": (2063,), "e": (0, 5)}
LARGE |= {f"f/{k}": (1,) for k in range(70)}
TINY = draws.TREE_SIZE * float(np.finfo(np.float32).tiny)
BOUND = gamma(draws.TREE_SIZE + 5)
# The unit roundoff of what is stored again, and what is lost where code flushes small numbers.
STORED, LOST = {**UNITS, "float32": 0.0}, {**FLUSHED, "float32": TINY}


def kinds(tree: Mapping[str, Any], limit: float = 1.0) -> dict[str, Mapping[str, Any]]:
    """The tree, and the same large if it has one leaf, else in halves that hold the limit.

    The sum of squares stays in the range of float32.
    """
    own, values = {name: leaf.shape for name, leaf in tree.items()}, draws.single(_flat(tree))
    if len(tree) == 1:
        return {"": tree, ", large": draws.as_tree(np.clip(values, -(2.0**56), 2.0**56), LARGE)}
    dtypes = draws.HALVES if limit < 2.0**15 else ()
    return {"": tree, ", halves": draws.as_tree(np.clip(values, -8, 8), own, dtypes)}


def slack(tree: Mapping[str, np.ndarray], limit: float) -> tuple[float, float]:
    """What a norm that is scaled to a limit may be off by: relatively, and by what is flushed."""
    kept = [(leaf.size, leaf.dtype.name) for leaf in tree.values()]
    size, stored = sum(size for size, _ in kept), max(STORED[dtype] for _, dtype in kept)
    lost = math.sqrt(sum(size * LOST[dtype] ** 2 for size, dtype in kept))
    return gamma(max(draws.TREE_SIZE, size) + 5) + 2 * stored, lost * max(limit, 1.0)


def norm(tree: Mapping[str, np.ndarray]) -> float:
    """The root of the sum of all squares, in float64."""
    return math.sqrt(sum(float(np.sum(draws.double(leaf) ** 2)) for leaf in tree.values()))


def _flat(tree: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([np.ravel(draws.double(tree[name])) for name in sorted(tree)])


@prop(1, "must", "exact", source=BY_VALUE, symbols="clip_by_value")
@given(tree=draws.trees(mixed=True), limit=draws.LIMITS)
def _clipping_by_value_clamps_every_entry(clip_by_value, conventions, *, tree, limit):
    r"""clipping by value clamps every entry; it is idempotent and odd; what is not finite is
    clamped too, with NaN left as it is, or follows the declared policy
    $g' = \min(\max(g, -c), c)$
    """
    c = np.float32(limit)
    for what, each in kinds(tree, limit).items():
        want = {name: np.clip(draws.single(leaf), -c, c) for name, leaf in each.items()}
        yield from exact_leaves(clip_by_value(each, limit), want, "{}" + what)
    clipped = clip_by_value(tree, limit)
    for name, leaf in tree.items():
        found = str(np.asarray(clipped[name]).dtype)
        yield Holds(f"dtype of {name}", found == str(leaf.dtype), found)
    yield from exact_leaves(clip_by_value(clipped, limit), clipped, "twice")
    negative = clip_by_value({name: -leaf for name, leaf in tree.items()}, limit)
    yield from exact_leaves(negative, {name: -leaf for name, leaf in clipped.items()}, "odd")
    policy = conventions.get("nonfinite", "propagate")
    for bad in NOT_FINITE:
        hard = {"a": draws.single([bad, 4.0]), "b": draws.single([-3.0])}
        if not (policy == "error" and refused(clip_by_value, hard, 1.0)):
            yield _clamped(_flat(clip_by_value(hard, 1.0)), bad, policy)


def _clamped(got: np.ndarray, bad: float, policy: str) -> Holds:
    """Whether [bad, 4, −3] is clamped to ±1, or becomes what the policy makes of it."""
    propagated = [bad, 1, -1], [bad, 4, -3]
    by_policy = {"propagate": propagated, "zero": [[0, 1, -1]], "skip": [[0, 0, 0]], "error": []}
    right = [np.clip([bad, 4, -3], -1, 1), *by_policy[policy]]
    same = [np.array_equal(got, want, equal_nan=True) for want in right]
    return Holds(f"[{bad}, 4, −3] clamped, or by the policy {policy!r}", any(same), got)


@prop(2, "must", "bound")
@given(tree=draws.trees(), limit=(0.0, *LIMITS))
def _norm_ends_within_the_limit(clip_by_global_norm, *, tree, limit):
    r"""the norm over the whole tree is at most the limit
    $\lVert g'\rVert_2 \le c\,(1 + \gamma_{n+4})$
    """
    for what, each in kinds(tree, limit).items():
        # That a limit of 0 leaves zeros alone is CLP-06.
        if limit or norm(each) > GRID:
            reached, (error, lost) = norm(clip_by_global_norm(each, limit)), slack(each, limit)
            yield Holds(f"norm ≤ limit{what}", reached <= limit * (1 + error) + lost, reached)


@prop(3, "must", "exact")
@given(tree=draws.trees(), factor=(1.001, 1.5, 10.0, math.inf))
def _small_gradient_is_untouched(clip_by_global_norm, *, tree, factor):
    r"""a gradient inside the limit comes back bit for bit, every one if there is none
    $\lVert g\rVert_2 < c \Rightarrow g' = g$
    """
    # What is added to the norm shows where the norm is small.
    for (what, each), is_small in itertools.product(kinds(tree).items(), (False, True)):
        scale = math.ldexp(1.0, -13 - math.frexp(norm(each))[1]) if is_small else 1.0
        small = {k: (leaf * np.float32(scale)).astype(leaf.dtype) for k, leaf in each.items()}
        limit = max(norm(small), TINY) * factor
        yield from exact_leaves(clip_by_global_norm(small, limit), small, "{}" + what)


@prop(4, "must", "bound")
@given(tree=draws.trees(), limit=LIMITS)
def _leaves_are_scaled_by_one_number(clip_by_global_norm, *, tree, limit):
    r"""all leaves are scaled by one number in (0, 1]
    $g' = s\,g,\ 0 < s \le 1$
    """
    before, after = _flat(tree), _flat(clip_by_global_norm(tree, limit))
    largest, lost = np.argmax(np.abs(before)), TINY * max(limit, 1.0)
    scale = after[largest] / before[largest] if before[largest] else 1.0
    yield Holds("0 < s ≤ 1", 0 < scale <= 1 + BOUND, scale)
    # Where all of it may be flushed there is nothing to compare.
    if np.max(np.abs(before)) * scale > 2 * lost:
        bound = 2 * BOUND * np.abs(scale * before) + lost
        yield Check("g'", after, scale * before, bound)


@prop(5, "must", "bound")
@given(tree=draws.trees(), factor=(1e-3, 0.3, 0.999))
def _large_gradient_ends_on_the_limit(clip_by_global_norm, *, tree, factor):
    r"""a gradient beyond the limit ends on it
    $\lVert g\rVert_2 > c \Rightarrow \lVert g'\rVert_2 = c$
    """
    for what, each in kinds(tree).items():
        limit = norm(each) * factor
        error, lost = slack(each, limit)
        # What happens where squares underflow is CLP-07.
        if limit > max(math.sqrt(TINY / gamma(1)), 2 * lost):
            reached = norm(clip_by_global_norm(each, limit))
            yield Check(f"norm{what}", reached, limit, error * limit + lost)


@prop(6, "must", "exact", symbols="clip_by_global_norm clip_by_value")
@given(limit=(0.0, 1e-30, 1.0, math.inf))
def _zeros_stay_zero(clip_by_global_norm, clip_by_value=None, *, limit):
    r"""a gradient of zeros stays zero for every limit, and one of nothing stays nothing
    $g = 0 \Rightarrow g' = 0$
    """
    shapes = {"a": (2,), "b": (2, 3), "c": (), "d": (0, 3)}
    trees = [draws.as_tree(draws.single([0]), shapes, dtypes) for dtypes in ((), draws.HALVES)]
    for clip in filter(None, (clip_by_global_norm, clip_by_value)):
        for zeros in (*trees, {"d": trees[0]["d"]}):
            yield from exact_leaves(clip(zeros, limit), zeros)


HARD = (
    ("float16", (300.0, 400.0), 1.0), ("float32", (3e19, 4e19), 1.0),
    ("float32", (3e-25, 4e-25), 1e-30),
    # A running sum of ones stays at 256 in bfloat16.
    *(("bfloat16", (1.0,) * 1024, 1.0) for name in draws.HALVES if name == "bfloat16"),
)  # fmt: skip
# The norm itself overflows; entries that stay normal numbers, as small as these.
EXTREME = (("float32", (3e38,) * 4, 1.0), ("float32", (3e-37, 4e-37), 1e-37))


@prop(7, "should", "bound")
@given(case=HARD + EXTREME)
def _direction_survives_any_magnitude(clip_by_global_norm, *, case):
    r"""the direction survives where squares or the norm over- or underflow, and beside a leaf of
    another dtype
    $g' = c\,g / \lVert g\rVert_2$
    """
    dtype, values, limit = case
    trees = [{"a": np.asarray(values, dtype)}]
    if dtype == "float16":
        # The factor of 1e-6 is below the normal numbers of float16, the norm beyond them.
        trees.append({"a": np.asarray([3e4, 4e4], dtype), "b": draws.single([1e6])})
        trees.append(draws.uneven_tree(0))
    for tree in trees:
        clipped = clip_by_global_norm(tree, limit)
        for name, leaf in tree.items():
            want = draws.double(leaf) * (limit / norm(tree))
            if want.size:
                rounding = gamma(draws.TREE_SIZE + 6) + gamma(want.size)
                rounding += 2 * UNITS[leaf.dtype.name]
                yield Check(f"{name}'", clipped[name], want, rounding * np.abs(want))
            found = str(np.asarray(clipped[name]).dtype)
            yield Holds(f"dtype of {name}", found == str(leaf.dtype), found)


@prop(8, "should", "structural", symbols="clip_by_global_norm nonfinite_leaves")
@given(bad=NOT_FINITE, limit=(10.0, 1.0, math.inf))
def _nonfinite_gradients_follow_the_policy(clip_by_global_norm, conventions, *, bad, limit):
    r"""non-finite gradients follow the declared policy on all leaves, also without a limit
    $\text{propagate: } g' = g;\ \text{zero: 0 for them, the rest clipped};
    \ \text{skip: } g' = 0;\ \text{error: raises}$
    """
    policy = conventions.get("nonfinite", "propagate")
    factor = {"zero": min(1.0, limit / 5), "skip": 0.0}.get(policy, 1.0)
    for place in range(3):
        values = draws.single(np.insert([4.0, 3.0], place, bad))
        kind = ("float32", *draws.HALVES)[place % (1 + len(draws.HALVES))]
        tree = {k: np.asarray([0, v], kind) for k, v in zip("abc", values, strict=True)}
        if policy == "error":
            yield Holds("raises", refused(clip_by_global_norm, tree, limit))
            continue
        got = _flat(clip_by_global_norm(tree, limit))[1::2]
        want = bad if policy == "propagate" else 0.0
        yield Exact(f"non-finite entry, leaf {place}", got[place], np.float64(want))
        others = factor * draws.double([4, 3])
        slack = rounded(others, BOUND * others, kind)
        yield Check("the others", np.delete(got, place), others, slack, 1.0)


@prop(9, "must", "exact")
@given(values=draws.floats(6, reach=100.0), power=(-8, 3, 12))
def _clipping_is_homogeneous(clip_by_global_norm, *, values, power):
    r"""clipping is homogeneous in powers of two and blind to how the tree is cut
    $\operatorname{clip}(ag, ac) = a\operatorname{clip}(g, c),\ a = 2^k$
    """
    values = np.where(np.abs(values) < GRID, 0, values).astype(np.float32)
    factor = np.float32(2.0**power)
    whole = np.asarray(clip_by_global_norm({"a": values}, 1.0)["a"])
    scaled = clip_by_global_norm({"a": values * factor}, float(factor))["a"]
    yield Exact("a g'", scaled, whole * factor)
    parts = {"a": values[:2], "b/c/d/e": values[2:5, None], "c": values[5], "d": values[:0, None]}
    cut = _flat(clip_by_global_norm(parts, 1.0))
    yield Check("cut", cut, whole, 2 * gamma(10) * np.abs(whole) + TINY)


@prop(10, "must", "bound", source=ADAPTIVE, symbols="adaptive_clip")
@given(w=draws.arrays(UNITS_OF, True), seed=draws.seeds, ratio=(0.0, 0.01, 0.25, 2.0, math.inf))
def _adaptive_clipping_goes_by_units(adaptive_clip, *, w, seed, ratio):
    r"""adaptive clipping holds each unit's gradient to a share of that unit's weights, window
    included, whose length counts as ε at least
    $g_j' = g_j\min(1, \lambda\max(\lVert w_j\rVert, \varepsilon) / \lVert g_j\rVert)$
    """
    # Units of unlike sizes, the first of weights that are 0, the third of gradients that are.
    g, units = draws.normal(seed, w.shape), np.arange(w.shape[-1])
    g, sizes = (g * (units != 2)).astype(w.dtype), np.where(units, 4.0 ** (units % 3 - 1), 0)
    w = w * sizes.astype(w.dtype)
    lengths = [unit_lengths(part) for part in (g, w)]
    limits = ratio * np.maximum(lengths[1], LEAST)
    want = np.float64(g) * np.minimum(1, limits / np.where(lengths[0] > 0, lengths[0], 1))
    count = w.size // w.shape[-1]
    inside = lengths[0] < limits * (1 - gamma(4 * count))
    got = np.asarray(adaptive_clip(g, w, ratio, LEAST))
    bound = rounded(want, gamma(2 * count + 16) * np.abs(want), w.dtype.name)
    yield Check("g'", got, want, bound, 1.0)
    yield Exact("inside", got[..., inside], g[..., inside])


@prop(11, "must", "exact", source=STEPS, symbols="fit")
@given(
    seed=draws.seeds, bad=NOT_FINITE, steps=(4, 9), width=(1, 3, 8), momentum=(0.0, 0.5, 0.9375),
    holes=((), (0,), (2,), (1, 2), (0, 1, 2, 3), tuple(range(9))),
)  # fmt: skip
def _nonfinite_step_changes_nothing(skipping_descent, *, seed, bad, holes, steps, width, momentum):
    r"""a step whose gradient is not finite changes neither the parameters nor the momentum
    $g_t \notin \mathbb{R}^n \Rightarrow (w_{t+1}, v_{t+1}) = (w_t, v_t)$
    """
    # The square of a large one is out of range.
    size = 2.0 ** (70 * (seed % 2))
    g = draws.lattice_of(seed, (width,), -8, 8) * np.float32(size)
    # All that are left are alike where there is momentum, so that their order does not matter.
    sizes = 1 + np.arange(steps, dtype=np.float32) * (momentum == 0)
    gradients = g * sizes[:, None]
    gradients[list(holes[:steps]), seed % width] = bad
    w, v, rate = *np.zeros((2, width)), 0.5 ** (1 + seed // 2 % 2 * 2) / size
    for each in np.delete(sizes, holes[:steps]):
        v = momentum * v + each * g
        w = w - rate * v
    slack = gamma(8 * steps) * (steps**2 * 8.0 if momentum > 0.5 else 0) + np.zeros(width)
    return Check("w", skipping_descent(gradients, rate, momentum), w, slack, 1.0)
