"""Theory of signals in wide random networks: moments, gains, depth scales."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Elementwise = Callable[[Array], Array]

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(64)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def activation_gains(
    activation: Elementwise, log_q: Float[Array, ""]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    r"""The ln gains of an activation at $z \sim N(0, q)$, forwards and backwards.

    $$ \tfrac12\ln\frac{\mathrm{E}[\varphi(\sqrt q z)^2]}{q}, \qquad
       \tfrac12\ln\mathrm{E}[\varphi'(\sqrt q z)^2] $$
    """
    scale = jnp.exp(0.5 * log_q)
    z = scale * jnp.asarray(_NODES, jnp.float32)
    value, slope = jax.jvp(activation, (z,), (jnp.ones_like(z),))
    weights = jnp.asarray(_WEIGHTS, jnp.float32)
    unit = value / jnp.where(scale > 0, scale, 1)
    forward = 0.5 * jnp.log(jnp.sum(weights * jnp.square(unit)))
    backward = 0.5 * jnp.log(jnp.sum(weights * jnp.square(slope)))
    return forward, backward
