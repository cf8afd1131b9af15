"""The command `hondo`, outside of the package, whose import takes most of a second.

Until a handler of its own takes over, Ctrl-C ends the process as it ends any other program, without
the traceback of a KeyboardInterrupt.
"""

import signal


def main() -> None:
    """Runs one command."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from hondo.cli import main as run_command

    run_command()


if __name__ == "__main__":
    main()
