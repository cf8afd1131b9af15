"""The reference run, warm and from nothing, against other ways to write it."""

from typing import Any

import jax

from benchmarks.measure import Row, Rows, Settings, against, clock, race, ratio
from benchmarks.peers import only_installed
from benchmarks.reference_hand import hand_run
from benchmarks.reference_loops import equinox_run, haiku_run, nnx_run, sklearn_run, torch_run
from benchmarks.reference_peers import keras_run, linen_run
from benchmarks.reference_problem import EPOCHS, hondo_run

NAME = "fit"
CONTENDERS = {
    "hondo": ("jax", hondo_run),
    "by hand": ("jax", hand_run),
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
    runs = {name: make(epochs) for name, make in only_installed(CONTENDERS).items()}
    case = f"{epochs} epochs"
    times = race(runs, settings._replace(seconds=0.0))
    for other in [name for name in runs if name != "hondo"]:
        yield against(NAME, f"{case}, warm", times, other, GOALS.get(other))
    makers = {"hondo": hondo_run, "flax.linen": linen_run, "by hand": hand_run}
    first = _first(settings, makers, epochs)
    for other, goal in (("flax.linen", 0.8), ("by hand", None)):
        what = f"hondo / {other}"
        yield Row(
            NAME, f"{case}, first run with compilation", what, *ratio(first, "hondo", other), goal
        )


def _first(settings: Settings, makers: dict[str, Any], epochs: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in makers}
    for _ in range(3 if settings.quick else min(settings.rounds, 7)):
        for name, make in makers.items():
            jax.clear_caches()
            times[name].append(clock(make(epochs)))
    return times
