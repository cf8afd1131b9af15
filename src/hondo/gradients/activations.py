"""Activations (slide 12): which saturate, where, and by which gain a layer makes up for each."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from hondo._numerics.checks import check_callable, check_choice, check_floating, check_type, error
from hondo._numerics.dtypes import accumulation_dtype

Elementwise: TypeAlias = Callable[[Array], Array]


class Activation(NamedTuple):
    r"""An activation, its gain, and the pre-activations for which it is flat.

    On a side where the slope goes to 0, flat is where $|\varphi'|$ is at most a tenth of its
    maximum, there and all the way out: at and below `flat_below`, at and above `flat_above`.

    Attributes:
        name: as in `ACTIVATIONS`.
        function: $\varphi$, elementwise.
        gain: $g = 1/\sqrt{\mathrm{E}[\varphi(z)^2]}$ for $z \sim N(0, 1)$.
        flat_below: the end of the flat region on the left, -inf where there is none.
        flat_above: the start of the flat region on the right, +inf where there is none.

    Example:
        >>> import hondo
        >>> relu = hondo.find_activation("relu")
        >>> relu.name, round(relu.gain, 4), relu.flat_below, relu.flat_above
        ('relu', 1.4142, 0.0, inf)
    """

    name: str
    function: Elementwise
    gain: float
    flat_below: float = -math.inf
    flat_above: float = math.inf

    @property
    def saturating(self) -> bool:
        """Whether it is flat on both sides, and so bounded."""
        return math.isfinite(self.flat_below) and math.isfinite(self.flat_above)


_TANH_FLAT = math.atanh(math.sqrt(0.9))
_SOFT_SIGN_FLAT = math.sqrt(10.0) - 1.0
_EXP_FLAT = math.log(0.1)

ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            Activation(
                "sigmoid", jax.nn.sigmoid, 1.8462285453386054, -2 * _TANH_FLAT, 2 * _TANH_FLAT
            ),
            Activation("tanh", jnp.tanh, 1.5925374197228314, -_TANH_FLAT, _TANH_FLAT),
            Activation("hard_tanh", jax.nn.hard_tanh, 1.3920361404483097, -1.0, 1.0),
            Activation(
                "soft_sign", jax.nn.soft_sign, 2.3375333631085397, -_SOFT_SIGN_FLAT, _SOFT_SIGN_FLAT
            ),
            Activation("relu", jax.nn.relu, math.sqrt(2.0), 0.0),
            Activation("leaky_relu", jax.nn.leaky_relu, math.sqrt(2.0 / (1.0 + 0.01**2))),
            Activation("elu", jax.nn.elu, 1.2451983007007066, _EXP_FLAT),
            Activation("selu", jax.nn.selu, 1.0, _EXP_FLAT),
            Activation("gelu", jax.nn.gelu, 1.5335805216661469, -1.7353986853376452),
            Activation("silu", jax.nn.silu, 1.6765324703310912, -0.8824693261343987),
            Activation("softplus", jax.nn.softplus, 1.041866835535302, -math.log(9.0)),
            Activation("identity", jax.nn.identity, 1.0),
        )
    }
)
"""The activations by name: JAX's own functions with their defaults; immutable."""


def find_activation(name: str) -> Activation:
    """Looks an activation up in `ACTIVATIONS`.

    Args:
        name: for example "relu".

    Returns:
        The entry.

    Raises:
        ValueError: an unknown name; the message lists the known ones.

    Example:
        >>> import hondo
        >>> hondo.find_activation("tanh").saturating, hondo.find_activation("relu").saturating
        (True, False)

    References:
        Slide 12, "Función de activación".
    """
    check_choice("the name of the activation", name, tuple(ACTIVATIONS))
    return ACTIVATIONS[name]


def gain(activation: str | Activation | Elementwise) -> float:
    r"""The factor by which a layer's weights make up for its activation.

    $$ g = \frac{1}{\sqrt{\mathrm{E}[\varphi(z)^2]}}, \qquad z \sim N(0, 1) $$

    A layer whose inputs are $\varphi(z)$ and whose weights have variance $g^2/n_e$ gives
    pre-activations of variance 1 again. It is √2 for "relu", which makes $g^2/n_e$ the variance of
    `he_normal`, and 1.5925 for "tanh", where PyTorch's `calculate_gain` has the nominal 5/3.

    Args:
        activation: a name of `ACTIVATIONS`, an entry of one's own, or any elementwise $\varphi$,
            whose gain is integrated numerically to a relative error below 1e-6 where $\varphi$ is
            continuous.

    Returns:
        $g$, a Python float, also under jit.

    Raises:
        ValueError: an unknown name; a function that is zero, infinite or NaN, or not elementwise.

    Example:
        >>> import hondo, jax
        >>> from functools import partial
        >>> round(hondo.gain("relu"), 4)
        1.4142
        >>> round(hondo.gain(partial(jax.nn.leaky_relu, negative_slope=1.0)), 4)
        1.0

    References:
        Slides 12 and 15; He et al. 2015, section 2.2; Klambauer et al. 2017 for "selu", g = 1.
    """
    if isinstance(activation, str):
        activation = find_activation(activation)
    if isinstance(activation, Activation):
        return activation.gain
    expected = "a name of ACTIVATIONS, an Activation or an elementwise function"
    check_callable("activation", activation, expected)
    mean_square = _mean_square(activation)
    if not 0 < mean_square < math.inf:
        raise error("activation", activation, "elementwise, finite and not zero everywhere")
    return 1 / math.sqrt(mean_square)


def _mean_square(activation: Elementwise) -> float:
    """E[φ(z)²] by the midpoint rule on [-12, 12]; NaN for a function that is not elementwise.

    The error falls with the square of the step at a kink, faster than any power without one.
    """
    step = 24.0 / 2**15
    z = -12.0 + step * (np.arange(2**15) + 0.5)
    with jax.ensure_compile_time_eval():
        values = np.asarray(activation(jnp.asarray(z, jnp.float32)), np.float64)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return float(np.sum(values**2 * density) * step) if values.shape == z.shape else math.nan


def saturated(
    pre_activations: Float[Array, "*shape"], *, activation: str | Activation
) -> Bool[Array, "*shape"]:
    r"""Tells which units are where their activation is flat, and so pass hardly any gradient.

    $$ |\varphi'(t)| \le \tfrac{1}{10} \max|\varphi'| \quad\text{for } t = z
       \text{ and everything farther out, where } \varphi' \to 0 $$

    For "tanh" it is $|\tanh z| \ge \sqrt{0.9} = 0.949$; for "relu" the side where a unit is off,
    $z \le 0$, and a unit that is off for every example is dead. "leaky_relu" and "identity" are
    flat nowhere. NaN is not saturated. An infinite pre-activation is, whatever the activation.

    Args:
        pre_activations: $z$, the input of the activation; any shape.
        activation: a name of `ACTIVATIONS`, or an entry of one's own.

    Returns:
        A mask of the same shape; its mean is the fraction of saturated units.

    Raises:
        ValueError: an unknown name.

    Example:
        >>> import hondo, jax.numpy as jnp
        >>> hondo.saturated(jnp.array([-3.0, 0.0, 3.0]), activation="tanh").tolist()
        [True, False, True]

    References:
        Slides 12 and 14, "saturación de las neuronas"; Glorot and Bengio 2010, section 3.
    """
    check_floating("pre_activations", pre_activations)
    entry = find_activation(activation) if isinstance(activation, str) else activation
    check_type("activation", entry, Activation, "Or give a name of ACTIVATIONS.")
    z = pre_activations.astype(accumulation_dtype(pre_activations.dtype))
    return (z <= entry.flat_below) | (z >= entry.flat_above)
