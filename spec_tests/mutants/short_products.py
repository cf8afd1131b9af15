"""Mutants whose products lose bits: TF32, bfloat16 and float16, in one factor or in the sum."""

from typing import Any

import numpy as np

from hondo_spec.draws import double
from hondo_spec.targets import reference as right
from hondo_spec.targets import reference_chains as chains
from spec_tests.mutants.mutant import Mutant

# Bits of a significand.
BITS = {"TF32": 11, "bfloat16": 8}


def short(x, bits):
    """X rounded to so many bits, at any magnitude."""
    mantissa, exponent = np.frexp(np.float64(x))
    return np.ldexp(np.round(mantissa * 2.0**bits) / 2.0**bits, exponent)


def _half(x):
    with np.errstate(over="ignore"):
        return np.float64(np.float16(x))


ROUNDED: dict[str, Any] = {name: lambda x, bits=bits: short(x, bits) for name, bits in BITS.items()}
ROUNDED["float16"] = _half


def _residual(cut):
    return lambda x, a: np.float32(x + cut(x) @ cut(a))


def _residual_gradient(cut):
    return lambda x, a, g: np.float32(g + cut(g) @ cut(a).T)


def _residual_stack(cut):
    def residual_stack(x, matrices):
        for a in matrices:
            x = _residual(cut)(x, a)
        return x

    return residual_stack


def _residual_projection(cut):
    return lambda x, w, a: np.float32(cut(x) @ cut(w) + np.float64(x) @ a)


def _residual_chain(cut):
    """Backwards only."""

    def residual_chain(x, a, b, g):
        inputs, y = [], double(x)
        for first, last in zip(a, b, strict=True):
            inputs.append(y)
            y = y + np.maximum(y @ first, 0) @ last
        g = double(g)
        for at, first, last in reversed(list(zip(inputs, a, b, strict=True))):
            g = g + (cut(g) @ cut(last).T * (at @ first > 0)) @ first.T
        return y, g

    return residual_chain


def _residual_chain_forward(cut):
    def residual_chain(x, a, b, g):
        y, gradient = double(x), right.OPERATIONS["residual_chain"](x, a, b, g)[1]
        for first, last in zip(a, b, strict=True):
            y = y + np.maximum(cut(y) @ first, 0) @ last
        return y, gradient

    return residual_chain


def _chain_gradient(cut):
    """Of curves other than the identity."""

    def chain_gradient(x, weights, biases, g, activation):
        g = g if activation == "identity" else cut(g)
        return chains.chain_gradient(x, weights, biases, g, activation)

    return chain_gradient


def _convolution(cut):
    return lambda x, kernel, stride: chains.convolution(cut(x), cut(kernel), stride)


def _convolution_by_kernel(cut):
    return lambda x, kernel, stride: chains.convolution(x, cut(kernel), stride)


def _convolution_gradient(cut):
    def convolution_gradient(x, kernel, stride, g):
        return chains.convolution_gradient(x, kernel, stride, cut(g))

    return convolution_gradient


def _gradient_of_kernel(cut):
    def convolution_gradient(x, kernel, stride, g):
        gx = chains.convolution_gradient(x, kernel, stride, g)[0]
        return gx, chains.convolution_gradient(cut(x), kernel, stride, g)[1]

    return convolution_gradient


def _gradient_of_input(cut):
    def convolution_gradient(x, kernel, stride, g):
        gkernel = chains.convolution_gradient(x, kernel, stride, g)[1]
        return chains.convolution_gradient(x, cut(kernel), stride, g)[0], gkernel

    return convolution_gradient


def _result(name):
    """The result rounded, as if it were summed there."""
    function = right.OPERATIONS[name]

    def summed(cut):
        def operation(*arguments):
            found = function(*arguments)
            return tuple(map(cut, found)) if isinstance(found, tuple) else cut(found)

        return operation

    return summed


PRODUCTS = (
    ("a residual branch", "RES-02", "residual", _residual),
    ("a sum of residual and branch", "RES-02", "residual", _result("residual")),
    ("the gradient of a residual branch", "RES-03", "residual_gradient", _residual_gradient),
    ("residual branches one after another", "RES-05", "residual_stack", _residual_stack),
    ("a projected shortcut", "RES-06", "residual_projection", _residual_projection),
    ("gradients of residual blocks", "RES-04", "residual_chain", _residual_chain),
    ("residual blocks", "RES-04", "residual_chain", _residual_chain_forward),
    ("a gradient through curves", "GRD-03", "chain_gradient", _chain_gradient),
    ("the gradient of a chain", "GRD-01", "chain_gradient", _result("chain_gradient")),
    ("a convolution", "GRD-04", "convolution", _convolution),
    ("a kernel of a convolution", "GRD-04", "convolution", _convolution_by_kernel),
    ("sums of a convolution", "GRD-04", "convolution", _result("convolution")),
    ("the gradient of a convolution", "GRD-04", "convolution_gradient", _convolution_gradient),
    ("the gradient of a kernel", "GRD-04", "convolution_gradient", _gradient_of_kernel),
    ("the gradient of a convolution's input", "GRD-04", "convolution_gradient",
     _gradient_of_input),
)  # fmt: skip

MUTANTS = tuple(
    Mutant(f"{what} in {dtype}", kills, {name: change(cut)})
    for what, kills, name, change in PRODUCTS
    for dtype, cut in ROUNDED.items()
)
