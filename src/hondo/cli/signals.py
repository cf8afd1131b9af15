"""What a signal does to a command: while nothing is at stake it ends it, later it is noted."""

import os
import signal
from contextlib import suppress
from types import FrameType
from typing import NoReturn

# Ctrl-C, the polite end, and the terminal that closes.
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


def exit_code(number: int) -> int:
    """What a shell reports for a command that this signal ended."""
    return 128 + number


def end_at_signals() -> None:
    """From now on ends the process at once, in one line, at each of these that it does not ignore.

    An exception would not do: raised wherever the process happens to be, some are swallowed there.
    """
    for number in SIGNALS:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    with suppress(OSError):
        os.write(2, f"hondo: ended by {signal.Signals(number).name}\n".encode())
    os._exit(exit_code(number))
