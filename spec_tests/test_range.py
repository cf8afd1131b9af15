"""Norms of every finite input: huge and tiny, forward, backward and in running statistics.

The oracle computes in NumPy's long double, whose exponents have 15 bits.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import gamma, unit_roundoff
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st

import hondo
import hondo.linen
import hondo.nnx
from hondo._fast import pivoted_sums
from hondo._fast.layer_norm_rows import rows_in_one_kernel
from hondo._fast.pivoted_sums import Mean, sums_at_two_scales
from hondo._fast.squares_in_range import in_one_kernel
from hondo._numerics.over import Over
from hondo._numerics.powers import scaled_epsilon

pytestmark = pytest.mark.usefixtures("rows_of_any_length")

MOST, TINY = float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny)
SEEDS = st.integers(0, 2**32 - 1)
# Powers of two: the ends of float32, where squares leave it, and where they only begin to.
MAGNITUDES = (-120, -100, -65, -40, 0, 40, 49, 62, 64, 100, 120, 127)


def layer(x, epsilon=1e-5):
    return hondo.layer_norm(x, None, None, epsilon=epsilon)


def rms(x, epsilon=1e-5):
    return hondo.rms_norm(x, None, epsilon=epsilon)


def batch(x, epsilon=1e-5):
    return hondo.batch_normalize(x, None, None, epsilon=epsilon)[0]


def grouped(x, epsilon=1e-5):
    return hondo.group_norm(x, None, None, groups=2, epsilon=epsilon)


# The statistics of x in these shapes are over axis 0, 1 or the halves of axis 1.
NORMS = {
    "layer": (layer, (6, 32)),
    "layer of many entries": (layer, (64, 2048)),
    "layer of many rows": (layer, (4096, 8)),
    "rms": (rms, (6, 32)),
    "rms of many entries": (rms, (512, 2048)),
    "batch": (batch, (48, 4)),
    "batch of many": (batch, (2**15, 4)),
    "group": (grouped, (6, 32)),
}
EVERY_NORM = pytest.mark.parametrize("name", NORMS)


def rows(name, x):
    """X with every statistic over the last axis, in long double, and the way back."""
    wide = np.asarray(x).astype(np.longdouble)
    if name.startswith("batch"):
        return wide.T, lambda a: a.T
    if name == "group":
        return wide.reshape(-1, x.shape[-1] // 2), lambda a: a.reshape(x.shape)
    return wide, lambda a: a


class Oracle:
    """x̂, its derivatives, and what they may be off by, in units of the roundoff times n."""

    def __init__(self, name, x, epsilon):
        self.rows, self.back = rows(name, x)
        self.centers = name.split()[0] != "rms"
        self.deviation = self.rows - self.mean(self.rows) * self.centers
        square = self.mean(self.deviation**2)
        self.root = np.sqrt(square + np.longdouble(np.float32(epsilon)))
        self.xhat = self.deviation / self.root
        self.reach = np.max(np.abs(self.rows), -1, keepdims=True) / self.root
        # A sum of n, about eight times in a row.
        self.grain = gamma(8 * self.rows.shape[-1] + 64) * (1 + self.reach)

    def mean(self, a):
        return np.mean(a, axis=-1, keepdims=True)

    def tangent(self, d):
        """The derivative along d, and its own transpose, d being rows."""
        d = d.astype(np.longdouble) / self.root
        return d - self.mean(d) * self.centers - self.xhat * self.mean(self.xhat * d)

    def assert_near(self, got, want, size):
        got, _ = got
        # What is below the smallest normal number may be flushed to 0, in each term of a sum too.
        allowed = self.grain * size + TINY * (2 + self.rows.shape[-1] / self.root)
        assert np.all(np.abs(got.astype(np.longdouble) - want) <= allowed)


def draw(shape, power, seed=0, offset=0.0):
    """Data of this magnitude whose entries are normal numbers."""
    z = np.random.default_rng(seed).uniform(0.25, 1, shape) + offset
    sign = np.random.default_rng(seed + 1).choice([-1, 1], shape) if not offset else 1
    return np.clip(sign * z * 2.0**power, -MOST, MOST).astype(np.float32)


def check_all(name, x, epsilon, seed):
    """The norm, its gradient and its derivative along a direction as large as x."""
    norm, _ = NORMS[name]
    want = Oracle(name, x, epsilon)
    g = np.random.default_rng(seed).normal(size=x.shape).astype(np.float32)
    direction = np.roll(x[::-1], 1, axis=-1) / 2

    @jax.jit
    def run(x, g, direction):
        y, slope = jax.jvp(lambda x: norm(x, epsilon), (x,), (direction,))
        return y, slope, jax.vjp(lambda x: norm(x, epsilon), x)[1](g)[0]

    y, slope, gradient = run(x, g, direction)
    want.assert_near(rows(name, y), want.xhat, 1 + np.abs(want.xhat))
    along = rows(name, direction)[0]
    size = np.max(np.abs(along), -1, keepdims=True) / want.root
    want.assert_near(rows(name, slope), want.tangent(along), size * (1 + want.reach) ** 2)
    back = rows(name, g)[0]
    size = np.max(np.abs(back), -1, keepdims=True) / want.root
    want.assert_near(rows(name, gradient), want.tangent(back), size * (1 + want.reach) ** 2)


@pytest.mark.slow
@EVERY_NORM
@pytest.mark.parametrize("power", [-120, 64, 127])
def test_norms_of_huge_and_tiny_data_have_their_values_and_derivatives(name, power):
    check_all(name, draw(NORMS[name][1], power), 1e-5, 3)


@pytest.mark.slow
@EVERY_NORM
@pytest.mark.parametrize(("offset", "epsilon"), [(3.0, 1e-5), (0.0, 1e-30), (3.0, 1.2e-38)])
def test_norms_of_every_magnitude_and_epsilon(name, offset, epsilon):
    for power in MAGNITUDES:
        check_all(name, draw(NORMS[name][1], power - 2 * (offset > 0), 1, offset), epsilon, 5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["layer", "rms", "batch", "group"])
@given(seed=SEEDS, low=st.integers(-120, 127), spread=st.integers(0, 60))
def test_entries_of_different_magnitudes_in_one_statistic(name, seed, low, spread):
    rng = np.random.default_rng(seed)
    shape = NORMS[name][1]
    powers = rng.integers(low, min(low + spread, 127), shape, endpoint=True)
    x = (rng.choice([-1, 1], shape) * rng.uniform(0.5, 1, shape) * 2.0**powers).astype(np.float32)
    want = Oracle(name, x, 1e-5)
    want.assert_near(rows(name, JITTED[name](x)), want.xhat, 1 + np.abs(want.xhat))


JITTED = {name: jax.jit(norm) for name, (norm, _) in NORMS.items()}


@pytest.mark.slow
def test_the_known_values():
    x = jnp.array([[1e30, 2e30, 3e30, 4e30]])
    np.testing.assert_allclose(
        layer(x), [[-1.3416408, -0.4472136, 0.4472136, 1.3416408]], rtol=1e-6
    )
    np.testing.assert_allclose(rms(x), [[0.3651484, 0.7302967, 1.0954452, 1.4605935]], rtol=1e-6)
    space = x.reshape(1, 4, 1)
    got = hondo.instance_norm(space, None, None, epsilon=1e-5)
    np.testing.assert_allclose(got.reshape(1, 4), layer(x), rtol=1e-6)


@pytest.mark.slow
@EVERY_NORM
def test_constant_huge_data_gives_zero_with_a_finite_gradient(name):
    norm, shape = NORMS[name]
    y, pull_back = jax.vjp(norm, jnp.full(shape, 2.0**127))
    assert np.all(np.asarray(y) == (1.0 if name.startswith("rms") else 0.0))
    assert np.all(np.isfinite(np.asarray(pull_back(jnp.ones(shape))[0])))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16], ids=["bf16", "f16"])
@pytest.mark.parametrize("name", ["layer", "layer of many rows", "rms", "batch", "group"])
def test_half_precision_to_its_end(dtype, name):
    norm, shape = NORMS[name]
    x = jnp.asarray(draw(shape, 0), dtype) * jnp.asarray(float(jnp.finfo(dtype).max), dtype)
    want = Oracle(name, np.asarray(x, np.float32), 1e-5)
    got = rows(name, np.asarray(jax.jit(norm)(x), np.float32))[0]
    allowed = want.grain * (1 + np.abs(want.xhat)) + unit_roundoff(dtype) * np.abs(want.xhat)
    assert np.all(np.abs(got - want.xhat) <= allowed)


@pytest.mark.slow
@pytest.mark.parametrize("power", [-1000, 600, 1020])
@pytest.mark.parametrize("name", ["layer", "rms", "batch", "batch of many"])
def test_float64_to_its_end(name, power):
    norm, shape = NORMS[name]
    with jax.enable_x64(True):
        x = draw(shape, 0).astype(np.float64) * 2.0**power
        want = Oracle(name, x, 1e-5)
        y, pull_back = jax.vjp(jax.jit(norm), jnp.asarray(x))
        (gradient,) = pull_back(jnp.ones(shape).at[0].set(2.0))
        want.assert_near(rows(name, np.asarray(y)), want.xhat, 1 + np.abs(want.xhat))
        back = rows(name, np.ones(shape) + (np.arange(shape[0]) == 0)[:, None])[0]
        slope = want.tangent(back)
        want.assert_near(rows(name, np.asarray(gradient)), slope, (1 + want.reach) ** 2 / want.root)


@pytest.mark.slow
@pytest.mark.parametrize("power", [-70, 62, 64, 100, 126])
@pytest.mark.parametrize("shape", [(64, 4), (2**15, 4)])
@pytest.mark.parametrize("ddof", [0, 1])
def test_running_statistics_are_finite_and_right(power, shape, ddof):
    x = draw(shape, power)
    wide = x.astype(np.longdouble)
    step = jax.jit(lambda x, stats: hondo.batch_norm(
        x, stats, None, None, decay=0.5, epsilon=1e-5, ddof=ddof
    )[1])  # fmt: skip
    stats = step(x, step(x, hondo.init_batch_stats(4)))
    # The sum of squares overflows before the variance does.
    want = np.minimum(np.var(wide, axis=0, ddof=ddof), MOST)
    np.testing.assert_allclose(np.asarray(stats.var, np.longdouble), want, gamma(8 * len(x)), TINY)
    allowed = gamma(8 * len(x)) * np.max(np.abs(wide), axis=0)
    assert np.all(np.abs(np.asarray(stats.mean) - wide.mean(0)) <= allowed)


@pytest.mark.slow
def test_running_statistics_at_the_end_of_the_range_stay_there():
    stats = hondo.init_batch_stats(1)
    for seed in range(8):
        x = jnp.asarray(draw((16, 1), 127, seed) * 2)
        y, stats = hondo.batch_norm(x, stats, None, None, decay=0.9, epsilon=1e-5)
        assert np.all(np.isfinite(np.asarray([*stats])))
    assert float(stats.var[0]) == pytest.approx(MOST, rel=1e-6)
    y = hondo.batch_norm_inference(x, stats, None, None, epsilon=1e-5)
    want = (np.asarray(x, np.longdouble) - np.asarray(stats.mean)) / np.sqrt(np.longdouble(MOST))
    np.testing.assert_allclose(np.asarray(y, np.float64), want.astype(np.float64), rtol=gamma(16))


def test_inference_far_on_the_other_side_of_the_mean():
    stats = hondo.BatchStats(jnp.array([-3e38]), jnp.array([1e38]), jnp.ones(1))
    y = hondo.batch_norm_inference(jnp.array([[3e38]]), stats, None, None, epsilon=1e-5)
    np.testing.assert_allclose(y, [[6e19]], rtol=gamma(8))
    kernel, bias = jnp.ones((1, 1)), jnp.array([3e38])
    _, moved = hondo.fold_batch_norm(kernel, bias, stats, None, None, epsilon=1e-5)
    np.testing.assert_allclose(moved, [6e19], rtol=gamma(8))


@pytest.mark.slow
@pytest.mark.parametrize("power", [-100, 64, 127])
def test_masked_batches_of_any_magnitude(power):
    x = draw((48, 4), power)
    valid = np.random.default_rng(2).random((48, 1)) < 0.7
    for garbage in (0.0, 2.0**120, np.inf, np.nan):
        data = np.where(valid, x, np.float32(garbage))
        want = Oracle("batch", x[valid[:, 0]], 1e-5)

        def run(x):
            mask = jnp.asarray(valid)
            return hondo.batch_normalize(x, None, None, epsilon=1e-5, where=mask)[0]

        y, pull_back = jax.vjp(jax.jit(run), jnp.asarray(data))
        (gradient,) = pull_back(jnp.where(valid, jnp.arange(48.0 * 4).reshape(48, 4) / 192, 0.0))
        got = rows("batch", np.asarray(y)[valid[:, 0]])
        want.assert_near(got, want.xhat, 1 + np.abs(want.xhat))
        assert np.all(np.isfinite(np.asarray(gradient)))
        assert np.all(np.asarray(gradient)[~valid[:, 0]] == 0)


def test_a_channel_without_entries_is_normalized_by_huge_statistics():
    stats = hondo.BatchStats(jnp.array([-3e38]), jnp.array([1e38]), jnp.ones(1))
    where = jnp.zeros((2, 1), bool)
    y, new = hondo.batch_norm(
        jnp.full((2, 1), 3e38), stats, None, None, decay=0.9, epsilon=1e-5, where=where
    )
    np.testing.assert_allclose(y, np.full((2, 1), 6e19), rtol=gamma(8))
    for one, other in zip(new, stats, strict=True):
        np.testing.assert_array_equal(one, other)


def test_members_of_a_mapped_batch_add_up_at_any_magnitude():
    x = jnp.asarray(draw((4, 12, 4), 120))

    def member(x):
        return hondo.batch_normalize(x, None, None, epsilon=1e-5, axis_name="i")[0]

    got = jax.jit(jax.vmap(member, axis_name="i"))(x).reshape(48, 4)
    want = Oracle("batch", x.reshape(48, 4), 1e-5)
    want.assert_near(rows("batch", got), want.xhat, 1 + np.abs(want.xhat))


@pytest.mark.slow
@EVERY_NORM
def test_a_huge_example_leaves_the_bits_of_the_others(name):
    shape = NORMS[name][1]
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    mixed = x.copy()
    huge = (slice(None), 0) if name.startswith("batch") else 0
    mixed[huge] = draw(x[huge].shape, 120)
    change = np.zeros(shape, bool)
    change[huge] = True
    got, want = (np.asarray(JITTED[name](x))[~change] for x in (mixed, x))
    if name == "group":  # whose groups share an example
        got, want = (a.reshape(-1, 32)[:, 16:] for a in (got, want))
    assert got.tobytes() == want.tobytes()


def two_scales(x, epsilon):
    sums = sums_at_two_scales(x, Over((1,)), epsilon)
    deviation = Mean(sums.pivot, sums.residual, sums.power).taken_from(x)
    root = jnp.sqrt(sums.m2 / x.shape[1] + scaled_epsilon(epsilon, sums.power))
    return deviation / root


UNITS = jnp.ones((1, 32)), jnp.zeros((1, 32))
ELSEWHERE = {
    "layer": lambda x, epsilon: rows_in_one_kernel(x, *UNITS, epsilon),
    "rms": lambda x, epsilon: in_one_kernel(x, UNITS[0], epsilon),
    "layer at two scales": two_scales,
}


@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.parametrize("offset", [0.0, 3.0])
@pytest.mark.parametrize("epsilon", [1e-5, 1.2e-38, 1e30])
def test_the_forms_for_accelerators_at_every_magnitude(name, offset, epsilon):
    run = jax.jit(ELSEWHERE[name])
    for power in MAGNITUDES:
        x = draw((6, 32), power - 2 * (offset > 0), 1, offset)
        # One row is of another magnitude.
        x[2] *= np.float32(2.0**-60) if power > 0 else np.float32(2.0**60)
        want = Oracle(name, x, epsilon)
        got = np.asarray(run(x, jnp.float32(epsilon)))
        want.assert_near((got, None), want.xhat, 1 + np.abs(want.xhat))


@pytest.mark.slow
def test_the_gradient_of_squares_for_accelerators_is_in_range(monkeypatch):
    monkeypatch.setattr(pivoted_sums, "_about_sample", sums_at_two_scales)
    for power in (0, 40, 50, 60):
        x = jnp.asarray(draw((24, 3), power))
        gradient = jax.grad(lambda x: hondo.batch_moments(x).m2.sum())(x)
        np.testing.assert_allclose(
            gradient,
            2 * (x - x.mean(0, keepdims=True)),
            rtol=gamma(64),
            atol=gamma(64) * 2.0 ** (power + 1),
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["batch of many", "layer of many entries", "rms of many entries"])
def test_members_of_a_map_share_a_branch_but_not_its_answer(name):
    norm, shape = NORMS[name]
    x = np.stack([draw(shape, power, seed) for power, seed in ((0, 1), (100, 2), (-3, 3))])
    run = jax.jit(jax.vmap(norm))
    # Not both sides of it; elsewhere than on CPU there is none.
    is_branch = "conditional(" in str(run.lower(x).compile().as_text())
    assert is_branch == (jax.default_backend() == "cpu")
    alone = np.stack([JITTED[name](member) for member in x])
    assert np.asarray(run(x)).tobytes() == alone.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("power", [-100, 40, 62, 64, 127])
def test_moments_of_any_magnitude_merge(power):
    x = draw((4, 16, 2), power)
    wide = x.reshape(-1, 2).astype(np.longdouble)
    pooled = hondo.pool_moments(jax.vmap(hondo.batch_moments)(jnp.asarray(x)))
    merged = hondo.merge_moments(*(hondo.batch_moments(jnp.asarray(h)) for h in (x[:1], x[1:])))
    m2 = np.minimum(np.sum((wide - wide.mean(0)) ** 2, axis=0), MOST)
    for moments in (pooled, merged):
        np.testing.assert_allclose(
            np.asarray(moments.m2, np.longdouble), m2, rtol=gamma(2**10), atol=2.0**-119
        )
        gap = np.abs(np.asarray(moments.mean, np.longdouble) - wide.mean(0))
        assert np.all(gap <= gamma(2**8) * np.max(np.abs(wide), axis=0))
    averages = hondo.batch_averaged_stats(jax.vmap(hondo.batch_moments)(jnp.asarray(x)))
    assert np.all(np.isfinite(np.asarray([*averages])))


@pytest.mark.slow
def test_the_gradient_of_moments_of_huge_data():
    x = jnp.asarray(draw((16, 2), 50))
    mean, m2 = (
        jax.grad(lambda x, f=f: getattr(hondo.batch_moments(x), f).sum())(x) for f in ("mean", "m2")
    )
    np.testing.assert_allclose(mean, np.full((16, 2), 1 / 16), rtol=gamma(4))
    np.testing.assert_allclose(
        m2, 2 * (x - x.mean(0, keepdims=True)), rtol=gamma(64), atol=gamma(64) * 2.0**51
    )


CALLS = {
    "layer_norm": lambda x, e: hondo.layer_norm(x, None, None, epsilon=e),
    "rms_norm": lambda x, e: hondo.rms_norm(x, None, epsilon=e),
    "group_norm": lambda x, e: hondo.group_norm(x, None, None, groups=1, epsilon=e),
    "instance_norm": lambda x, e: hondo.instance_norm(x, None, None, epsilon=e),
    "batch_normalize": lambda x, e: hondo.batch_normalize(x, None, None, epsilon=e),
    "batch_norm": lambda x, e: hondo.batch_norm(
        x, hondo.init_batch_stats(2), None, None, decay=0.9, epsilon=e
    ),
    "batch_norm_inference": lambda x, e: hondo.batch_norm_inference(
        x, hondo.init_batch_stats(2), None, None, epsilon=e
    ),
    "fold_batch_norm": lambda x, e: hondo.fold_batch_norm(
        x, None, hondo.init_batch_stats(2), None, None, epsilon=e
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("epsilon", [1e-46, 1e-39, 1e39])
def test_an_epsilon_that_the_dtype_does_not_hold_is_refused(name, epsilon):
    run = CALLS[name]
    for dtype in (jnp.float32, jnp.bfloat16, jnp.float16):
        x = jnp.ones((2, 2), dtype)
        with pytest.raises(ValueError, match=r"epsilon must be a normal number of float32.*got 1e"):
            run(x, epsilon)
    run(jnp.ones((2, 2)), 1.2e-38)
    with jax.enable_x64(True):
        run(jnp.ones((2, 2), jnp.float64), epsilon)


def running_variance(package, x):
    if package is hondo.linen:
        norm = hondo.linen.BatchNorm()
        variables = norm.init(jax.random.key(0), x, True)
        return norm.apply(variables, x, True, mutable=["batch_stats"])[1]["batch_stats"]["var"]
    norm = hondo.nnx.BatchNorm(x.shape[-1], rngs=nnx.Rngs(0))
    norm(x, True)
    return norm.var[...]


@pytest.mark.slow
@pytest.mark.parametrize("package", [hondo.linen, hondo.nnx], ids=["linen", "nnx"])
def test_modules_average_a_variance_whose_sum_of_squares_is_out_of_range(package):
    x = (1e18 * np.random.default_rng(0).normal(size=(40_000, 2))).astype(np.float32)
    want = x.astype(np.float64).var(axis=0, ddof=1)
    np.testing.assert_allclose(running_variance(package, jnp.asarray(x)), want, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("package", [hondo.linen, hondo.nnx], ids=["linen", "nnx"])
@pytest.mark.parametrize("mask", [None, True], ids=["whole", "masked"])
def test_modules_refuse_it_too(package, mask):
    x, mask = jnp.ones((2, 4)), None if mask is None else jnp.ones((2, 1), bool)
    for kind in (package.LayerNorm, package.RMSNorm, package.BatchNorm):
        if package is hondo.linen:
            run = partial(kind(epsilon=1e-46).init, jax.random.key(0))
        else:
            run = kind(4, epsilon=1e-46, rngs=nnx.Rngs(0))
        with pytest.raises(ValueError, match="epsilon must be a normal number of float32"):
            run(x, True, mask=mask)
