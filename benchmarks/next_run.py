"""The main job once it is compiled, beside the loop, one program, and what it consists of.

"No batch norm" is hondo's own run of the same network without that technique: what is left for a
batch norm that costs nothing. Its products are what is left when nothing else costs anything.
"""

from benchmarks.first_run import EPOCHS, ONE
from benchmarks.job import DROPOUT, Job, hondo_run
from benchmarks.job import Run as TrainRun
from benchmarks.job_loops import linen_run, one_program_run
from benchmarks.measure import Rows, Run, Settings, against, between, race
from benchmarks.reference_limit import products_run
from hondo.linen import DeepMLP

NAME = "next_run"
JOB = Job()
PRODUCTS, NO_NORM = "its products", "no batch norm"
LOOPS = {"hondo": hondo_run, "flax.linen": linen_run, ONE: one_program_run}


def compare(settings: Settings) -> Rows:
    """Runs of twenty epochs in turns."""
    epochs = 2 if settings.quick else EPOCHS
    runs = {name: _again(make(JOB), epochs) for name, make in LOOPS.items()}
    plain = DeepMLP(10, depth=JOB.depth, width=JOB.width, rate=DROPOUT, norm=None)
    runs[NO_NORM] = _again(hondo_run(JOB, plain), epochs)
    # `DeepMLP` has one dense layer for each of its depth.
    runs[PRODUCTS] = products_run(epochs, (64, *[JOB.width] * (JOB.depth - 1), 10))
    times, case = race(runs, settings._replace(seconds=0.0)), f"DeepMLP 24, {epochs} epochs"
    yield against(NAME, case, times, "flax.linen", 0.6)
    yield against(NAME, case, times, ONE)
    yield against(NAME, case, times, PRODUCTS)
    for part in (ONE, NO_NORM, PRODUCTS):
        yield between(NAME, case, times, part, "flax.linen")


def _again(train: TrainRun, epochs: int) -> Run:
    return lambda: train(epochs)
