"""The members of a sweep: what is traced, what is static, and who shares a program."""

from collections.abc import Callable, Hashable, Mapping, Sequence, Set
from itertools import compress
from typing import Any, NamedTuple, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int, PRNGKeyArray

from hondo._numerics.checks import check_key, error, python_value
from hondo._types import Augment, Data, Hyperparameters, Leaf, Tree, TreeDef
from hondo.regularization.early_stopping import EarlyStopping
from hondo.training.loop import init_run
from hondo.training.plan import Plan, make_plan
from hondo.training.problem import Problem
from hondo.training.state import RecordedRun
from hondo.training.sweeping.result import COLUMNS


class FitArguments(TypedDict, total=False):
    """The arguments of `fit` but the data."""

    problem: Problem
    optimizer: optax.GradientTransformation
    key: PRNGKeyArray
    batch_size: int
    max_epochs: int
    stopper: EarlyStopping
    monitor: str
    augment: Augment | None


Build = Callable[[Hyperparameters], FitArguments]
_DEFAULTS = {"monitor": "loss", "augment": None}
_ARGUMENTS = tuple(FitArguments.__annotations__)


class StaticValue(NamedTuple):
    """One static hyperparameter: its place among the leaves, its value and, as 1 == True, type."""

    place: int
    value: Hashable
    kind: type


class ProgramKey(NamedTuple):
    """What members that share a compiled program have in common; hashable, a static argument.

    Attributes:
        build: from one member's hyperparameters to arguments of `fit`.
        shared: the arguments that all members share, but for the key.
        treedef: of the hyperparameters.
        static: the static hyperparameters.
    """

    build: Build
    shared: tuple[tuple[str, Hashable], ...]
    treedef: TreeDef
    static: tuple[StaticValue, ...]


class MemberLeaves(NamedTuple):
    """What differs among the members of a group, each array with a leading axis of members.

    Attributes:
        leaves: the traced hyperparameters.
        key: the key that the sweep was given, or None.
        place: of each member in its group; it has the axis where all hyperparameters are static.
    """

    leaves: tuple[Array, ...]
    key: PRNGKeyArray | None
    place: Int[Array, "..."]


class MemberGroup(NamedTuple):
    """Members that share a program, by their indices in the sweep, and what differs among them."""

    program_key: ProgramKey
    members: np.ndarray
    leaves: MemberLeaves


def group_members(
    build: Build, hyperparameters: Hyperparameters, static: Sequence[str], shared: FitArguments
) -> list[MemberGroup]:
    """Groups the members by their static hyperparameters, in order of appearance.

    Raises:
        ValueError: no leaf, leading axes that differ, a name that the table needs, an unknown
            name in `static` or `shared`, a static value that cannot be compared.
    """
    _check_names("sweep", shared)
    paths, leaves, treedef = _flatten_with_names(hyperparameters)
    _check_paths(paths)
    _check_static(static, paths)
    is_static = [_is_static(leaf, path in static) for path, leaf in zip(paths, leaves, strict=True)]
    traced = [leaf for leaf, flag in zip(leaves, is_static, strict=True) if not flag]
    static_indices = list(compress(range(len(leaves)), is_static))
    rest = tuple(sorted((name, value) for name, value in shared.items() if name != "key"))
    found: dict[tuple[StaticValue, ...], list[int]] = {}
    for member in range(len(leaves[0])):
        values = [_static_value(i, leaves[i][member], paths[i]) for i in static_indices]
        found.setdefault(tuple(values), []).append(member)
    return [
        MemberGroup(
            ProgramKey(build, rest, treedef, values),
            np.array(members),
            _member_leaves(traced, np.array(members), shared.get("key")),
        )
        for values, members in found.items()
    ]


def _flatten_with_names(
    hyperparameters: Hyperparameters,
) -> tuple[list[str], list[Leaf], TreeDef]:
    with_paths, treedef = jax.tree_util.tree_flatten_with_path(hyperparameters)
    paths = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in with_paths]
    leaves = [leaf for _, leaf in with_paths]
    counts = {np.shape(leaf)[0] if np.shape(leaf) else None for leaf in leaves}
    if len(counts) != 1 or counts & {None, 0}:
        named = zip(paths, leaves, strict=True)
        got = ", ".join(f"{path}: {np.shape(leaf)}" for path, leaf in named) or "no array"
        raise ValueError(
            "hyperparameters must be arrays with one common leading axis of at least one member, "
            f"got shapes {got}. hondo.grid(l2=[0.0, 1e-4], seed=range(3)) makes such arrays."
        )
    return paths, leaves, treedef


def _check_paths(paths: list[str]) -> None:
    for path in paths:
        if path in COLUMNS:
            repair = "The table has a column of its own of that name."
            raise error("the name of a hyperparameter", path, "another", repair)


def _check_static(static: Sequence[str], paths: list[str]) -> None:
    if isinstance(static, str) or not isinstance(static, Sequence | Set):
        raise error("static", static, "a tuple of names", f"Write ({static!r},).")
    for name in static:
        if not isinstance(name, str) or name not in paths:
            raise error("static", name, "names among " + ", ".join(map(repr, paths)))


def _check_names(giver: str, arguments: Mapping[str, Any]) -> None:
    for name in arguments:
        if name not in _ARGUMENTS:
            expected = "arguments of fit, " + ", ".join(map(repr, _ARGUMENTS))
            raise error(f"what {giver} gives", name, expected)


def _is_static(leaf: Leaf, is_named: bool) -> bool:
    return is_named or (isinstance(leaf, np.ndarray) and leaf.dtype.kind in "OUS")


def _static_value(place: int, value: Leaf, path: str) -> StaticValue:
    value = python_value(value)
    try:
        hash(value)
    except TypeError:
        repair = "Give its name, and look it up in build."
        expected = "one hashable value for each member"
        raise error(f"static {path}", value, expected, repair) from None
    return StaticValue(place, value, type(value))


def _member_leaves(
    traced: list[Leaf], members: np.ndarray, key: PRNGKeyArray | None
) -> MemberLeaves:
    leaves = tuple(jnp.asarray(leaf[members]) for leaf in traced)
    if key is not None:
        check_key(key)
        key = jnp.broadcast_to(key, (len(members),))
    return MemberLeaves(leaves, key, jnp.arange(len(members)))


def member_plan(program_key: ProgramKey, own: MemberLeaves) -> tuple[Plan, PRNGKeyArray]:
    """One member's plan and key, of its own leaves.

    Raises:
        ValueError: an argument of `fit` that neither `build` nor the sweep gives, or no such
            argument.
    """
    built = program_key.build(member_hyperparameters(program_key, own.leaves))
    if not isinstance(built, dict):
        raise error("what build returns", built, "a dict of arguments of fit")
    _check_names("build", built)
    given = {**_DEFAULTS, "key": own.key, **dict(program_key.shared), **built}
    missing = [name for name in _ARGUMENTS if given.get(name) is None and name != "augment"]
    if missing:
        repair = "Give it to sweep, or let build return it."
        raise error(missing[0], "nothing", "given", repair)
    key = given.pop("key")
    return make_plan(**given), key


def member_hyperparameters(program_key: ProgramKey, leaves: tuple[Leaf, ...]) -> Hyperparameters:
    """One member's hyperparameters, static values as Python values, in the caller's structure."""
    static = {place: value for place, value, _ in program_key.static}
    traced = iter(leaves)
    count = len(static) + len(leaves)
    merged = [static[place] if place in static else next(traced) for place in range(count)]
    return jax.tree.unflatten(program_key.treedef, merged)


def init_member(
    program_key: ProgramKey, own: MemberLeaves, train: Data, valid: Data
) -> RecordedRun:
    """One member before its first step."""
    plan, key = member_plan(program_key, own)
    return init_run(plan, train, valid, key)


def take_members(tree: Tree, index: int | Int[np.ndarray, "..."]) -> Tree:
    """The members at this index or these indices."""
    return jax.tree.map(lambda leaf: leaf[index], tree)
