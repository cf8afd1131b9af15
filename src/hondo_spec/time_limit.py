"""An end to what hangs."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class TimeUpError(BaseException):
    """Not an Exception, so that neither an adapter nor hypothesis takes it for a finding."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Interrupts Python code after so many seconds; signals reach the main thread only.

    A timer that runs already goes on afterward. Where there is no such signal, nothing is limited.

    Raises:
        TimeUpError: from wherever the code is by then.

    Example:
        >>> from hondo_spec.time_limit import time_limit
        >>> with time_limit(60.0):
        ...     print("in time")
        in time
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not (in_main and hasattr(signal, "SIGALRM")):
        yield
        return

    def expire(number: int, frame: Any) -> None:
        raise TimeUpError(f"no answer within {seconds:g} seconds")

    previous, began = signal.signal(signal.SIGALRM, expire), time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        if left:
            rest = max(left - (time.monotonic() - began), 1e-3)
            signal.setitimer(signal.ITIMER_REAL, rest, interval)
