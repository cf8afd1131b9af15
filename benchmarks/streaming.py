"""`stream` beside the same steps in memory, and beside others on the same data of Grain.

Also how long saves keep a run waiting, and what a device computes where eight share each batch.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

import hondo
from benchmarks.child import ask
from benchmarks.measure import (
    Row,
    Rows,
    Run,
    Settings,
    Times,
    against,
    between,
    quartiles,
    race,
    single,
)
from benchmarks.streaming_runs import (
    BATCH,
    IN_MEMORY,
    LEARNING_RATE,
    MLP,
    SINGLE,
    Case,
    ResNet,
    contenders,
    examples,
)

NAME = "stream"
SECONDS_BETWEEN_SAVES, DEVICES = 600, 8


CASES = Case("MLP 4×128", MLP(), 8, 16, 1.3), Case("ResNet 8, 28×28", ResNet(), 1, 1, 1.05)


def compare(settings: Settings) -> Rows:
    """Both networks, quickly the small one; saves; the work of a device."""
    for case in CASES[: 1 if settings.quick else None]:
        times = race(contenders(case), settings._replace(seconds=0.0))
        yield from rows_of(case, times)
        yield from _saves(case, settings)
    flops = ask("streaming")
    what = "FLOPs of a device / those of one alone"
    yield single(NAME, f"fit, {DEVICES} virtual devices", what, flops["share"], 1.05 / DEVICES)


def rows_of(case: Case, times: Times) -> Rows:
    """The stream over everybody else, and the others over the run in memory."""
    others = [name for name in times if name not in ("hondo", IN_MEMORY)]
    yield against(NAME, case.name, times, IN_MEMORY, case.goal)
    for other in others:
        if other != SINGLE:
            yield against(NAME, case.name, times, other)
        yield between(NAME, case.name, times, other, IN_MEMORY)


def _saves(case: Case, settings: Settings) -> Rows:
    """How long `save` blocks, beside Orbax's own manager."""
    problem, some = hondo.supervised(case.network, loss="cross_entropy"), examples()[0]
    batch, stopper = (
        jax.tree.map(lambda leaf: leaf[:BATCH], some),
        hondo.early_stopping(9, mode="min"),
    )
    optimizer = optax.adam(LEARNING_RATE)
    state = hondo.start(problem, optimizer, batch, key=jax.random.key(0), stopper=stopper)
    with tempfile.TemporaryDirectory() as folder, _orbax(Path(folder) / "orbax", state) as orbax:
        save = partial(hondo.save, Path(folder) / "hondo", state)
        times = race({"hondo": save, "orbax": orbax}, settings._replace(seconds=0.0))
    where = f"{case.name}, {len(jax.tree.leaves(state))} arrays"
    shares = [seconds / SECONDS_BETWEEN_SAVES for seconds in times["hondo"]]
    what = f"share of the time that a save each {SECONDS_BETWEEN_SAVES} s blocks"
    yield Row(NAME, where, what, *quartiles(shares), 0.01)
    yield against(NAME, f"{where}, a save", times, "orbax")


@contextlib.contextmanager
def _orbax(folder: Path, state: Any) -> Iterator[Run]:
    """A save that is waited for, of a manager that keeps two."""
    import orbax.checkpoint as ocp

    options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
    with ocp.CheckpointManager(folder, options=options) as manager:

        def save() -> None:
            step = (manager.latest_step() or 0) + 1
            manager.save(step, args=ocp.args.StandardSave(state))

        yield save


def flops_of_a_device(devices: int) -> float:
    """The compiler's count, of a run in memory whose data lies on so many devices."""
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:devices]), ("data",))
    shares = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    problem = hondo.supervised(MLP(), loss="cross_entropy")
    run = partial(hondo.fit, problem, optax.adam(LEARNING_RATE), batch_size=BATCH, max_epochs=1)
    rest: dict[str, Any] = {"key": jax.random.key(0)}
    rest["stopper"] = hondo.early_stopping(9, mode="min")
    data = jax.device_put(examples(), shares)
    compiled = jax.jit(lambda train, valid: run(train, valid, **rest).best).lower(*data).compile()
    return float(compiled.cost_analysis()["flops"])


def main() -> None:
    """Prints the work of each of eight devices over that of one."""
    jax.config.update("jax_num_cpu_devices", DEVICES)
    print(json.dumps({"share": flops_of_a_device(DEVICES) / flops_of_a_device(1)}))


if __name__ == "__main__":
    main()
