"""What `hondo train` says of a network that does not learn: which layer is sick."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np

import hondo
from hondo.cli import build, models
from hondo.cli.config import TrainConfig
from hondo.cli.diagnose import initialize, quick_diagnosis
from hondo.cli.outcome import complain
from hondo.cli.tasks import heads_of
from hondo.data import Dataset
from hondo.data.raw import columns_of
from hondo.training.saving.files import first_line
from hondo.training.watching import epoch_metrics

if TYPE_CHECKING:
    from hondo._types import Batch, ModelState, Params
    from hondo.cli.train import TrainJob

# A network learns if it is so much better than the best constant answer, after so much training.
_SHARE, _EPOCHS, _STEPS = 0.95, 3, 30
_EXAMPLES = 256


class Watch(NamedTuple):
    """Looks at the metrics, which costs nothing, and diagnoses a network that does not learn.

    Attributes:
        job: the run.
        chance: the loss of the best constant answer.
        problem: of one network, without its average.
        diagnose: of parameters, model state and batch; compiled when it is first called.
        looked: the rows of the history at which the start was diagnosed.
        said: what was said.
    """

    job: "TrainJob"
    chance: float
    problem: hondo.Problem
    diagnose: Callable[..., hondo.Diagnosis]
    looked: list[int]
    said: list[str]

    def hear(self, row: int, metrics: dict[str, float]) -> None:
        """Says once what the start suffers from, where the network does not learn."""
        if self.looked or not self.is_stuck(row, metrics):
            return
        self.looked.append(row)
        job = self.job
        command = f" See `hondo diagnose {job.out} --at init`."
        self._say(command, lambda batch: initialize(job.config, self.problem, batch))

    def finish(self, result: hondo.FitResult) -> None:
        """Says what the last network suffers from, if it has learned nothing from a healthy start.

        A step that was too large kills units and makes weights infinite.
        """
        last, row = result.last, self.job.pace.count_rows(result.last) - 1
        if self.said or row < 0 or not self.is_stuck(row, epoch_metrics(result.history, row)):
            return
        # Without a best model there is none to look at again.
        command = f" See `hondo diagnose {self.job.out}`." if int(result.best.epoch) >= 0 else ""
        config, trained = self.job.config, (last.params, last.model_state)
        self._say(command, lambda _: models.first_trained(config, *trained))

    def is_stuck(self, row: int, metrics: dict[str, float]) -> bool:
        """Whether it is watched, and the loss is no number or, after a while, that of chance."""
        config, pace, loss = self.job.config, self.job.pace, metrics["train/loss"]
        is_trained = (row + 1) * pace.period >= max(_EPOCHS * pace.steps, _STEPS)
        least = _SHARE * self.chance if is_trained else np.inf
        return config.watch and not loss < least

    def _say(self, command: str, network: "Callable[[Batch], tuple[Params, ModelState]]") -> None:
        """One line, if a layer is sick; whatever goes wrong does not end the run."""
        try:
            batch = build.as_arrays(self.job.parts.train, _EXAMPLES)
            verdicts = self.diagnose(*network(batch), batch, key=jax.random.key(0)).verdicts
        except Exception as reason:
            complain(f"the network does not learn, and is not diagnosed: {first_line(reason)}")
            return
        if verdicts:
            self.said.append(f"the network does not learn: {verdicts[0]}{command}")
            complain(self.said[-1])


def begin(job: "TrainJob") -> Watch:
    """The watch of a run that is about to begin."""
    chance = chance_loss(job.config, job.dataset, job.parts.train[1])
    problem = build.problem(job.config, job.dataset)
    return Watch(job, chance, problem, quick_diagnosis(problem), [], [])


def chance_loss(config: TrainConfig, dataset: Dataset, targets: np.ndarray) -> float:
    """The loss of the best constant answer to targets as training weighs and smooths them.

    It is the variance of numbers, the entropy of classes; of several tasks the weighted sum.
    """
    if dataset.tasks:
        heads = heads_of(dataset, config.task_weights)
        each = zip(heads, dataset.tasks, columns_of(targets), strict=True)
        return sum(head.weight * chance_loss(config, one, own) for head, one, own in each)
    if dataset.task == "regression":
        return float(np.var(targets))
    shares = np.unique(targets, return_counts=True)[1] / len(targets)
    if config.class_weights == "balanced":
        shares = np.full_like(shares, 1 / len(shares))
    shares = (1 - config.label_smoothing) * shares + config.label_smoothing / len(shares)
    return float(-np.sum(shares * np.log(shares)))


def chance_metrics(config: TrainConfig, dataset: Dataset, targets: np.ndarray) -> dict[str, float]:
    """What the best constant answer scores: its loss, and of classes its accuracy."""
    metrics = {"loss": chance_loss(config, dataset, targets)}
    if dataset.tasks:
        for one, own in zip(dataset.tasks, columns_of(targets), strict=True):
            of_one = chance_metrics(config, one, own)
            metrics |= {f"{one.name}/{name}": value for name, value in of_one.items()}
    elif dataset.task != "regression":
        metrics["accuracy"] = float(np.unique(targets, return_counts=True)[1].max() / len(targets))
    return metrics
