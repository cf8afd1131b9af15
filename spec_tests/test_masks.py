"""The masks of dropout: their distribution, and what they may and may not depend on.

Keys are fixed, so a test that passes keeps passing; what α states is the chance that a correct
generator would have failed it when it was written.
"""

import json
import os
import subprocess
import sys
import textwrap
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compile_quickly import with_devices
from exact import ALPHA, assert_binomial, assert_independent
from hypothesis import given
from hypothesis import strategies as st
from jax.extend.core import jaxprs_in_params
from scipy import stats

import hondo
from hondo._fast.bernoulli_threshold import drawn_probability
from hondo._fast.hashed_bits import hash_bits, hash_bits_for_threshold, hash_of_index
from hondo._fast.threefry import random_bits

pytestmark = [pytest.mark.slow, pytest.mark.compile_quickly]

KEY = jax.random.key(2014)


@partial(jax.jit, static_argnums=1)
def draw(key, shape, keep_prob):
    return hondo.dropout_mask(key, shape, keep_prob=keep_prob)


@pytest.mark.spec("DRP-02")
def test_drp_02_counts_of_many_small_masks_are_spread_as_binomials() -> None:
    shape, keep_prob = (4, 16), 0.3
    keys = jax.random.split(KEY, 2**14)
    mask = jax.vmap(lambda key: draw(key, shape, keep_prob))(keys)
    counts = np.bincount(np.asarray(mask).sum((1, 2)), minlength=65)
    want = stats.binom.pmf(np.arange(65), 64, keep_prob) * len(keys)
    usual = want > 20
    got = np.append(counts[usual], counts[~usual].sum())
    assert stats.chisquare(got, np.append(want[usual], want[~usual].sum())).pvalue > ALPHA


RELATED = {
    "split": lambda: jax.random.split(KEY, 4),
    "fold_in": lambda: [jax.random.fold_in(KEY, step) for step in range(4)],
    "seeds": lambda: [jax.random.key(seed) for seed in range(4)],
    "high bits": lambda: [jax.random.key(2**31), jax.random.key(1), jax.random.key(0)],
}


@pytest.mark.spec("DRP-05")
@pytest.mark.parametrize("family", RELATED)
def test_drp_05_related_keys_give_independent_masks(family) -> None:
    for keep_prob in (0.5, 0.8):
        drawn = [np.asarray(draw(key, (1024, 256), keep_prob)) for key in RELATED[family]()]
        for i, mask in enumerate(drawn):
            for other in drawn[:i]:
                assert_independent(mask, other, keep_prob)
                # A shift by one unit: keys must not be places in one stream.
                assert_independent(mask.ravel()[1:], other.ravel()[:-1], keep_prob)


# By index, and by place in rows of several lengths.
SHAPES = ((2**18,), (2**8, 2**10), (2**15, 2**3), (2**2, 2**16))


@pytest.fixture(scope="module", params=SHAPES, ids=str)
def words(request):
    return np.asarray(jax.jit(lambda: hash_bits(KEY, request.param))()).ravel()


def test_every_bit_of_the_hash_is_fair_and_has_no_short_memory(words) -> None:
    for bit in range(32):
        ones = (words >> bit) & 1
        assert_binomial(ones.sum(), ones.size, 0.5)
        for lag in (1, 2, 8, 1024, 2**16):
            assert_binomial((ones[lag:] ^ ones[:-lag]).sum(), ones.size - lag, 0.5)


def test_a_flipped_bit_of_the_index_flips_every_bit_of_the_hash_half_of_the_time(words) -> None:
    index = np.arange(words.size)
    for flipped in range(18):
        low = index[(index >> flipped) & 1 == 0]
        changed = words[low] ^ words[low ^ (1 << flipped)]
        for bit in range(32):
            assert_binomial(((changed >> bit) & 1).sum(), low.size, 0.5)


@pytest.mark.parametrize("shape", [(2**12, 2**10), (2**7, 2**15), (2**19, 2**3)])
def test_rows_and_columns_show_no_pattern(shape) -> None:
    @jax.jit
    def odd(words):
        """Numbers of odd sums over two units, and over the corners of rectangles, for each bit."""
        bits = (words[..., None] >> jnp.array([[[31, 30, 29, 24, 16, 1]]], jnp.uint32)) & 1

        def of(down, right):
            rows, columns = bits.shape[0] - down, bits.shape[1] - right
            corner = bits[:rows, :columns] ^ bits[down:, right:]
            both = down and right
            corner ^= bits[:rows, right:] ^ bits[down:, :columns] if both else 0
            return corner.sum((0, 1)), rows * columns

        lags = [(0, lag) for lag in (1, 2, 3, 4)] + [(lag, 0) for lag in (1, 2, 8, 64)]
        return [of(*lag) for lag in [*lags, (1, 1), (1, 2), (8, 4), (64, 1)]]

    for counts, n in odd(hash_bits(KEY, shape)):
        for count in np.asarray(counts):
            assert_binomial(int(count), int(n), 0.5)


def test_counts_within_rows_are_spread_as_binomials() -> None:
    for keep_prob in (0.1, 0.9):
        mask = np.asarray(draw(KEY, (2**12, 2**10), keep_prob))
        for axis in (0, 1):
            counts = mask.sum(axis)
            p, n = float(np.float32(keep_prob)), mask.shape[axis]
            score = np.sum((counts - n * p) ** 2) / (n * p * (1 - p))
            # Nearly normal counts; the excess of their fourth moment is below 1/n.
            assert 2 * stats.chi2.sf(score, counts.size) > ALPHA
            assert 2 * stats.chi2.cdf(score, counts.size) > ALPHA


def test_the_hash_collides_as_often_as_independent_words_do() -> None:
    # A permutation of the indices never would, and kept units would be counted too evenly.
    n = 2**20
    words = np.asarray(jax.jit(lambda: hash_bits(KEY, (n,)))())
    collisions = n - np.unique(words).size
    expected = n * (n - 1) / 2 / 2**32
    tails = (
        stats.poisson.cdf(collisions, expected),
        stats.poisson.sf(collisions - 1, expected),
    )
    assert 2 * min(tails) > ALPHA, f"{collisions} collisions, {expected:.0f} expected"


def test_keys_whose_seed_words_nearly_coincide_do_not_share_a_stream() -> None:
    # If indices met one seed word only, two keys whose words agree in the high bits would have
    # the same mask in another order. Among 512 keys some pair does agree in the top 14 bits.
    n, keys = 2**18, jax.random.split(KEY, 512)
    seeds = np.asarray(jax.random.key_data(jax.vmap(jax.random.split)(keys))).reshape(512, 4)
    for used in ([0], [1], [2], [3], [0, 2], [0, 3], [2, 3], [0, 2, 3]):
        word = np.bitwise_xor.reduce(seeds[:, used], axis=1)
        order = np.argsort(word)
        near = np.flatnonzero(np.diff(word[order] >> 18) == 0)
        assert near.size
        one, other = order[near[0]], order[near[0] + 1]
        shift = np.arange(n) ^ int(word[one] ^ word[other])
        masks_of = [np.asarray(draw(keys[i], (n,), 0.5)) for i in (one, other)]
        assert_independent(masks_of[0][shift], masks_of[1], 0.5)


def test_units_past_the_first_2_32_are_independent_of_those_before() -> None:
    @jax.jit
    def rows(key):  # 2^15 rows of 2^17 units are 2^32: the rows below have the same low word.
        return hondo.dropout_mask(key, (2**17, 2**17), keep_prob=0.5)[5 :: 2**15]

    mask = np.asarray(rows(KEY))
    assert mask.shape == (4, 2**17)
    assert_binomial(mask.sum(), mask.size, 0.5)
    for i in range(4):
        for j in range(i):
            assert_independent(mask[i], mask[j], 0.5)


@pytest.mark.spec("DRP-06")
@pytest.mark.promise(4)
def test_drp_06_same_key_same_mask_eager_jit_vmap_scan_remat() -> None:
    keys, shape = jax.random.split(KEY, 5), (7, 33)
    call = partial(hondo.dropout_mask, shape=shape, keep_prob=0.6)
    eager = np.stack([call(key) for key in keys])
    np.testing.assert_array_equal([jax.jit(call)(key) for key in keys], eager)
    np.testing.assert_array_equal(jax.vmap(call)(keys), eager)
    np.testing.assert_array_equal(jax.lax.map(call, keys), eager)
    np.testing.assert_array_equal(jax.vmap(jax.checkpoint(call))(keys), eager)


@pytest.mark.promise(12)
@given(keep_prob=st.floats(0, 1) | st.sampled_from([0.0, 1.0, 1e-12, 2**-32, 1 - 2**-24, 0.1]))
def test_a_traced_keep_prob_gives_the_mask_of_a_static_one(keep_prob) -> None:
    static = hondo.dropout_mask(KEY, (8, 8), keep_prob=keep_prob)
    np.testing.assert_array_equal(draw(KEY, (8, 8), keep_prob), static)


@pytest.mark.spec("DRP-11")
@pytest.mark.promise(12)
def test_drp_11_p_one_keeps_every_one_of_2_28_units() -> None:
    # The largest float32 below 1 would drop about 16 of them.
    @jax.jit
    def kept(key, keep_prob):
        mask = hondo.dropout_mask(key, (2**14, 2**14), keep_prob=keep_prob)
        return mask.sum(1, dtype=jnp.int32)

    assert np.all(np.asarray(kept(KEY, 1.0)) == 2**14)
    assert not np.all(np.asarray(kept(KEY, 1 - 2**-24)) == 2**14)


@pytest.mark.promise(12)
@given(keep_prob=st.floats(0, 1) | st.sampled_from([1e-12, 2**-32, 2**-9, 1 - 2**-24]))
def test_the_drawn_probability_is_p_rounded_down_to_2_32(keep_prob) -> None:
    drawn, single = float(drawn_probability(keep_prob)), float(np.float32(keep_prob))
    assert drawn == np.floor(single * 2.0**32) / 2.0**32
    assert drawn == single or keep_prob < 2**-9


@pytest.mark.parametrize("shape", [(64, 1024), (3, 8), (5, 7), (2**17,)])
def test_masks_compare_the_words_that_the_batteries_see(shape) -> None:
    # Where the low bits of the threshold are 0, the last shift cannot be told.
    words = np.asarray(hash_bits(KEY, shape))
    for fraction in (1, 2**13, 2**14 - 1):
        want = words < np.uint32(fraction << 18)
        np.testing.assert_array_equal(draw(KEY, shape, fraction / 2**14), want)


def test_rows_that_share_their_first_word_have_other_words() -> None:
    # Of 2^18 rows some eight pairs have the same first word by chance: only the second differs.
    first, second = np.asarray(hash_of_index(KEY, (2**18, 2))).T
    order = np.argsort(first)
    same = np.flatnonzero(first[order][1:] == first[order][:-1])
    assert len(same) > 0
    words = np.asarray(hash_bits(KEY, (2**18, 8)))
    for i, j in zip(order[same], order[same + 1], strict=True):
        assert second[i] != second[j]
        assert np.all(words[i] != words[j])


def test_a_smaller_keep_prob_keeps_a_subset() -> None:
    # The sharpest check of the threshold: the smallest word kept decides, to one part in 2^32.
    words = np.asarray(hash_bits_for_threshold(KEY, (1024,)))
    for word in np.sort(words)[[0, 7, 511]]:
        keep_prob = np.float32(np.float64(word) / 2**32)
        want = words < np.uint32(np.floor(np.float64(keep_prob) * 2**32))
        np.testing.assert_array_equal(draw(KEY, (1024,), keep_prob), want)


@pytest.mark.promise(12)
def test_randomness_costs_128_bits_a_call_however_many_units() -> None:
    def drawn_bits(jaxpr) -> int:
        total = 0
        for equation in jaxpr.eqns:
            # A key is made by JAX's split, or by hondo's and wrapped.
            if equation.primitive.name in ("random_split", "random_wrap"):
                total += sum(64 * v.aval.size for v in equation.outvars)
                continue
            assert equation.primitive.name != "random_bits"
            for inner in jaxprs_in_params(equation.params):
                total += drawn_bits(inner)
        return total

    for shape in ((16,), (128, 128)):
        call = partial(hondo.inverted_dropout, keep_prob=0.7)
        assert drawn_bits(jax.make_jaxpr(call)(KEY, jnp.ones(shape)).jaxpr) == 128


@pytest.mark.parametrize("backward", [False, True])
def test_no_array_of_random_bits_is_kept_in_memory(backward) -> None:
    def forward(key, x):
        return hondo.inverted_dropout(key, x, keep_prob=0.7)

    def pull(key, x):
        return jax.vjp(partial(forward, key), x)[1](x)

    x = jnp.ones((512, 512))
    compiled = jax.jit(pull if backward else forward).lower(KEY, x).compile()
    # Less than a quarter of a byte for each unit: neither words nor booleans.
    assert compiled.memory_analysis().temp_size_in_bytes < x.size / 4


def test_broadcast_dims_share_one_draw() -> None:
    mask = hondo.dropout_mask(KEY, (6, 5, 4, 3), keep_prob=0.5, broadcast_dims=(1, -2))
    assert mask.shape == (6, 1, 1, 3)
    np.testing.assert_array_equal(mask, draw(KEY, (6, 1, 1, 3), 0.5))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2)])
def test_scalars_and_empty_arrays_have_masks(shape) -> None:
    assert draw(KEY, shape, 0.5).shape == shape


SHARDED = """
    import json
    import jax, jax.numpy as jnp, numpy as np
    from jax.sharding import NamedSharding, PartitionSpec as P
    import hondo

    key, x = jax.random.key(4), jnp.arange(1.0, 8 * 64 + 1).reshape(8, 64)
    call = jax.jit(lambda key, x: hondo.inverted_dropout(key, x, keep_prob=0.6))
    pull = jax.jit(lambda key, x: jax.vjp(lambda x: call(key, x), x)[1](x)[0])
    jaxs = jax.jit(lambda key, x: x * hondo.bernoulli_mask(key, x.shape, keep_prob=0.6))
    same, gathers = [], 0
    layouts = {(1,): [P()], (2,): [P("a")], (4,): [P("a"), P(None, "a")], (2, 2): [P("a", "b")]}
    for grid, spec in [(grid, spec) for grid, specs in layouts.items() for spec in specs]:
        devices = np.array(jax.devices()[: np.prod(grid)]).reshape(grid)
        mesh = jax.sharding.Mesh(devices, ("a", "b")[: len(grid)])
        placed = jax.device_put(x, NamedSharding(mesh, spec))
        for f in (call, pull, jaxs):
            same.append(bool((np.asarray(f(key, placed)) == np.asarray(f(key, x))).all()))
            gathers += f.lower(key, placed).compile().as_text().count("all-gather")
    print(json.dumps({"same": same, "gathers": gathers, "devices": jax.device_count()}))
"""


@pytest.mark.spec("DRP-06")
def test_any_number_of_shards_gives_the_same_mask_without_communication() -> None:
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SHARDED)],
        env={**os.environ, **with_devices(4)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    got = json.loads(run.stdout)
    assert got == {"same": [True] * 15, "gathers": 0, "devices": 4}


@pytest.mark.spec("XCT-04")
@pytest.mark.parametrize("keep_prob", [-0.1, 1.1, float("nan"), float("inf")])
def test_xct_04_a_keep_prob_that_is_no_probability_raises(keep_prob) -> None:
    with pytest.raises(ValueError, match=r"keep_prob must be .*\[0, 1\].*probability of keeping"):
        hondo.dropout_mask(KEY, (2,), keep_prob=keep_prob)


@pytest.mark.spec("XCT-04")
def test_xct_04_an_array_of_keep_probs_raises_traced_or_not() -> None:
    with pytest.raises(ValueError, match=r"keep_prob must be a scalar.*\(2,\)"):
        hondo.dropout_mask(KEY, (2,), keep_prob=np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match=r"keep_prob must be a scalar.*\(2,\)"):
        draw(KEY, (2,), jnp.array([0.5, 0.5]))


@pytest.mark.spec("XCT-04")
@pytest.mark.parametrize("dim", [2, -3])
def test_xct_04_an_axis_that_is_not_there_raises(dim) -> None:
    with pytest.raises(ValueError, match=r"broadcast_dims must be axes of the shape \(4, 3\)"):
        hondo.dropout_mask(KEY, (4, 3), keep_prob=0.5, broadcast_dims=(dim,))


@pytest.mark.spec("XCT-04")
def test_xct_04_a_raw_key_raises() -> None:
    with pytest.raises(TypeError, match=r"key must be a typed PRNG key.*wrap_key_data"):
        hondo.dropout_mask(jax.random.key_data(KEY), (2,), keep_prob=0.5)


@pytest.mark.spec("XCT-04")
@pytest.mark.parametrize("shape", [(3,), (2, 4), (4,), (1, 2, 3)])
def test_xct_04_a_mask_that_does_not_fit_raises(shape) -> None:
    with pytest.raises((ValueError, TypeError)):
        hondo.apply_dropout_mask(jnp.ones((2, 3)), jnp.ones(shape, bool))


@pytest.mark.parametrize("keep_prob", [0.0, 1e-9, 0.1, 0.5, 0.8, 1 - 2**-24, 1.0])
def test_bernoulli_mask_is_that_of_jax(keep_prob) -> None:
    for key in (KEY, jax.random.key(3, impl="rbg")):
        for shape in ((), (0, 3), (7,), (3, 5, 7), (256, 128)):
            want = jax.random.bernoulli(key, np.float32(keep_prob), shape)
            for function in (hondo.bernoulli_mask, jax.jit(hondo.bernoulli_mask, static_argnums=1)):
                got = function(key, shape, keep_prob=keep_prob)
                np.testing.assert_array_equal(got, want)


def test_bernoulli_mask_drops_a_unit_whose_draw_is_exactly_keep_prob() -> None:
    drawn = jax.random.uniform(KEY, (64,))
    for i in (3, 40):
        mask = hondo.bernoulli_mask(KEY, (64,), keep_prob=drawn[i])
        np.testing.assert_array_equal(mask, jax.random.bernoulli(KEY, drawn[i], (64,)))
        assert not mask[i]


def test_bernoulli_mask_keeps_the_mask_and_nothing_else_in_memory_and_draws_it_once() -> None:
    def forward(key, x):
        return hondo.apply_dropout_mask(x, hondo.bernoulli_mask(key, x.shape, keep_prob=0.7))

    def both(key, x):
        y, pullback = jax.vjp(partial(forward, key), x)
        return y, pullback(x)

    x = jnp.ones((512, 512))
    # A byte for each unit, where it does not find room in a result; drawn where it is used, none.
    for function, least in ((forward, x.size), (both, 0)):
        compiled = jax.jit(function).lower(KEY, x).compile()
        assert least <= compiled.memory_analysis().temp_size_in_bytes < x.size * 1.01
        # 20 of the rounds and a few of the schedule.
        assert compiled.as_text().count(" xor(") <= 30


@pytest.mark.parametrize("partitionable", [False, True])
def test_random_words_are_those_of_jax(partitionable) -> None:
    with jax.threefry_partitionable(partitionable):
        for key in (KEY, jax.random.PRNGKey(1), jax.random.key(1, impl="rbg")):
            for shape in ((), (0,), (5,), (2, 3, 4)):
                np.testing.assert_array_equal(
                    random_bits(key, shape), jax.random.bits(key, shape, jnp.uint32)
                )


def test_a_shard_draws_by_its_own_key() -> None:
    """shard_map checks what varies over an axis of one device as over any other."""

    def draw(index):
        key = jax.random.fold_in(jax.random.key(0), index[0])
        return hondo.bernoulli_mask(key, (4, 16), keep_prob=0.5)

    mesh = jax.make_mesh((1,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    specs = jax.sharding.PartitionSpec("d")
    sharded = jax.jit(jax.shard_map(draw, mesh=mesh, in_specs=specs, out_specs=specs))
    index = jnp.zeros(1, jnp.int32)
    np.testing.assert_array_equal(sharded(index), draw(index))
