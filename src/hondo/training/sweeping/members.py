"""The members of a sweep: what is traced, what is static, who shares a program."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hondo._numerics.checks import check_key, error, python_value
from hondo.regularization.early_stopping import EarlyStopping
from hondo.training.loop import Plan, make_plan, start
from hondo.training.problem import Problem
from hondo.training.sweeping.result import COLUMNS


class FitArguments(TypedDict, total=False):
    """What `fit` is told beside the data."""

    problem: Problem
    optimizer: optax.GradientTransformation
    key: Any
    batch_size: int
    max_epochs: int
    stopper: EarlyStopping
    monitor: str
    augment: Any


Build = Callable[[Any], FitArguments]
_DEFAULTS = {"monitor": "loss", "augment": None}
_NEEDED = tuple(FitArguments.__annotations__)


class Family(NamedTuple):
    """Members that share one program; hashable, a static argument.

    Attributes:
        build: from one member's hyperparameters to arguments of `fit`.
        shared: the arguments that all members share, but for the key.
        treedef: of the hyperparameters.
        static: the static leaves, as triples (place, value, type), because 1 equals True.
    """

    build: Build
    shared: tuple[tuple[str, Any], ...]
    treedef: Any
    static: tuple[tuple[int, Any, type], ...]


class Traced(NamedTuple):
    """What differs between the members of a family: each leaf with a leading axis of members."""

    leaves: tuple[Any, ...]
    key: Any


class Group(NamedTuple):
    """A family, its members by their index in the sweep, and what differs between them."""

    family: Family
    members: np.ndarray
    traced: Traced


def groups(
    build: Build, hyperparameters: Any, static: Sequence[str], shared: FitArguments
) -> list[Group]:
    """Cuts the members into groups of equal static hyperparameters, in order of appearance.

    Raises:
        ValueError: no leaf, leading axes that differ, a name that the table needs, an unknown
            name in `static` or `shared`, a static value that cannot be compared.
    """
    _check_names("sweep", shared)
    paths, leaves, treedef = _leaves(hyperparameters)
    _check_paths(paths)
    _check_static(static, paths)
    is_static = [_is_static(leaf, path in static) for path, leaf in zip(paths, leaves, strict=True)]
    places = [place for place, flag in enumerate(is_static) if flag]
    found: dict[Any, list[int]] = {}
    for member in range(len(leaves[0])):
        each = [(place, python_value(leaves[place][member])) for place in places]
        values = tuple((place, value, type(value)) for place, value in each)
        found.setdefault(_hashed(values, paths), []).append(member)
    rest = [leaf for leaf, flag in zip(leaves, is_static, strict=True) if not flag]
    fixed = tuple(sorted((name, value) for name, value in shared.items() if name != "key"))
    key = shared.get("key")
    made = []
    for values, members in found.items():
        chosen = np.array(members)
        traced = Traced(tuple(jnp.asarray(leaf[chosen]) for leaf in rest), _keys(key, len(members)))
        made.append(Group(Family(build, fixed, treedef, values), chosen, traced))
    return made


def _leaves(hyperparameters: Any) -> tuple[list[str], list[Any], Any]:
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
    if isinstance(static, str):
        raise error("static", static, "a tuple of names", f"Write ({static!r},).")
    for name in static:
        if name not in paths:
            raise error("static", name, "names among " + ", ".join(map(repr, paths)))


def _check_names(giver: str, arguments: Any) -> None:
    for name in arguments:
        if name not in _NEEDED:
            expected = "arguments of fit, " + ", ".join(map(repr, _NEEDED))
            raise error(f"what {giver} gives", name, expected)


def _is_static(leaf: Any, named: bool) -> bool:
    return named or (isinstance(leaf, np.ndarray) and leaf.dtype.kind in "OUS")


def _hashed(values: Any, paths: list[str]) -> Any:
    for place, value, _ in values:
        try:
            hash(value)
        except TypeError:
            repair = "Give its name, and look it up in build."
            expected = "one hashable value for each member"
            raise error(f"static {paths[place]}", value, expected, repair) from None
    return values


def _keys(key: Any, count: int) -> Any:
    if key is None:
        return None
    check_key(key)
    return jnp.broadcast_to(key, (count,))


def plan_of(family: Family, traced: Traced) -> tuple[Plan, Any]:
    """One member's plan and key; `traced` holds its own leaves only.

    Raises:
        ValueError: an argument of `fit` that neither `build` nor the sweep gives, or no such
            argument.
    """
    built = family.build(hyperparameters_of(family, traced.leaves))
    if not isinstance(built, dict):
        raise error("what build returns", built, "a dict of arguments of fit")
    _check_names("build", built)
    given = {**_DEFAULTS, "key": traced.key, **dict(family.shared), **built}
    missing = [name for name in _NEEDED if given.get(name) is None and name != "augment"]
    if missing:
        repair = "Give it to sweep, or let build return it."
        raise error(missing[0], "nothing", "given", repair)
    key = given.pop("key")
    return make_plan(**given), key


def hyperparameters_of(family: Family, leaves: tuple[Any, ...]) -> Any:
    """One member's hyperparameters, static values as Python values, in the caller's structure."""
    static, rest = {place: value for place, value, _ in family.static}, iter(leaves)
    count = len(static) + len(leaves)
    merged = [static[place] if place in static else next(rest) for place in range(count)]
    return jax.tree.unflatten(family.treedef, merged)


def take(tree: Any, index: Any) -> Any:
    """The members at this index or these indices."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


def start_of(family: Family, traced: Traced, train: Any, valid: Any) -> Any:
    """One member's state before its first step."""
    plan, key = plan_of(family, traced)
    return start(plan, train, valid, key)
