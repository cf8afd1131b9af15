"""The convolution for training loops is JAX's, bit for bit, gradients included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import gamma, normal
from hypothesis import given, settings
from hypothesis import strategies as st

import hondo
from hondo.cli.build import network
from hondo.cli.config import TrainConfig
from hondo.data import load
from hondo.linen import PreActResNet

pytestmark = pytest.mark.slow

pytestmark = pytest.mark.slow

SPACE = (7, 6, 5)
LAYOUTS = {1: ("NWC", "WIO", "NWC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NHWDC", "HWDIO", "NHWDC")}


def integers(seed, shape):
    return jnp.asarray(np.random.default_rng(seed).integers(-3, 4, shape), jnp.float32)


def both(x, w, seed=2, **arguments):
    """Value and gradients, ours and JAX's; integers, so that every order of sums is exact."""
    results = []
    for conv in (hondo.conv_general_dilated, jax.lax.conv_general_dilated):
        y, vjp = jax.vjp(lambda x, w, conv=conv: conv(x, w, **arguments), x, w)
        results.append((y, *vjp(integers(seed, y.shape))))
    return results


@settings(max_examples=30)
@given(
    rank=st.sampled_from([1, 2, 3]),
    size=st.integers(1, 3),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    padding=st.sampled_from(["SAME", "VALID", "pairs"]),
)
def test_value_and_gradients_are_jaxs(rank, size, stride, dilation, padding) -> None:
    x, w = integers(0, (2, *SPACE[:rank], 3)), integers(1, (*(size,) * rank, 3, 4))
    ours, theirs = both(
        x,
        w,
        window_strides=(stride,) * rank,
        padding=((1, 0),) * rank if padding == "pairs" else padding,
        rhs_dilation=(dilation,) * rank,
        dimension_numbers=LAYOUTS[rank],
    )
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.mark.parametrize(
    ("shapes", "arguments"),
    [
        (((2, 6, 6, 4), (3, 3, 2, 4)), {"feature_group_count": 2}),
        (((2, 6, 6, 3), (3, 3, 3, 4)), {"lhs_dilation": (2, 2)}),
        (((2, 3, 6, 6), (4, 3, 3, 3)), {"dimension_numbers": None}),
    ],
)
def test_everything_else_is_left_to_jax(shapes, arguments) -> None:
    x, w = (integers(seed, shape) for seed, shape in enumerate(shapes))
    arguments = {"dimension_numbers": LAYOUTS[2], **arguments}
    ours, theirs = both(x, w, window_strides=(1, 1), padding=((1, 1), (2, 0)), **arguments)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_the_second_derivative_and_vmap() -> None:
    x, w = integers(0, (2, 5, 5, 2)), integers(1, (3, 2, 3, 3, 2, 2))

    def curvature(conv):
        def energy(w):
            arguments = {"window_strides": (2, 2), "padding": "SAME"}
            return jnp.sum(conv(x, w, dimension_numbers=LAYOUTS[2], **arguments) ** 2)

        def slope(w):
            return jnp.sum(jax.grad(energy)(w) ** 2)

        return jax.vmap(jax.vmap(jax.grad(slope)))(w)

    np.testing.assert_array_equal(
        curvature(hondo.conv_general_dilated), curvature(jax.lax.conv_general_dilated)
    )


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="XLA's form for CPU")
def test_inside_a_loop_every_convolution_has_channels_last() -> None:
    x, w = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 3))

    def layouts(conv):
        def step(_, w):
            y, vjp = jax.vjp(
                lambda w: conv(conv(x, w, (2, 2), "SAME", dimension_numbers=LAYOUTS[2]), w,
                               (1, 1), "SAME", dimension_numbers=LAYOUTS[2]), w)  # fmt: skip
            return vjp(y)[0]

        text = jax.jit(lambda w: jax.lax.fori_loop(0, 3, step, w)).lower(w).compile().as_text()
        lines = [line for line in text.splitlines() if " convolution(" in line]
        return {line.split("dim_labels=")[1].split(",")[0].split()[0] for line in lines}

    assert layouts(hondo.conv_general_dilated) == {"b01f_01io->b01f"}
    assert layouts(jax.lax.conv_general_dilated) != {"b01f_01io->b01f"}


def test_the_gradient_of_a_kernel_that_all_shards_share() -> None:
    """shard_map checks what varies over an axis of one device as over any other."""
    x, w = jnp.ones((4, 6, 6, 2)), jnp.ones((3, 3, 2, 5))

    def gradient(x, w):
        def total(w):
            numbers = ("NHWC", "HWIO", "NHWC")
            y = hondo.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=numbers)
            return jnp.sum(y)

        return jax.grad(total)(w)

    mesh = jax.make_mesh((1,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    specs = jax.sharding.PartitionSpec
    sharded = jax.shard_map(gradient, mesh=mesh, in_specs=(specs("d"), specs()), out_specs=specs())
    np.testing.assert_allclose(jax.jit(sharded)(x, w), gradient(x, w), rtol=1e-6)


def resnet(**options):
    net = PreActResNet(2, width=2, activation=jnp.tanh, norm=None, **options)
    x = normal(0, 1, 4, 4, 1)
    variables = net.init(jax.random.key(1), x, train=False)
    return variables["params"], lambda params: net.apply({"params": params}, x, train=False)


def test_a_network_has_forward_mode_derivatives() -> None:
    params, run = resnet()
    tangent = jax.tree.map(jnp.cos, params)
    y, forward = jax.jvp(run, (params,), (tangent,))
    cotangent = jnp.array([[1.0, -2.0]])
    (backward,) = jax.vjp(run, params)[1](cotangent)
    products = jax.tree.map(jnp.vdot, backward, tangent)
    want = float(sum(jax.tree.leaves(products)))
    # Both are ⟨v, Ju⟩: sums over about a thousand weights and eight layers of up to 72 terms.
    size = float(sum(jnp.sum(jnp.abs(a * b)) for a, b in zip(
        jax.tree.leaves(backward), jax.tree.leaves(tangent), strict=True)))  # fmt: skip
    np.testing.assert_allclose(jnp.vdot(cotangent, forward), want, rtol=0, atol=gamma(2000) * size)
    np.testing.assert_array_equal(y, run(params))


def test_a_network_has_second_derivatives_forward_over_reverse() -> None:
    params, run = resnet()

    def energy(kernel):
        return jnp.sum(run({**params, "Conv_0": {"kernel": kernel}}) ** 2)

    kernel = params["Conv_0"]["kernel"]
    got = jax.jacfwd(jax.jacrev(energy))(kernel)
    want = jax.jacrev(jax.jacrev(energy))(kernel)
    size = float(jnp.max(jnp.abs(want)))
    np.testing.assert_allclose(got, want, rtol=0, atol=gamma(2000) * size)
    np.testing.assert_array_equal(jax.hessian(energy)(kernel), got)


def test_a_network_takes_the_convolution_that_is_fast_in_loops() -> None:
    (params, run), (again, fast) = resnet(), resnet(conv_general_dilated=hondo.conv_general_dilated)
    jax.tree.map(np.testing.assert_array_equal, params, again)
    np.testing.assert_array_equal(run(params), fast(params))
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(fast, (params,), (params,))


def test_the_command_line_trains_with_the_convolution_that_is_fast_in_loops() -> None:
    net = network(TrainConfig(model="resnet"), load("digits"))
    assert net.conv_general_dilated is hondo.conv_general_dilated
