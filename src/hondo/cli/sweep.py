"""`hondo sweep`: many runs from data to folder."""

import csv
import dataclasses
import io
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
from rich.table import Table

import hondo
from hondo._numerics.checks import error
from hondo.cli import build, models, plot_sweep, run_folder
from hondo.cli.augmenting import augmentation
from hondo.cli.axes import SweepAxes, member_builder, parse_axes
from hondo.cli.choices import SEED, Choice, Row, best_row, rank, write_value
from hondo.cli.config import SweepConfig, TrainConfig
from hondo.cli.outcome import Failures, attempt, finish, open_terminal, write_texts
from hondo.cli.signals import SIGNALS, exit_code
from hondo.cli.sources import open_data
from hondo.cli.train import TrainJob, check_batch, summary_table, write_results
from hondo.data import Dataset, Parts
from hondo.training.interrupt import interruptible
from hondo.training.saving.files import first_line
from hondo.training.saving.metrics_file import json_line

_ROWS_SHOWN = 30


class SweepJob(NamedTuple):
    """A checked sweep: all that it needs, and the folder that it will fill."""

    config: TrainConfig
    axes: SweepAxes
    dataset: Dataset
    parts: Parts
    out: Path


def prepare(config: SweepConfig) -> Callable[[], int]:
    """What `prepare_job` checks, and the work that is left."""
    return partial(run, prepare_job(config))


def prepare_job(config: SweepConfig) -> SweepJob:
    """Checks every member and the data, and makes the folder.

    Raises:
        ValueError: a configuration or data that cannot work; nothing is written then.
    """
    base = config.train
    axes = parse_axes(config.over, base)
    _use_every_core(len(axes.configs))
    if base.stream:
        repair = "Runs that share a program have their data in memory."
        raise error("stream", True, "left out in a sweep", repair)
    dataset, parts = open_data(base, build.split_seed(base))
    for member in axes.configs:
        check_batch(member, parts)
        augmentation(member, dataset)
    for network in {_network_fields(member): member for member in axes.configs}.values():
        problem = build.problem(network, dataset)
        jax.eval_shape(problem.init, jax.random.key(0), build.as_arrays(parts.valid))
    out = run_folder.create_sweep(base, config.over, _shared_fields(axes, base, dataset))
    return SweepJob(base, axes, dataset, parts, out)


def _shared_fields(axes: SweepAxes, base: TrainConfig, dataset: Dataset) -> dict[str, Any]:
    """What all members have in common, with nothing left open."""
    seed = build.split_seed(base)
    members = [
        dataclasses.asdict(build.resolve(dataclasses.replace(one, split_seed=seed), dataset))
        for one in axes.configs
    ]
    first = members[0]
    return {k: v for k, v in first.items() if all(one[k] == v for one in members)}


def _network_fields(config: TrainConfig) -> tuple[Any, ...]:
    return config.model, config.depth, config.width, config.activation, config.init, config.norm


def _use_every_core(members: int) -> None:
    """On CPU, a device for each core, so that members run at the same time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    told = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if told or "JAX_NUM_CPU_DEVICES" in os.environ:
        return
    try:
        jax.config.update("jax_num_cpu_devices", min(cores or 1, members))
    except RuntimeError:
        return  # JAX runs already, with the devices that it has.


def run(job: SweepJob) -> int:
    """Trains every member, prints the results, fills the folder.

    A signal ends the training, not what follows it; nor does anything that cannot be written.

    Returns:
        The exit code.

    Raises:
        ValueError: no run had an epoch with a finite value, so none is the best.
    """
    console, lost = open_terminal()
    failures: Failures = {}
    with interruptible(*SIGNALS) as signals:
        console.print(_describe(job), markup=False)
        began = time.perf_counter()
        runs = train_members(job)
        if not runs.members:
            return exit_code(signals[0])
        seconds, rows = time.perf_counter() - began, runs.table()
        choices = rank(rows, list(job.axes.axes))
        _write_tables(job, rows, failures)
        console.print(_choices_table(choices, job.axes))
        best = best_row(choices)
        if best is not None:
            summary = _write_best(job, runs, best["member"], seconds, failures)
            console.print(_describe_best(job, choices[0]), markup=False, soft_wrap=True)
            console.print(summary_table(summary))
        code = finish(failures, lost, signals)
    if best is None and not code:
        raise ValueError(
            "the validation loss of some run must be finite after some epoch, got none; the table "
            f"is in {job.out}, without a best run. A smaller learning_rate may help."
        )
    return code


def train_members(job: SweepJob) -> hondo.SweepResult:
    """Trains every member, with a progress bar."""
    parts = job.parts
    train, valid = build.as_arrays(parts.train), build.as_arrays(parts.valid)
    build_member = member_builder(job.config, job.dataset, parts)
    return hondo.sweep(
        build_member, job.axes.grid, train, valid, static=job.axes.static, progress=True
    )


def _describe(job: SweepJob) -> str:
    devices = jax.local_devices()
    axes = ", ".join(f"{name} ({len(values)})" for name, values in job.axes.axes.items())
    return (
        f"{job.dataset.name}: {len(job.parts.train[0])} train, {len(job.parts.valid[0])} "
        f"validation, {len(job.dataset.test_inputs)} test\n"
        f"{len(job.axes.configs)} runs over {axes}, on {len(devices)} {devices[0].platform} "
        f"device{'s' if len(devices) > 1 else ''}"
    )


def _write_best(
    job: SweepJob, runs: hondo.SweepResult, member: int, seconds: float, failures: Failures
) -> dict[str, Any]:
    index = runs.members.index(member)
    hyper, result = runs.hyperparameters[index], runs.results[index]
    own = {**hyper, "out": job.out / run_folder.BEST, "split_seed": build.split_seed(job.config)}
    config = build.resolve(dataclasses.replace(job.config, **own), job.dataset)
    try:
        out = run_folder.create(config, job.dataset)
    except OSError as reason:
        failures[run_folder.BEST] = first_line(reason)
        out = job.out / run_folder.BEST
    problem = models.training_problem(config, job.dataset, len(job.parts.train[0]))
    best = TrainJob(config, job.dataset, job.parts, problem, out)
    own_failures: Failures = {}
    summary = write_results(best, result, seconds, own_failures)
    failures |= {f"{run_folder.BEST}/{name}": why for name, why in own_failures.items()}
    return {**{name: str(value) for name, value in hyper.items()}, **summary}


def _write_tables(job: SweepJob, rows: list[Row], failures: Failures) -> None:
    texts = {run_folder.TABLE: as_csv(rows), run_folder.ROWS: "".join(map(json_line, rows))}
    write_texts(failures, job.out, texts)
    seeds = len(job.axes.axes.get(SEED, []))
    band = f": mean and range of {seeds} seeds" if seeds > 1 and len(job.axes.axes) > 1 else ""
    title = f"{job.dataset.name}, {job.config.model}{band}"
    draw = partial(plot_sweep.draw, job.out / run_folder.PATH, rows, job.axes.axes, title)
    attempt(failures, run_folder.PATH, draw)


def as_csv(rows: list[Row]) -> str:
    """The rows as CSV, with the names of the first one's columns as head."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _choices_table(choices: list[Choice], axes: SweepAxes) -> Table:
    """The choices, best first, each by the mean over its seeds."""
    hidden = len(choices) - _ROWS_SHOWN
    table = Table(caption=f"… {hidden} more of {len(choices)}" if hidden > 0 else None)
    names = [name for name in axes.axes if name != SEED]
    for name in (*names, "validation loss", "spread", "best epoch", "epochs", "stopped by"):
        table.add_column(name)
    for choice in choices[:_ROWS_SHOWN]:
        values = [*(choice.values[name] for name in names), choice.mean, choice.spread]
        epochs = (_join(choice, column) for column in ("best_epoch", "epochs", "reason"))
        table.add_row(*map(write_value, values), *epochs)
    return table


def _join(choice: Choice, column: str) -> str:
    """The values of all its runs, one of equals."""
    return ", ".join(dict.fromkeys(write_value(row[column]) for row in choice.rows))


def _describe_best(job: SweepJob, choice: Choice) -> str:
    values = ", ".join(f"{name} {write_value(value)}" for name, value in choice.values.items())
    by = f"validation loss {choice.mean:.4g}"
    if choice.spread is not None:
        by += f" ± {choice.spread:.2g}, the mean and deviation of {len(choice.rows)} seeds"
    return (
        f"written to {job.out}\n"
        f"best: {values or 'the only choice'} by its {by}; its best run is in "
        f"{job.out / run_folder.BEST}"
    )
