"""The command line: `hondo train`, `hondo sweep` and `hondo predict`."""

from hondo.cli.main import main

__all__ = ["main"]
