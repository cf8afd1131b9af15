"""Processes that read for a run; they end with it, whatever ends it."""

import os
import signal
import threading

import jax

from hondo._numerics.checks import error


def begin_worker(index: int, count: int) -> None:
    """What a process does first that reads for another.

    It leaves signals to the process that started it, and the accelerators; it ends as soon as that
    one does, which nobody would tell it of after SIGKILL.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    jax.config.update("jax_platforms", "cpu")
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    import multiprocessing

    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(0)


def check_main(workers: int) -> None:
    """Raises in a worker that runs the script of its parent, which would start workers again.

    Raises:
        ValueError: it is one.

    Example:
        >>> check_main(workers=2)
    """
    # What none of a run needs is not imported with the library.
    import multiprocessing

    if workers and multiprocessing.parent_process() is not None:
        repair = "Put what a script does under `if __name__ == '__main__':`."
        raise error("workers", workers, "0 in a process that another one has started", repair)


def mark_flags_as_parsed() -> None:
    """Lets Grain start processes, which reads options of a command line that has none of absl's."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
