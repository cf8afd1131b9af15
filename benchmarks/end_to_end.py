"""From a fresh process to a model that is good enough: compilation, training, validation.

Each contender has a process a seed, in turns, whose processor seconds are counted from after the
imports and the data until the first epoch that reaches the accuracy. One that does not reach it
within its budget of epochs has no row. `sweep` are 32 runs of other seeds, each until it has the
loss; scikit-learn's network has another loss, which it does not reach.
"""

import json
import sys
from typing import Any

from benchmarks.child import ask, load, processor_seconds
from benchmarks.first_run import CONTENDERS as LOOPS
from benchmarks.growth import many_run
from benchmarks.job import Job, data_of
from benchmarks.job_loops import sklearn_run
from benchmarks.measure import Row, Rows, Settings, quartiles, ratio
from benchmarks.peers import only_installed

NAME = "end_to_end"
NAMES = ("hondo", "flax.linen", "keras", "torch", "sklearn")
CONTENDERS = {**LOOPS, "sklearn": ("sklearn.neural_network", sklearn_run)}
# The accuracy, and the most epochs to reach it in.
GOALS = {
    "digits": (Job("MLP", 3, 64), 0.96, 60),
    "Fashion-MNIST": (Job("MLP", 3, 128, 128, data="fashion"), 0.86, 10),
    "Fashion-MNIST, ResNet 8": (Job("PreActResNet", 8, 8, 128, data="fashion"), 0.8, 4),
}
SWEEP, LOSS, RUNS = Job("MLP", 3, 64), 0.15, 32


def compare(settings: Settings) -> Rows:
    """Both data sets, five seeds, and the sweep."""
    seeds = range(1 if settings.quick else min(settings.rounds, 5))
    here = [name for name in NAMES if name in only_installed(CONTENDERS)]
    chosen = here[: 2 if settings.quick else None]
    for data, (job, accuracy, epochs) in list(GOALS.items())[: 1 if settings.quick else None]:
        able = [who for who in chosen if who != "sklearn" or job.network == "MLP"]
        cases = {who: (who, job, accuracy, epochs) for who in able}
        yield from _rows(f"{data}, accuracy {accuracy}", cases, seeds)
    runs = 4 if settings.quick else RUNS
    cases = {who: (who, SWEEP, "sweep", runs) for who in chosen if who != "sklearn"}
    yield from _rows(f"{runs} runs, each to loss {LOSS}", cases, seeds)


def _rows(case: str, cases: dict[str, tuple[Any, ...]], seeds: range) -> Rows:
    answers = {who: [] for who in cases}
    for seed in seeds:
        for who, arguments in cases.items():
            answers[who].append(ask(NAME, *arguments, seed))
    reached = {who: each for who, each in answers.items() if all(one["reached"] for one in each)}
    times = {who: [float(one["seconds"]) for one in each] for who, each in reached.items()}
    for who, seconds in times.items():
        yield Row(NAME, case, f"processor seconds of {who}", *quartiles(seconds))
    for other in [who for who in times if who != "hondo" and "hondo" in times]:
        yield Row(NAME, case, f"hondo / {other}", *ratio(times, "hondo", other))


def main(who: str, job: Job, goal: str, most: int, seed: int) -> None:
    """Prints the seconds, and whether every run reached what it was to reach."""
    load(CONTENDERS[who][0])
    data_of(job)
    began = processor_seconds()
    if goal == "sweep":
        reached = all(
            trained.loss <= LOSS for trained in many_run(who, job, most * seed)(most, 60, LOSS)
        )
    else:
        reached = CONTENDERS[who][1](job)(most, seed, float(goal)).accuracy >= float(goal)
    print(json.dumps({"seconds": processor_seconds() - began, "reached": bool(reached)}))


if __name__ == "__main__":
    _, who, job, goal, most, seed = sys.argv
    main(who, Job(*json.loads(job)), goal, int(most), int(seed))
