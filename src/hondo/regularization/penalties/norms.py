"""Norm penalties (slide 3), with λ/2 before both norms as the slide has them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import jax.numpy as jnp
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from hondo._bind import by_value
from hondo._microbatched import microbatched
from hondo._numerics.array_checks import check_real
from hondo._numerics.checks import (
    check_callable,
    check_floating,
    check_range,
    check_scalar,
    python_value,
)
from hondo._numerics.dtypes import accumulation_dtype
from hondo._numerics.tree_checks import check_tree
from hondo._types import Leaf, Loss, Params
from hondo.parameters.chosen import chosen
from hondo.parameters.names import Where

Strength = float | Float[Array, ""]
Penalty: TypeAlias = Callable[[Params], ArrayLike]


def l1_penalty(params: Params, strength: Strength, *, where: Where = None) -> Float[Array, ""]:
    r"""Computes $\frac{\lambda}{2}\lVert W\rVert_1$ over the weights.

    Its subgradient is $\frac{\lambda}{2}\operatorname{sign}(W)$, 0 where W = 0. Descent along it
    does not end at exact zeros; `proximal_l1` does.

    Args:
        params: any tree of parameters.
        strength: λ ≥ 0; may be traced.
        where: `where(path, leaf)` → whether the leaf is penalized; by default weights and
            embeddings, see `roles`.

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
    return _penalty(params, strength, where=where, size=lambda w: w * jnp.sign(w))


def l2_penalty(params: Params, strength: Strength, *, where: Where = None) -> Float[Array, ""]:
    r"""Computes $\frac{\lambda}{2}\lVert W\rVert_2^2$ over the weights.

    Its gradient is $\lambda W$.

    Args:
        params: any tree of parameters.
        strength: λ ≥ 0; may be traced.
        where: `where(path, leaf)` → whether the leaf is penalized; by default weights and
            embeddings, see `roles`.

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
    return _penalty(params, strength, where=where, size=jnp.square)


def elastic_net_penalty(
    params: Params, l1_strength: Strength, l2_strength: Strength, *, where: Where = None
) -> Float[Array, ""]:
    r"""Computes $\frac{\lambda_1}{2}\lVert W\rVert_1 + \frac{\lambda_2}{2}\lVert W\rVert_2^2$.

    Args:
        params: any tree of parameters.
        l1_strength: λ₁ ≥ 0.
        l2_strength: λ₂ ≥ 0.
        where: `where(path, leaf)` → whether the leaf is penalized; by default weights and
            embeddings, see `roles`.

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
    check_range("l1_strength", l1_strength, 0.0)
    check_range("l2_strength", l2_strength, 0.0)
    first = l1_penalty(params, l1_strength, where=where)
    return first + l2_penalty(params, l2_strength, where=where)


def _penalty(
    params: Params, strength: Strength, *, where: Where, size: Callable[[Array], Array]
) -> Array:
    """λ/2 · Σ size(w) over the weights; a λ of 0 that is not traced reads none of them."""
    check_range("strength", strength, 0.0, repair="λ = 0 is no penalty.")
    check_tree("params", params)
    leaves, strength = chosen(params, where), python_value(strength)
    if not isinstance(strength, Tracer) and strength == 0:
        return jnp.zeros((), accumulation_dtype(leaves[0].dtype))
    total = sum(jnp.sum(size(_widened(leaf))) for leaf in leaves)
    return jnp.asarray(strength / 2) * total


def _widened(leaf: Leaf) -> Array:
    leaf = jnp.asarray(leaf)
    check_real("params", leaf)
    return leaf.astype(accumulation_dtype(leaf.dtype))


def penalized(loss: Loss, penalty: Penalty) -> Loss:
    r"""Makes $\tilde E(\theta) = E(\theta) + \Omega(\theta)$ of a loss and a penalty.

    Args:
        loss: a function whose first argument is the parameters, and which returns a scalar or a
            pair `(scalar, aux)`, such as `Problem.loss`.
        penalty: parameters → scalar, such as `partial(l2_penalty, strength=1e-4)`.

    Returns:
        The function with the same arguments and the same kind of result; equal pairs make equal
        functions, so a jit cache keeps it.

    Raises:
        ValueError: when called, a loss or a penalty that is no floating scalar.

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
    check_callable("loss", loss)
    check_callable("penalty", penalty, "a function of the parameters")
    return _Penalized(by_value(loss), by_value(penalty))


# A dataclass, because jax.jit refers weakly to its functions, which a NamedTuple forbids.
@dataclass(frozen=True)
class _Penalized:
    loss: Loss
    penalty: Penalty

    def microbatched(self, parts: int) -> Loss:
        """The penalty is added once."""
        return replace(self, loss=microbatched(self.loss, parts))

    def __call__(self, params: Params, *args: Any, **kwargs: Any) -> Any:
        value = self.loss(params, *args, **kwargs)
        if isinstance(value, tuple):
            return (_add(value[0], self.penalty(params)), *value[1:])
        return _add(value, self.penalty(params))


def _add(value: ArrayLike, penalty: ArrayLike) -> Array:
    # The sum of no losses is Python's 0.
    value = jnp.asarray(float(value) if type(value) is int else value)
    for name, result in (("loss", value), ("penalty", penalty)):
        check_floating(f"what {name} returns", jnp.asarray(result))
        check_scalar(f"what {name} returns", result)
    return value + jnp.asarray(penalty).astype(value.dtype)
