"""The command line: `hondo train` and `hondo predict`."""

from hondo.cli.main import main

__all__ = ["main"]
