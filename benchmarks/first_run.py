"""What users wait for: the first run of a job, compilation included, in a process of its own.

Processor seconds, because the machine may be shared, from after the imports and the data. A second
process finds what the first one compiled, where it has JAX's cache, as the command line does.
"""

import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from benchmarks.child import ask, in_turns, load, processor_seconds
from benchmarks.job import Job, data_of, hondo_run
from benchmarks.job_loops import keras_run, linen_run, nnx_run, one_program_run, torch_run
from benchmarks.measure import Row, Rows, Settings, against, between, quartiles
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
        times = in_turns(NAME, {who: (who, job, epochs) for who in chosen}, rounds, "seconds")
        case = f"{name}, {epochs} epoch{'s' if epochs > 1 else ''}"
        for who in chosen:
            yield Row(NAME, case, f"processor seconds of {who}", *quartiles(times[who]))
        for other in chosen[1:]:
            goal = 0.9 if (name, other) == ("DeepMLP 24", "flax.linen") else None
            yield against(NAME, case, times, other, goal)
        if ONE in chosen:
            yield between(NAME, case, times, ONE, "flax.linen")
    if not settings.quick:
        yield from _second_process(rounds)


def _second_process(rounds: int) -> Rows:
    """The main job, beside the loop with the same cache, and as it is without one."""
    job, times = JOBS["DeepMLP 24"][0], defaultdict(list)
    for _ in range(rounds):
        for who in ("hondo", "flax.linen"):
            with tempfile.TemporaryDirectory() as folder:
                found = [ask(NAME, who, job, EPOCHS, cache=Path(folder)) for _ in range(2)]
            times[who].append(float(found[1]["seconds"]))
        times["flax.linen without a cache"].append(
            float(ask(NAME, "flax.linen", job, EPOCHS)["seconds"])
        )
    case = f"DeepMLP 24, {EPOCHS} epochs, a second process"
    for who, seconds in times.items():
        yield Row(NAME, case, f"processor seconds of {who}", *quartiles(seconds))
    yield against(NAME, case, times, "flax.linen")
    yield against(NAME, case, times, "flax.linen without a cache", 0.6)


def main(who: str, job: Job, epochs: int) -> None:
    """Prints what the first run in this process takes."""
    load(CONTENDERS[who][0])
    data_of(job)
    began = processor_seconds()
    found = CONTENDERS[who][1](job)(epochs)
    print(json.dumps({"seconds": processor_seconds() - began, **found._asdict()}))


if __name__ == "__main__":
    main(sys.argv[1], Job(*json.loads(sys.argv[2])), int(sys.argv[3]))
