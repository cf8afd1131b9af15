"""BNT: batch normalization in training (slide 17)."""

from fractions import Fraction

import numpy as np

from hondo_spec import draws
from hondo_spec.bounds import GRID, U32, UNITS, gamma, standard
from hondo_spec.property import prop
from hondo_spec.results import Check, Exact, Holds
from hondo_spec.target import Operation

ALGORITHM = "slide 17; Ioffe & Szegedy 2015, algorithm 1"
RUNNING = "slide 18; Ioffe & Szegedy 2015, section 3.1"
POPULATION = "slide 18; Ioffe & Szegedy 2015, algorithm 2"
EPS = 2.0**-10
SYMBOLS = "batch_norm"


def affine(features: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A scale away from zero and a bias."""
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.5, 2, features) * rng.choice([-1, 1], features)
    return scale.astype(np.float32), rng.normal(size=features).astype(np.float32)


def plain(
    batch_norm: Operation, x: np.ndarray, epsilon: float = EPS, decay: float = 0.9
) -> np.ndarray:
    """The training output with γ = 1 and β = 0, from neutral statistics."""
    zero, one = np.zeros(x.shape[-1], np.float32), np.ones(x.shape[-1], np.float32)
    return np.asarray(batch_norm(x, zero, one, one, zero, decay, epsilon)[0])


@prop(
    "BNT-01",
    "B M",
    "the batch mean of x̂ is 0",
    formula=r"\tfrac1m\sum_i \hat x_i = 0",
    source=ALGORITHM,
    symbols=SYMBOLS,
    x=draws.columns(kappas=(0.0, 1e2)),
)
def _bnt_01(batch_norm, *, x):
    got = np.mean(np.float64(plain(batch_norm, x)), axis=0)
    bound = np.mean(standard(x, EPS).bound, axis=0) + U32
    return Check("mean of x̂", got, np.zeros_like(got), bound)


@prop(
    "BNT-02",
    "B M",
    "the batch variance of x̂ is v/(v + ε), which is not 1",
    formula=r"\tfrac1m\sum_i \hat x_i^2 = \frac{v}{v+\varepsilon}",
    source=ALGORITHM,
    symbols=SYMBOLS,
    x=draws.columns(kappas=(0.0, 1e2)),
    epsilon=(1e-5, 1e-3, 0.5),
)
def _bnt_02(batch_norm, *, x, epsilon):
    s = standard(x, epsilon)
    got = np.var(np.float64(plain(batch_norm, x, epsilon)), axis=0)
    want = (s.var / (s.var + float(np.float32(epsilon))))[0]
    slack = s.bound + U32 * np.abs(s.xhat)
    bound = np.mean(2 * np.abs(s.xhat) * slack + slack**2, axis=0)
    return Check("variance of x̂", got, want, bound + np.mean(slack, axis=0) ** 2)


@prop(
    "BNT-03",
    "B M",
    "every entry is (x − μ)/√(v + ε)",
    formula=r"\hat x_i = \frac{x_i - \mu}{\sqrt{v + \varepsilon}}",
    source=ALGORITHM,
    symbols=SYMBOLS,
    x=draws.columns(kappas=(0.0, 1e2)),
    epsilon=(1e-5, 1e-3, 0.5),
)
def _bnt_03(batch_norm, *, x, epsilon):
    s = standard(x, epsilon)
    return Check("x̂", plain(batch_norm, x, epsilon), s.xhat, s.bound + U32 * np.abs(s.xhat))


@prop(
    "BNT-04",
    "B M",
    "scale and bias come after the normalization",
    formula=r"y = \gamma\hat x + \beta",
    source=ALGORITHM,
    symbols=SYMBOLS,
    x=draws.columns(kappas=(0.0, 1e2)),
    seed=draws.seeds,
)
def _bnt_04(batch_norm, *, x, seed):
    scale, bias = affine(x.shape[-1], seed)
    zero, one = np.zeros_like(bias), np.ones_like(bias)
    y = batch_norm(x, zero, one, scale, bias, 0.9, EPS)[0]
    s = standard(x, EPS)
    want = np.float64(scale) * s.xhat + np.float64(bias)
    bound = np.abs(scale) * s.bound + gamma(4) * (np.abs(scale * s.xhat) + np.abs(bias))
    return Check("y", y, want, bound)


@prop(
    "BNT-05",
    "X M",
    "on integers the exported statistics are exact",
    formula=r"\mu = \tfrac1m\sum_i x_i,\quad v = \tfrac1m\sum_i (x_i-\mu)^2",
    source=ALGORITHM,
    symbols="batch_moments",
    x=draws.lattice(),
)
def _bnt_05(batch_moments, *, x):
    mean, var = batch_moments(x)
    exact = [[Fraction(int(value)) for value in column] for column in x.T]
    means = [sum(column) / len(column) for column in exact]
    variances = [
        sum((value - mu) ** 2 for value in column) / len(column)
        for column, mu in zip(exact, means, strict=True)
    ]
    yield Exact("μ", mean, np.array([float(mu) for mu in means]))
    yield Exact("v", var, np.array([float(v) for v in variances]))
    over_space = zip(("μ", "v"), batch_moments(x.reshape(2, 2, 4, 3)), (mean, var), strict=True)
    for what, got, want in over_space:
        yield Check(f"{what} of pixels", got, want, gamma(24) * (np.abs(want) + 16), 1.0)
    # Integers still, on which the difference of two means of squares is not exact.
    far = x + np.float32(2**12)
    var = np.var(np.float64(far), axis=0)
    shift = gamma(16) * 2**13
    yield Check("v far out", batch_moments(far)[1], var, gamma(20) * var + shift**2 + U32, 1.0)


@prop(
    "BNT-06",
    "B M",
    "x̂ follows the sign of a scale, and nothing of an offset",
    formula=r"\mathrm{BN}_\varepsilon(ax+b) = \operatorname{sgn}a\mathrm{BN}_{\varepsilon/a^2}(x)",
    source=ALGORITHM,
    symbols=SYMBOLS,
    x=draws.lattice(),
    a=(-4.0, -1.0, 0.5, 8.0),
    b=(0.0, 3.0, -16.0),
)
def _bnt_06(batch_norm, *, x, a, b):
    moved = plain(batch_norm, (a * x + b).astype(np.float32), EPS)
    still = np.sign(a) * plain(batch_norm, x, EPS / a**2)
    s = standard(x, EPS / a**2)
    return Check("BN(ax+b)", moved, still, 2 * (s.bound + 4 * U32 * (np.abs(s.xhat) + abs(b / a))))


@prop(
    "BNT-07",
    "X M",
    "a constant column gives 0 where that is exact, and is finite everywhere",
    formula=r"v = 0 \Rightarrow \hat x = 0",
    source=ALGORITHM,
    symbols=SYMBOLS,
    value=(0.0, 1.0, -3.0, 64.0, 1.1, -3.7e4, 1e10, 1e-20),
    epsilon=(1e-5, 1e-3),
)
def _bnt_07(batch_norm, batch_norm_gradient=None, *, value, epsilon):
    x = np.full((64, 2), value, np.float32)
    xhat = plain(batch_norm, x, epsilon)
    yield Holds("finite", np.isfinite(xhat), xhat)
    if batch_norm_gradient is not None:
        one = np.ones(2, np.float32)
        gradient = np.asarray(batch_norm_gradient(x, one, 0 * one, epsilon, x * 0 + 1))
        yield Holds("finite gradient", np.isfinite(gradient), gradient)
    if value == int(value) and abs(value) < 2**10:
        yield Exact("x̂", xhat, np.zeros((64, 2)))


@prop(
    "BNT-08",
    "B s",
    "the variance is as accurate as two passes make it, at |mean|/std up to 1e4",
    formula=r"|\hat x' - \hat x| \le \tfrac{\delta\mu}{s}(1+q) + |\hat x|(q+2u) + 2u|\mu|/s",
    source="slide 17; Chan, Golub & LeVeque 1983",
    symbols=SYMBOLS,
    kappa=(1e2, 1e3, 1e4),
    spread=(2.0**-6, 1.0, 8.0),
    seed=(0, 1, 2),
)
def _bnt_08(batch_norm, *, kappa, spread, seed):
    z = np.random.default_rng(seed).normal(size=(64, 4))
    x = (spread * (z + kappa)).astype(np.float32)
    epsilon = GRID * spread**2
    s = standard(x, epsilon)
    return Check("x̂", plain(batch_norm, x, epsilon), s.xhat, s.bound + U32 * np.abs(s.xhat))


@prop(
    "BNT-09",
    "X M",
    "a batch of one gives β",
    formula=r"m = 1 \Rightarrow y = \beta",
    source=ALGORITHM,
    symbols=SYMBOLS,
    x=draws.floats(1, 3),
)
def _bnt_09(batch_norm, *, x):
    scale, bias = affine(3)
    y, *new = batch_norm(x, np.zeros_like(bias), np.ones_like(bias), scale, bias, 0.9, EPS)
    yield Exact("y", y, bias[None])
    yield Holds("finite statistics", all(np.all(np.isfinite(s)) for s in new), new)


@prop(
    "BNT-10",
    "X M",
    "channels do not see each other; every axis but the last is batch",
    formula=r"\partial y_{\cdot j} / \partial x_{\cdot k} = 0,\ j \ne k",
    source=ALGORITHM,
    symbols=SYMBOLS,
    x=draws.normals(4, 4, 4, 3),
    channel=(0, 1, 2),
)
def _bnt_10(batch_norm, *, x, channel):
    changed = x.copy()
    changed[..., channel] *= -3
    others = [k for k in range(3) if k != channel]
    first, second = plain(batch_norm, x), plain(batch_norm, changed)
    yield Exact("other channels", second[..., others], first[..., others])
    s = standard(x, EPS, axes=(0, 1, 2))
    yield Check("over space", first, s.xhat, s.bound + U32 * np.abs(s.xhat))
    permuted = plain(batch_norm, x[[2, 0, 3, 1]])
    bound = 2 * (s.bound + U32 * np.abs(s.xhat))[[2, 0, 3, 1]]
    yield Check("permuted batch", permuted, first[[2, 0, 3, 1]], bound)


@prop(
    "BNT-11",
    "B M",
    "the gradient goes through mean and variance",
    formula=r"g_x = \tfrac{\gamma}{s}(g - \overline{g} - \hat x\,\overline{g\hat x})",
    source="slide 18; Ioffe & Szegedy 2015, section 3",
    symbols=SYMBOLS,
    x=draws.normals(64, 4),
    g=draws.normals(64, 4),
)
def _bnt_11(batch_norm_gradient, *, x, g):
    scale, bias = affine(4)
    s, g64 = standard(x, EPS), np.float64(g)
    first, second = np.mean(g64, axis=0), np.mean(g64 * s.xhat, axis=0)
    want = scale / s.root * (g64 - first - s.xhat * second)
    sizes = (
        np.abs(g64) + np.mean(np.abs(g64), 0) + np.abs(s.xhat) * np.mean(np.abs(g64 * s.xhat), 0)
    )
    slack = (s.inverse + gamma(64 + 9)) * sizes
    slack += s.bound * np.mean(np.abs(g64 * s.xhat), 0)
    slack += np.abs(s.xhat) * np.mean(np.abs(g64) * s.bound, 0)
    bound = 2 * np.abs(scale) / s.root * slack
    yield Check("gx", batch_norm_gradient(x, scale, bias, EPS, g), want, bound)
    pixels = (4, 4, 4, 4)
    got = batch_norm_gradient(x.reshape(pixels), scale, bias, EPS, g.reshape(pixels))
    yield Check("gx of pixels", got, want.reshape(pixels), bound.reshape(pixels))


@prop(
    "BNT-12",
    "B s",
    "half-precision inputs are summed in at least float32",
    formula=r"|y' - y| \le \text{bound}(u_{32}) + u_{16}|y|",
    source=ALGORITHM,
    symbols=SYMBOLS,
    seed=(0, 1, 2, 3),
    offset=(0.0, 8.0),
    dtype=draws.HALVES,
)
def _bnt_12(batch_norm, *, seed, offset, dtype):
    x = (np.random.default_rng(seed).normal(size=(256, 3)) + offset).astype(dtype)
    s, unit = standard(x, EPS), UNITS[dtype]
    zero, one = np.zeros(3, np.float32), np.ones(3, np.float32)
    y = np.asarray(batch_norm(x, zero, one, one, zero, 0.9, EPS)[0]).astype(np.float64)
    # The output is rounded once; below 2^-14 the numbers of float16 are 2^-24 apart.
    bound = s.bound + unit * (np.abs(s.xhat) + s.bound) + U32
    return Check("x̂", y, s.xhat, bound)


PROPERTIES = (
    _bnt_01, _bnt_02, _bnt_03, _bnt_04, _bnt_05, _bnt_06, _bnt_07, _bnt_08, _bnt_09, _bnt_10,
    _bnt_11, _bnt_12,
)  # fmt: skip
