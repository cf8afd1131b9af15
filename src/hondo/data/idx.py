"""IDX files, the format of MNIST and its kin."""

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np

_LARGEST = 2**30
_MOST_AXES = 32


def read_idx(path: Path, sha256: str | None = None, *, largest: int = _LARGEST) -> np.ndarray:
    """Reads one gzipped IDX file of unsigned bytes.

    Its header is read first, and then no more than that says; a small file that would grow without
    end takes no memory.

    Args:
        path: the file.
        sha256: of its uncompressed content, or None to take it as it is.
        largest: how many bytes the array may have, a GiB by default.

    Returns:
        Its array, uint8.

    Raises:
        FileNotFoundError: no such file; says how to get Fashion-MNIST.
        ValueError: a file that is truncated, not IDX, of another content, or larger than `largest`.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: expected a gzipped IDX file there. Get it by "
            "`apt-get install dataset-fashion-mnist`, or name its folder with --data-dir."
        )
    try:
        with path.open("rb") as raw, gzip.GzipFile(fileobj=raw) as file:
            header, shape = _read_header(path, file, largest)
            # One byte more, so that the end is reached, where gzip has its checksum.
            body = file.read(math.prod(shape) + 1)
    except (OSError, EOFError, zlib.error) as reason:
        raise ValueError(f"{path} must be a whole gzip file, got: {reason}. Get it anew.") from None
    _check_length(path, shape, len(header) + math.prod(shape), len(header) + len(body))
    content = hashlib.sha256(header)
    content.update(body)
    digest = content.hexdigest()
    if sha256 is not None and digest != sha256:
        raise ValueError(f"{path} must have the sha256 {sha256}, got {digest}. Get it anew.")
    return np.frombuffer(body, np.uint8).reshape(shape)


def _read_header(path: Path, file: gzip.GzipFile, largest: int) -> tuple[bytes, tuple[int, ...]]:
    """Two zero bytes, the type (8: unsigned byte), the rank; then the sizes."""
    magic = file.read(4)
    rank = magic[3] if len(magic) == 4 else 0
    sizes = file.read(4 * rank)
    if magic[:3] != b"\0\0\x08" or not 0 < 4 * rank == len(sizes):
        raise ValueError(f"{path} must be an IDX file of unsigned bytes, got {magic!r}.")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">i4"))
    if min(shape) < 1 or rank > _MOST_AXES or math.prod(shape) > largest:
        expected = f"at most {_MOST_AXES} sizes, of at least 1 and at most {largest} bytes in all"
        raise ValueError(f"{path} must have {expected}, got the shape {shape}. Get it anew.")
    return magic + sizes, shape


def _check_length(path: Path, shape: tuple[int, ...], expected: int, got: int) -> None:
    if got != expected:
        found = f"more than {expected}" if got > expected else str(got)
        raise ValueError(
            f"{path} must hold {expected} bytes for shape {shape}, got {found}. Get it anew."
        )
