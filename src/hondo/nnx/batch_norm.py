"""Batch normalization as an nnx module, and several batches as one update of its statistics."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import ClassVar

import jax.numpy as jnp
from flax import nnx
from flax.typing import AxisName, Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Real

import hondo
from hondo._bind import frozen
from hondo._layers.arguments import Axes, Mask, averaging, check_axis_groups, valid_entries
from hondo._layers.batch import (
    batch_norm_inference,
    batch_norm_moments,
    batch_norm_step,
)
from hondo._layers.norms import Call
from hondo._modes import is_training
from hondo.nnx.feature_params import (
    NO_METADATA,
    Metadata,
    Promote,
    feature_count,
    feature_param,
    promote_with_params,
)
from hondo.normalization.held_moments import completed


class BatchMoment(nnx.BatchStat):
    """One field of the moments that a `BatchNorm` holds until they become one update."""


class BatchNorm(nnx.Module):
    """Batch normalization over every axis but the last (slides 17-19).

    Parameters `scale` and `bias`; batch statistics `mean`, `var` and `weight`, which is 0 before
    any data and tends to 1. Averages by `momentum` have no `weight`, as those of Flax's own
    BatchNorm. Its state loads with `nnx.update`: averages without a weight, or beside one of a
    layer that has seen no data, count as complete.

    The mode is said by the call, or else by the attribute that `train()`, `eval()` and `nnx.view`
    set; the call wins. Its second argument is `train`, where Flax's is `use_running_average`.
    Arguments that are not named here are those of `LayerNorm`.

    Between `hold_moments` and `commit_moments` calls merge the moments of their batches in `held`
    and leave the running statistics as they are.

    Args:
        features: the number of channels.
        use_running_average: True for inference, False for training, None to leave it to the call.
        axis: the axis or the axes of the channels.
        decay: the weight of the old running statistics, in [0, 1], in an average of the batches
            alone, right from the first one; 0.99 if neither it nor `momentum` is given.
        momentum: the same weight in Flax's and Keras' average, r' = ρr + (1 - ρ)s, which begins at
            the mean 0 and the variance 1 and leans to them.
        epsilon: added to the variance, > 0.
        axis_name: a mapped axis over which the statistics are pooled.
        ddof: 1 to average unbiased variances, 0 for biased ones; if it is not given, 1, and beside
            `momentum` 0.
        rngs: where the initializers take their keys from.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from hondo.nnx import BatchNorm
        >>> norm = BatchNorm(1, rngs=nnx.Rngs(0))
        >>> y = norm(jnp.array([[1.0], [3.0]]), train=True)
        >>> norm.mean[...].tolist(), norm.var[...].tolist()
        ([2.0], [2.0])
    """

    mode_attribute: ClassVar[str] = "use_running_average"

    def __init__(
        self,
        features: int | None = None,
        *,
        num_features: int | None = None,
        use_running_average: bool | None = None,
        axis: Axes = -1,
        decay: float | None = None,
        momentum: float | None = None,
        epsilon: float = 1e-5,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        use_scale: bool = True,
        use_bias: bool = True,
        scale_init: Initializer = nnx.initializers.ones,
        bias_init: Initializer = nnx.initializers.zeros,
        axis_name: AxisName = None,
        axis_index_groups: None = None,
        use_fast_variance: bool = True,
        promote_dtype: Promote | None = None,
        scale_metadata: Metadata = NO_METADATA,
        bias_metadata: Metadata = NO_METADATA,
        ddof: int | None = None,
        rngs: nnx.Rngs,
    ):
        check_axis_groups(axis_index_groups)
        count = feature_count(features, num_features)
        self.decay, self.ddof, has_weight = averaging(decay, momentum, ddof)
        make = partial(feature_param, count, param_dtype, rngs)
        self.scale = nnx.data(make(use_scale, scale_init, scale_metadata))
        self.bias = nnx.data(make(use_bias, bias_init, bias_metadata))
        self.mean, self.var, weight = map(nnx.BatchStat, hondo.init_batch_stats(count))
        self.weight = nnx.data(weight if has_weight else None)
        self.held: Mapping[str, BatchMoment] | None = nnx.data(None)
        self.use_running_average, self.axis = use_running_average, frozen(axis)
        self.epsilon, self.axis_name = epsilon, axis_name
        self.dtype, self.promote_dtype = dtype, promote_dtype

    def __call__(
        self,
        x: Real[Array, "..."],
        train: bool | None = None,
        *,
        use_running_average: bool | None = None,
        mask: Mask = None,
        where: Mask = None,
    ) -> Float[Array, "..."]:
        """Normalizes x by its own statistics in training, by the running ones at inference."""
        training = is_training(self, train, use_running_average)
        x, params = promote_with_params(self, x, self.mean[...], self.var[...])
        if not training:
            return batch_norm_inference(self, x, self.stats, params)
        call = Call(valid_entries(x, mask, where), self.axis_name)
        if self.held is None:
            options = {"decay": self.decay, "ddof": self.ddof}
            y, new = batch_norm_step(self, x, self.stats, params, call, **options)
            self._write_stats(new)
        else:
            y, moments = batch_norm_moments(self, x, self.stats, params, call)
            _write(self.held, hondo.merge_moments(_read(self.held), moments))
        return y

    def set_view(self, use_running_average: bool | None = None) -> None:
        """Sets the mode of a view, see `flax.nnx.view`.

        Args:
          use_running_average: True for inference; None leaves it.
        """
        if use_running_average is not None:
            self.use_running_average = use_running_average

    @property
    def stats(self) -> hondo.BatchStats:
        """The running statistics; complete where they have no weight."""
        mean, var = self.mean[...], self.var[...]
        weight = jnp.ones_like(mean) if self.weight is None else self.weight[...]
        return completed(hondo.BatchStats(mean, var, weight))

    def hold_moments(self) -> None:
        """Begins to hold the moments of its batches, of which there are none yet."""
        empty = {name: jnp.zeros_like(self.mean[...]) for name in hondo.Moments._fields}
        self.held = nnx.Dict({name: BatchMoment(part) for name, part in empty.items()})

    def commit_moments(self) -> None:
        """Takes one step of the running statistics by what it has held.

        Raises:
            ValueError: it holds no moments.
        """
        if self.held is None:
            raise ValueError(
                "module must hold moments, got none. Call hold_moments before the first microbatch."
            )
        options = {"decay": self.decay, "ddof": self.ddof}
        self._write_stats(hondo.update_batch_stats(self.stats, _read(self.held), **options))
        self.held = nnx.data(None)

    def _write_stats(self, stats: hondo.BatchStats) -> None:
        self.mean[...], self.var[...] = stats.mean, stats.var
        if self.weight is not None:
            self.weight[...] = stats.weight


def _read(held: Mapping[str, BatchMoment]) -> hondo.Moments:
    return hondo.Moments(**{name: part[...] for name, part in held.items()})


def _write(held: Mapping[str, BatchMoment], moments: hondo.Moments) -> None:
    for name, part in moments._asdict().items():
        held[name][...] = part


def hold_moments(module: nnx.Module) -> None:
    """Makes every `BatchNorm` hold the moments of its batches instead of averaging batch by batch.

    Args:
        module: any nnx module; changed in place, so functions compiled with it compile once more.

    Raises:
        ValueError: a module without a `BatchNorm` of this package.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from hondo.nnx import BatchNorm, commit_moments, hold_moments
        >>> norm, x = BatchNorm(1, rngs=nnx.Rngs(0)), jnp.arange(8.0).reshape(8, 1)
        >>> hold_moments(norm)
        >>> for part in (x[:2], x[2:]):
        ...     y = norm(part, train=True)
        >>> commit_moments(norm)
        >>> norm.mean[...].tolist()
        [3.5]

    References:
        Slide 18; Chan, Golub & LeVeque 1983, equation 2.1.
    """
    for norm in _batch_norms(module):
        norm.hold_moments()


def commit_moments(module: nnx.Module) -> None:
    """Ends `hold_moments`: one update of the running statistics with all moments held.

    A norm that saw no entry keeps its statistics.

    Args:
        module: as given to `hold_moments`; changed in place.

    Raises:
        ValueError: a module without a `BatchNorm`, or one that holds no moments.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from hondo.nnx import BatchNorm, commit_moments, hold_moments
        >>> norm = BatchNorm(1, decay=0.5, rngs=nnx.Rngs(0))
        >>> hold_moments(norm)
        >>> calls = norm(jnp.zeros((2, 1)), train=True), norm(jnp.ones((2, 1)), train=True)
        >>> commit_moments(norm)
        >>> norm.mean[...].tolist(), norm.weight[...].tolist()
        ([0.5], [0.5])

    References:
        Slide 18.
    """
    for norm in _batch_norms(module):
        norm.commit_moments()


def _batch_norms(module: nnx.Module) -> Iterator[BatchNorm]:
    norms = [node for _, node in nnx.iter_graph(module) if isinstance(node, BatchNorm)]
    if not norms:
        raise ValueError(
            f"module must contain a hondo.nnx.BatchNorm, got {type(module).__name__} without one."
        )
    yield from norms
