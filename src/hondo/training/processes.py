"""Several processes that run one program together: how they begin, and how they agree."""

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from hondo._numerics.checks import check_count, check_type, error
from hondo._types import Tree

_COORDINATOR, _PROCESSES, _PROCESS = (
    *("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"),
)


def distributed(
    *,
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    heartbeat_seconds: int = 100,
) -> None:
    """Makes the processes of a cluster one program, whose devices `stream` uses together.

    It is called first, by each process, and does nothing where there is one process only, so that
    the same script runs anywhere. What is not given comes from the variables
    JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, or from what JAX knows of the
    cluster, such as Slurm's, Open MPI's and a TPU pod's variables.

    Args:
        coordinator: the address and the port of process 0, such as "10.0.0.1:1234".
        processes: how many there are, an integer ≥ 1.
        process: which one this is, an integer in [0, processes).
        heartbeat_seconds: after how long without a sign of life of one process the others end, an
            integer ≥ 1.

    Raises:
        ValueError: some of the first three, but not all; an index out of range; a variable that
            should be a number and is none.
        RuntimeError: JAX has used its devices already, or the others do not come.

    Example:
        >>> import hondo
        >>> hondo.distributed(processes=2)
        Traceback (most recent call last):
        ...
        ValueError: coordinator must be given where others of the three are, got None.

    References:
        `jax.distributed.initialize`, which does it.
    """
    if jax.distributed.is_initialized():
        return
    check_count("heartbeat_seconds", heartbeat_seconds)
    named: dict[str, Any] = {
        "coordinator": coordinator or os.environ.get(_COORDINATOR),
        "processes": _given(processes, _PROCESSES),
        "process": _given(process, _PROCESS),
    }
    missing = [name for name, value in named.items() if value is None]
    if 0 < len(missing) < len(named):
        raise error(missing[0], None, "given where others of the three are")
    if not missing:
        check_type("coordinator", named["coordinator"], str)
        _check_place(named["process"], named["processes"])
    # CPUs need to be told; elsewhere it is not looked at.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(
            named["coordinator"],
            named["processes"],
            named["process"],
            heartbeat_timeout_seconds=heartbeat_seconds,
        )
    except ValueError as reason:
        # What JAX says where it finds no cluster.
        if "coordinator_address should be defined" not in str(reason):
            raise


def _given(value: int | None, variable: str) -> int | None:
    text = os.environ.get(variable)
    if value is not None or text is None:
        return value
    if not text.strip().isdecimal():
        raise error(variable, text, "an integer")
    return int(text)


def _check_place(process: int, processes: int) -> None:
    check_count("processes", processes)
    check_count("process", process, least=0)
    if not 0 <= process < processes:
        raise error("process", process, f"an integer from 0 to {processes - 1}")


class Team(NamedTuple):
    """The processes that do the same at the same time; the first one alone writes and speaks."""

    size: int = 1
    rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process is the first."""
        return self.rank == 0

    def gather(self, values: Sequence[int]) -> np.ndarray:
        """The values of each process, (size, values)."""
        own = np.asarray(values, np.int32)
        return own[None] if self.size == 1 else multihost_utils.process_allgather(own)

    def gather_text(self, text: str) -> list[str]:
        """The text of each process."""
        if self.size == 1:
            return [text]
        data = np.frombuffer(text.encode(), np.uint8)
        sizes = self.gather([data.size])[:, 0]
        padded = np.pad(data, (0, int(sizes.max()) - data.size))
        rows = multihost_utils.process_allgather(padded)
        return [
            row[:size].tobytes().decode() for row, size in zip(np.asarray(rows), sizes, strict=True)
        ]

    def leave(self) -> None:
        """Waits for the others, each of which would take it for a failure if one just ended."""
        if self.size > 1:
            jax.distributed.shutdown()

    def on_first(self, do: Callable[[], object]) -> None:
        """Lets the first do it, while the others wait.

        Raises:
            OSError: the first could not, and has the error itself.
        """
        failure = None
        if self.is_first:
            try:
                do()
            except Exception as reason:
                failure = reason
        has_failed = self.gather([failure is not None])[0, 0]
        if failure is not None:
            raise failure
        if has_failed:
            raise OSError("process 0 must be able to go on, but had an error: see there.")


ALONE = Team()


def all_processes() -> Team:
    """All processes of the cluster that this one has joined, or this one alone."""
    if not jax.distributed.is_initialized():
        return ALONE
    return Team(jax.process_count(), jax.process_index())


def team_of(tree: Tree) -> Team:
    """All processes where arrays of the tree lie on devices of several, or this one alone."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array)]
    if all(leaf.is_fully_addressable for leaf in leaves):
        return ALONE
    return Team(jax.process_count(), jax.process_index())


def on_this_process(tree: Tree) -> Tree:
    """The tree, of whose arrays that are whole on each device this process' own are taken."""

    def take(leaf: jax.Array) -> jax.Array:
        is_shared = not leaf.is_fully_addressable and leaf.is_fully_replicated
        return leaf.addressable_data(0) if is_shared else leaf

    return jax.tree.map(take, tree)
