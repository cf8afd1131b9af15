"""Comparisons with other libraries, side by side in one process; `python -m benchmarks`."""
