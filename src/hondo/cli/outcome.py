"""How a command ends: what it could not write, which signal came, its exit code."""

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from rich.console import Console

from hondo.cli.signals import exit_code
from hondo.training.lasting_stream import LastingStream
from hondo.training.saving.files import first_line

# What could not be written, and why.
Failures = dict[str, str]


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


class Terminal(NamedTuple):
    """stdout as rich prints to it; what cannot be printed ends nothing.

    Attributes:
        console: prints.
        lost: why it does not any more; empty while it does.
    """

    console: Console
    lost: list[str]


def open_terminal(*, is_shown: bool = True) -> Terminal:
    """The terminal of this process, or one that shows nothing."""
    stream: Any = LastingStream(sys.stdout if is_shown else None, [])
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
