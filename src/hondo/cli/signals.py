"""What a signal does to a command: while nothing is at stake it ends it, later it is noted."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

# Ctrl-C, the polite end, and the terminal that closes.
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


def exit_code(number: int) -> int:
    """What a shell reports for a command that this signal ended."""
    return 128 + number


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Ends the process at once, and in one line, at the first signal that it does not ignore.

    An exception would not do: raised wherever the process happens to be, some are swallowed there.
    """
    previous = {number: signal.getsignal(number) for number in SIGNALS}
    taken = [n for n, old in previous.items() if old not in (signal.SIG_IGN, None)]
    for number in taken:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, previous[number])


def _end(number: int, frame: FrameType | None) -> NoReturn:
    with suppress(OSError):
        os.write(2, f"hondo: ended by {signal.Signals(number).name}\n".encode())
    os._exit(exit_code(number))
