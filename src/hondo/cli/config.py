"""What a training run is, as one typed value: every technique is a field."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hondo.cli.sections import (
    DataOptions,
    GradientOptions,
    InitializationOptions,
    NetworkOptions,
    NormalizationOptions,
    RegularizationOptions,
    RunOptions,
)


@dataclass(frozen=True)
class TrainConfig(
    RunOptions,
    NormalizationOptions,
    InitializationOptions,
    GradientOptions,
    RegularizationOptions,
    NetworkOptions,
    DataOptions,
):
    """Trains a deep network and writes a folder with all that came of it."""


@dataclass(frozen=True)
class SweepConfig:
    """Trains every combination of the values and writes a folder with all that came of it.

    For example `hondo sweep l2=0,1e-5,1e-4,1e-3 seed=0,1,2 --max-epochs 50`. The folder has the
    table of the runs, a picture of the path and, in its folder `best`, the best run as `hondo
    train` would have written it. Which values are the best is decided by the mean over the seeds;
    then the best of their runs is taken.

    Attributes:
        over: for each swept field its values, name=value,value,…; any option but those of the
            data, task-weights, out, valid-fraction, split-seed and watch. The data is split by
            --split-seed or else --seed, the same for all.
        train: what all the runs share.
        cache: keep what is compiled in your cache folder, for the next command.
    """

    over: tyro.conf.Positional[tuple[str, ...]]
    train: Annotated[TrainConfig, tyro.conf.arg(name="")]
    cache: bool = True


@dataclass(frozen=True)
class CompareConfig:
    """Trains several configurations with the same seeds and draws their curves side by side.

    For example `hondo compare model=plain,deep-mlp --activation sigmoid --init gaussian`. The table
    has the median and quartiles over the seeds of the validation loss and accuracy, at the best
    and at the last epoch; the folder has it, every run, and the picture of the curves.

    Attributes:
        over: what to compare, field=value,value; of several fields, every combination. The fields
            are those of `hondo sweep` but the seed.
        train: what all the runs share.
        seeds: how many runs of each, with the seeds that follow --seed.
        cache: keep what is compiled in your cache folder, for the next command.
    """

    over: tyro.conf.Positional[tuple[str, ...]]
    train: Annotated[TrainConfig, tyro.conf.arg(name="")] = TrainConfig(max_epochs=20, patience=0)
    seeds: int = 5
    cache: bool = True


@dataclass(frozen=True)
class PredictConfig:
    """Predicts with the best model of a run's folder.

    Attributes:
        run: the folder that `hondo train` wrote, or the folder `best` of a sweep.
        inputs: new examples in the form of the training data: a table with its columns, a folder of
            images, or a NumPy file (.npy) in the units of the source: features as scikit-learn
            gives them, pixels of 0 to 16 (digits) or 0 to 255. By default the data's own test part,
            with its score.
        out: a CSV file to write the predictions to, classes by name or numbers in the targets' own
            units; it must not exist. By default they are only counted.
        probabilities: the probability of each class beside it.
        cache: keep what is compiled in your cache folder, for the next command.
    """

    run: tyro.conf.Positional[Path]
    inputs: tyro.conf.Positional[Path | None] = None
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    probabilities: bool = False
    cache: bool = True
