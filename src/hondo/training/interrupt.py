"""Ctrl-C as an event that a loop on the host checks."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Turns the first Ctrl-C into an event, in the main thread, the only one that gets signals.

    A process that ignores Ctrl-C, as jobs in the background do, or whose handler is not Python's,
    keeps its own handling.

    Raises:
        KeyboardInterrupt: at the second.
    """
    interrupted = threading.Event()
    previous = signal.getsignal(signal.SIGINT)
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or previous in (signal.SIG_IGN, None):
        yield interrupted
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, previous)
