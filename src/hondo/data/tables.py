"""Tables in files: CSV, TSV, Parquet, Feather and Arrow."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np

from hondo._extras import check_extra
from hondo.data.classes import read_targets
from hondo.data.columns import Frame, Series, fit_encoding
from hondo.data.dataset import Task
from hondo.data.raw import Raw

SUFFIXES = (".csv", ".tsv", ".parquet", ".feather", ".arrow")


def table(
    path: Path | str,
    target: str,
    *,
    task: Task | None = None,
    keep: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> Raw:
    r"""A table, each row an example: one file, or all that match a pattern.

    Args:
        path: a .csv, .tsv, .parquet, .feather or .arrow file, compressed CSV too, or a pattern such
            as `shards/*.parquet`, whose files have the same columns.
        target: the column to predict.
        task: classification, binary or regression, where the target does not say it: a column with
            fractions is regressed, one of two values is binary.
        keep: columns to take although each row has another value, which is refused otherwise.
        drop: columns to leave out.

    Returns:
        The source, for `divide`. Its encoder standardizes numbers and gives each level of a
        category an input of its own, by the training part alone.

    Raises:
        ValueError: a file that cannot be read, no such column, a missing target; names the file,
            the column and the row.
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
    frame = read_table(path)
    for option, names in (("keep", keep), ("drop", drop)):
        _check_names(path, frame, option, names)
    values = read_target(path, frame, target)
    found = read_targets(f"column {target!r} of {path}", values, task)
    examples = frame.drop(columns=[target, *drop])
    fit = partial(fit_encoding, keep=tuple(keep))
    return Raw(Path(path).name, found.task, examples, found.values, found.classes, fit)


def read_target(path: Path | str, frame: Frame, target: str) -> np.ndarray:
    """The column of the targets: numbers, booleans or text.

    Raises:
        ValueError: no such column, or no value in a row; names the row.
    """
    _check_names(path, frame, "target", [target])
    values = frame[target]
    if values.isna().any():
        row = int(np.flatnonzero(values.isna().to_numpy())[0]) + 1
        raise ValueError(
            f"column {target!r} of {path} must have a value in every row, got none in row {row} "
            f"and {int(values.isna().sum())} in all. Leave these rows out."
        )
    return _plain(values)


def read_table(path: Path | str) -> Frame:
    """The rows of one file, or of all that match a pattern, one after another.

    Raises:
        ValueError: a file that cannot be read, that has no rows, or other columns than the first.
        FileNotFoundError: no such file.
        ModuleNotFoundError: without pandas.
    """
    pandas = _pandas()
    files = _matching(Path(path))
    if not files:
        raise FileNotFoundError(f"the table must be a file, got {path}, which does not exist.")
    frames = [_read(file) for file in files]
    for file, frame in zip(files, frames, strict=True):
        if list(frame.columns) != list(frames[0].columns):
            raise ValueError(
                f"{file} must have the columns of {files[0]}, {list(frames[0].columns)}, got "
                f"{list(frame.columns)}."
            )
    frame = pandas.concat(frames, ignore_index=True)
    if not len(frame):
        raise ValueError(f"{path} must have at least one row, got none.")
    return frame


def _matching(path: Path) -> list[str]:
    """The file, or the files that match the pattern, in the order of their names."""
    if path.is_file():
        return [str(path)]
    root = Path(path.anchor) if path.is_absolute() else Path()
    return sorted(str(file) for file in root.glob(str(path.relative_to(path.anchor))))


def _read(file: str) -> Frame:
    pandas = _pandas()
    readers: dict[str, Callable[..., Frame]] = {
        ".csv": pandas.read_csv,
        ".tsv": partial(pandas.read_csv, sep="\t"),
        ".parquet": pandas.read_parquet,
        ".feather": pandas.read_feather,
        ".arrow": pandas.read_feather,
    }
    suffix = next((s for s in Path(file).suffixes if s in readers), None)
    if suffix is None:
        raise ValueError(f"the table must be one of {', '.join(readers)}, got {file}.")
    try:
        frame = readers[suffix](file)
    except (ValueError, OSError, EOFError, ImportError) as reason:
        cause = str(reason).strip().splitlines()[0] if str(reason).strip() else repr(reason)
        raise ValueError(f"{file} must be a {suffix} table, got: {cause}") from None
    repeated = frame.columns[frame.columns.duplicated()].tolist()
    if repeated:
        raise ValueError(f"{file} must name each column once, got {repeated} more than once.")
    return frame.rename(columns=str)


def _plain(values: Series) -> np.ndarray:
    """A column without missing values as NumPy has it: numbers, booleans, or text."""
    kind = values.dtype.kind
    return values.to_numpy(dtype=None if kind in "iufb" else object)


def _check_names(path: Path | str, frame: Frame, option: str, names: Sequence[str]) -> None:
    for name in names:
        if name not in frame.columns:
            raise ValueError(
                f"{option} must be a column of {path}, one of {list(frame.columns)}, got {name!r}."
            )


def _pandas() -> ModuleType:
    check_extra("tables", "pandas", "pyarrow")
    import pandas

    return pandas
