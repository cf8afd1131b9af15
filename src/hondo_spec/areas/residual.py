"""RES: residual connections (slide 13)."""

import numpy as np

from hondo_spec import draws
from hondo_spec.property import Area, formula, given
from hondo_spec.results import Exact, Holds, refused

SOURCE = "slide 13; He et al. 2015b, equation 1"
X, A = draws.integers(2, 3), draws.integers(3, 3, low=-3, high=3)


prop = Area("RES", source=SOURCE, symbols="residual repeat")


@prop(1, "must", "exact")
@formula(r"F = 0 \Rightarrow y = x")
@given(x=draws.floats(2, 3), depth=(1, 3, 50))
def zero_branch_is_the_identity(residual_stack, *, x, depth):
    """a branch of zeros makes the identity, at any depth and for negative x too"""
    return Exact("y", residual_stack(x, [np.zeros((3, 3), np.float32)] * depth), x)


@prop(2, "must", "exact", symbols="residual")
@formula(r"y = x + F(x)")
@given(x=X, a=A)
def output_is_input_plus_branch(residual, *, x, a):
    """the output is x + F(x)"""
    return Exact("y", residual(x, a), x + x @ a)


@prop(3, "must", "exact", source="slide 13; He et al. 2016, equation 5", symbols="residual")
@formula(r"g_x = g + J_F^T g")
@given(x=X, a=A, g=X)
def skip_passes_the_gradient(residual_gradient, *, x, a, g):
    """the skip takes part in the gradient"""
    return Exact("gx", residual_gradient(x, a, g), g + g @ a.T)


def _halves(seed) -> tuple:
    """Odd halves through odd and then even weights: all exact, and no pre-activation is 0."""
    rng = np.random.default_rng(seed)
    x, g = (rng.integers(-3, 3, (2, 3)) + 0.5 for _ in range(2))
    a, b = 2 * rng.integers(-2, 2, (2, 3, 3)) + 1, 2 * rng.integers(-1, 2, (2, 3, 3))
    return tuple(array.astype(np.float32) for array in (x, a, b, g))


def _chain(x, a, b, g) -> tuple:
    """Two blocks x + relu(x a) b, forwards and backwards."""
    inputs = [x]
    for first, last in zip(a, b, strict=True):
        inputs.append(inputs[-1] + np.maximum(inputs[-1] @ first, 0) @ last)
    for at, first, last in reversed(list(zip(inputs[:-1], a, b, strict=True))):
        g = g + (g @ last.T * (at @ first > 0)) @ first.T
    return inputs[-1], g


@prop(
    4,
    "must",
    "exact",
    source="slide 13; Goyal et al. 2017, section 5.1",
    symbols="residual repeat zero_last pre_activation",
)
@formula(r"W_2 = 0 \Rightarrow x_L = x_0,\ g_0 = g_L")
@given(x=draws.floats(2, 3), g=draws.floats(2, 3), depth=(1, 10, 100), seed=draws.seeds)
def zero_last_layers_pass_signal_and_gradient(residual_chain, *, x, g, depth, seed):
    """blocks whose last layer is zero pass signal and gradient unchanged, however many they are"""
    first = np.random.default_rng(seed).normal(size=(depth, 3, 3)).astype(np.float32)
    y, gradient = residual_chain(x, first, 0 * first, g)
    yield Exact("y", y, x)
    yield Exact("gx", gradient, g)
    x, a, b, g = _halves(seed)
    want, slope = _chain(x, a, b, g)
    y, gradient = residual_chain(x, a, b, g)
    yield Exact("y of two blocks", y, want)
    yield Exact("gx of two blocks", gradient, slope)


@prop(5, "must", "exact", source="slide 13; He et al. 2016, equation 4")
@formula(r"x_L = x_0 + \sum_i F_i(x_i)")
@given(x=X, a=draws.integers(3, 3, 3, low=-2, high=2))
def output_is_input_plus_all_branches(residual_stack, *, x, a):
    """the output is the input plus all branches"""
    want = x
    for matrix in a:
        want = want + want @ matrix
    return Exact("y", residual_stack(x, list(a)), want)


@prop(
    6,
    "must",
    "exact",
    source="slide 13; He et al. 2015b, equation 2",
    symbols="residual projection",
)
@formula(r"y = W_s x + F(x)")
@given(x=X, w=draws.integers(3, 5, low=-3, high=3), a=draws.integers(3, 5, low=-3, high=3))
def changed_width_needs_a_projection(residual_projection, residual=None, *, x, w, a):
    """where the width changes, the skip is projected; without that it is an error"""
    yield Exact("y", residual_projection(x, w, a), x @ w + x @ a)
    if residual is not None:
        for width in (1, 5):
            raised = refused(residual, x, a[:, :width])
            yield Holds(f"3 + {width} channels are an error", raised)
