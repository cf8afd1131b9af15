"""IDX files, the format of MNIST and its kin."""

import gzip
import hashlib
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path

import numpy as np

_LARGEST = 2**30
_MOST_AXES = 32
_GZIP = b"\x1f\x8b"
_TYPES = {
    8: np.dtype("u1"),
    9: np.dtype("i1"),
    11: np.dtype(">i2"),
    12: np.dtype(">i4"),
    13: np.dtype(">f4"),
    14: np.dtype(">f8"),
}


def is_idx(path: Path) -> bool:
    """Whether a file begins as those of IDX do, compressed by gzip or not."""
    try:
        with _opened(path) as file:
            magic = file.read(4)
    except (OSError, EOFError, zlib.error):
        return False
    return len(magic) == 4 and magic[:2] == b"\0\0" and magic[2] in _TYPES and magic[3] > 0


@contextmanager
def _opened(path: Path) -> Iterator[BufferedIOBase]:
    """The file's content, decompressed where it is compressed."""
    with path.open("rb") as raw:
        is_compressed = raw.read(2) == _GZIP
        raw.seek(0)
        if not is_compressed:
            yield raw
            return
        with gzip.GzipFile(fileobj=raw) as file:
            yield file


def read_idx(path: Path, sha256: str | None = None, *, largest: int = _LARGEST) -> np.ndarray:
    """Reads one IDX file, compressed by gzip or not.

    Its header is read first, and then no more than that says; a small file that would grow without
    end takes no memory.

    Args:
        path: the file.
        sha256: of its uncompressed content, or None to take it as it is.
        largest: how many bytes the array may have, a GiB by default.

    Returns:
        Its array, of the file's type in this machine's order of bytes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that is truncated, not IDX, of another content, or larger than `largest`.

    Example:
        >>> import pathlib, tempfile
        >>> from hondo.data import read_idx
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "three"
        >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 6, 7]))
        >>> read_idx(path).tolist()
        [5, 6, 7]
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: expected an IDX file there.")
    try:
        with _opened(path) as file:
            header, kind, shape = _read_header(path, file, largest)
            expected = math.prod(shape) * kind.itemsize
            # One byte more, so that the end is reached, where gzip has its checksum.
            body = file.read(expected + 1)
    except (OSError, EOFError, zlib.error) as reason:
        raise ValueError(f"{path} must be a whole gzip file, got: {reason}. Get it anew.") from None
    _check_length(path, shape, len(header) + expected, len(header) + len(body))
    content = hashlib.sha256(header)
    content.update(body)
    digest = content.hexdigest()
    if sha256 is not None and digest != sha256:
        raise ValueError(f"{path} must have the sha256 {sha256}, got {digest}. Get it anew.")
    return np.frombuffer(body, kind).reshape(shape).astype(kind.newbyteorder("="), copy=False)


def _read_header(
    path: Path, file: BufferedIOBase, largest: int
) -> tuple[bytes, np.dtype, tuple[int, ...]]:
    """Two zero bytes, the type (8: unsigned byte), the rank; then the sizes."""
    magic = file.read(4)
    rank = magic[3] if len(magic) == 4 else 0
    sizes = file.read(4 * rank)
    known = magic[:2] == b"\0\0" and len(magic) == 4 and magic[2] in _TYPES
    if not known or not 0 < 4 * rank == len(sizes):
        raise ValueError(f"{path} must be an IDX file, got one that begins with {magic!r}.")
    kind, shape = _TYPES[magic[2]], tuple(int(size) for size in np.frombuffer(sizes, ">i4"))
    if min(shape) < 1 or rank > _MOST_AXES or math.prod(shape) * kind.itemsize > largest:
        expected = f"at most {_MOST_AXES} sizes, of at least 1 and at most {largest} bytes in all"
        raise ValueError(f"{path} must have {expected}, got the shape {shape}. Get it anew.")
    return magic + sizes, kind, shape


def _check_length(path: Path, shape: tuple[int, ...], expected: int, got: int) -> None:
    if got != expected:
        found = f"more than {expected}" if got > expected else str(got)
        raise ValueError(
            f"{path} must hold {expected} bytes for shape {shape}, got {found}. Get it anew."
        )
