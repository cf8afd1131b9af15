"""RES: residual connections (slide 13)."""

import functools

import numpy as np

from hondo_spec import draws
from hondo_spec.property import Area, given
from hondo_spec.results import Exact, Holds, refused

prop = Area("RES", source="slide 13; He et al. 2015b, equation 1", symbols="residual repeat")
PROJECTION = "slide 13; He et al. 2015b, equation 2"
ZERO_LAST = "slide 13; Goyal et al. 2017, section 5.1"
# Of more bits than TF32 and halves have.
LARGE = 3000
X = draws.whole((*draws.MATRICES, (2, 131)), -LARGE, LARGE)
FEW = ((2, 3), (1, 8), (5, 5), (3, 1))


def _factors(x: np.ndarray, seed: int, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """The x and small weights or, for odd seeds, small x and large weights."""
    x, reach = (np.fmod(x, 9), LARGE) if seed % 2 else (x, 2)
    return x, draws.lattice_of(seed, (x.shape[1], outputs), -reach, reach)


@prop(1, "must", "exact")
@given(x=draws.arrays(FEW, scale=10.0), depth=(1, 3, 50))
def _zero_branch_is_the_identity(residual_stack, *, x, depth):
    r"""a branch of zeros makes the identity, at any depth and for negative x too
    $F = 0 \Rightarrow y = x$
    """
    zero = np.zeros((x.shape[1],) * 2, np.float32)
    return Exact("y", residual_stack(x, [zero] * depth), x)


@prop(2, "must", "exact", symbols="residual")
@given(x=X, seed=draws.seeds, dtype=("float32", *draws.HALVES))
def _output_is_input_plus_branch(residual, *, x, seed, dtype):
    """the output is x + F(x)
    $y = x + F(x)$
    """
    # Of halves three small inputs at most, so that integers are exact.
    x, seed = (x, seed) if dtype == "float32" else (np.fmod(x[:, :3], 9), 2 * seed)
    x, a = _factors(x, seed, x.shape[1])
    y = residual(x.astype(dtype), a.astype(dtype))
    return Exact("y", draws.single(y), x + x @ a)


@prop(3, "must", "exact", source="slide 13; He et al. 2016, equation 5", symbols="residual")
@given(x=X, seed=draws.seeds)
def _skip_passes_the_gradient(residual_gradient, *, x, seed):
    """the skip takes part in the gradient
    $g_x = g + J_F^T g$
    """
    g, a = _factors(draws.lattice_of(seed, x.shape, -LARGE, LARGE), seed, x.shape[1])
    return Exact("gx", residual_gradient(x, a, g), g + g @ a.T)


# Of an odd width, and so few blocks that all is exact.
BLOCKS = (((2, 3), 2), ((1, 1), 12), ((5, 3), 3), ((3, 9), 2), ((9, 5), 1), ((1, 7), 2))


def _halves(seed: int, shape: tuple[int, int], depth: int) -> tuple[np.ndarray, ...]:
    """Odd halves through odd and then even weights: all exact, and no pre-activation is 0."""
    rng, (_, width) = np.random.default_rng(seed), shape
    # Times an odd number of many bits where the sums leave room for it.
    factor = 683 if (1 + 2 * width**2) ** depth < 2**12 else 1
    x, g = factor * (rng.integers(-3, 3, (2, *shape)) + 0.5)
    a = 2 * rng.integers(-1, 1, (depth, width, width)) + 1
    b = 2 * rng.integers(-1, 2, (depth, width, width))
    return tuple(map(draws.single, (x, a, b, g)))


@prop(4, "must", "exact", source=ZERO_LAST, symbols="residual repeat zero_last pre_activation")
@given(depth=(1, 10, 100), case=BLOCKS, seed=draws.seeds)
def _zero_last_layers_pass_signal_and_gradient(residual_chain, *, depth, case, seed):
    r"""blocks whose last layer is zero pass signal and gradient unchanged, however many they are
    $W_2 = 0 \Rightarrow x_L = x_0,\ g_0 = g_L$
    """
    x, g = draws.normal(seed, (2, 2, 3), scale=10.0)
    first = draws.normal(seed, (depth, 3, 3))
    y, gradient = residual_chain(x, first, 0 * first, g)
    yield Exact("y", y, x)
    yield Exact("gx", gradient, g)
    x, a, b, g = _halves(seed, *case)
    inputs, want = [x], g
    for first, last in zip(a, b, strict=True):
        inputs.append(inputs[-1] + np.maximum(inputs[-1] @ first, 0) @ last)
    for at, first, last in reversed(list(zip(inputs, a, b, strict=False))):
        want = want + (want @ last.T * (at @ first > 0)) @ first.T
    y, gradient = residual_chain(x, a, b, g)
    yield Exact("y of blocks", y, inputs[-1])
    yield Exact("gx of blocks", gradient, want)


@prop(5, "must", "exact", source="slide 13; He et al. 2016, equation 4")
@given(x=draws.whole(FEW, -LARGE, LARGE), seed=draws.seeds, depth=(1, 2, 3))
def _output_is_input_plus_all_branches(residual_stack, *, x, seed, depth):
    r"""the output is the input plus all branches
    $x_L = x_0 + \sum_i F_i(x_i)$
    """
    a = draws.lattice_of(seed, (depth, x.shape[1], x.shape[1]), -2, 2)
    # So many that a few more do not matter to what is compiled.
    many = np.zeros((100, 3, 3), np.float32)
    many[[0, 63, 99], 0, 1] = 1
    start = draws.lattice_of(seed, (2, 3), -LARGE, LARGE)
    for what, begun, matrices in (("y", x, a), ("y of a hundred", start, many)):
        want = functools.reduce(lambda y, matrix: y + y @ matrix, matrices, begun)
        yield Exact(what, residual_stack(begun, list(matrices)), want)


@prop(6, "must", "exact", source=PROJECTION, symbols="residual projection")
@given(x=draws.whole(FEW, -LARGE, LARGE), outputs=(1, 3, 5, 8), seed=draws.seeds)
def _changed_width_needs_a_projection(residual_projection, residual=None, *, x, outputs, seed):
    """where the width changes, the skip is projected; without that it is an error
    $y = W_s x + F(x)$
    """
    (x, w), (_, a) = (_factors(x, seed + 2 * k, outputs) for k in range(2))
    yield Exact("y", residual_projection(x, w, a), x @ w + x @ a)
    if residual is not None and outputs != x.shape[1]:
        yield Holds(f"{x.shape[1]} + {outputs} channels are an error", refused(residual, x, a))
