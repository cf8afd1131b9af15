"""Microbatches, or calls of one module, that count as one update of the running statistics."""

from typing import Any

from flax.typing import Collection, VariableDict
from jax.typing import ArrayLike
from jaxtyping import Array

from hondo._numerics.checks import check_probability
from hondo._numerics.other_names import refuse_names
from hondo.normalization.held_moments import Path, empty_moments, map_norms, update_held


def hold_moments(variables: VariableDict) -> dict[str, Any]:
    r"""Makes every `BatchNorm` hold the moments of its batches instead of averaging batch by batch.

    Lifted transforms in the module, such as `nn.vmap`, must list `batch_moments` beside
    `batch_stats`.

    Args:
        variables: of any linen module that contains this package's `BatchNorm`.

    Returns:
        The variables with one more collection, `batch_moments`, of moments without any entry; make
        it mutable in `apply`.

    Raises:
        ValueError: variables without the statistics of a batch normalization.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo.linen import BatchNorm, commit_moments, hold_moments
        >>> norm, x = BatchNorm(), jnp.arange(8.0).reshape(8, 1)
        >>> variables = hold_moments(norm.init(jax.random.key(0), x, train=True))
        >>> for part in (x[:2], x[2:]):
        ...     _, new = norm.apply(variables, part, train=True, mutable=["batch_moments"])
        ...     variables |= new
        >>> commit_moments(variables, decay=0.9)["batch_stats"]["mean"].tolist()
        [3.5]

    References:
        Slide 18; Chan, Golub & LeVeque 1983, equation 2.1.
    """
    if not variables.get("batch_stats"):
        raise ValueError(
            f"variables must have the collection 'batch_stats', got {sorted(variables)}. "
            "It comes from the init of a module with BatchNorm."
        )

    return {**variables, "batch_moments": empty_moments(variables["batch_stats"])}


@refuse_names("momentum")
def commit_moments(variables: VariableDict, *, decay: ArrayLike, ddof: int = 1) -> dict[str, Any]:
    r"""Ends `hold_moments`: one update of the running statistics with all moments held.

    $$ r' = (1 - a)\,r + a\,s $$

    with s of all entries since `hold_moments`, as if they were one batch. A norm that saw no entry
    keeps its statistics.

    Args:
        variables: with the collections `batch_stats` and `batch_moments`.
        decay: the weight of the old running statistics, in [0, 1].
        ddof: as the modules' own: 1 to average unbiased variances, 0 for biased ones, as beside
            `momentum`.

    Returns:
        The variables without `batch_moments`. Averages without a weight, from Flax's own module or
        by `momentum`, count as complete and get none.

    Raises:
        ValueError: decay outside [0, 1], ddof neither 0 nor 1; variables that hold no moments.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from hondo.linen import BatchNorm, commit_moments, hold_moments
        >>> norm, x = BatchNorm(), jnp.array([[1.0], [5.0]])
        >>> variables = hold_moments(norm.init(jax.random.key(0), x, train=True))
        >>> _, new = norm.apply(variables, x, train=True, mutable=["batch_moments"])
        >>> commit_moments(variables | new, decay=0.5)["batch_stats"]["var"].tolist()
        [8.0]

    References:
        Slide 18.
    """
    check_probability("decay", decay, "It is the weight of the old value.")
    if "batch_moments" not in variables:
        raise ValueError(
            f"variables must have the collection 'batch_moments', got {sorted(variables)}. "
            "Call hold_moments before the first microbatch."
        )

    def commit(_: Path, stats: Collection, held: Collection) -> dict[str, Array]:
        return update_held(stats, held, decay=decay, ddof=ddof)

    rest = {name: value for name, value in variables.items() if name != "batch_moments"}
    updated = map_norms(commit, variables["batch_stats"], variables["batch_moments"])
    return {**rest, "batch_stats": updated}
