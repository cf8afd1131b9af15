"""The data of a run: by name, or the user's own."""

from pathlib import Path

from hondo._numerics.checks import error
from hondo.cli.config import TrainConfig
from hondo.data import Divided, Raw, Task, arrays, divide, images, load, split, table
from hondo.data.builtin import DATASETS
from hondo.data.table_files import table_suffix
from hondo.data.tables import read_table
from hondo.training.streaming.feed import check_grain


def open_data(config: TrainConfig, split_seed: int) -> Divided:
    """The data set and its training part cut in two.

    Raises:
        ValueError: data that cannot be trained on, or options that do not fit it.
        FileNotFoundError: no such data.
        ModuleNotFoundError: an extra that it needs.
    """
    if config.data is None:
        _refuse_options(config, "target", "targets", "task", "keep", "drop", "size", "stream")
        dataset = load(config.dataset, config.data_dir)
        return Divided(dataset, split(dataset, config.valid_fraction, split_seed))
    if config.stream:
        check_grain()
    raw = read_raw(config, config.data)
    return divide(raw, valid=config.valid_fraction, test=config.test_fraction, seed=split_seed)


def read_raw(config: TrainConfig, path: Path) -> Raw:
    """The user's own data, before it is divided.

    Raises:
        ValueError: data that cannot be trained on, or options that do not fit it.
        FileNotFoundError: no such data.
        ModuleNotFoundError: an extra that it needs.
    """
    if str(path) in DATASETS and not path.exists():
        repair = f"The data set of that name is --dataset {path}."
        raise error("data", str(path), "a file, a folder or a pattern that is here", repair)
    if path.is_dir():
        _refuse_options(config, "target", "targets", "task", "keep", "drop")
        return images(path, size=config.size, stream=config.stream)
    _refuse_options(config, "size")
    if table_suffix(path) is None:
        _refuse_options(config, "target", "keep", "drop")
        if config.targets is None:
            raise error("targets", "none", "the file of the targets", "Add --targets y.npy.")
        task = _only_task(config)
        return arrays(path, config.targets, task=task, name=path.name, stream=config.stream)
    _refuse_options(config, "targets")
    if not config.target:
        columns = ", ".join(read_table(path).columns)
        raise error("target", None, f"the column to predict, one of {columns}", "Add --target.")
    return table(
        path,
        config.target,
        task=config.task,
        keep=config.keep,
        drop=config.drop,
        stream=config.stream,
    )


def _only_task(config: TrainConfig) -> Task | None:
    if len(config.task) > 1:
        raise error("task", config.task, "named once for arrays", "A table may have several.")
    return config.task[0] if config.task else None


def _refuse_options(config: TrainConfig, *names: str) -> None:
    """Raises for an option that would have no effect on this data."""
    for name in names:
        if getattr(config, name):
            data = config.data or config.dataset
            raise error(name, getattr(config, name), f"left out for {data}")
