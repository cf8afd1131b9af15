"""Data sets, checked before anything trains on them."""

from hondo.data.builtin import FASHION_MNIST, load
from hondo.data.dataset import Dataset, Task, Units, standardize, validate
from hondo.data.idx import read_idx
from hondo.data.split import Parts, split

__all__ = [
    "FASHION_MNIST",
    "Dataset",
    "Parts",
    "Task",
    "Units",
    "load",
    "read_idx",
    "split",
    "standardize",
    "validate",
]
