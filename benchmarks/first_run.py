"""What users wait for: the first run of a job, compilation included, in a process of its own.

Processor seconds, because the machine may be shared, and the wall's, which are those of a machine
with nothing else to do; from after the imports and the data. A second process finds what the first
one compiled, where it has JAX's cache, as the command line does.
"""

import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from benchmarks.child import ask, in_turns, load, processor_seconds
from benchmarks.job import Job, data_of, hondo_run
from benchmarks.job_loops import keras_run, linen_run, nnx_run, one_program_run, torch_run
from benchmarks.measure import Row, Rows, Settings, Times, against, between, quartiles
from benchmarks.peers import only_installed

NAME = "first_run"
EPOCHS = 20
# Flax's own functions in one program: what a whole run without hondo's promises costs.
ONE = "one program"
CONTENDERS = {
    "hondo": ("jax", hondo_run),
    "flax.linen": ("flax", linen_run),
    ONE: ("flax", one_program_run),
    "flax.nnx": ("flax", nnx_run),
    "torch": ("torch", torch_run),
    "keras": ("keras", keras_run),
}
PROCESSOR = "processor seconds"
# What a process uses, and what whoever waits for it sees, by the fields of its answer.
UNITS = {PROCESSOR: "seconds", "wall seconds": "wall"}
DENSE = ("hondo", "flax.linen", ONE, "torch", "keras")
JOBS = {
    "DeepMLP 24": (Job(), DENSE),
    "MLP 3": (Job("MLP", 3), DENSE),
    "DeepMLP 100": (Job(depth=100), DENSE),
    "a user's CNN": (Job("CNN", 4, 8), DENSE),
    "an nnx MLP": (Job("nnx MLP", 3), ("hondo", "flax.nnx")),
    "PreActResNet 8": (Job("PreActResNet", 8, 8), DENSE),
    "PreActResNet 20": (Job("PreActResNet", 20, 8), DENSE),
}


def compare(settings: Settings) -> Rows:
    """Each network by hondo and by the loops that can follow; of the deep ones fewer epochs."""
    rounds = 1 if settings.quick else min(settings.rounds, 7)
    here = only_installed(CONTENDERS)
    for name, (job, names) in list(JOBS.items())[: 1 if settings.quick else None]:
        epochs = EPOCHS if name in ("DeepMLP 24", "MLP 3") and not settings.quick else 1
        chosen = [who for who in names if who in here][: 2 if settings.quick else None]
        cases = {who: (who, job, epochs) for who in chosen}
        case = f"{name}, {epochs} epoch{'s' if epochs > 1 else ''}"
        for unit, times in zip(UNITS, in_turns(NAME, cases, rounds, *UNITS.values()), strict=True):
            yield from _rows(case, unit, times, {"flax.linen": 0.9} if job == Job() else {})
    if not settings.quick:
        yield from _second_process(rounds)


def _second_process(rounds: int) -> Rows:
    """The main job, beside the loop with the same cache, and as it is without one."""
    alone = "flax.linen without a cache"
    times: dict[str, Times] = {unit: defaultdict(list) for unit in UNITS}
    for _ in range(rounds):
        for who in ("hondo", "flax.linen"):
            with tempfile.TemporaryDirectory() as folder:
                first, second = (ask(NAME, who, Job(), EPOCHS, cache=Path(folder)) for _ in "12")
            for unit, field in UNITS.items():
                times[unit][who].append(float(second[field]))
                if who == "flax.linen":
                    times[unit][alone].append(float(first[field]))
    for unit, each in times.items():
        yield from _rows(f"DeepMLP 24, {EPOCHS} epochs, a second process", unit, each, {alone: 0.6})


def _rows(case: str, unit: str, times: Times, goals: Mapping[str, float]) -> Rows:
    for who, seconds in times.items():
        yield Row(NAME, case, f"{unit} of {who}", *quartiles(seconds))
    case = case if unit == PROCESSOR else f"{case}, {unit}"
    for other in list(times)[1:]:
        yield against(NAME, case, times, other, goals.get(other))
    if ONE in times:
        yield between(NAME, case, times, ONE, "flax.linen")


def main(who: str, job: Job, epochs: int) -> None:
    """Prints what the first run in this process takes."""
    load(CONTENDERS[who][0])
    data_of(job)
    began, began_at = processor_seconds(), time.perf_counter()
    found = CONTENDERS[who][1](job)(epochs)
    spent = {"seconds": processor_seconds() - began, "wall": time.perf_counter() - began_at}
    print(json.dumps({**spent, **found._asdict()}))


if __name__ == "__main__":
    main(sys.argv[1], Job(*json.loads(sys.argv[2])), int(sys.argv[3]))
