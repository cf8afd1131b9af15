"""Norm penalties (slide 3), with λ/2 before both norms as the slide has them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from hondo._numerics.checks import check_range, check_scalar, python_value
from hondo._numerics.dtypes import accumulation_dtype
from hondo.regularization.penalties.roles import Where, chosen, is_weight

Strength = float | Float[Array, ""]
Penalty = Callable[[Any], Any]


def l1_penalty(params: Any, strength: Strength, *, where: Where = is_weight) -> Float[Array, ""]:
    r"""Computes $\frac{\lambda}{2}\lVert W\rVert_1$ over the weights.

    Its subgradient is $\frac{\lambda}{2}\operatorname{sign}(W)$, 0 where W = 0. Descent along it
    does not end at exact zeros; `proximal_l1` does.

    Args:
        params: any tree of parameters.
        strength: λ ≥ 0; may be traced.
        where: `where(path, leaf)` → whether the leaf is penalised; weights by their names.

    Returns:
        A scalar, in float32 or wider.

    Raises:
        ValueError: λ negative or NaN; a rule that chooses nothing.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> params = {"kernel": jnp.array([[1.0, -2.0]]), "bias": jnp.array([9.0, 9.0])}
        >>> float(hondo.l1_penalty(params, 2.0))
        3.0

    References:
        Slide 3, first equation; Goodfellow et al. 2016, equation 7.18.
    """
    # Not jnp.abs, whose derivative at 0 is 1.
    return _penalty(params, strength, where, lambda w: w * jnp.sign(w))


def l2_penalty(params: Any, strength: Strength, *, where: Where = is_weight) -> Float[Array, ""]:
    r"""Computes $\frac{\lambda}{2}\lVert W\rVert_2^2$ over the weights.

    Its gradient is $\lambda W$.

    Args:
        params: any tree of parameters.
        strength: λ ≥ 0; may be traced.
        where: `where(path, leaf)` → whether the leaf is penalised; weights by their names.

    Returns:
        A scalar, in float32 or wider.

    Raises:
        ValueError: λ negative or NaN; a rule that chooses nothing.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> params = {"kernel": jnp.array([[1.0, -2.0]]), "bias": jnp.array([9.0, 9.0])}
        >>> float(hondo.l2_penalty(params, 2.0))
        5.0

    References:
        Slide 3, second equation; Goodfellow et al. 2016, equation 7.2.
    """
    return _penalty(params, strength, where, jnp.square)


def elastic_net_penalty(
    params: Any, l1_strength: Strength, l2_strength: Strength, *, where: Where = is_weight
) -> Float[Array, ""]:
    r"""Computes $\frac{\lambda_1}{2}\lVert W\rVert_1 + \frac{\lambda_2}{2}\lVert W\rVert_2^2$.

    Args:
        params: any tree of parameters.
        l1_strength: λ₁ ≥ 0.
        l2_strength: λ₂ ≥ 0.
        where: `where(path, leaf)` → whether the leaf is penalised; weights by their names.

    Returns:
        A scalar, in float32 or wider.

    Raises:
        ValueError: a strength negative or NaN; a rule that chooses nothing.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> float(hondo.elastic_net_penalty({"kernel": jnp.array([[1.0, -2.0]])}, 2.0, 2.0))
        8.0

    References:
        Slide 3; Zou and Hastie 2005, equation 3, with the slide's halves.
    """
    first = l1_penalty(params, l1_strength, where=where)
    return first + l2_penalty(params, l2_strength, where=where)


def _penalty(params: Any, strength: Strength, where: Where, of: Callable[[Any], Any]) -> Array:
    check_scalar("strength", strength)
    check_range("strength", strength, 0.0, repair="λ = 0 is no penalty.")
    leaves, strength = chosen(params, where), python_value(strength)
    if not isinstance(strength, Tracer) and strength == 0:
        return jnp.zeros((), _wide(leaves[0]))
    total = sum(jnp.sum(of(leaf.astype(_wide(leaf)))) for leaf in leaves)
    return jnp.asarray(strength / 2) * total


def _wide(leaf: Any) -> Any:
    return accumulation_dtype(leaf.dtype)


def penalized(loss: Callable[..., Any], penalty: Penalty) -> Callable[..., Any]:
    r"""Makes $\tilde E(\theta) = E(\theta) + \Omega(\theta)$ of a loss and a penalty.

    Args:
        loss: a function whose first argument is the parameters, and which returns a scalar or a
            pair `(scalar, aux)`, such as `Problem.loss`.
        penalty: parameters → scalar, such as `partial(l2_penalty, strength=1e-4)`.

    Returns:
        The function with the same arguments and the same kind of result; equal pairs make equal
        functions, so a jit cache keeps it.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> from functools import partial
        >>> penalty = partial(hondo.l2_penalty, strength=1.0)
        >>> loss = hondo.penalized(lambda w: w["kernel"][0], penalty)
        >>> float(loss({"kernel": jnp.array([2.0])}))
        4.0

    References:
        Slide 3, Ẽ(θ).
    """
    return _Penalized(loss, penalty)


class _Penalized(NamedTuple):
    loss: Callable[..., Any]
    penalty: Penalty

    def __call__(self, params: Any, *args: Any, **kwargs: Any) -> Any:
        value = self.loss(params, *args, **kwargs)
        if isinstance(value, tuple):
            return (_add(value[0], self.penalty(params)), *value[1:])
        return _add(value, self.penalty(params))


def _add(value: Any, penalty: Any) -> Any:
    value = jnp.asarray(value)
    return value + jnp.asarray(penalty).astype(value.dtype)
