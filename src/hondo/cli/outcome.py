"""How a command ends: what it could not write, which signal came, its exit code."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from rich.console import Console

from hondo.cli.signals import exit_code
from hondo.training.lasting_stream import LastingStream
from hondo.training.saving.files import first_line, write_whole

# What could not be written, and why.
Failures = dict[str, str]


class Output(NamedTuple):
    """What is said.

    Attributes:
        json: stdout has the result alone, as one line of JSON.
        quiet: there is no text for people.
    """

    json: bool = False
    quiet: bool = False


def attempt(failures: Failures, name: str, action: Callable[[], object]) -> None:
    """Does one thing of several, of which each is worth having without the others.

    Example:
        >>> failures = {}
        >>> attempt(failures, "curves.png", lambda: 1 / 0)
        >>> failures
        {'curves.png': 'division by zero'}
    """
    try:
        action()
    except Exception as reason:
        failures[name] = first_line(reason)
    else:
        failures.pop(name, None)


def write_texts(failures: Failures, folder: Path, texts: Mapping[str, str]) -> None:
    """Writes each file of a folder by its name, whole or not at all."""
    for name, text in texts.items():
        attempt(failures, name, partial(write_whole, folder / name, text))


class Terminal(NamedTuple):
    """Where rich prints text for people; what cannot be printed ends nothing.

    Attributes:
        console: prints.
        lost: why it does not any more; empty while it does.
    """

    console: Console
    lost: list[str]


TEXT = Output()


@contextmanager
def result_alone(output: Output) -> Iterator[None]:
    """Keeps what compiled code prints, as gloo's greeting, from a stdout that is for the result.

    It goes to stderr, or nowhere where nothing is to be said.
    """
    stdout = sys.stdout
    if output == TEXT or not _writes_to(stdout, 1):
        yield
        return
    is_silent = output.quiet or not _writes_to(sys.stderr, 2)
    elsewhere = os.open(os.devnull, os.O_WRONLY) if is_silent else os.dup(2)
    sys.stdout = result = os.fdopen(os.dup(1), "w", -1, stdout.encoding, stdout.errors)
    os.dup2(elsewhere, 1)
    try:
        yield
    finally:
        os.dup2(result.fileno(), 1)
        sys.stdout = stdout
        os.close(elsewhere)
        # Whoever writes the result says why it could not be written.
        with suppress(OSError):
            result.close()


def _writes_to(stream: TextIO | None, descriptor: int) -> bool:
    try:
        return stream is not None and stream.fileno() == descriptor
    except (OSError, ValueError):
        return False


def open_terminal(output: Output = TEXT) -> Terminal:
    """The terminal of this process; stderr where stdout has JSON."""
    where = sys.stderr if output.json else sys.stdout
    stream: Any = LastingStream(None if output.quiet else where, [])
    return Terminal(Console(file=stream), stream.lost)


def finish(failures: Failures, lost: list[str], signals: list[int]) -> int:
    """Says in one line what is missing; returns the exit code."""
    missing = [f"{name} ({why})" for name, why in failures.items()]
    missing += [f"stdout ({why})" for why in lost]
    if missing:
        complain(f"not everything could be written: {', '.join(missing)}")
    if signals:
        return exit_code(signals[0])
    return int(bool(missing))


def complain(text: str) -> None:
    """One line on stderr, if there is one."""
    with suppress(OSError, ValueError, AttributeError):
        print(f"hondo: {' '.join(text.splitlines())}", file=sys.stderr, flush=True)
