"""The metrics of a run as TensorBoard reads them, by the protocol of tensorboardX.

Each start of a run writes a file of its own, whose name and first event tell after how many steps
it goes on. What an earlier file has of later steps is done again, and TensorBoard forgets it.
"""

import struct
import time
from importlib import import_module
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import tree_leaves_with_path

from hondo._extras import check_extra
from hondo.parameters.names import names

_FOLDER, _PREFIX = "tensorboard", "events.out.tfevents."


def check_tensorboard() -> None:
    """Raises unless tensorboardX is installed.

    Raises:
        ModuleNotFoundError: it is not.
    """
    check_extra("tensorboard", "tensorboardX")


def event_path(folder: Path, step: int) -> Path:
    """The file of the start of a run in this folder that goes on after so many steps.

    Example:
        >>> event_path(Path("run"), 8).name
        'events.out.tfevents.000000000008'
    """
    return folder / _FOLDER / f"{_PREFIX}{step:012d}"


def start_events(path: Path, step: int) -> bool:
    """Makes the file of a run that goes on after so many steps.

    Returns:
        Whether there are files of earlier starts.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(exist_ok=True)
    others = [*path.parent.glob(f"{_PREFIX}*")]
    for other in others:
        # Of a start from this step or a later one, whose steps are done again.
        if other >= path:
            other.unlink()
    protocol = import_module("tensorboardX.proto.event_pb2")
    session = protocol.SessionLog(status=protocol.SessionLog.START)
    for event in (
        protocol.Event(file_version="brain.Event:2"),
        protocol.Event(step=step + 1, session_log=session),
    ):
        _append(path, event.SerializeToString())
    return any(other < path for other in others)


def append_scalars(path: Path, step: int, values: dict[str, float]) -> None:
    """Adds these values by their names, as they were after so many steps of the run.

    Raises:
        OSError: they cannot be written.
    """
    protocol = import_module("tensorboardX.proto.event_pb2")
    event = protocol.Event(step=step, wall_time=time.time())
    for name, value in values.items():
        event.summary.value.add(tag=name, simple_value=value)
    _append(path, event.SerializeToString())


def _append(path: Path, content: bytes) -> None:
    """Adds a record: its length and its content, each with a checksum."""
    checksum = import_module("tensorboardX.record_writer").masked_crc32c
    parts = struct.pack("<Q", len(content)), content
    with path.open("ab") as file:
        file.write(b"".join(part + struct.pack("<I", checksum(part)) for part in parts))


def hyperparameters(opt_state: optax.OptState) -> dict[str, float]:
    """The numbers that `optax.inject_hyperparams` keeps in the state, such as the learning rate.

    Example:
        >>> optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=0.5)
        >>> hyperparameters(optimizer.init({"w": jnp.ones(2)}))
        {'optimizer/learning_rate': 0.5}
    """
    found = {}
    for path, leaf in tree_leaves_with_path(opt_state):
        own = names(path)
        if "hyperparams" in own and jnp.ndim(leaf) == 0:
            place = [name for name in own if name != "hyperparams"]
            found["/".join(("optimizer", *place))] = leaf
    return {name: float(value) for name, value in jax.device_get(found).items()}
