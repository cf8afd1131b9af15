"""hondo's diagnosis, of chains that are given as arrays."""

import functools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import hondo
from hondo_spec.adapter import Operation, operation


def _problem(activation: str, scanned: bool) -> hondo.Problem:
    curve = hondo.find_activation(activation).function

    def loss(params: Any, stop: Any, batch: Any, key: Any) -> Any:
        (weights, biases), (h, g) = params, batch

        def layer(h: jax.Array, own: Any) -> tuple[jax.Array, None]:
            w, b, place = own
            h = curve(h @ w + b[None])
            return jnp.where(place == stop, jax.lax.stop_gradient(h), h), None

        hidden = weights[:-1], biases[:-1], jnp.arange(len(weights) - 1)
        if scanned:
            h, _ = jax.lax.scan(layer, h, hidden)
        else:
            for place in range(len(weights) - 1):
                h, _ = layer(h, jax.tree.map(lambda part, i=place: part[i], hidden))
        return jnp.sum(g * (h @ weights[-1] + biases[-1][None])), (stop, {})

    return hondo.Problem(lambda key, batch: ((), ()), loss, lambda *_: {})


@functools.cache
def _diagnosis(activation: str, scanned: bool) -> Operation:
    """The chains are tiny, and run a few hundred times: to compile them well is not worth it."""
    run = partial(hondo.diagnose, _problem(activation, scanned))
    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else {}
    return jax.jit(run, compiler_options=options)


@operation
def _diagnose_chain(x, weights, biases, activation, g, stop, scanned):
    run = _diagnosis(activation, scanned)
    report = run((weights, biases), stop, (x, g), key=jax.random.key(0))
    values: Any = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), report.values)
    is_layer = np.array([row.kind == "layer" for row in report.rows])
    number = np.cumsum(is_layer) - 1
    found = np.argwhere(np.asarray(report.findings.found))
    log_sizes = values.input.log_rms, values.output.log_rms, values.output_gradient.log_rms
    with np.errstate(invalid="ignore"):
        sizes, gain = np.exp(log_sizes), np.exp(log_sizes[1] - log_sizes[0])
    names = "input_rms", "response_rms", "gradient_rms"
    return {
        **{name: size[is_layer] for name, size in zip(names, sizes, strict=True)},
        "loss": report.loss,
        "gain": gain[is_layer],
        "activation_gain": gain[~is_layer],
        "off": values.off[~is_layer],
        "verdicts": [(hondo.diagnosis.KINDS[kind], int(number[row])) for kind, row in found],
    }


@operation
def _diagnosis_size(layers):
    def run(*arguments: Any) -> Any:
        key = jax.random.key(0)
        return hondo.diagnose(_problem("relu", True), *arguments, key=key).values

    x, w = np.zeros((2, 3), np.float32), np.zeros((layers, 3, 3), np.float32)
    arguments = (w, w[:, 0]), np.int32(-1), (x, x)
    return _count_equations(jax.make_jaxpr(run)(*arguments))


def _count_equations(jaxpr: Any) -> int:
    """Of a program and of the programs inside it."""
    values = [value for equation in jaxpr.eqns for value in equation.params.values()]
    inner = jax.tree.leaves(values, is_leaf=lambda value: hasattr(value, "eqns"))
    return len(jaxpr.eqns) + sum(_count_equations(v) for v in inner if hasattr(v, "eqns"))


@operation
def _mean_field(activation, weight_variance, bias_variance):
    variances = {"weight_variance": weight_variance, "bias_variance": bias_variance}
    theory = hondo.diagnosis.mean_field(activation, **variances)
    return theory.variance, theory.chi
