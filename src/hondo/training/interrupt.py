"""Signals, such as that of Ctrl-C, as a list that a loop on the host looks at."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NamedTuple


class _Noting(NamedTuple):
    """A handler that appends each signal to a list; it raises once there are more than `most`."""

    noted: list[int]
    most: int | None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        # Nothing here takes a lock, because a handler may interrupt itself.
        self.noted.append(number)
        if self.most is not None and len(self.noted) > self.most:
            raise KeyboardInterrupt


@contextmanager
def interruptible(*numbers: signal.Signals, most: int | None = None) -> Iterator[list[int]]:
    """Notes these signals in a list, in the main thread, the only one that gets signals.

    Within another such context the list is the outer one's, whose signals are noted already. A
    process that ignores a signal, as jobs in the background do, or whose handler is not Python's,
    keeps its own handling.

    Args:
        *numbers: by default that of Ctrl-C.
        most: how many are noted; all by default.

    Raises:
        KeyboardInterrupt: at the next one.
    """
    numbers = numbers or (signal.SIGINT,)
    if threading.current_thread() is not threading.main_thread():
        yield []
        return
    outer = _outer()
    if outer is not None:
        yield outer.noted
        return
    handler = _Noting([], most)
    previous = {number: signal.getsignal(number) for number in numbers}
    taken = [n for n, old in previous.items() if old not in (signal.SIG_IGN, None)]
    try:
        for number in taken:
            signal.signal(number, handler)
        yield handler.noted
    finally:
        for number in taken:
            signal.signal(number, previous[number])


def _outer() -> _Noting | None:
    """The handler of a context around this one, of any signal that the process does not ignore."""
    handlers = map(signal.getsignal, signal.valid_signals())
    return next((handler for handler in handlers if isinstance(handler, _Noting)), None)
