"""The reference run, warm and from nothing, against other ways to write it."""

import subprocess
import sys
import time

import jax

from benchmarks.measure import Rows, Settings, against, between, race
from benchmarks.peers import only_installed
from benchmarks.reference_hand import hand_run
from benchmarks.reference_limit import products_run
from benchmarks.reference_loops import equinox_run, haiku_run, nnx_run, sklearn_run, torch_run
from benchmarks.reference_peers import keras_run, linen_run
from benchmarks.reference_problem import EPOCHS, digits, hondo_run

NAME = "fit"
CONTENDERS = {
    "hondo": ("jax", hondo_run),
    "by hand": ("jax", hand_run),
    "its products": ("jax", products_run),
    "flax.linen": ("flax", linen_run),
    "flax.nnx": ("flax", nnx_run),
    "equinox": ("equinox", equinox_run),
    "haiku": ("haiku", haiku_run),
    "sklearn": ("sklearn", sklearn_run),
    "torch": ("torch", torch_run),
    "keras": ("keras", keras_run),
}
GOALS = {"flax.linen": 0.35, "keras": 0.1, "by hand": 1.3}


def compare(settings: Settings) -> Rows:
    """Batch normalization, dropout, validation after each epoch, the best state."""
    epochs = 10 if settings.quick else EPOCHS
    makers = only_installed(CONTENDERS)
    chosen = {"hondo", "its products", *GOALS} if settings.quick else set(makers)
    runs = {name: make(epochs) for name, make in makers.items() if name in chosen}
    case = f"{epochs} epochs"
    times = race(runs, settings._replace(seconds=0.0))
    for other in [name for name in runs if name != "hondo"]:
        yield against(NAME, f"{case}, warm", times, other, GOALS.get(other))
    if "keras" in runs:
        for least in ("by hand", "its products"):
            yield between(NAME, f"{case}, warm", times, least, "keras")
    first, case = _first(settings, epochs), f"{case}, first run with compilation"
    yield against(NAME, case, first, "flax.linen", 0.8)
    yield against(NAME, case, first, "by hand")
    yield between(NAME, case, first, "by hand", "flax.linen")


def _first(settings: Settings, epochs: int) -> dict[str, list[float]]:
    """A process of its own for each, whose time starts after the imports."""
    times: dict[str, list[float]] = {name: [] for name in ("hondo", "flax.linen", "by hand")}
    for _ in range(1 if settings.quick else min(settings.rounds, 7)):
        for name, seconds in times.items():
            command = [sys.executable, "-m", "benchmarks.reference_run", name, str(epochs)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            seconds.append(float(done.stdout))
    return times


def main(name: str, epochs: int) -> None:
    """Prints the seconds of the first run in this process, compilation included."""
    digits()
    make = CONTENDERS[name][1]
    began = time.perf_counter()
    jax.block_until_ready(make(epochs)())
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
