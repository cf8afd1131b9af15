"""`hondo compare`: the curves of several configurations side by side, each over the same seeds."""

import dataclasses
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
from rich.table import Table

import hondo
from hondo._numerics.checks import check_count, error
from hondo.cli import build, plot_compare, run_folder
from hondo.cli.axes import parse_axes
from hondo.cli.choices import METRICS, SEED, Row, write_value
from hondo.cli.config import CompareConfig, SweepConfig
from hondo.cli.outcome import Failures, attempt, finish, open_terminal, write_texts
from hondo.cli.signals import SIGNALS, exit_code
from hondo.cli.sweep import SweepJob, as_csv, prepare_job, train_members
from hondo.cli.watching import chance_metrics
from hondo.training.interrupt import interruptible


class Arm(NamedTuple):
    """The runs of one configuration.

    Attributes:
        name: the values that the arms differ in.
        runs: one for each seed.
    """

    name: str
    runs: tuple[hondo.FitResult, ...]


def prepare(config: CompareConfig) -> Callable[[], int]:
    """Checks every run and the data, makes the folder, returns the work that is left.

    Raises:
        ValueError: a configuration or data that cannot work; nothing is written then.
    """
    check_count("seeds", config.seeds)
    axes = parse_axes(config.over, config.train).axes
    if SEED in axes:
        repair = f"--seeds {len(axes[SEED])} runs each with as many."
        raise error("over", f"{SEED}=…", "fields other than the seed", repair)
    first = config.train.seed
    seeds = ",".join(map(str, range(first, first + config.seeds)))
    # The cut of the data is no seed's own: all runs see the same.
    train = dataclasses.replace(config.train, split_seed=build.split_seed(config.train))
    return partial(run, prepare_job(SweepConfig((*config.over, f"{SEED}={seeds}"), train)))


def run(job: SweepJob) -> int:
    """Trains every run, prints the table, fills the folder.

    A signal ends the training, not what follows it; nor does anything that cannot be written.

    Returns:
        The exit code.
    """
    console, lost = open_terminal()
    failures: Failures = {}
    with interruptible(*SIGNALS) as signals:
        console.print(_describe(job), markup=False)
        runs = train_members(job)
        if not runs.members:
            return exit_code(signals[0])
        arms = gather(job, runs)
        rows = [summarize(arm) for arm in arms]
        console.print(as_table(rows))
        _write(job, runs, arms, rows, failures)
        console.print(f"written to {job.out}", markup=False, soft_wrap=True)
        return finish(failures, lost, signals)


def _describe(job: SweepJob) -> str:
    values = [values for name, values in job.axes.axes.items() if name != SEED]
    arms, seeds = len(list(product(*values))), len(job.axes.axes[SEED])
    return (
        f"{job.dataset.name}: {len(job.parts.train[0])} train, {len(job.parts.valid[0])} "
        f"validation\n{arms} configurations, each with {seeds} seed{'s' if seeds > 1 else ''}"
    )


def gather(job: SweepJob, runs: hondo.SweepResult) -> list[Arm]:
    """The arms in the order in which they were asked for."""
    names = [name for name in job.axes.axes if name != SEED]
    found: dict[str, list[hondo.FitResult]] = {}
    for hyper, result in zip(runs.hyperparameters, runs.results, strict=True):
        name = ", ".join(f"{name} {write_value(hyper[name])}" for name in names)
        found.setdefault(name, []).append(result)
    return [Arm(name, tuple(results)) for name, results in found.items()]


def summarize(arm: Arm) -> Row:
    """Median and quartiles over the seeds of the validation metrics, at the best and last epoch.

    Runs without a finite epoch count as failed, and have no numbers.
    """
    ends = {"best": [int(run.best.epoch) for run in arm.runs]}
    ends["last"] = [int(run.last.epoch) - 1 for run in arm.runs]
    row: Row = {"configuration": arm.name, "seeds": len(arm.runs)}
    row["failed"] = sum(epoch < 0 for epoch in ends["best"])
    for end, epochs in ends.items():
        for metric in metrics_of(arm):
            values = [
                float(run.history.valid[metric][epoch])
                for run, epoch, best in zip(arm.runs, epochs, ends["best"], strict=True)
                if best >= 0
            ]
            low, middle, high = np.quantile(values or [np.nan], [0.25, 0.5, 0.75]).tolist()
            name = f"{end} {metric}"
            row |= {name: middle, f"{name} 25 %": low, f"{name} 75 %": high}
    return row


def metrics_of(arm: Arm) -> list[str]:
    """The validation metrics that there are, the loss first."""
    return [name for name in METRICS if name in arm.runs[0].history.valid]


def as_table(rows: list[Row]) -> Table:
    """Median (quartiles) of each arm, for the terminal."""
    names = [name.removesuffix(" 25 %") for name in rows[0] if name.endswith(" 25 %")]
    table = Table(caption="validation: median and quartiles over the seeds", show_lines=True)
    for name in ("configuration", *names, "seeds"):
        table.add_column(name)
    for row in rows:
        cells = [
            f"{row[name]:.3g}\n{row[f'{name} 25 %']:.3g}–{row[f'{name} 75 %']:.3g}"
            for name in names
        ]
        failed = f", {row['failed']} failed" if row["failed"] else ""
        table.add_row(row["configuration"], *cells, f"{row['seeds']}{failed}")
    return table


def _write(
    job: SweepJob, runs: hondo.SweepResult, arms: list[Arm], rows: list[Row], failures: Failures
) -> None:
    texts = {run_folder.TABLE: as_csv(runs.table()), run_folder.COMPARISON: as_csv(rows)}
    write_texts(failures, job.out, texts)
    curves = {
        metric: {
            arm.name: [np.asarray(run.history.valid[metric]) for run in arm.runs] for arm in arms
        }
        for metric in metrics_of(arms[0])
    }
    chance = chance_metrics(job.config, job.dataset, job.parts.train[1])
    seeds = len(job.axes.axes[SEED])
    title = f"{job.dataset.name}: median and quartiles of {seeds} seed{'s' if seeds > 1 else ''}"
    draw = partial(plot_compare.draw, job.out / run_folder.CURVES, curves, chance, title)
    attempt(failures, run_folder.CURVES, draw)
