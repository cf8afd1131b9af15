"""Dropout of what carries the units: single weights, and whole residual branches."""

from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from hondo._numerics.checks import check_floating
from hondo._numerics.other_names import refuse_names
from hondo.regularization.dropout.units import inverted_dropout


@refuse_names("rate", "deterministic")
def drop_connect(
    key: PRNGKeyArray, kernel: Float[Array, "*shape"], *, keep_prob: ArrayLike
) -> Float[Array, "*shape"]:
    r"""Drops single weights at random and divides the others by P.

    $$ m_{ij} \sim \mathrm{Bernoulli}(P), \qquad \tilde W = m * W / P $$

    One mask serves every example of the batch; `jax.vmap` over keys and examples gives each its
    own. The expectation is $W$, so inference uses the weights as they are.

    Args:
        key: a typed PRNG key; draw a new one for every layer and step.
        kernel: $W$, the weights of one layer, any shape.
        keep_prob: $P$, the probability that a weight is kept; a scalar in [0, 1].

    Returns:
        $\tilde W$, with the shape and dtype of `kernel`.

    Raises:
        TypeError: the key is not a typed PRNG key.
        ValueError: P outside [0, 1], NaN or no scalar; integers.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from hondo import drop_connect
        >>> kernel = drop_connect(jax.random.key(0), jnp.ones((20, 30)), keep_prob=0.5)
        >>> sorted(set(kernel.ravel().tolist()))
        [0.0, 2.0]

    References:
        Wan et al. 2013, "Regularization of neural networks using DropConnect", section 3;
        inverted as in slide 7's dropout.
    """
    check_floating("kernel", kernel)
    return inverted_dropout(key, kernel, keep_prob=keep_prob)


@refuse_names("rate", "deterministic")
def stochastic_depth(
    key: PRNGKeyArray, branch: Float[Array, "*shape"], *, keep_prob: ArrayLike
) -> Float[Array, "*shape"]:
    r"""Drops the whole residual branch of an example and divides the other examples by P.

    $$ b_e \sim \mathrm{Bernoulli}(P), \qquad y_e = x_e + b_e * F(x)_e / P $$

    This function gives the second term. The expectation is $F(x)$, so inference adds the branch
    as it is. A dropped branch has gradient 0, also where $F$ gave an infinity or NaN.

    Args:
        key: a typed PRNG key; draw a new one for every block and step.
        branch: $F(x)$; the first axis counts the examples, the others are kept or dropped
            together. A scalar is one example.
        keep_prob: $P$, the probability that an example keeps the branch; a scalar in [0, 1].

    Returns:
        $b * F(x) / P$, with the shape and dtype of `branch`.

    Raises:
        TypeError: the key is not a typed PRNG key.
        ValueError: P outside [0, 1], NaN or no scalar; integers.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from hondo import stochastic_depth
        >>> x = jnp.ones((4, 3))
        >>> y = x + stochastic_depth(jax.random.key(0), jnp.tanh(x), keep_prob=0.8)
        >>> bool((y[:, 0] == y[:, 1]).all())
        True

    References:
        Huang et al. 2016, "Deep networks with stochastic depth", equation 2, with a draw for
        each example rather than for the batch, and inverted; slide 13, "Conexiones residuales".
    """
    check_floating("branch", branch)
    return inverted_dropout(key, branch, keep_prob=keep_prob, broadcast_dims=range(1, branch.ndim))
