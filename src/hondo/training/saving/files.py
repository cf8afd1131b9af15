"""Files that are written whole or not at all, and JSON that others may have damaged."""

import json
from pathlib import Path
from typing import Any

_LARGEST_JSON = 10_000_000
_LONGEST_REASON = 300


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes the file beside its place, then moves it there.

    Raises:
        OSError: the disk is full, the folder is gone; what was there before is there still.
    """
    data = content.encode() if isinstance(content, str) else content
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file of JSON.

    Raises:
        ValueError: it cannot be read, is no JSON, or no object; the error names the file.
    """
    try:
        if path.stat().st_size > _LARGEST_JSON:
            raise ValueError("it is too large")
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError(f"it holds a {type(values).__name__}")
    except (OSError, ValueError, RecursionError) as reason:
        raise ValueError(f"{path} must hold an object of JSON: {first_line(reason)}") from None
    return values


def first_line(reason: BaseException) -> str:
    r"""What an error says, in one line, or its type where it says nothing.

    Example:
        >>> first_line(ValueError("no\nyes")), first_line(KeyError())
        ('no', 'KeyError')
    """
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    line = next(iter(str(reason).splitlines()), "") or type(reason).__name__
    return line if len(line) <= _LONGEST_REASON else line[:_LONGEST_REASON] + "…"
