"""The run of `fit` on data that need not fit into memory."""

from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import SupportsIndex

import optax
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray

from hondo._numerics.checks import check_bool, check_count, error
from hondo._types import Augment, Data, Example
from hondo.regularization.early_stopping import EarlyStopping
from hondo.training.chunks import run_on_host
from hondo.training.finite_steps import NonfinitePolicy, refuse_nonfinite_steps
from hondo.training.pace import Pace, make_pace
from hondo.training.plan import Plan, check_batch_size, check_plan, make_plan
from hondo.training.problem import Problem
from hondo.training.progress import check_observers
from hondo.training.saving.due import Every
from hondo.training.saving.kept_run import Keeper
from hondo.training.saving.position import check_change
from hondo.training.state import FitResult
from hondo.training.streaming.feed import (
    Feed,
    Reading,
    Shares,
    check_grain,
    check_reading,
    feed_by_index,
)
from hondo.training.streaming.hosted import Streamed, hosted
from hondo.training.streaming.layout import Layout, ShardRule, make_layout, replicated
from hondo.training.streaming.sequence import check_sequences, feed_in_order, is_sequence
from hondo.training.streaming.source import RandomAccess, Source, open_source
from hondo.training.watching import Report, Save, tell

# An order is of int32.
_MOST_EXAMPLES = 2**31


def stream(
    problem: Problem,
    optimizer: optax.GradientTransformation,
    train: Data | RandomAccess | Iterable[Example],
    valid: Data | RandomAccess,
    *,
    key: PRNGKeyArray,
    batch_size: SupportsIndex,
    max_epochs: SupportsIndex,
    stopper: EarlyStopping,
    monitor: str = "loss",
    augment: Augment | None = None,
    nonfinite: NonfinitePolicy = "skip",
    report: Report | None = None,
    save: Save | None = None,
    folder: Path | str | None = None,
    save_every: Every | None = None,
    tensorboard: bool = False,
    valid_every: SupportsIndex | None = None,
    microbatches: SupportsIndex = 1,
    mesh: Mesh | None = None,
    shard: ShardRule = replicated,
    remat: bool = False,
    steps_per_call: int = 1,
    threads: int = 4,
    workers: int = 0,
    prefetch: int | None = None,
    change: tuple[str, ...] = (),
    progress: bool = True,
) -> FitResult:
    r"""Runs `fit_with_progress` on data that need not fit into memory.

    The same steps on the same batches under the same keys: the batch of (epoch, step) is a function
    of the key, the epoch, the step and n, so the result is that of `fit_with_progress` up to
    rounding, and a run with a `folder` needs no position in the data to go on, bit for bit.

    The data is read example by example or, if it has `read_batch(indices)`, batch by batch, by
    threads that are a few batches ahead. Decoding belongs into the source, and must be a function
    of the index; what is random belongs into `augment`, which runs on the device. Of the examples,
    only those batches are in memory, and of each epoch its order: four bytes an example.

    Args:
        problem: what is trained; not one that weighs classes by the frequencies of all examples.
        optimizer: any optax transformation.
        train: arrays, also files mapped into memory (`numpy.load(…, mmap_mode="r")`), or anything
            with `__len__` and `__getitem__(index)` → an example, as lists, Grain's data sources and
            datasets of PyTorch and Hugging Face are; several threads read at a time. Or a
            `grain.IterDataset` of examples, which are taken in its own order: a run with a `folder`
            keeps its position beside the state, each process that of its own. Iterators, which have
            no position, are refused.
        valid: the validation data, in one of the same forms.
        key: the typed PRNG key of the whole run.
        batch_size: examples in a batch, an integer in [1, n], which devices and microbatches share
            evenly.
        max_epochs: the budget, an integer ≥ 1: of an `IterDataset`, how many times `valid_every`
            steps. One that ends before ends the run, with a warning.
        stopper: the stopping rule.
        monitor: the metric that the stopping rule sees.
        augment: as in `fit`; partners are read only if it looks at them, which it may not of an
            `IterDataset`.
        nonfinite: as in `fit`, but the rows are not looked at.
        report: as in `fit_with_progress`.
        save: as in `fit_with_progress`.
        folder: as in `fit_with_progress`; of the data, the rows that are compared are sixteen.
        save_every: as in `fit_with_progress`.
        tensorboard: as in `fit_with_progress`.
        valid_every: after how many steps it validates, an integer ≥ 1, instead of after each epoch,
            which an `IterDataset` has not.
            A row of the history, a line of `metrics.jsonl`, a call of `report`, the patience
            of `stopper` and the `epoch` of the best are then about these periods, not epochs; the
            steps that are left over when the budget ends are taken, but not validated.
        microbatches: in how many parts the model takes each batch, a divisor of `batch_size`: one
            gradient, one update, one step of the running statistics, as without, and the
            activations of one part in memory. Batch normalization, which must be hondo's,
            normalizes each part by itself; dropout draws other masks. See `Problem.loss` for
            losses of one's own.
        mesh: the devices, which share each batch along the mesh's axis "data"; None for all devices
            of all processes, of which each reads its rows of every batch. The batch, its
            augmentation and the masks of dropout are those of one device, bit for bit; all values
            that are sums are up to rounding.
        shard: how a parameter lies on the mesh, and with it all that is kept of it: a function of
            the names along its path and of its shape → `PartitionSpec`, such as `replicated` or
            `fully_sharded()`.
        remat: whether the step keeps only products of matrices and convolutions for its way back,
            and computes the rest again; microbatches are computed again anyway.
        steps_per_call: batches that are sent to the device at once, an integer ≥ 1; more are faster
            where a step takes less than a millisecond.
        threads: how many read, an integer ≥ 1. This and the next two change no value, and do
            nothing for an `IterDataset`, which has options of its own.
        workers: in how many processes they read, an integer ≥ 0, of which 0 is this one alone; for
            decoding that holds Python's lock. They are copies of the source, which they do not make
            of arrays, and a script needs its `if __name__ == "__main__":`.
        prefetch: batches that each of them reads ahead, an integer ≥ 1; by default two for each
            thread.
        change: what may be another than it was when the run in `folder` goes on, some of
            "batch_size", "microbatches" and "optimizer", whose state must keep its form. In the
            epoch that it has begun, none but the last batch takes an example again.
        progress: whether there is a bar.

    Returns:
        The best state, the last, the history and the reason.

    Raises:
        ValueError: as `fit_with_progress`; data that gives nothing by index; microbatches of a
            problem that has none, or whose model changes its state with each.
        TypeError: as `fit`.
        FloatingPointError: as `fit`.
        CallbackError: as `fit_with_progress`.
        SaveError: as `fit_with_progress`.
        ModuleNotFoundError: without the extra `stream`.

    Example:
        >>> import hondo, jax, numpy as np, optax
        >>> from flax import linen
        >>> x = np.linspace(-1.0, 1.0, 64, dtype=np.float32)[:, None]
        >>> examples = [(row, 2 * row) for row in x]
        >>> problem = hondo.supervised(linen.Dense(1), loss="squared_error")
        >>> result = hondo.stream(
        ...     problem, optax.sgd(0.1), examples, examples, key=jax.random.key(0),
        ...     batch_size=16, max_epochs=3, stopper=hondo.early_stopping(5, mode="min"),
        ... )
        >>> hondo.StopReason(int(result.reason)).name
        'BUDGET'

    References:
        Slide 4; Goodfellow et al. 2016, algorithm 8.1.
    """
    plan = make_plan(
        *(problem, optimizer, batch_size, max_epochs, stopper, monitor, augment, nonfinite),
        *(microbatches, valid_every, remat),
    )
    check_grain()
    check_observers(report, save, folder, save_every, tensorboard)
    check_count("steps_per_call", steps_per_call)
    reading = Reading(threads, workers, prefetch)
    check_reading(reading)
    check_bool("progress", progress)
    check_change(change, folder is not None)
    check_plan(plan, key)
    if problem.prepare is not None:
        repair = "Give the weights of the classes as numbers."
        raise error("problem", "one that prepares the whole data", "without prepare", repair)
    check_sequences(plan, train, valid)
    layout = make_layout(mesh, shard, plan.batch_size, plan.microbatches)
    feed, pace = _open(plan, layout, train, reading)
    with ExitStack() as opened:
        opened.callback(feed.close)
        sources = feed, open_source("valid", valid)
        streamed = Streamed(plan, pace, *sources, key, layout, steps_per_call, threads)
        caller = partial(tell, report, save, pace)
        kept = save_every, pace, tensorboard, change, plan.batch_size, feed.position
        keeper = None if folder is None else Keeper(Path(folder), *kept)
        run = hosted(streamed)
        result = run_on_host(plan, pace, run, caller, keeper, layout.team, progress)
    if nonfinite == "raise":
        refuse_nonfinite_steps(result, None, "epoch" if pace.is_by_epoch else "period")
    return result


def _open(
    plan: Plan, layout: Layout, train: Data | RandomAccess | Iterable[Example], reading: Reading
) -> tuple[Feed, Pace]:
    """The batches of the run, and how many it has."""
    if is_sequence(train):
        shares, pace = _share(plan, layout, plan.valid_every or 0)
        total = pace.max_epochs * pace.steps
        return feed_in_order(train, shares, total, plan.augment, layout.team), pace
    source = _open_source(plan, train)
    shares, pace = _share(plan, layout, source.size // plan.batch_size)
    return feed_by_index(source, shares, pace.max_epochs * pace.steps, plan.augment, reading), pace


def _share(plan: Plan, layout: Layout, steps: int) -> tuple[Shares, Pace]:
    """What is taken in each of so many steps of an epoch, and how long the run is."""
    pace = make_pace(steps, plan.max_epochs, plan.valid_every)
    return Shares(plan.batch_size, steps, layout.own_rows(plan.batch_size)), pace


def _open_source(plan: Plan, train: Data | RandomAccess) -> Source:
    source = open_source("train", train)
    check_batch_size(plan, source.size)
    if source.size >= _MOST_EXAMPLES:
        repair = "How often they are taken, max_epochs says."
        raise error("train", f"{source.size} examples", f"fewer than {_MOST_EXAMPLES}", repair)
    return source
