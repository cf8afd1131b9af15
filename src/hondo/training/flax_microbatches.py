"""Flax modules applied in parts: batch normalization holds its moments, and averages once."""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import jax
from jaxtyping import Array, PRNGKeyArray

from hondo._types import Inputs, ModelState, Outputs, Params
from hondo.normalization.held_moments import Path, empty_moments, map_norms, update_held
from hondo.parameters.names import names
from hondo.training.microbatches import apply_in_parts, check_unchanged

if TYPE_CHECKING:
    from flax import nnx

_STATS, _MOMENTS = "batch_stats", "batch_moments"


@runtime_checkable
class Rule(Protocol):
    """How running statistics are averaged."""

    @property
    def decay(self) -> float:
        """The weight of the old ones."""
        ...

    @property
    def ddof(self) -> int:
        """1 to average unbiased variances, 0 for biased ones."""
        ...


@runtime_checkable
class Averaging(Protocol):
    """A linen module that says so."""

    @property
    def path(self) -> Path:
        """Where its variables are."""
        ...

    @property
    def averaging(self) -> Rule:
        """How its running statistics are averaged."""
        ...


@runtime_checkable
class Holding(Protocol):
    """An nnx module that can hold moments."""

    def hold_moments(self) -> None:
        """Begins to hold moments."""
        ...

    def commit_moments(self) -> None:
        """Ends holding: one update of the running statistics by all of them."""
        ...


def train_linen_in_parts(
    train: Callable[..., tuple[Outputs, ModelState]],
    parts: int,
    params: Params,
    model_state: ModelState,
    inputs: Inputs,
    key: PRNGKeyArray,
) -> tuple[Outputs, ModelState]:
    """What `train(params, model_state, inputs, key)` gives, in so many parts."""
    from flax import linen

    rules: dict[Path, Rule] = {}

    def note(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        if isinstance(context.module, Averaging):
            rules[context.module.path] = context.module.averaging
        return call(*args, **kwargs)

    def apply(held: ModelState, inputs: Inputs, key: PRNGKeyArray) -> tuple[Outputs, ModelState]:
        with linen.intercept_methods(note):
            outputs, new = train(params, {**model_state, **held}, inputs, key)
        _check_rest(model_state, new, [(_STATS, *path) for path in rules])
        return outputs, {_MOMENTS: new[_MOMENTS]} if held else {}

    empty = empty_moments(model_state.get(_STATS, {}))
    held = {_MOMENTS: empty} if jax.tree.leaves(empty) else {}
    outputs, held = apply_in_parts(apply, parts, held, inputs, key)
    return outputs, {**model_state, **_committed(model_state, held, rules)}


def _committed(model_state: ModelState, held: ModelState, rules: dict[Path, Rule]) -> ModelState:
    def commit(path: Path, stats: dict[str, Array], moments: dict[str, Array]) -> ModelState:
        if path not in rules:
            return stats
        return update_held(stats, moments, decay=rules[path].decay, ddof=rules[path].ddof)

    return {_STATS: map_norms(commit, model_state[_STATS], held[_MOMENTS])} if held else {}


def train_nnx_in_parts(
    train: Callable[..., tuple[Outputs, ModelState]],
    graph: "nnx.GraphDef",
    parts: int,
    params: Params,
    model_state: ModelState,
    inputs: Inputs,
    key: PRNGKeyArray,
) -> tuple[Outputs, ModelState]:
    """What `train(graph, params, model_state, inputs, key)` gives, in so many parts."""
    from flax import nnx

    module = nnx.merge(graph, *jax.tree.map(lambda leaf: leaf, (params, model_state)))
    norms = {path: node for path, node in nnx.iter_graph(module) if isinstance(node, Holding)}
    for norm in norms.values():
        norm.hold_moments()
    holding, _, start = nnx.split(module, nnx.Param, ...)
    exempt = [*map(_as_names, norms)]

    def apply(held: ModelState, inputs: Inputs, key: PRNGKeyArray) -> tuple[Outputs, ModelState]:
        outputs, new = train(holding, params, held, inputs, key)
        _check_rest(_without_keys(held), _without_keys(new), exempt)
        return outputs, new

    outputs, held = apply_in_parts(apply, parts, start, inputs, key)
    return outputs, _commit_nnx(holding, params, held)


def _commit_nnx(graph: "nnx.GraphDef", params: Params, held: ModelState) -> ModelState:
    from flax import nnx

    module = nnx.merge(graph, *jax.tree.map(lambda leaf: leaf, (params, held)))
    for _, node in [*nnx.iter_graph(module)]:
        if isinstance(node, Holding):
            node.commit_moments()
    return nnx.split(module, nnx.Param, ...)[2]


def _without_keys(state: ModelState) -> ModelState:
    """The variables but for those of random streams, which each part restarts."""
    from flax import nnx

    return nnx.split_state(state, nnx.RngState, ...)[1]


def _as_names(path: tuple[object, ...]) -> Path:
    return tuple(map(str, path))


def _check_rest(old: ModelState, new: ModelState, exempt: Collection[Path]) -> None:
    """Raises for what was written into the state, but for what lies below these paths.

    Lifted transforms give arrays that are equal, and others.
    """
    after = dict(jax.tree_util.tree_leaves_with_path(new))
    for path, leaf in jax.tree_util.tree_leaves_with_path(old):
        own = names(path)
        if not any(own[: len(above)] == above for above in exempt):
            check_unchanged(".".join(own), leaf, after.get(path))
