"""The published numbers of the lecture, by theory and by capture.

`python spec_tests/published_numbers.py` prints the table of docs/diagnosis.md.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import hondo
from hondo.diagnosis import batch_norm_growth, mean_field, moments, residual_growth

WIDTH = 500


class Number(NamedTuple):
    """One published number beside the theory's and the captured one."""

    what: str
    published: str
    theory: float
    captured: float
    tolerance: float = 0.1


class Chain(NamedTuple):
    """A network of equal layers: each h to φ(norm(h W + b)), or h + φ(norm(h)) W."""

    activation: str
    depth: int
    weight_variance: float
    bias_variance: float = 0.0
    width: int = WIDTH
    batch: int = 64
    inputs: int = WIDTH
    norm: bool = False
    residual: bool = False


# Compiled in a hurry: most chains are run once.
_OPTIONS = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else {}


@partial(jax.jit, static_argnums=0, compiler_options=_OPTIONS)
def diagnosed(chain: Chain, seed: int = 0) -> hondo.Diagnosis:
    """The diagnosis of a chain at its initialization, on Gaussian inputs."""
    key = jax.random.key(seed)
    batch = jax.random.normal(key, (chain.batch, chain.inputs)), jnp.arange(chain.batch) % 10
    problem = hondo.Problem(partial(_init, chain), partial(_loss, chain), lambda *_: {})
    return hondo.diagnose(problem, *problem.init(key, batch), batch, key=key)


def _init(chain: Chain, key: jax.Array, _: Any) -> tuple[Any, tuple[()]]:
    keys = jax.random.split(key, 5)

    def draw(key: jax.Array, *shape: int) -> jax.Array:
        return math.sqrt(chain.weight_variance / shape[-2]) * jax.random.normal(key, shape)

    n = chain.width
    bias = math.sqrt(chain.bias_variance) * jax.random.normal(keys[3], (chain.depth, n))
    hidden = draw(keys[1], chain.depth - 1, n, n)
    last = jax.random.normal(keys[2], (n, 10)) / math.sqrt(n)
    # The stream starts with variance 1, and so does each branch behind a norm.
    first = draw(keys[0], chain.inputs, n) / (math.sqrt(chain.weight_variance) ** chain.residual)
    return {"in": first, "w": hidden, "out": last, "b": bias}, ()


def _loss(chain: Chain, params: Any, state: Any, batch: Any, key: jax.Array) -> Any:
    act = _activation(chain)
    first = batch[0] @ params["in"] + params["b"][0][None]
    x = first if chain.residual else act(first)

    def body(x: jax.Array, layer: Any) -> tuple[jax.Array, None]:
        w, b = layer
        if chain.residual:
            return x + act(x) @ w, None
        return act(x @ w + b[None]), None

    x, _ = jax.lax.scan(body, x, (params["w"], params["b"][1:]))
    return hondo.cross_entropy(x @ params["out"], batch[1]).mean(), (state, {})


def _activation(chain: Chain) -> Callable[[jax.Array], jax.Array]:
    function = hondo.ACTIVATIONS[chain.activation].function

    def act(z: jax.Array) -> jax.Array:
        if chain.norm:
            mean, variance = (f(z, axis=0, keepdims=True) for f in (jnp.mean, jnp.var))
            z = (z - mean) / jnp.sqrt(variance + 1e-5)
        return function(z)

    return act


def nielsen() -> Iterator[Number]:
    """Slide 10: the last over the first gradient of 2, 3 and 4 hidden layers of 30 sigmoids."""
    factor = mean_field("sigmoid", weight_variance=1.0, bias_variance=1.0).chi ** -0.5
    for depth, published in ((2, 4.7), (3, 23.9), (4, 95.8)):
        chain = Chain("sigmoid", depth, 1.0, 1.0, width=30, inputs=784)
        ratios = []
        for seed in range(15):
            hidden = diagnosed(chain, seed).layers[:-1]
            ratios.append(hidden[-1].gradient_rms / hidden[0].gradient_rms)
        what = f"sigmoid, {depth} hidden layers: last gradient over first"
        yield Number(what, str(published), factor ** (depth - 1), float(np.median(ratios)), 0.25)


def slide_14() -> Iterator[Number]:
    """Slide 14: ten layers of width 500, inputs N(0, 1)."""
    for activation, variance, published in (
        ("tanh", 0.01, "0.76"),
        ("tanh", 1e-4, "3e-7"),
        ("relu", 1e-4, "8e-9"),
        ("relu", 0.01, "85"),
        ("relu", 1.0, "8e11"),
    ):
        chain = Chain(activation, 10, WIDTH * variance)
        q = 1.0
        for _ in range(10):
            z = WIDTH * variance * q
            q = moments(activation, z)[0]
        rows = [r for r in diagnosed(chain).table() if r["kind"] == "activation"]
        what = f"{activation}, variance {variance:g}: RMS of layer 10"
        yield Number(what, published, math.sqrt(q), float(rows[-1]["response_rms"]), 0.25)
    flat = [r["flat"] for r in diagnosed(Chain("tanh", 10, WIDTH)).table() if r["flat"] > 0]
    yield Number("tanh, variance 1: saturated", "0.93", _saturated(), float(np.median(flat)), 0.02)


def _saturated() -> float:
    """The share of |z| above tanh's limit at the fixed point of variance 1."""
    q = mean_field("tanh", weight_variance=float(WIDTH)).variance
    return math.erfc(hondo.find_activation("tanh").flat_above / math.sqrt(2 * q))


def batch_norm() -> Iterator[Number]:
    """Slide 19: the growth of the squared gradient a layer, behind batch norm and relu."""
    for batch, published, tolerance in ((8, 1.794, 0.3), (32, 1.502, 0.08), (128, 1.462, 0.05)):
        chain = Chain("relu", 40, 2.0, batch=batch, norm=True)
        gradients = [layer.input_gradient_rms for layer in diagnosed(chain).layers[5:36]]
        slope = np.polyfit(np.arange(31), 2 * np.log(gradients), 1)[0]
        what = f"batch norm and relu, B = {batch}: growth of the squared gradient"
        yield Number(what, str(published), batch_norm_growth(), math.exp(-slope), tolerance)


def residual() -> Iterator[Number]:
    """Slide 13: the variance of the stream after 8 blocks over that before."""
    for normalized, published in ((False, "2^8"), (True, "8 + 1")):
        chain = Chain("relu", 9, 2.0, norm=normalized, residual=True)
        report = diagnosed(chain)
        sums = [r["response_rms"] for r in report.table() if r["kind"] == "sum"]
        captured = (sums[-1] / report.layers[0].response_rms) ** 2
        theory = residual_growth(8, normalized=normalized)
        what = f"residual stream {'with' if normalized else 'without'} norm, 8 blocks: variance"
        yield Number(what, published, theory, captured, 0.25)


def numbers() -> list[Number]:
    """All of them."""
    return [*nielsen(), *slide_14(), *batch_norm(), *residual()]


def as_table(found: list[Number]) -> str:
    """Markdown."""
    lines = ["| what | published | theory | captured |", "|---|---|---|---|"]
    lines += [f"| {n.what} | {n.published} | {n.theory:.3g} | {n.captured:.3g} |" for n in found]
    return "\n".join(lines)


if __name__ == "__main__":
    print(as_table(numbers()))
