"""Fans by construction: the nonzeros of the dense matrix that a layer is."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given
from hypothesis import strategies as st
from jax import lax

import hondo

sizes = st.integers(1, 9)


@given(window=sizes, inputs=sizes, outputs=sizes)
def test_axes_may_stand_anywhere(window, inputs, outputs):
    want = hondo.fans((window, inputs, outputs))
    assert hondo.fans((outputs, inputs, window), in_axis=1, out_axis=0) == want
    assert hondo.fans((inputs, window, outputs), in_axis=(-3,), out_axis=(2,)) == want


@given(stack=st.lists(sizes, min_size=1, max_size=2), shape=st.tuples(sizes, sizes, sizes))
def test_a_stack_counts_for_nothing(stack, shape):
    stacked = hondo.fans((*stack, *shape), batch_axis=tuple(range(len(stack))))
    assert stacked == hondo.fans(shape)


def _mean_nonzeros(rows):
    return np.mean([np.count_nonzero(row) for row in rows])


def _dense_matrix_fans(layer, in_shape, in_period, out_period):
    """Nonzeros of ∂y/∂x per output and per input, over one period of the layer, off the borders.

    The interior starts a third of the way in; the last axis, the channels, is taken whole.
    """
    jacobian = np.asarray(jax.jacobian(layer)(jnp.zeros(in_shape)))
    rank = len(in_shape)
    out_shape = jacobian.shape[:rank]

    def interior(shape, period):
        starts = [size // 3 for size in shape[:-1]]
        inner = [slice(a, a + p) for a, p in zip(starts, period, strict=True)]
        return np.arange(math.prod(shape)).reshape(shape)[tuple(inner)].ravel()

    matrix = jacobian.reshape(math.prod(out_shape), math.prod(in_shape))
    rows, columns = interior(out_shape, out_period), interior(in_shape, in_period)
    return _mean_nonzeros(matrix[rows]), _mean_nonzeros(matrix.T[columns])


CONVOLUTIONS = {
    "plain": ((3, 2, 4), 1, (1,), (1,)),
    "plain-2d": ((3, 2, 2, 3), 1, (1, 1), (1, 1)),
    "grouped": ((3, 2, 6), 3, (1,), (1,)),
    "depthwise": ((3, 1, 4), 4, (1,), (1,)),
    "depthwise-multiplier": ((3, 1, 8), 4, (1,), (1,)),
    "strided": ((3, 2, 4), 1, (2,), (1,)),
    "strided-past-the-window": ((2, 2, 4), 1, (3,), (1,)),
    "transposed": ((4, 2, 3), 1, (1,), (2,)),
    "transposed-uneven": ((3, 2, 3), 1, (1,), (2,)),
    "transposed-2d-grouped": ((3, 2, 1, 4), 2, (1, 1), (2, 1)),
    "strided-and-dilated": ((5, 1, 2), 1, (2,), (3,)),
}


@pytest.mark.slow
@pytest.mark.promise(14)
@pytest.mark.spec("INI-01")
@pytest.mark.parametrize("case", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_convolution_equals_its_dense_matrix(case):
    shape, groups, strides, dilation = case
    window_rank = len(strides)
    letters = "XY"[:window_rank]
    length = (18, 12)[window_rank - 1]
    in_shape = (length,) * window_rank + (shape[-2] * groups,)

    def layer(x):
        return lax.conv_general_dilated(
            x[None],
            jnp.ones(shape),
            strides,
            ((0, 0),) * window_rank,
            lhs_dilation=dilation,
            feature_group_count=groups,
            dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
        )[0]

    want = _dense_matrix_fans(layer, in_shape, strides, dilation)
    got = hondo.fans(shape, feature_group_count=groups, strides=strides, input_dilation=dilation)
    assert got == pytest.approx(want, rel=1e-15)


@pytest.mark.slow
@pytest.mark.promise(14)
def test_flax_layers_equal_their_dense_matrices():
    ones = {"kernel_init": nn.initializers.ones, "use_bias": False}
    transposed = nn.ConvTranspose(3, (4, 4), strides=(2, 2), **ones)
    depthwise = nn.Conv(6, (3, 3), feature_group_count=6, padding="SAME", **ones)
    for module, channels, period, layout in (
        (transposed, 2, (2, 2), {"input_dilation": 2}),
        (depthwise, 6, (1, 1), {"feature_group_count": 6}),
    ):
        in_shape = (9, 9, channels)
        variables = module.init(jax.random.key(0), jnp.zeros((1, *in_shape)))

        def layer(x, module=module, variables=variables):
            return module.apply(variables, x[None])[0]

        want = _dense_matrix_fans(layer, in_shape, (1, 1), period)
        assert hondo.fans(variables["params"]["kernel"].shape, **layout) == want


@pytest.mark.slow
@pytest.mark.promise(14)
@pytest.mark.parametrize(
    ("formula", "shape", "layout"),
    [
        ("d,dhk->hk", (5, 2, 3), {"in_axis": 0, "out_axis": (1, 2)}),
        ("hk,hkd->d", (2, 3, 5), {"in_axis": (0, 1), "out_axis": 2}),
        ("sd,sde->se", (4, 3, 2), {"batch_axis": 0}),
    ],
    ids=["heads-out", "heads-in", "stacked"],
)
def test_multi_axis_kernel_equals_its_dense_matrix(formula, shape, layout):
    letters = formula.split(",")[1].split("->")[0]
    in_shape = tuple(shape[letters.index(letter)] for letter in formula.split(",")[0])
    jacobian = jax.jacobian(lambda x: jnp.einsum(formula, x, jnp.ones(shape)))(jnp.zeros(in_shape))
    matrix = np.asarray(jacobian).reshape(-1, math.prod(in_shape))
    assert hondo.fans(shape, **layout) == (_mean_nonzeros(matrix), _mean_nonzeros(matrix.T))


@pytest.mark.spec("XCT-04")
@pytest.mark.parametrize(
    ("shape", "layout", "words"),
    [
        ((8,), {}, "shape must be of a kernel that has the axes .*Biases"),
        ((), {}, "shape must be of a kernel that has the axes"),
        ((2, 3), {"batch_axis": 2}, "shape must be of a kernel that has the axes"),
        ((2, 3), {"in_axis": 1}, "must be different axes"),
        ((2, 3), {"in_axis": ()}, "in_axis must be at least one axis"),
        ((2, -3), {}, "shape must be a tuple of integers of at least 0"),
        ((2, True), {}, "shape must be a tuple of integers"),
        ((2, 3), {"batch_axis": -1}, "must be different axes"),
        ((0, 3), {}, "shape must be of a kernel with entries"),
        ((3, 2, 4), {"feature_group_count": 3}, "feature_group_count must be a divisor of 4"),
        ((3, 2, 4), {"feature_group_count": 0}, "feature_group_count must be an integer"),
        ((3, 2, 4), {"strides": (1, 1)}, "strides must be one number, or one for each of 1"),
        ((3, 2, 4), {"input_dilation": 0}, "input_dilation must be an integer of at least 1"),
    ],
)
def test_xct_04_a_wrong_layout_raises(shape, layout, words):
    with pytest.raises(ValueError, match=words):
        hondo.fans(shape, **layout)
    with pytest.raises(ValueError, match=words):
        jax.eval_shape(lambda key: hondo.he_normal(**layout)(key, shape), jax.random.key(0))
