"""The command line: `hondo train`, `sweep`, `predict`, `diagnose`, `lecture` and `list`."""

from hondo.cli.main import main

__all__ = ["main"]
