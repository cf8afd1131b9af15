"""Files of ArrayRecord, whose records are read by their place."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hondo._extras import check_extra
from hondo._types import Example
from hondo.data.table_files import matching_files
from hondo.training.streaming.source import RandomAccess


@dataclass(frozen=True)
class Records:
    """The records of some files, one after another, as `hondo.stream` reads them.

    Attributes:
        files: in order.
        stored: gives the bytes of a record.
        decode: makes an example of them.
    """

    files: tuple[str, ...]
    stored: RandomAccess
    decode: Callable[[bytes], Example]

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, index: int) -> Example:
        content = self.stored[index]
        try:
            return self.decode(content)
        except Exception as reason:
            raise ValueError(
                f"record {index} of {', '.join(self.files)} must be one that decode takes, got "
                f"{len(content)} bytes: {reason}"
            ) from reason


def records(path: Path | str, decode: Callable[[bytes], Example]) -> Records:
    """The records of ArrayRecord files as examples for `hondo.stream`.

    A file that was written with `group_size:1` gives each record by itself; of others, a whole
    group is decompressed for each.

    Args:
        path: one file, or a pattern such as `shards/*.array_record`.
        decode: makes an example of the bytes of a record. It is a function of these alone, and
            called by several threads at a time.

    Returns:
        The examples, which are read and decoded when they are asked for.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that is damaged, or of something else; names it.
        ModuleNotFoundError: without the extra `stream`.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from array_record.python.array_record_module import ArrayRecordWriter
        >>> from hondo.data import records
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "numbers.array_record"
        >>> writer = ArrayRecordWriter(str(path), "group_size:1")
        >>> for n in range(3):
        ...     _ = writer.write(np.float32([n, n * n]).tobytes())
        >>> writer.close()
        >>> examples = records(path, lambda content: np.frombuffer(content, np.float32))
        >>> len(examples), examples[2].tolist()
        (3, [2.0, 4.0])
    """
    check_extra("stream", "array_record")
    from array_record.python.array_record_data_source import ArrayRecordDataSource

    files = matching_files(path)
    for file in files:
        _check(file)
    return Records(files, ArrayRecordDataSource(list(files)), decode)


def _check(file: str) -> None:
    """Opens a file by itself, so that an error names it."""
    from array_record.python.array_record_module import ArrayRecordReader

    try:
        reader = ArrayRecordReader(file)
        count = reader.num_records()
        reader.close()
    except (RuntimeError, ValueError, OSError) as reason:
        raise ValueError(f"{file} must be a file of ArrayRecord, got: {reason}") from None
    if not count:
        raise ValueError(f"{file} must have at least one record, got none.")
