"""RES: residual connections (slide 13)."""

import functools

import numpy as np

from hondo_spec import draws
from hondo_spec.property import Area, formula, given
from hondo_spec.results import Exact, Holds, refused

prop = Area("RES", source="slide 13; He et al. 2015b, equation 1", symbols="residual repeat")
PROJECTION = "slide 13; He et al. 2015b, equation 2"
ZERO_LAST = "slide 13; Goyal et al. 2017, section 5.1"
X, A = draws.integers(2, 3), draws.integers(3, 3, low=-3, high=3)
WIDER = draws.integers(3, 5, low=-3, high=3)
Block = tuple[np.ndarray, np.ndarray]


@prop(1, "must", "exact")
@formula(r"F = 0 \Rightarrow y = x")
@given(x=draws.floats(2, 3), depth=(1, 3, 50))
def _zero_branch_is_the_identity(residual_stack, *, x, depth):
    """a branch of zeros makes the identity, at any depth and for negative x too"""
    return Exact("y", residual_stack(x, [np.zeros((3, 3), np.float32)] * depth), x)


@prop(2, "must", "exact", symbols="residual")
@formula(r"y = x + F(x)")
@given(x=X, a=A)
def _output_is_input_plus_branch(residual, *, x, a):
    """the output is x + F(x)"""
    return Exact("y", residual(x, a), x + x @ a)


@prop(3, "must", "exact", source="slide 13; He et al. 2016, equation 5", symbols="residual")
@formula(r"g_x = g + J_F^T g")
@given(x=X, a=A, g=X)
def _skip_passes_the_gradient(residual_gradient, *, x, a, g):
    """the skip takes part in the gradient"""
    return Exact("gx", residual_gradient(x, a, g), g + g @ a.T)


def _halves(seed: int) -> tuple[np.ndarray, ...]:
    """Odd halves through odd and then even weights: all exact, and no pre-activation is 0."""
    rng = np.random.default_rng(seed)
    x, g = (rng.integers(-3, 3, (2, 3)) + 0.5 for _ in range(2))
    a, b = 2 * rng.integers(-2, 2, (2, 3, 3)) + 1, 2 * rng.integers(-1, 2, (2, 3, 3))
    return tuple(map(draws.single, (x, a, b, g)))


def _forward(x: np.ndarray, block: Block) -> np.ndarray:
    """x + relu(x a) b."""
    return x + np.maximum(x @ block[0], 0) @ block[1]


def _backward(x: np.ndarray, block: Block, g: np.ndarray) -> np.ndarray:
    return g + (g @ block[1].T * (x @ block[0] > 0)) @ block[0].T


@prop(4, "must", "exact", source=ZERO_LAST, symbols="residual repeat zero_last pre_activation")
@formula(r"W_2 = 0 \Rightarrow x_L = x_0,\ g_0 = g_L")
@given(x=draws.floats(2, 3), g=draws.floats(2, 3), depth=(1, 10, 100), seed=draws.seeds)
def _zero_last_layers_pass_signal_and_gradient(residual_chain, *, x, g, depth, seed):
    """blocks whose last layer is zero pass signal and gradient unchanged, however many they are"""
    first = draws.normal(seed, (depth, 3, 3))
    y, gradient = residual_chain(x, first, 0 * first, g)
    yield Exact("y", y, x)
    yield Exact("gx", gradient, g)
    x, a, b, g = _halves(seed)
    one, two = zip(a, b, strict=True)
    middle = _forward(x, one)
    y, gradient = residual_chain(x, a, b, g)
    yield Exact("y of two blocks", y, _forward(middle, two))
    yield Exact("gx of two blocks", gradient, _backward(x, one, _backward(middle, two, g)))


@prop(5, "must", "exact", source="slide 13; He et al. 2016, equation 4")
@formula(r"x_L = x_0 + \sum_i F_i(x_i)")
@given(x=X, a=draws.integers(3, 3, 3, low=-2, high=2))
def _output_is_input_plus_all_branches(residual_stack, *, x, a):
    """the output is the input plus all branches"""
    want = functools.reduce(lambda y, matrix: y + y @ matrix, a, x)
    return Exact("y", residual_stack(x, list(a)), want)


@prop(6, "must", "exact", source=PROJECTION, symbols="residual projection")
@formula(r"y = W_s x + F(x)")
@given(x=X, w=WIDER, a=WIDER)
def _changed_width_needs_a_projection(residual_projection, residual=None, *, x, w, a):
    """where the width changes, the skip is projected; without that it is an error"""
    yield Exact("y", residual_projection(x, w, a), x @ w + x @ a)
    if residual is not None:
        for width in (1, 5):
            wrong = refused(residual, x, a[:, :width])
            yield Holds(f"3 + {width} channels are an error", wrong)
