"""What the targets of JAX frameworks share: gradients of whatever operation they offer."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp


def initializer(init: Any) -> Any:
    """The operation of an initializer `init(key, shape, dtype)`."""
    compiled = jax.jit(init, static_argnums=(1, 2))
    return lambda seed, shape: compiled(jax.random.key(seed), tuple(shape), jnp.float32)


def slope(function: Any) -> Any:
    """The derivative of an elementwise function, over a vector."""
    return jax.jit(jax.vmap(jax.grad(function)))


def dropout_gradient(dropout: Any) -> Any:
    """The operation of that name, of a dropout."""

    @partial(jax.jit, static_argnames="keep_prob")
    def both(seed: Any, x: Any, keep_prob: float, g: Any) -> Any:
        y, vjp = jax.vjp(lambda x: dropout(seed, x, keep_prob), x)
        return y, vjp(g)[0]

    return both


def batch_norm_gradient(batch_norm: Any) -> Any:
    """The operation of that name, of a batch normalization."""

    @partial(jax.jit, static_argnames="epsilon")
    def gradient(x: Any, scale: Any, bias: Any, epsilon: float, g: Any) -> Any:
        zero, one = jnp.zeros_like(bias), jnp.ones_like(bias)

        def train(x: Any) -> Any:
            return batch_norm(x, zero, one, scale, bias, 0.9, epsilon)[0]

        return jax.vjp(train, x)[1](g)[0]

    return gradient


def residual_gradient(residual: Any) -> Any:
    """The operation of that name, of a residual connection."""
    return jax.jit(lambda x, a, g: jax.vjp(lambda x: residual(x, a), x)[1](g)[0])
