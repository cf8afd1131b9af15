"""IDX files, the format of MNIST and its kin."""

import gzip
import hashlib
import zlib
from pathlib import Path

import numpy as np


def read_idx(path: Path, sha256: str | None = None) -> np.ndarray:
    """Reads one gzipped IDX file of unsigned bytes.

    Args:
        path: the file.
        sha256: of its uncompressed content, or None to take it as it is.

    Returns:
        Its array, uint8.

    Raises:
        FileNotFoundError: no such file; says how to get Fashion-MNIST.
        ValueError: a file that is truncated, not IDX, or of another content.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: expected a gzipped IDX file there. Get it by "
            "`apt-get install dataset-fashion-mnist`, or name its folder with --data-dir."
        )
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, ValueError, zlib.error) as reason:
        raise ValueError(f"{path} must be a whole gzip file, got: {reason}. Get it anew.") from None
    array = _parse_idx(path, content)
    digest = hashlib.sha256(content).hexdigest()
    if sha256 is not None and digest != sha256:
        raise ValueError(f"{path} must have the sha256 {sha256}, got {digest}. Get it anew.")
    return array


def _parse_idx(path: Path, content: bytes) -> np.ndarray:
    """Two zero bytes, the type (8: unsigned byte), the rank, the sizes, the values."""
    rank = content[3] if len(content) > 3 else 0
    header = 4 + 4 * rank
    if content[:3] != b"\0\0\x08" or len(content) < header:
        raise ValueError(f"{path} must be an IDX file of unsigned bytes, got {content[:4]!r}.")
    shape: tuple[int, ...] = tuple(int(size) for size in np.frombuffer(content[4:header], ">i4"))
    expected = header + int(np.prod(shape))
    if len(content) != expected:
        raise ValueError(
            f"{path} must hold {expected} bytes for shape {shape}, got {len(content)}. Get it anew."
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
