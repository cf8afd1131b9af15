"""The entry point: runs one command and reports errors in one line.

It imports nothing of the extra `train`, so that it can say that this is missing, and little else,
so that a signal soon finds its handler.
"""

import os
import sys

import hondo
from hondo._extras import check_extra
from hondo.cli.signals import end_at_signals

_WELCOME = """hondo {version}: the techniques that make deep networks trainable.

  hondo train                               a deep network on handwritten digits, in a minute
  hondo train churn.csv --target label      one on your own table
  hondo predict runs/digits-1               what it says of examples that it has not seen
  hondo report runs/digits-1                how good it is, and where it is wrong
  hondo diagnose runs/digits-1              which layer is sick, and what cures it
  hondo sweep l2=0,1e-4 seed=0,1,2          many runs at once, and the best of them
  hondo compare model=plain,deep-mlp        their curves side by side
  hondo list                                every technique, and the option that sets it
  hondo show dropout                        a picture that explains it

Each takes --help."""
_MODULES = ("filelock", "matplotlib", "orbax", "platformdirs", "rich", "sklearn", "tyro")
_REFUSED = 2


def main() -> None:
    """Runs one command.

    Bad input ends in one line on stderr and exit code 2. What could not be written ends in one
    line and exit code 1, after everything else was. Ctrl-C, SIGTERM and SIGHUP end in exit code
    128 + n, after the best so far was written. A reader that ends first, as head does, is told
    nothing.
    """
    end_at_signals()
    code = _introduce(sys.argv[1:]) if sys.argv[1:] in ([], ["--version"]) else _run()
    _flush_streams()
    sys.exit(code)


def _introduce(arguments: list[str]) -> int:
    """Says what there is, or which version it is, which needs no extra."""
    text = "hondo {version}" if arguments else _WELCOME
    try:
        print(text.format(version=hondo.__version__))
    except BrokenPipeError:
        return 1
    return 0


def _run() -> int:
    try:
        check_extra("train", *_MODULES)
        from hondo.cli.command import run_command

        return run_command()
    except BrokenPipeError:
        # Whoever reads, such as head, has seen enough.
        return 1
    except (ImportError, ValueError, TypeError, OSError) as reason:
        print(f"hondo: {' '.join(str(reason).split())}", file=sys.stderr)
        return _REFUSED


def _flush_streams() -> None:
    """Leaves nothing to be written when Python ends, where an error could not be caught."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
