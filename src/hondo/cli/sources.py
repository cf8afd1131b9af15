"""The data of a run: by name, or the user's own."""

from pathlib import Path

from hondo._numerics.checks import error
from hondo.cli.config import TrainConfig
from hondo.data import Divided, Raw, arrays, divide, images, load, split, table
from hondo.data.tables import SUFFIXES, read_table


def open_data(config: TrainConfig, split_seed: int) -> Divided:
    """The data set and its training part cut in two.

    Raises:
        ValueError: data that cannot be trained on, or options that do not fit it.
        FileNotFoundError: no such data.
        ModuleNotFoundError: an extra that it needs.
    """
    if config.data is None:
        _refuse_options(config, "target", "targets", "task", "keep", "drop", "size")
        dataset = load(config.dataset, config.data_dir)
        return Divided(dataset, split(dataset, config.valid_fraction, split_seed))
    raw = read_raw(config, config.data)
    return divide(raw, valid=config.valid_fraction, test=config.test_fraction, seed=split_seed)


def read_raw(config: TrainConfig, path: Path) -> Raw:
    """The user's own data, before it is divided.

    Raises:
        ValueError: data that cannot be trained on, or options that do not fit it.
        FileNotFoundError: no such data.
        ModuleNotFoundError: an extra that it needs.
    """
    if path.is_dir():
        _refuse_options(config, "target", "targets", "task", "keep", "drop")
        return images(path, size=config.size)
    _refuse_options(config, "size")
    if not set(path.suffixes) & set(SUFFIXES):
        _refuse_options(config, "target", "keep", "drop")
        if config.targets is None:
            raise error("targets", "none", "the file of the targets", "Add --targets y.npy.")
        return arrays(path, config.targets, task=config.task, name=path.name)
    _refuse_options(config, "targets")
    if config.target is None:
        columns = ", ".join(read_table(path).columns)
        raise error("target", None, f"the column to predict, one of {columns}", "Add --target.")
    names = {"keep": config.keep, "drop": config.drop}
    return table(path, config.target, task=config.task, **names)


def _refuse_options(config: TrainConfig, *names: str) -> None:
    """Raises for an option that would have no effect on this data."""
    for name in names:
        if getattr(config, name):
            data = config.data or config.dataset
            raise error(name, getattr(config, name), f"left out for {data}")
