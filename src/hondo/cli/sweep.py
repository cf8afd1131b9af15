"""`hondo sweep`: many runs from data to folder."""

import csv
import dataclasses
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
from rich.console import Console
from rich.table import Table

import hondo
from hondo.cli import build, plot_sweep, run_folder
from hondo.cli.axes import SweepAxes, member_builder, parse_axes
from hondo.cli.config import SweepConfig, TrainConfig
from hondo.cli.train import TrainJob, check_batch, summary_table, write_results
from hondo.data import Dataset, Parts, load, split
from hondo.training.watching import epoch_metrics

_ROWS_SHOWN = 10


class SweepJob(NamedTuple):
    """A checked sweep: all that it needs, and the folder that it will fill."""

    config: TrainConfig
    axes: SweepAxes
    dataset: Dataset
    parts: Parts
    out: Path


def prepare(config: SweepConfig) -> Callable[[], Path]:
    """Checks every member and the data, makes the folder, returns the work that is left.

    Raises:
        ValueError: a configuration or data that cannot work; nothing is written then.
    """
    base = config.train
    axes = parse_axes(config.over, base)
    _use_every_core(len(axes.configs))
    dataset = load(base.dataset, base.data_dir)
    parts = split(dataset, base.valid_fraction, build.split_seed(base))
    for member in axes.configs:
        check_batch(member, parts)
        build.augmentation(member, dataset)
    for network in {_network_fields(member): member for member in axes.configs}.values():
        problem = build.problem(network, dataset)
        jax.eval_shape(problem.init, jax.random.key(0), build.as_arrays(parts.valid))
    out = run_folder.create_sweep(base, config.over)
    return partial(run, SweepJob(base, axes, dataset, parts, out))


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


def run(job: SweepJob) -> Path:
    """Trains every member, prints the results, fills the folder.

    Raises:
        KeyboardInterrupt: Ctrl-C ended the training; the finished runs are in the folder.
        ValueError: no run had an epoch with a finite value, so none is the best.
    """
    console = Console()
    console.print(_describe(job), markup=False)
    began = time.perf_counter()
    base, parts = job.config, job.parts
    train, valid = build.as_arrays(parts.train), build.as_arrays(parts.valid)
    build_member = member_builder(base, job.dataset, parts)
    runs = hondo.sweep(
        build_member, job.axes.grid, train, valid, static=job.axes.static, progress=True
    )
    if not runs.members:
        raise KeyboardInterrupt
    seconds = time.perf_counter() - began
    rows = runs.table()
    _write_tables(job, rows)
    console.print(_best_runs(rows, job.axes))
    has_best = any(row["best_epoch"] >= 0 for row in rows)
    if has_best:
        best = job.out / run_folder.BEST
        console.print(f"written to {job.out}, its best run to {best}", markup=False)
        console.print(summary_table(_write_best(job, *runs.best(), seconds)))
    if any(row["reason"] == "interrupted" for row in rows) or len(rows) < len(job.axes.configs):
        raise KeyboardInterrupt
    if not has_best:
        raise ValueError(
            "the validation loss of some run must be finite after some epoch, got none; the table "
            f"is in {job.out}, without a best run. A smaller learning_rate may help."
        )
    return job.out


def _describe(job: SweepJob) -> str:
    devices = jax.local_devices()
    axes = ", ".join(f"{name} ({len(values)})" for name, values in job.axes.axes.items())
    return (
        f"{job.dataset.name}: {len(job.parts.train[0])} train, {len(job.parts.valid[0])} "
        f"validation, {len(job.dataset.test_inputs)} test\n"
        f"{len(job.axes.configs)} runs over {axes}, on {len(devices)} {devices[0].platform} "
        f"device{'s' if len(devices) > 1 else ''}"
    )


def _write_tables(job: SweepJob, rows: list[dict[str, Any]]) -> None:
    with (job.out / run_folder.TABLE).open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    (job.out / run_folder.ROWS).write_text("".join(map(run_folder.json_line, rows)))
    seeds = len(job.axes.axes.get("seed", []))
    band = f": median and range of {seeds} seeds" if seeds > 1 and len(job.axes.axes) > 1 else ""
    title = f"{job.dataset.name}, {job.config.model}{band}"
    plot_sweep.draw(job.out / run_folder.PATH, rows, job.axes.axes, title)


def _write_best(
    job: SweepJob, hyper: dict[str, Any], result: hondo.FitResult, seconds: float
) -> dict[str, Any]:
    own = {**hyper, "out": job.out / run_folder.BEST, "split_seed": build.split_seed(job.config)}
    config = dataclasses.replace(job.config, **own)
    out = run_folder.create(config)
    for epoch in range(int(result.last.epoch)):
        run_folder.append_metrics(out, epoch, epoch_metrics(result.history, epoch))
    best = TrainJob(config, job.dataset, job.parts, build.problem(config, job.dataset), out)
    summary = write_results(best, result, seconds)
    return {**{name: str(value) for name, value in hyper.items()}, **summary}


def _best_runs(rows: list[dict[str, Any]], axes: SweepAxes) -> Table:
    """The best runs, best first."""
    table = Table()
    names = [*axes.axes, "best_value", "best_epoch", "epochs", "reason"]
    for name in names:
        table.add_column(name)
    for row in sorted(rows, key=lambda row: row["best_value"])[:_ROWS_SHOWN]:
        values = [row[name] for name in names]
        table.add_row(*(f"{v:.5g}" if isinstance(v, float) else str(v) for v in values))
    return table
