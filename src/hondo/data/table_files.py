"""The files of a table, read whole or some rows at a time."""

import codecs
import csv
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from hondo._extras import check_extra
from hondo.data.columns import Frame

_ROWS = 2**16
_SNIFFED = 2**16
_SEPARATORS = ",;\t|"
SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".feather", ".arrow", ".ipc")
_TEXT = (".csv", ".tsv", ".txt")
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class Places(NamedTuple):
    """Which row of which file a row of the table is.

    Attributes:
        files: in order.
        counts: the rows of each.
    """

    files: tuple[str, ...]
    counts: tuple[int, ...]

    def find(self, place: int) -> tuple[str, int]:
        """The file, and the row in it, counted from 1 without the heading."""
        ends = np.cumsum(self.counts)
        number = int(np.searchsorted(ends, place, side="right"))
        return self.files[number], place - int(ends[number]) + self.counts[number] + 1

    def where(self, place: int) -> str:
        """Where a row is, as an error says it."""
        file, row = self.find(place)
        return f"row {row} of {file}"

    def name(self, place: int) -> str:
        """Which row it is, as a report names it: the row, and the file where there are several."""
        file, row = self.find(place)
        return str(row) if len(self.files) == 1 else f"{file}: {row}"


def table_suffix(path: Path | str) -> str | None:
    """The suffix that says of which format a table is, such as .csv of a.csv.gz; None of none."""
    found = [suffix.lower() for suffix in Path(path).suffixes if suffix.lower() in SUFFIXES]
    return found[0] if found else None


def matching_files(path: Path | str) -> tuple[str, ...]:
    """The file, or the files that match the pattern, in the order of their names.

    Raises:
        FileNotFoundError: none.
    """
    path = Path(path)
    if path.is_file():
        return (str(path),)
    root = Path(path.anchor) if path.is_absolute() else Path()
    pattern = str(path.relative_to(path.anchor))
    found = (file for file in root.glob(pattern) if file.is_file())
    # As in a shell, a pattern finds what is hidden only if it says so.
    is_shown = path.name.startswith(".")
    files = tuple(sorted(str(f) for f in found if is_shown or not f.name.startswith(".")))
    if not files:
        raise FileNotFoundError(f"the data must be a file, got {path}, which does not exist.")
    return files


def read_file(file: str) -> Frame:
    """All rows of one file.

    Raises:
        ValueError: a file that cannot be read; names it.
        ModuleNotFoundError: without pandas.
    """
    pandas, suffix = _pandas(), _suffix(file)
    readers: dict[str, Callable[[str], Frame]] = {
        ".parquet": pandas.read_parquet,
        **dict.fromkeys((".feather", ".arrow", ".ipc"), _read_arrow),
    }
    with _naming(file, suffix):
        if suffix in _TEXT:
            return _cleaned(file, pandas.read_csv(file, **_dialect(file)))
        return _cleaned(file, readers[suffix](file))


def read_blocks(file: str) -> Iterator[Frame]:
    """The rows of one file, some at a time; no more than those are in memory.

    Raises:
        ValueError: a file that cannot be read; names it.
        ModuleNotFoundError: without pandas.
    """
    suffix = _suffix(file)
    read = _text_blocks if suffix in _TEXT else _column_blocks
    with _naming(file, suffix):
        for block in read(file):
            yield _cleaned(file, block)


def _text_blocks(file: str) -> Iterator[Frame]:
    with _pandas().read_csv(file, chunksize=_ROWS, **_dialect(file)) as reader:
        yield from reader


def _column_blocks(file: str) -> Iterator[Frame]:
    _pandas()
    import pyarrow.dataset

    form = "parquet" if _suffix(file) == ".parquet" else "ipc"
    for batch in pyarrow.dataset.dataset(file, format=form).to_batches(batch_size=_ROWS):
        yield batch.to_pandas()


def _read_arrow(file: str) -> Frame:
    """A file of Feather, or of Arrow's two formats: a file's, or a stream's."""
    import pyarrow

    try:
        return _pandas().read_feather(file)
    except pyarrow.ArrowInvalid:
        with pyarrow.memory_map(file) as source, pyarrow.ipc.open_stream(source) as reader:
            return reader.read_pandas()


def _suffix(file: str) -> str:
    suffix = table_suffix(file)
    if suffix is None:
        raise ValueError(f"the table must be one of {', '.join(SUFFIXES)}, got {file}.")
    return suffix


@contextmanager
def _naming(file: str, suffix: str) -> Iterator[None]:
    """Whatever is wrong with the file is an error that names it."""
    try:
        yield
    except Exception as reason:
        if str(reason).startswith(f"{file} must "):
            raise
        cause = str(reason).strip().splitlines()[0] if str(reason).strip() else repr(reason)
        repair = " Save it as UTF-8." if isinstance(reason, UnicodeDecodeError) else ""
        raise ValueError(f"{file} must be a {suffix} table, got: {cause}{repair}") from None


def _dialect(file: str) -> dict[str, str | bool]:
    """What the first lines say: the encoding, the separator, and the decimal mark."""
    pandas = _pandas()
    with pandas.io.common.get_handle(file, "rb", compression="infer", is_text=False) as opened:
        head = opened.handle.read(_SNIFFED)
    encoding = next((name for bom, name in _BOMS.items() if head.startswith(bom)), "utf-8")
    lines = head.decode(encoding, errors="ignore").splitlines()
    separator = "\t" if _suffix(file) == ".tsv" else _separator(lines)
    rows = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    names, first = next(rows, []), next(rows, [])
    _refuse_repeated(file, [name.strip() for name in names if name.strip()])
    if len(first) > len(names):
        raise ValueError(
            f"{file} must have a name for each column, got {len(first)} values in row 1 and the "
            f"names {names}."
        )
    comma = separator != "," and _has_decimal_commas(file, lines[1:], separator)
    return {
        "sep": separator,
        "encoding": encoding,
        "decimal": "," if comma else ".",
        "skipinitialspace": True,
        "low_memory": False,
    }


def _separator(lines: Sequence[str]) -> str:
    """What separates the names of the heading; a comma where there is but one name."""
    counts = {each: len(next(csv.reader(lines[:1], delimiter=each), [])) for each in _SEPARATORS}
    return max(_SEPARATORS, key=counts.__getitem__)


def _has_decimal_commas(file: str, lines: Sequence[str], separator: str) -> bool:
    """Whether numbers are written as 1,5, and none as 1.5.

    Raises:
        ValueError: all of them are as 1,234, which may be a thousand.
    """
    # The last line may be cut off.
    rows = csv.reader(lines[: -1 if len(lines) > 1 else None], delimiter=separator)
    cells = [cell.strip().lstrip("+-") for row in rows for cell in row]
    commas = [cell for cell in cells if re.fullmatch(r"\d+,\d+(e[+-]?\d+)?", cell, re.I)]
    points = any(cell.count(".") == 1 and cell.replace(".", "").isdigit() for cell in cells)
    if commas and all(re.fullmatch(r"[1-9]\d{0,2},\d{3}", cell) for cell in commas):
        one, other = (commas[0].replace(",", mark) for mark in ("", "."))
        raise ValueError(
            f"{file} must have numbers without marks of thousands, got {commas[0]}. "
            f"Write it as {one} or {other}."
        )
    return bool(commas) and not points


def _cleaned(file: str, frame: Frame) -> Frame:
    """Columns by names that are text, and a row's number as its index.

    Raises:
        ValueError: a name that stands twice.
    """
    names = [str(name).strip() for name in frame.columns]
    _refuse_repeated(file, names)
    if frame.index.name is not None:
        frame = frame.reset_index()
    frame = frame.rename(columns=lambda name: str(name).strip()).reset_index(drop=True)
    plain = {
        name: _plain_numbers(frame[name]) for name in frame.columns if frame[name].dtype == object
    }
    return frame.assign(**plain) if plain else frame


def _plain_numbers(values: Frame) -> Frame:
    """Decimals as floats and dates as times; everything else as it is."""
    pandas = _pandas()
    kind = pandas.api.types.infer_dtype(values, skipna=True)
    if kind == "decimal":
        return values.astype(float)
    return pandas.to_datetime(values) if kind == "date" else values


def _refuse_repeated(file: str, names: Sequence[str]) -> None:
    repeated = sorted({name for name in names if list(names).count(name) > 1})
    if repeated:
        raise ValueError(f"{file} must name each column once, got {repeated} more than once.")


def _pandas() -> ModuleType:
    check_extra("tables", "pandas", "pyarrow")
    import pandas

    return pandas


def joined(frames: Sequence[Frame], files: Sequence[str]) -> Frame:
    """The rows of files of the same columns, one after another.

    Raises:
        ValueError: other columns than the first file has.
    """
    for file, frame in zip(files, frames, strict=True):
        check_same_columns(file, list(frame.columns), files[0], list(frames[0].columns))
    # A heading alone says nothing of what its columns hold.
    filled = [frame for frame in frames if len(frame)] or frames[:1]
    return _pandas().concat(filled, ignore_index=True)


def check_same_columns(file: str, names: list[str], first: str, expected: list[str]) -> None:
    """Raises where a file has other columns than the first.

    Raises:
        ValueError: it has; names the file.
    """
    if names != expected:
        raise ValueError(f"{file} must have the columns of {first}, {expected}, got {names}.")
