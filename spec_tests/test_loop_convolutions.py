"""Convolutions of any network are channels last where the compiler's fast kernel asks for it."""

import re
from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

import hondo
from hondo._fast.convolution import layout_of
from hondo._fast.loop_convolutions import channels_last


def layouts(jaxpr: Jaxpr) -> Iterator[bool]:
    """Whether each convolution is channels last, those of loops, branches and calls too."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            yield equation.params["dimension_numbers"] == layout_of(
                equation.invars[0].aval.ndim - 2
            )
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple) else (value,):
                if isinstance(inner, Jaxpr | ClosedJaxpr):
                    yield from layouts(getattr(inner, "jaxpr", inner))


def integers(seed: int, shape: tuple[int, ...]) -> jax.Array:
    """So small that float32 sums are exact in every order."""
    return jnp.asarray(np.random.default_rng(seed).integers(-3, 4, shape), jnp.float32)


@st.composite
def convolutions(draw):
    """Any convolution, with its operands: every layout, groups of features or of the batch."""
    rank = draw(st.integers(1, 3))
    features, batches = draw(st.sampled_from([(1, 1), (2, 1), (1, 2)]))
    pairs = st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * rank)
    ones = st.tuples(*[st.integers(1, 2)] * rank)
    specs = [tuple(draw(st.permutations(range(rank + 2)))) for _ in range(3)]
    data, kernel = (2 * batches, 2 * features, *(6, 5, 4)[:rank]), (4, 2, *(3, 2, 2)[:rank])
    x = integers(0, tuple(data[i] for i in np.argsort(specs[0])))
    w = integers(1, tuple(kernel[i] for i in np.argsort(specs[1])))
    function = partial(
        lax.conv_general_dilated,
        window_strides=draw(ones),
        padding=draw(pairs),
        lhs_dilation=draw(ones),
        rhs_dilation=draw(ones),
        dimension_numbers=lax.ConvDimensionNumbers(*specs),
        feature_group_count=features,
        batch_group_count=batches,
    )
    return function, x, w


@pytest.mark.slow
@settings(max_examples=12)
@given(convolutions())
def test_value_and_gradients_of_every_convolution_keep_their_bits(case) -> None:
    function, x, w = case

    def both(x, w):
        y, vjp = jax.vjp(function, x, w)
        return y, vjp(jnp.round(y / 8))

    ours = jax.jit(channels_last(both))
    assert all(layouts(jax.make_jaxpr(ours)(x, w).jaxpr))
    jax.tree.map(np.testing.assert_array_equal, ours(x, w), jax.jit(both)(x, w))


def convolve(x, w):
    return lax.conv_general_dilated(x, w, (1, 1), "SAME")


def one_device(kind: AxisType) -> Mesh:
    return jax.make_mesh((1,), ("data",), (kind,), devices=jax.devices()[:1])


INSIDE = {
    "scan": lambda x, w: lax.scan(lambda c, _: (convolve(c, w), c), x, length=2)[0],
    "while": lambda x, w: lax.while_loop(lambda c: c[0, 0, 0, 0] > 9, lambda c: convolve(c, w), x),
    "cond": lambda x, w: lax.cond(x[0, 0, 0, 0] > 0, convolve, lambda x, w: x, x, w),
    "jit": jax.jit(convolve),
    "remat": lambda x, w: jax.grad(lambda x: jax.checkpoint(convolve)(x, w).sum())(x),
    "a rule of its own": lambda x, w: jax.nn.relu(convolve(jax.nn.silu(x), w)),
    "vmap": lambda x, w: jax.vmap(convolve, (0, None))(x[:, None], w)[:, 0],
    "shard_map": lambda x, w: jax.shard_map(
        INSIDE["scan"],
        mesh=one_device(AxisType.Auto),
        in_specs=(PartitionSpec("data"), PartitionSpec()),
        out_specs=PartitionSpec("data"),
    )(x, w),
    "twice": lambda x, w: convolve(x, w) + convolve(x, w),
    "itself": lambda x, w: (convolve(x, w), x, {"constants": (jnp.ones(3), 2.0)}),
}


@pytest.mark.parametrize("where", INSIDE)
def test_they_are_found_wherever_they_are(where: str) -> None:
    function, x, w = INSIDE[where], integers(0, (2, 3, 5, 5)), integers(1, (3, 3, 3, 3))
    got = list(layouts(jax.make_jaxpr(channels_last(function))(x, w).jaxpr))
    assert got
    assert all(got)
    assert not all(layouts(jax.make_jaxpr(function)(x, w).jaxpr))
    jax.tree.map(np.testing.assert_array_equal, channels_last(function)(x, w), function(x, w))


def test_on_an_explicit_mesh_they_stay() -> None:
    x, w = integers(0, (2, 3, 5, 5)), integers(1, (3, 3, 3, 3))
    x = jax.device_put(x, NamedSharding(one_device(AxisType.Explicit), PartitionSpec("data")))
    assert [*layouts(jax.make_jaxpr(channels_last(convolve))(x, w).jaxpr)] == [False]


def test_on_other_hardware_they_stay(monkeypatch) -> None:
    x, w = integers(0, (2, 3, 5, 5)), integers(1, (3, 3, 3, 3))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert [*layouts(jax.make_jaxpr(channels_last(convolve))(x, w).jaxpr)] == [False]


def test_it_has_derivatives_and_batches() -> None:
    x, w = integers(0, (2, 3, 5, 5)), integers(1, (2, 3, 3, 3, 3))

    def found(f):
        tangent = jax.jvp(f, (x, w[0]), (x, w[1]))[1]
        return tangent, jax.grad(lambda x: f(x, w[0]).sum())(x), jax.vmap(f, (None, 0))(x, w)

    jax.tree.map(np.testing.assert_array_equal, found(channels_last(convolve)), found(convolve))


class Network(linen.Module):
    """A user's: one convolution by Flax, one by JAX with channels first."""

    @linen.compact
    def __call__(self, x, train: bool):
        x = jnp.moveaxis(linen.relu(linen.Conv(4, (3, 3), strides=2)(x)), -1, 1)
        kernel = self.param("kernel", linen.initializers.he_normal(), (4, 4, 3, 3))
        return linen.Dense(2)(convolve(x, kernel).mean((2, 3)))


def descend_by_both(gradient, state, params, *, grad_fn):
    """By the gradient, and by the one that a sharpness-aware optimizer asks for."""
    step = jax.tree.map(lambda a, b: -0.05 * (a + b), gradient, grad_fn(params, 0))
    return step, state


SAM = optax.GradientTransformationExtraArgs(lambda params: (), descend_by_both)


# Line searches differentiate the value themselves, in a loop of their own.
@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [SAM, optax.lbfgs()], ids=["both gradients", "line search"])
def test_a_users_network_trains_by_fast_convolutions_alone(optimizer) -> None:
    problem = hondo.supervised(Network(), loss="cross_entropy")
    x, y = jnp.ones((8, 6, 6, 1)), jnp.arange(8) % 2
    run = partial(hondo.fit, problem, optimizer, key=jax.random.key(0), batch_size=4)
    stopper = hondo.early_stopping(9, mode="min")
    trained = jax.jit(lambda data: run(data, data, max_epochs=2, stopper=stopper).best)
    text = str(trained.lower((x, y)).compile().as_text())
    found = re.findall(r"dim_labels=(\S+?)[, ]", text)
    # Two forward, each with its kernel's gradient, one with that of its input; two that validate.
    assert len(found) >= 7
    assert set(found) == {"b01f_01io->b01f"}
