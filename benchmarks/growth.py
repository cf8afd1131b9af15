"""What time, compilation and memory do as the work grows: slopes on logarithmic axes.

A process for each point, in turns; processor seconds, because the machine may be shared. Step time
is that of a run whose program is there, over its steps; compilation is what a first run takes more.
A slope of 1 is linear. Its interval, 95 %, is that of least squares over all points of all rounds.
"""

import json
import re
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.child import ask, load, peak_bytes, processor_seconds
from benchmarks.first_run import CONTENDERS
from benchmarks.job import Job, data_of
from benchmarks.measure import Row, Rows, Settings, quartiles
from benchmarks.peers import only_installed
from hondo._pictures import LINES, as_bytes, log_axis, new_figure, style

NAME = "growth"
MEASURES = {"step": "seconds a step", "compile": "seconds of compilation", "peak": "bytes at most"}
ALL = ("hondo", "flax.linen", "torch", "keras")


class Axis(NamedTuple):
    """What grows.

    Attributes:
        values: of a field of `Job`, or how many runs.
        job: the rest.
        contenders: who can follow.
        grows: the measures that may grow with it.
    """

    values: tuple[int, ...]
    job: Job
    contenders: tuple[str, ...]
    grows: tuple[str, ...] = ("step", "peak")


NOISE = Job(depth=8, width=64, rows=1024)
# Without a scan, compilation takes minutes; runs one after another are as many times one run.
MOST = {("keras", "depth"): 128, ("torch", "runs"): 64, ("keras", "runs"): 64}
AXES = {
    "depth": Axis((8, 32, 128, 512), NOISE, ALL),
    "batch": Axis((32, 128, 512, 2048, 8192), NOISE._replace(rows=16384), ALL),
    # About 1e4, 1e5, 1e6, 1e7 and 1e8 parameters.
    "width": Axis((70, 224, 707, 2236, 7071), NOISE._replace(depth=4, rows=256), ALL),
    "rows": Axis((10**3, 10**4, 10**5, 10**6), NOISE._replace(depth=4), ALL, ("peak",)),
    "runs": Axis((1, 4, 16, 64, 256, 1024), Job("MLP", 3, 32), ALL, ("step",)),
    # Of a file that is mapped into memory, whose pages count there: memory is not asked for.
    "stored": Axis((10**5, 10**6, 10**7, 10**8), Job("MLP", 3, 32, 4096), ("hondo",), ("step",)),
}


def compare(settings: Settings) -> Rows:
    """Every axis by everybody who is installed and can follow."""
    here = only_installed(CONTENDERS)
    for name, axis in list(AXES.items())[: 1 if settings.quick else None]:
        names = [who for who in axis.contenders if who in here]
        values = axis.values[: 2 if settings.quick else None]
        chosen = names[: 2 if settings.quick else None]
        rounds = 1 if settings.quick else min(settings.rounds, 3)
        found: dict[tuple[str, int], list[dict[str, float]]] = defaultdict(list)
        for _ in range(rounds):
            for value in values:
                for who in chosen:
                    if value <= MOST.get((who, name), value):
                        found[who, value].append(ask(NAME, who, name, value))
        for who in chosen:
            yield from _rows(
                name, axis, who, {v: found[who, v] for v in values if (who, v) in found}
            )


def _rows(name: str, axis: Axis, who: str, found: dict[int, list[dict[str, float]]]) -> Rows:
    for measure, unit in MEASURES.items():
        if any(measure not in answer for each in found.values() for answer in each):
            continue
        points = {value: [answer[measure] for answer in each] for value, each in found.items()}
        for value, each in points.items():
            yield Row(NAME, f"{who}, {name}={value}", unit, *quartiles(each))
        low, slope, high = fit_slope(points)
        # Parameters grow with the square of the width.
        linear = 2 if name == "width" else 1
        goal = 1.1 * linear if who == "hondo" and measure in axis.grows else None
        yield Row(NAME, f"{who}, {name}", f"slope of {unit}", low, slope, high, goal)


def fit_slope(points: dict[int, list[float]]) -> tuple[float, float, float]:
    """The slope of log(value) against log(size), between the ends of its 95 % interval.

    Example:
        >>> fit_slope({1: [2.0], 10: [20.0], 100: [200.0]})[1].__round__(6)
        1.0
    """
    from scipy.stats import t

    pairs = [(x, max(y, 1e-9)) for x, values in points.items() for y in values]
    x, y = np.log(np.array(pairs)).T
    spread, free = np.sum((x - x.mean()) ** 2), len(x) - 2
    slope = np.sum((x - x.mean()) * y) / spread
    rest = y - y.mean() - slope * (x - x.mean())
    reach = np.inf if free < 1 else t.ppf(0.975, free) * np.sqrt(np.sum(rest**2) / free / spread)
    return float(slope - reach), float(slope), float(slope + reach)


def main(who: str, name: str, value: int) -> None:
    """Prints step, compile and peak at one point."""
    load(CONTENDERS[who][0])
    axis = AXES[name]
    measures = {"runs": _runs, "stored": _stored}
    measured = measures[name](who, axis.job, value) if name in measures else None
    answer = measured or _point(who, axis, name, value)
    print(json.dumps({**answer, "peak": peak_bytes()}))


def _point(who: str, axis: Axis, name: str, value: int) -> dict[str, float]:
    job = axis.job._replace(**{name: value})
    steps = len(data_of(job)[0][1]) // job.batch
    first, again = _first_and_again(lambda: CONTENDERS[who][1](job), 1)
    return {"step": again / steps, "compile": first - again}


def _runs(who: str, job: Job, runs: int) -> dict[str, float]:
    """So many runs of 5 epochs, at once by `sweep`, by others one after another."""
    data_of(job)
    first, again = _first_and_again(lambda: many_run(who, job), runs, 5)
    return {"step": again, "compile": first - again}


def _stored(_: str, job: Job, rows: int) -> dict[str, float]:
    """An epoch of `hondo.stream` over so many rows of a file, which is all holes."""
    with tempfile.TemporaryDirectory() as folder:
        train = [
            np.memmap(Path(folder) / name, dtype, "w+", shape=shape)
            for name, dtype, shape in (("x", "float32", (rows, 16)), ("y", "int32", (rows,)))
        ]
        run = _stream_run(job)
        # What more rows compile counts against them.
        run(tuple(part[: 10**6] for part in train))
        began = processor_seconds()
        run(tuple(train))
    return {"step": (processor_seconds() - began) / (rows // job.batch)}


def _first_and_again(make: Any, *arguments: int) -> tuple[float, float]:
    """The processor seconds of making a run and running it, and of running it once more."""
    began = processor_seconds()
    run = make()
    run(*arguments)
    between = processor_seconds()
    run(*arguments)
    return between - began, processor_seconds() - between


def many_run(who: str, job: Job, first: int = 0) -> Any:
    """So many runs as a function of their number, epochs and the loss that each is to have.

    Their seeds count from `first` on.
    """
    if who == "hondo":
        return _sweep_run(job, first)
    run = CONTENDERS[who][1](job)
    return lambda runs, epochs, loss=None: [
        run(epochs, seed, None, loss) for seed in range(first, first + runs)
    ]


def _stream_run(job: Job) -> Any:
    """An epoch of the data that it is given, a validation after it."""
    import jax
    import optax

    import hondo
    from benchmarks.job_networks import hondo_network

    problem = hondo.supervised(hondo_network(job), loss="cross_entropy")
    optimizer, stopper = optax.adam(1e-3), hondo.early_stopping(2, mode="min")
    options: dict[str, Any] = {"batch_size": job.batch, "max_epochs": 1, "steps_per_call": 16}
    options |= {"key": jax.random.key(0), "stopper": stopper, "progress": False}

    def run(train: Any) -> None:
        valid = tuple(part[:256] for part in train)
        hondo.stream(problem, optimizer, train, valid, **options)

    return run


def _sweep_run(job: Job, first: int) -> Any:
    """`hondo.sweep` over seeds, until each run has the loss, if there is one to have."""
    from functools import partial

    import jax
    import jax.numpy as jnp
    import optax

    import hondo
    from benchmarks.job import CLIP, L2, LEARNING_RATE, Trained
    from benchmarks.job_networks import hondo_network

    train, valid = jax.tree.map(jnp.asarray, data_of(job))
    problem = hondo.supervised(hondo_network(job), loss="cross_entropy")
    penalty = partial(hondo.l2_penalty, strength=L2)
    problem = problem._replace(loss=hondo.penalized(problem.loss, penalty))
    # Once: Optax's optimizers are functions, and a new one is another program.
    optimizer = optax.chain(hondo.clip_by_global_norm(CLIP), optax.adam(LEARNING_RATE))

    def build(hyper: Any) -> Any:
        return {"key": jax.random.key(hyper["seed"])}

    def run(runs: int, epochs: int, loss: float | None = None) -> list[Trained]:
        found = hondo.sweep(
            *(build, {"seed": jnp.arange(first, first + runs)}, train, valid),
            problem=problem,
            optimizer=optimizer,
            batch_size=job.batch,
            max_epochs=epochs,
            stopper=hondo.early_stopping(epochs + 1, mode="min", target=loss),
        )
        return [Trained(float(result.best.value), 0.0) for result in found.results]

    return run


def draw(path: Path, rows: list[Row]) -> None:
    """A panel for each measure and axis, a line for each contender, one scale to a measure."""
    lines: dict[tuple[str, str, str], list[tuple[int, float]]] = defaultdict(list)
    for row in rows:
        if found := re.fullmatch(r"(.*), (\w+)=(\d+)", row.case):
            who, axis, value = found.groups()
            lines[row.what, axis, who].append((int(value), row.median))
    with style():
        figure = _panels(lines)
        path.write_bytes(as_bytes(figure, "png"))


def _panels(lines: dict[tuple[str, str, str], list[tuple[int, float]]]) -> Any:
    axes_of, units = list(dict.fromkeys(key[1] for key in lines)), list(MEASURES.values())
    figure = new_figure(1 + 2.4 * len(axes_of), 7.2)
    panels = figure.subplots(len(units), len(axes_of), squeeze=False, sharey="row", sharex="col")
    colors = dict(zip(ALL, LINES, strict=False))
    for (unit, axis, who), points in lines.items():
        panel = panels[units.index(unit), axes_of.index(axis)]
        panel.plot(*zip(*points, strict=True), "o-", label=who, color=colors[who], markersize=3)
    for panel in panels.flat:
        log_axis(panel)
        log_axis(panel, "x")
    for panel, axis in zip(panels[-1], axes_of, strict=True):
        panel.set_xlabel(axis)
    for panel, unit in zip(panels[:, 0], units, strict=True):
        panel.set_ylabel(unit)
    named = {line.get_label(): line for panel in panels.flat for line in panel.get_lines()}
    figure.legend(named.values(), named.keys(), loc="outside upper center", ncols=len(named))
    return figure


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
