"""The tangent of root mean square normalization, whose transpose is a few passes over x.

The plain form is `hondo.normalization.rms_norm.plain_tangent`:

    u = dx/s,   r = mean(x̂·u) + dε/(2s²),   dx̂ = u - x̂·r,   dy = γ·dx̂ + x̂·dγ

What differs:

1. 4/s comes from the forward pass, and stands in for 1/s, which may be out of range: so 4x̂ and 4u
   are computed, the mean of their product is divided by 16, and the gain by 4.
2. Each use of x̂ has its own handle on x (`unshared`), and the terms of dy are added by
   `sum_unshared`. So the backward pass has a pass for each sum, which writes nothing to memory.
3. The gain stands second in its product with r, and then it does in the transposed sums too: with a
   row of features first, XLA on CPU (jaxlib 0.10.2) gives wrong ones from 4096 rows on where 16
   divides no length.

Measured by `python -m benchmarks fast --only rms_tangent` on 2 cores with other work (2026-11-28),
time over that of the plain form, 8192×1024, forward and backward: .85 in float32, .27 in bfloat16.
"""

import jax.numpy as jnp
from jaxtyping import Array

from hondo._fast.fusion import sum_unshared, unshared


def rms_tangent(
    x: Array, gain: Array, inverse: Array, tangents: tuple[Array, Array, Array]
) -> tuple[Array, Array]:
    """The tangents of γ·x̂, in the dtype of x, and of 4/s, for those of x, the gain and ε."""
    dx, dgain, depsilon = tangents
    again = unshared(x, inverse, gain)
    uses = ((x, inverse, gain), again, unshared(*again))
    xhats = [x.astype(gain.dtype) * inverse for x, inverse, _ in uses]
    u = jnp.asarray(dx, gain.dtype) * inverse
    r = jnp.mean(xhats[0] * u, axis=-1, keepdims=True) / 16.0
    r += 0.5 * (0.25 * inverse) * (0.25 * inverse) * depsilon
    quarter = 0.25 * again[2]
    terms = (0.25 * gain) * u, -xhats[1] * (r * quarter), xhats[2] * (0.25 * dgain)
    return sum_unshared(x, *terms), -inverse * r
