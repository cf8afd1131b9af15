"""`hondo train`: the run from data to folder."""

import io
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, redirect_stderr
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import jax
import numpy as np
import optax
from rich.table import Table
from rich.text import Text

import hondo
from hondo._intervals import wilson_interval
from hondo.cli import build, devices, models, plot_run, run_folder, watching
from hondo.cli.augmenting import augmentation
from hondo.cli.config import TrainConfig
from hondo.cli.describing import describe
from hondo.cli.model_folder import save_model
from hondo.cli.outcome import TEXT, Failures, Output, attempt, finish, open_terminal
from hondo.cli.sections import AS_USUAL, ExecutionOptions
from hondo.cli.signals import SIGNALS, exit_code
from hondo.cli.sources import open_data
from hondo.data import Dataset, Divided, Parts
from hondo.data.packing import pack
from hondo.data.views import Pairs
from hondo.training.evaluation import evaluate_batches
from hondo.training.interrupt import interruptible
from hondo.training.lasting_stream import LastingStream
from hondo.training.pace import Pace, make_pace
from hondo.training.processes import ALONE, Team, on_this_process
from hondo.training.saving.files import first_line, write_whole
from hondo.training.saving.kept_run import CHECKPOINTS, METRICS
from hondo.training.saving.metrics_file import json_line
from hondo.training.watching import epoch_metrics

# Examples that say what the network takes, and those of a batch that is tested.
_SOME, _TEST_BATCH = 2, 512


class TrainJob(NamedTuple):
    """A checked run: all that training needs, and the folder that it will fill."""

    config: TrainConfig
    dataset: Dataset
    parts: Parts
    problem: hondo.Problem
    out: Path
    options: ExecutionOptions = AS_USUAL
    output: Output = TEXT
    team: Team = ALONE

    @property
    def pace(self) -> Pace:
        """How long its epochs are, and when it validates."""
        return pace_of(self.config, self.parts)


def prepare(
    config: TrainConfig, options: ExecutionOptions = AS_USUAL, output: Output = TEXT
) -> Callable[[], int]:
    """Checks the configuration and the data, makes the folder, returns the work that is left.

    Raises:
        ValueError: a configuration or data that cannot work; nothing is written then.
    """
    build.check_config(config)
    devices.check_execution(options, config.stream)
    team = devices.join(options)
    divided = open_data(config, build.split_seed(config))
    dataset, parts = divided
    check_batch(config, parts)
    config = build.resolve(config, dataset)
    job = _make_job(config, divided, options, output)._replace(team=team)
    augmentation(config, dataset)
    # What the network itself refuses is refused before anything is written.
    some = build.as_arrays(parts.valid, _SOME)
    jax.eval_shape(job.problem.init, jax.random.key(0), some)
    return partial(_pack_and_run, job._replace(out=_create_folder(job)))


def prepare_resumed(
    folder: Path, options: ExecutionOptions = AS_USUAL, output: Output = TEXT
) -> Callable[[], int]:
    """Reads what a run was configured with; returns the work that is left of it.

    Raises:
        ValueError: not a run's folder, or data that is not there any more.
    """
    config = run_folder.read_config(folder)
    devices.check_execution(options, config.stream)
    team = devices.join(options)
    divided = open_data(config, build.split_seed(config))
    check_batch(config, divided.parts)
    job = _make_job(config, divided, options, output)
    return partial(_pack_and_run, job._replace(out=folder, team=team))


def _create_folder(job: TrainJob) -> Path:
    """The folder of the run, which the first process makes."""
    made = []
    job.team.on_first(lambda: made.append(run_folder.create(job.config, job.dataset)))
    return Path(job.team.gather_text(str(made[0]) if made else "")[0])


def _make_job(
    config: TrainConfig, divided: Divided, options: ExecutionOptions, output: Output
) -> TrainJob:
    devices.check_shares(config, options)
    train_targets = divided.parts.train[1]
    targets = train_targets if config.stream else None
    problem = models.training_problem(config, divided.dataset, len(train_targets), targets)
    return TrainJob(config, *divided, problem, Path(), options, output)


def _pack_and_run(job: TrainJob) -> int:
    """Trains on a table that is streamed from a file of its encoded rows, which is deleted then."""
    packed, divided = job.out / run_folder.PACKED, Divided(job.dataset, job.parts)
    job.team.on_first(partial(pack, divided, packed))
    dataset, parts = pack(divided, packed)
    job = job._replace(dataset=dataset, parts=parts)
    if not job.team.is_first:
        return _help(job)
    code = run(job)
    if not code:
        packed.unlink(missing_ok=True)
    return code


def _help(job: TrainJob) -> int:
    """What the other processes of a run do, which neither write nor say anything."""
    failures: Failures = {}
    with interruptible(*SIGNALS) as signals:
        _fit(job._replace(output=Output(quiet=True)), failures)
        return exit_code(signals[0]) if signals else int(bool(failures))


def run(job: TrainJob) -> int:
    """Trains as configured, prints the settings and the results, fills the folder.

    A signal ends the training, not what follows it; nor does anything that cannot be written.

    Returns:
        The exit code.

    Raises:
        ValueError: no epoch had a finite value, so there is no model.
    """
    console, lost = open_terminal(job.output)
    failures: Failures = {}
    with interruptible(*SIGNALS) as signals:
        console.print(describe(job.config, job.dataset, job.parts), markup=False)
        began = time.perf_counter()
        result = _fit(job, failures)
        seconds = time.perf_counter() - began
        summary = write_results(job, result, seconds, failures)
        console.print(summary_table(summary))
        console.print(f"written to {job.out}", markup=False)
        if job.output.json:
            print_json(summary, job.out, lost)
        if signals:
            resume = shlex.join(("hondo", "train", "--resume", str(job.out)))
            console.print(f"it goes on by: {resume}", markup=False, soft_wrap=True)
        code = finish(failures, lost, signals)
    if int(result.best.epoch) < 0 and not code:
        _refuse_model(job, result)
    return code


def _refuse_model(job: TrainJob, result: hondo.FitResult) -> NoReturn:
    """Ends a run that has no best model: what it started from is none."""
    raise ValueError(
        f"the validation loss must be finite after some {job.pace.unit}, got none in "
        f"{job.pace.count_rows(result.last)}; no model in {job.out}. A smaller --learning-rate may "
        "help."
    )


def check_batch(config: TrainConfig, parts: Parts) -> None:
    """Raises where a batch would need more examples than there are, or no period fits."""
    count = len(parts.train[0])
    if config.batch_size > count:
        raise ValueError(
            f"batch_size must be at most the {count} training examples, got {config.batch_size}."
        )
    pace_of(config, parts)


def pace_of(config: TrainConfig, parts: Parts) -> Pace:
    """How long the epochs of a run are, and when it validates."""
    steps = len(parts.train[0]) // config.batch_size
    return make_pace(steps, config.max_epochs, config.valid_every)


def _fit(job: TrainJob, failures: Failures) -> hondo.FitResult:
    config, seconds = job.config, job.options.save_every
    steps = job.pace.steps * config.max_epochs
    watch = watching.begin(job)
    # A quiet run shows no bar either.
    silence = redirect_stderr(io.StringIO()) if job.output.quiet else nullcontext()
    try:
        with silence:
            result = _trainer(job, models.optimizer(config, steps))(
                key=build.run_key(config.seed),
                batch_size=config.batch_size,
                max_epochs=config.max_epochs,
                stopper=build.stopper(config),
                augment=augmentation(config, job.dataset),
                report=watch.hear,
                save=partial(_save_best, job, failures),
                folder=job.out,
                save_every=None if seconds is None else hondo.every(seconds=seconds),
                tensorboard=job.options.tensorboard,
            )
    except hondo.SaveError as reason:
        failures[CHECKPOINTS] = first_line(reason.__cause__ or reason)
        result = reason.result
    result = on_this_process(result)
    if job.team.is_first:
        watch.finish(result)
    return result


def _trainer(
    job: TrainJob, optimizer: optax.GradientTransformation
) -> Callable[..., hondo.FitResult]:
    """`fit_with_progress` or `stream` of the data."""
    train, valid = job.parts
    if not job.config.stream:
        pairs = build.as_arrays(train), build.as_arrays(valid)
        return partial(hondo.fit_with_progress, job.problem, optimizer, *pairs)
    # A step on a batch of rows takes less time than sending it alone.
    steps_per_call = 8 if train[0].ndim == 2 else 1
    return partial(
        hondo.stream,
        *(job.problem, optimizer, Pairs(*train), Pairs(*valid)),
        valid_every=job.config.valid_every,
        microbatches=job.config.microbatches,
        mesh=devices.mesh_of(job.options),
        steps_per_call=steps_per_call,
    )


def _save_best(job: TrainJob, failures: Failures, best: hondo.Best) -> None:
    variables = models.kept_variables(job.config, best.params, best.model_state)
    place = job.pace.place(int(best.epoch))
    save = partial(save_model, job.out, job.config, place, variables)
    attempt(failures, run_folder.MODEL, save)


def write_results(
    job: TrainJob, result: hondo.FitResult, seconds: float, failures: Failures
) -> dict[str, Any]:
    """Fills the folder with the best model, its test score and the curves; returns the summary."""
    out, pace, best = job.out, job.pace, None
    if int(result.best.epoch) >= 0:
        best = pace.place(int(result.best.epoch))
        _save_best(job, failures, result.best)
    count = range(pace.count_rows(result.last))
    rows = [{**pace.name_row(row), **epoch_metrics(result.history, row)} for row in count]
    if CHECKPOINTS in failures or not (out / METRICS).exists():
        lines = "".join(map(json_line, rows))
        attempt(failures, METRICS, partial(write_whole, out / METRICS, lines))
    summary = {
        **_test_metrics(job, result.best),
        "test examples": len(job.dataset.test_inputs),
        f"best {pace.unit}": best,
        f"{pace.unit}s": len(rows) if pace.is_by_epoch else pace.count_steps(result.last),
        **_nonfinite_steps(result),
        "stopped by": hondo.StopReason(int(result.reason)).name.lower(),
        "seconds": round(seconds, 1),
    }
    text = json_line(summary, indent=2)
    attempt(failures, run_folder.RESULT, partial(write_whole, out / run_folder.RESULT, text))
    if rows:
        title = f"{job.dataset.name}, {job.config.model}"
        chance = watching.chance_metrics(job.config, job.dataset, job.parts.train[1])
        draw = partial(plot_run.draw, out / run_folder.CURVES, rows, best, title, chance)
        attempt(failures, run_folder.CURVES, draw)
    return summary


def _nonfinite_steps(result: hondo.FitResult) -> dict[str, int]:
    """The steps that changed nothing, where there were any."""
    count = int(result.nonfinite_steps)
    return {"steps without a finite gradient": count} if count else {}


def _test_metrics(job: TrainJob, best: hondo.Best) -> dict[str, float]:
    if int(best.epoch) < 0:
        return {}
    dataset = job.dataset
    test, model = (dataset.test_inputs, dataset.test_targets), (best.params, best.model_state)
    if job.config.stream:
        pairs = Pairs(*test)
        metrics = evaluate_batches(job.problem, *model, pairs.batches(_TEST_BATCH), len(pairs))
    else:
        metrics = hondo.evaluate(job.problem, *model, build.as_arrays(test))
    named = {f"test {name}": float(value) for name, value in metrics.items()}
    return {**named, **_r_squared_of_each(dataset, named)}


def _r_squared_of_each(dataset: Dataset, named: dict[str, float]) -> dict[str, float]:
    prefixes = [f"test {one.name}/" if dataset.tasks else "test " for one in dataset.each_task]
    return {
        f"{prefix}R²": r_squared(named[f"{prefix}loss"], one.test_targets)
        for one, prefix in zip(dataset.each_task, prefixes, strict=True)
        if one.task == "regression"
    }


def r_squared(squared_error: float, targets: np.ndarray) -> float:
    """R² = 1 − MSE/variance; NaN of equal targets, whose variance is 0 but for its rounding.

    Example:
        >>> r_squared(0.5, np.array([1.0, 3.0])), r_squared(0.5, np.full(9, 0.1))
        (0.5, nan)
    """
    return 1 - squared_error / float(targets.var()) if np.ptp(targets) > 0 else float("nan")


def print_json(summary: dict[str, Any], out: Path, lost: list[str]) -> None:
    """The summary as the one line on stdout, with the folder that has more."""
    stream = LastingStream(sys.stdout, lost)
    stream.write(json_line({**summary, "folder": str(out)}))
    stream.flush()


def summary_table(summary: dict[str, Any]) -> Table:
    """The summary as a table for the terminal."""
    table = Table(show_header=False)
    for name, value in summary.items():
        text = "none" if value is None else str(value)
        if isinstance(value, float) and name != "seconds":
            text = f"{value:.4f}"
        if name.startswith("test ") and name.endswith("accuracy"):
            low, high = wilson_interval(summary[name], summary["test examples"])
            text += f"  (95 % interval {low:.4f} to {high:.4f})"
        table.add_row(Text(name), Text(text))
    return table
