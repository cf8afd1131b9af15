"""Initializers: their laws of probability, exactly, and what becomes of a key."""

import copy
import math
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import (
    ALPHA,
    assert_distribution,
    assert_variance,
    gamma,
    normal,
)
from flax import linen as nn
from scipy import stats

import hondo

pytestmark = pytest.mark.compile_quickly

KEY = jax.random.key(5)
# Fans that differ.
SHAPE = (128, 512)
# The jax.nn.initializers' cut, in units of the standard deviation after the cut.
CUT = 2 / 0.87962566103423978

NORMALS = {
    "gaussian": (hondo.gaussian(0.01), lambda n_in, n_out: 0.01),
    "glorot": (hondo.glorot_normal(), lambda n_in, n_out: 2 / (n_in + n_out)),
    "he": (hondo.he_normal(), lambda n_in, n_out: 2 / n_in),
    "lecun": (hondo.lecun_normal(), lambda n_in, n_out: 1 / n_in),
    "he-depth": (hondo.depth_scaled(hondo.he_normal(), 8), lambda n_in, n_out: 2 / n_in / 8),
}
UNIFORMS = {
    "glorot": (hondo.glorot_uniform(), lambda n_in, n_out: math.sqrt(6 / (n_in + n_out))),
    "he": (hondo.he_uniform(), lambda n_in, n_out: math.sqrt(6 / n_in)),
    "lecun": (hondo.lecun_uniform(), lambda n_in, n_out: math.sqrt(3 / n_in)),
}
ALL = {
    **{f"{name}_normal": init for name, (init, _) in NORMALS.items()},
    **{f"{name}_uniform": init for name, (init, _) in UNIFORMS.items()},
    "orthogonal": hondo.orthogonal(1.3),
    "jax-depth": hondo.depth_scaled(jax.nn.initializers.he_normal(), 5, layers=3),
}
normals = pytest.mark.parametrize(("init", "variance"), NORMALS.values(), ids=NORMALS)
uniforms = pytest.mark.parametrize(("init", "bound"), UNIFORMS.values(), ids=UNIFORMS)
dtypes = pytest.mark.parametrize(
    "dtype", [jnp.float32, jnp.bfloat16, jnp.float16], ids=lambda d: d.__name__
)


def _fans(shape):
    taps = math.prod(shape[:-2])
    return taps * shape[-2], taps * shape[-1]


def _draw(init, shape=SHAPE, dtype=jnp.float32, key=KEY):
    return np.asarray(init(key, shape, dtype)).astype(np.float64)


@pytest.mark.slow
@pytest.mark.promise(14)
@pytest.mark.spec("INI-02")
@dtypes
def test_no_uniform_exceeds_its_bound_for_any_fan(dtype):
    rounded_up = 0
    for dilation in range(1, 60):
        a = math.sqrt(3 * dilation / 64)
        rounded_up += float(jnp.asarray(a, dtype)) > a
        init = hondo.lecun_uniform(input_dilation=dilation)
        assert np.max(np.abs(_draw(init, (1, 64, 512), dtype))) <= a
    # The test means something: in about half of these the nearest number lies outside.
    assert rounded_up > 15


@pytest.mark.spec("INI-03")
@uniforms
@dtypes
def test_ini_03_uniform_shape(init, bound, dtype):
    a = bound(*_fans(SHAPE))
    # An entry moves by at most eps a, so the distribution function by eps/2.
    atom = float(jnp.finfo(dtype).eps) / 2
    assert_distribution(_draw(init, dtype=dtype), stats.uniform(-a, 2 * a).cdf, atom)


@pytest.mark.spec("INI-08")
def test_ini_08_what_the_docstrings_say_of_jax():
    w = _draw(jax.nn.initializers.he_normal())
    sigma = math.sqrt(2 / SHAPE[0])
    assert 0.99 * CUT * sigma < np.max(np.abs(w)) <= CUT * sigma * (1 + gamma(4))
    # E w⁴ < 3σ⁴ under the cut, so Σw²/σ² has a variance below that of χ²: the z is conservative.
    z = (np.mean(w**2) / sigma**2 - 1) * math.sqrt(w.size / 2)
    assert abs(z) <= stats.norm.isf(ALPHA / 2)


@pytest.mark.spec("INI-08", "INI-09")
@normals
@dtypes
def test_ini_09_full_normal(init, variance, dtype):
    sigma = math.sqrt(variance(*_fans(SHAPE)))
    w = _draw(init, dtype=dtype)
    # P(no |z| above the cut in 1189 draws) = 1e-12; here are 65536.
    assert np.max(np.abs(w)) > CUT * sigma
    # Rounding moves an entry by u|w|, and z φ(z) ≤ 0.25.
    assert_distribution(w, stats.norm(0, sigma).cdf, 0.25 * float(jnp.finfo(dtype).eps))


@pytest.mark.spec("INI-10")
def test_ini_10_the_uniform_grid_is_exactly_symmetric():
    # a = 1 exactly: the entries are odd multiples of 2^-23 in (-1, 1), their own mirror image.
    w = _draw(hondo.lecun_uniform(), (3, 2**16)) * 2**23
    assert np.all(w % 2 == 1)
    assert np.max(np.abs(w)) < 2**23


@pytest.mark.slow
@pytest.mark.rounding
@pytest.mark.spec("INI-12")
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *((name, jnp.float32) for name in ALL),
        *((name, jnp.bfloat16) for name in ("he_uniform", "he-depth_normal", "orthogonal")),
    ],
)
def test_ini_12_same_key_same_bits(name, dtype):
    keys = jax.random.split(KEY, 3)

    def draw(key):
        return ALL[name](key, (16, 8), dtype)

    want = np.stack([np.asarray(draw(key)) for key in keys])
    scanned = jax.lax.scan(lambda carry, key: (carry, draw(key)), None, keys)[1]
    # A use beside the draw invites XLA to fold the use's constant into it.
    used = jax.jit(lambda key: (draw(key), draw(key) * jnp.asarray(3.7, dtype)))
    for got in (
        np.stack([np.asarray(jax.jit(draw)(key)) for key in keys]),
        np.stack([np.asarray(used(key)[0]) for key in keys]),
        jax.vmap(draw)(keys),
        jax.jit(jax.vmap(draw))(keys),
        scanned,
    ):
        np.testing.assert_array_equal(np.asarray(got), want)


@pytest.mark.slow
def test_raw_keys_do_as_well_as_typed_ones():
    raw, typed = jax.random.PRNGKey(3), jax.random.key(3)
    for init in ALL.values():
        np.testing.assert_array_equal(init(raw, (4, 6)), init(typed, (4, 6)))


@pytest.mark.slow
@pytest.mark.promise(14)
@pytest.mark.parametrize("name", [name for name in ALL if not name.endswith("uniform")])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16], ids=lambda d: d.__name__)
def test_a_low_precision_draw_is_the_float32_draw_rounded_once(name, dtype):
    want = ALL[name](KEY, (64, 32), jnp.float32).astype(dtype)
    np.testing.assert_array_equal(ALL[name](KEY, (64, 32), dtype), want)


@pytest.mark.slow
@pytest.mark.promise(14)
@uniforms
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16], ids=lambda d: d.__name__)
def test_a_low_precision_uniform_is_the_float32_draw_rounded_and_held_to_its_bound(
    init, bound, dtype
):
    limit = jnp.asarray(bound(64, 32), dtype)
    if float(limit) > bound(64, 32):
        limit = jnp.nextafter(limit, jnp.zeros((), dtype))
    rounded = init(KEY, (64, 32), jnp.float32).astype(dtype)
    np.testing.assert_array_equal(init(KEY, (64, 32), dtype), jnp.clip(rounded, -limit, limit))


@pytest.mark.slow
def test_float64_is_drawn_in_float64():
    with jax.enable_x64(True):
        for init in ALL.values():
            w = init(KEY, (32, 32), jnp.float64)
            assert w.dtype == jnp.float64
            assert np.any(np.asarray(w) != np.asarray(w).astype(np.float32))
        assert hondo.he_normal()(KEY, (4, 4)).dtype == jnp.float64
    assert hondo.he_normal()(KEY, (4, 4)).dtype == jnp.float32


@pytest.mark.slow
def test_two_zero_layers_in_a_row_never_learn():
    zeros = hondo.zero_last()(KEY, (4, 4))
    x = normal(0, 3, 4)

    def loss(weights):
        first, last = weights
        return jnp.sum((jax.nn.relu(x @ first) @ last - x) ** 2)

    assert not any(np.any(grad) for grad in jax.grad(loss)((zeros, zeros)))
    grads = jax.grad(loss)((hondo.he_normal()(KEY, (4, 4)), zeros))
    assert np.any(grads[1])


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(48, 48), (48, 16), (16, 48)], ids=str)
@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_orthogonal_columns_or_rows(shape, scale):
    w = _draw(hondo.orthogonal(scale), shape)
    gram = w.T @ w if shape[0] >= shape[1] else w @ w.T
    # Householder QR: ‖QᵀQ - I‖_F ≤ 2√m γ_{6nm}-like; with the usual constant, √m γ_{10n}.
    bound = scale**2 * math.sqrt(min(shape)) * gamma(10 * max(shape))
    np.testing.assert_allclose(gram, scale**2 * np.eye(min(shape)), rtol=0, atol=bound)


@pytest.mark.slow
def test_orthogonal_reads_its_axes():
    window = _draw(hondo.orthogonal(), (3, 3, 4, 6))
    np.testing.assert_allclose(
        window.reshape(36, 6).T @ window.reshape(36, 6), np.eye(6), atol=6 * gamma(360)
    )
    heads = _draw(hondo.orthogonal(in_axis=0, out_axis=(1, 2)), (8, 2, 3)).reshape(8, 6)
    np.testing.assert_allclose(heads.T @ heads, np.eye(6), atol=6 * gamma(80))
    swapped = _draw(hondo.orthogonal(in_axis=1, out_axis=0), (4, 9))
    np.testing.assert_allclose(swapped @ swapped.T, np.eye(4), atol=6 * gamma(90))
    stack = _draw(hondo.orthogonal(in_axis=0, batch_axis=1), (5, 3, 5)).transpose(1, 0, 2)
    for member in stack:
        np.testing.assert_allclose(member.T @ member, np.eye(5), atol=6 * gamma(50))
    assert len({member.tobytes() for member in stack}) == 3


def test_orthogonal_is_uniform_on_the_circle():
    # A column of a 2×2 one is a uniform direction: its angle is U(-π, π).
    w = jax.vmap(lambda key: hondo.orthogonal()(key, (2, 2)))(jax.random.split(KEY, 4096))
    assert_distribution(np.arctan2(w[:, 1, 0], w[:, 0, 0]), stats.uniform(-np.pi, 2 * np.pi).cdf)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [1, 4, 200])
@pytest.mark.parametrize("layers", [2, 3, 4])
def test_depth_scaled_factor(depth, layers):
    plain = _draw(hondo.lecun_normal(), (16, 16))
    scaled = _draw(hondo.depth_scaled(hondo.lecun_normal(), depth, layers=layers), (16, 16))
    want = plain * float(depth) ** (-1 / (2 * layers - 2))
    # The factor, one product, and the two factors that XLA may take together.
    np.testing.assert_allclose(scaled, want, rtol=gamma(4), atol=0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: hondo.gaussian(0.5),
        lambda: hondo.glorot_uniform(in_axis=0, out_axis=(1, 2)),
        hondo.he_normal,
        lambda: hondo.orthogonal(2.0),
        lambda: hondo.depth_scaled(hondo.he_normal(), 3),
        hondo.zero_last,
    ],
)
def test_initializers_are_values(make):
    init = make()
    assert init == make()
    assert hash(init) == hash(make())
    assert pickle.loads(pickle.dumps(init)) == copy.deepcopy(init) == init
    assert " at 0x" not in repr(init)
    assert init != hondo.lecun_normal()


@pytest.mark.slow
def test_flax_takes_them_as_kernel_init():
    module = nn.Dense(8, kernel_init=hondo.he_normal())
    assert module == nn.Dense(8, kernel_init=hondo.he_normal())
    assert hash(module) == hash(nn.Dense(8, kernel_init=hondo.he_normal()))
    kernel = module.init(KEY, jnp.zeros((1, 512)))["params"]["kernel"]
    assert_variance(kernel, 2 / 512)
    heads = nn.DenseGeneral((4, 32), kernel_init=hondo.lecun_normal())
    kernel = heads.init(KEY, jnp.zeros((1, 64)))["params"]["kernel"]
    assert kernel.shape == (64, 4, 32)
    assert_variance(kernel, 1 / 64)


@pytest.mark.slow
def test_layouts_reach_the_variance():
    transposed = hondo.he_normal(input_dilation=2)
    assert_variance(_draw(transposed, (4, 4, 16, 64)), 2 / (16 * 16 / 4))
    grouped = hondo.glorot_normal(feature_group_count=8)
    assert_variance(_draw(grouped, (3, 3, 8, 64)), 2 / (9 * 8 + 9 * 64 / 8))
    strided = hondo.glorot_normal(strides=2)
    assert_variance(_draw(strided, (2, 2, 64, 64)), 2 / (4 * 64 + 64))
    stacked = hondo.he_normal(batch_axis=0)
    assert_variance(_draw(stacked, (16, 32, 64)), 2 / 32)


@pytest.mark.slow
def test_variance_and_scale_may_be_traced():
    variances = jnp.array([0.0, 0.01, 4.0])
    got = jax.jit(jax.vmap(lambda v: hondo.gaussian(v)(KEY, (4, 4))))(variances)
    for w, variance in zip(got, variances, strict=True):
        np.testing.assert_array_equal(w, hondo.gaussian(float(variance))(KEY, (4, 4)))
    got = jax.jit(lambda s: hondo.orthogonal(s)(KEY, (4, 4)))(2.0)
    np.testing.assert_array_equal(got, hondo.orthogonal(2.0)(KEY, (4, 4)))


@pytest.mark.parametrize("make", [hondo.gaussian, hondo.orthogonal])
def test_a_parameter_may_be_an_array(make) -> None:
    number, array = make(0.5), make(jnp.float32(0.5))
    assert number == array
    np.testing.assert_array_equal(
        hondo.depth_scaled(array, 4)(KEY, (2, 2)), hondo.depth_scaled(number, 4)(KEY, (2, 2))
    )


@pytest.mark.spec("XCT-04")
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: hondo.gaussian(-0.1), "variance must be a finite number at least 0.*not σ"),
        (lambda: hondo.gaussian(float("nan")), "variance must be"),
        (lambda: hondo.gaussian(float("inf")), "variance must be"),
        (lambda: hondo.orthogonal(-1.0), "scale must be"),
        (lambda: hondo.depth_scaled(hondo.he_normal(), 0), "depth must be an integer"),
        (lambda: hondo.depth_scaled(hondo.he_normal(), 2, layers=1), "layers must be.*zero_last"),
        (lambda: hondo.he_normal()(KEY, (2, 2), jnp.int32), "dtype must be a real floating one"),
        (lambda: hondo.zero_last()(KEY, (2, 2), jnp.complex64), "dtype must be a real floating"),
        (lambda: hondo.orthogonal()(KEY, (3,)), "shape must be of a kernel.*Biases"),
        (lambda: hondo.glorot_uniform()(KEY, (0, 3)), "shape must be of a kernel with entries"),
    ],
)
def test_xct_04_wrong_arguments_raise(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_xct_04_an_unknown_layout_raises_at_once():
    with pytest.raises(TypeError, match="fan_axis"):
        hondo.he_normal(**{"fan_axis": 0})


def test_a_traced_variance_is_scaled_too() -> None:
    key = jax.random.key(0)

    def draw(variance):
        return hondo.depth_scaled(hondo.gaussian(variance), 4)(key, (2, 2))

    np.testing.assert_allclose(jax.jit(draw)(0.25), draw(0.25), rtol=1e-6)
    with pytest.raises((ValueError, TypeError), match="variance"):
        hondo.gaussian(np.array([1.0, 100.0]))
