"""Tables in files: CSV, TSV, Parquet, Feather and Arrow."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hondo._numerics.checks import error
from hondo.data.classes import read_targets
from hondo.data.column_checks import Where, refuse_text_among_numbers, row_of
from hondo.data.columns import Frame, Series, check_columns, fit_encoding
from hondo.data.dataset import Task
from hondo.data.raw import Raw, together
from hondo.data.table_files import (
    Places,
    check_same_columns,
    joined,
    matching_files,
    read_blocks,
    read_file,
)
from hondo.data.views import View


def table(
    path: Path | str,
    target: str | Sequence[str],
    *,
    task: Task | Sequence[Task] | None = None,
    keep: Sequence[str] = (),
    drop: Sequence[str] = (),
    stream: bool = False,
) -> Raw:
    r"""A table, each row an example: one file, or all that match a pattern.

    Args:
        path: a .csv, .tsv, .txt, .parquet, .feather, .arrow or .ipc file, compressed text too, or a
            pattern such as `shards/*.parquet`, whose files have the same columns. Of text, the
            separator (comma, semicolon, tab or bar), the decimal mark and the encoding (UTF-8 or
            UTF-16) are seen from its first lines.
        target: the column to predict; or several, each a task of its own.
        task: classification, binary or regression, where the target does not say it: a column with
            fractions is regressed, one of two values is binary. Of several targets the task of
            all, or one for each.
        keep: columns to take as they are, although each row has another value, or although they are
            dates, or text among numbers, which are refused otherwise.
        drop: columns to leave out.
        stream: read some rows at a time; of the table, only the targets need fit into memory.

    Returns:
        The source, for `divide`. Its encoder standardizes numbers and gives each level of a
        category an input of its own, by the training part alone.

    Raises:
        ValueError: a file that cannot be read, no such column, a missing target, a target twice,
            another number of tasks than of targets; names the file, the column and the row.
        FileNotFoundError: no such file.
        ModuleNotFoundError: without pandas.

    Example:
        >>> import pathlib, tempfile
        >>> from hondo.data import divide, table
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "churn.csv"
        >>> rows = [f"{n / 2},{'ab'[n % 2]},{'yes' if n % 3 else 'no'}" for n in range(60)]
        >>> _ = path.write_text("age,city,left\n" + "\n".join(rows))
        >>> dataset, parts = divide(table(path, "left"), valid=0.2, test=0.2, seed=0)
        >>> dataset.task, dataset.classes, dataset.inputs.shape
        ('binary', ('no', 'yes'), (48, 3))
    """
    names = (target,) if isinstance(target, str) else tuple(target)
    roles = Roles(names, _task_of_each(names, task), tuple(keep), tuple(drop))
    examples, values, places = (_scan if stream else _read_all)(path, roles)
    fit = partial(fit_encoding, keep=roles.keep)
    each = [
        read_targets(f"column {name!r} of {path}", own, told)
        for name, told, own in zip(names, roles.tasks, values, strict=True)
    ]
    sources = [
        Raw(name, found.task, examples, found.values, found.classes, fit, name_of=places.name)
        for name, found in zip(names, each, strict=True)
    ]
    return together(Path(path).name, sources)


class Roles(NamedTuple):
    """What the columns of a table are.

    Attributes:
        targets: those to predict.
        tasks: what each of them is, None where it says so itself.
        keep: inputs as they are.
        drop: nothing.
    """

    targets: tuple[str, ...]
    tasks: tuple[Task | None, ...]
    keep: tuple[str, ...]
    drop: tuple[str, ...]

    @property
    def left_out(self) -> tuple[str, ...]:
        """Columns that are no inputs."""
        return (*self.targets, *self.drop)


def _task_of_each(
    targets: tuple[str, ...], task: Task | Sequence[Task] | None
) -> tuple[Task | None, ...]:
    if not targets or len(set(targets)) < len(targets):
        raise error("target", targets, "one column, or several that differ")
    told = (task,) if task is None or isinstance(task, str) else tuple(task) or (None,)
    tasks = told * len(targets) if len(told) == 1 else told
    if len(tasks) != len(targets):
        raise error("task", told, f"one for all, or one for each of {', '.join(targets)}")
    return tasks


def _read_all(path: Path | str, roles: Roles) -> tuple[Frame, list[np.ndarray], Places]:
    """The examples, the targets and where they are, with the whole table in memory."""
    files = matching_files(path)
    frames = [read_file(file) for file in files]
    places = Places(files, tuple(map(len, frames)))
    # A heading alone says nothing of what its columns hold.
    filled = [(file, frame) for file, frame in zip(files, frames, strict=True) if len(frame)]
    for file, each in filled:
        # What is text in one file alone is found where it stands.
        known = [name for name in each.columns if name not in roles.left_out]
        check_columns(each[known], roles.keep, partial(_where, file, 0))
    frame = _joined(path, frames, files)
    _check_options(path, frame, roles)
    values = _read_each(path, frame, roles, places.where)
    examples = frame.drop(columns=list(roles.left_out))
    if len(files) > 1:
        check_columns(examples, roles.keep, places.where)
    return examples, values, places


def _scan(path: Path | str, roles: Roles) -> tuple[View, list[np.ndarray], Places]:
    """The same, with some rows in memory at a time."""
    files, counts, blocks = matching_files(path), [], []
    columns: list[str] = []
    for file in files:
        rows = 0
        for block in read_blocks(file):
            columns = columns or list(block.columns)
            check_same_columns(file, list(block.columns), files[0], columns)
            if not len(block):
                continue
            _check_options(path, block, roles)
            where = partial(_where, file, rows)
            blocks.append(_read_each(path, block, roles, where))
            check_columns(block.drop(columns=list(roles.left_out)), roles.keep, where)
            rows += len(block)
        counts.append(rows)
    if not sum(counts):
        raise ValueError(f"{path} must have at least one row, got none.")
    places = Places(files, tuple(counts))
    store = TableStore(places, roles.left_out)
    each = zip(roles.targets, zip(*blocks, strict=True), strict=True)
    values = [_same_kind(path, target, own) for target, own in each]
    return View(store, np.arange(sum(counts))), values, places


def _where(file: str, first: int, place: int) -> str:
    return f"row {first + place + 1} of {file}"


def _same_kind(path: Path | str, target: str, values: Sequence[np.ndarray]) -> np.ndarray:
    kinds = {"number" if each.dtype.kind in "iufb" else "text" for each in values}
    if len(kinds) > 1:
        raise ValueError(
            f"column {target!r} of {path} must be numbers or text in all rows, got some of each."
        )
    return np.concatenate(values)


@dataclass(frozen=True)
class TableStore:
    """Rows of files, which are read from the beginning whenever some are asked for.

    Attributes:
        places: the files, and how many rows each has.
        left_out: columns that are no inputs.
    """

    places: Places
    left_out: tuple[str, ...]

    def read(self, positions: np.ndarray) -> Frame:
        """These rows, in memory."""
        order = np.argsort(positions, kind="stable")
        blocks = list(self.read_blocks(positions[order]))
        rows = joined(blocks, [self.places.files[0]] * len(blocks))
        return rows.iloc[np.argsort(order)].reset_index(drop=True)

    def read_blocks(self, positions: np.ndarray) -> Iterator[Frame]:
        """These rows, in rising order, some at a time."""
        first = 0
        for file in self.places.files:
            for block in read_blocks(file):
                low, high = np.searchsorted(positions, (first, first + len(block)))
                rows = block.iloc[positions[low:high] - first]
                first += len(block)
                if len(rows):
                    yield rows.drop(columns=list(self.left_out)).reset_index(drop=True)


def read_table(path: Path | str) -> Frame:
    r"""The rows of one file, or of all that match a pattern, one after another.

    Raises:
        ValueError: a file that cannot be read, that has no rows, or other columns than the first.
        FileNotFoundError: no such file.
        ModuleNotFoundError: without pandas.

    Example:
        >>> import pathlib, tempfile
        >>> from hondo.data import read_table
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "ages.csv"
        >>> _ = path.write_text("age;city\n31,5;a\n40,0;b\n")
        >>> read_table(path)["age"].tolist()
        [31.5, 40.0]
    """
    files = matching_files(path)
    return _joined(path, [read_file(file) for file in files], files)


def _joined(path: Path | str, frames: Sequence[Frame], files: Sequence[str]) -> Frame:
    frame = joined(frames, files)
    if not len(frame):
        raise ValueError(f"{path} must have at least one row, got none.")
    return frame


def _read_each(path: Path | str, frame: Frame, roles: Roles, where: Where) -> list[np.ndarray]:
    each = zip(roles.targets, roles.tasks, strict=True)
    return [read_target(path, frame, target, task, where) for target, task in each]


def read_target(
    path: Path | str, frame: Frame, target: str, task: Task | None = None, where: Where = row_of
) -> np.ndarray:
    """The column of the targets: numbers, booleans or text.

    Raises:
        ValueError: no such column, or no value in a row; names the row.
    """
    _check_names(path, frame, "target", [target])
    values = frame[target]
    if values.isna().any():
        place = int(np.flatnonzero(values.isna().to_numpy())[0])
        raise ValueError(
            f"column {target!r} must have a value in every row, got none (or a word for none, such "
            f"as NA, None or null) in {where(place)}, and {int(values.isna().sum())} in all. Leave "
            "these rows out, or name the class otherwise."
        )
    if values.dtype.kind not in "iufb" and task is None:
        refuse_text_among_numbers(f"target {target!r}", values, "--task classification", where)
    return _plain(values)


def _plain(values: Series) -> np.ndarray:
    """A column without missing values as NumPy has it: numbers, booleans, or text."""
    kind = values.dtype.kind
    return values.to_numpy(dtype=None if kind in "iufb" else object)


def _check_options(path: Path | str, frame: Frame, roles: Roles) -> None:
    for option, names in (("target", roles.targets), ("keep", roles.keep), ("drop", roles.drop)):
        _check_names(path, frame, option, names)


def _check_names(path: Path | str, frame: Frame, option: str, names: Sequence[str]) -> None:
    for name in names:
        if name not in frame.columns:
            raise ValueError(
                f"{option} must be a column of {path}, one of {list(frame.columns)}, got {name!r}."
            )
