"""Data sets, checked before anything trains on them."""

from hondo.data.arrays import arrays
from hondo.data.builtin import FASHION_MNIST, load
from hondo.data.classes import read_targets
from hondo.data.dataset import Dataset, Encoder, Task, Units, standardize, validate
from hondo.data.idx import read_idx
from hondo.data.images import images
from hondo.data.packing import pack
from hondo.data.raw import Divided, Part, Raw, RawParts, divide, divide_raw
from hondo.data.records import Records, records
from hondo.data.split import Parts, split
from hondo.data.tables import read_table, table
from hondo.data.views import Pairs

__all__ = [
    "FASHION_MNIST",
    "Dataset",
    "Divided",
    "Encoder",
    "Pairs",
    "Part",
    "Parts",
    "Raw",
    "RawParts",
    "Records",
    "Task",
    "Units",
    "arrays",
    "divide",
    "divide_raw",
    "images",
    "load",
    "pack",
    "read_idx",
    "read_table",
    "read_targets",
    "records",
    "split",
    "standardize",
    "table",
    "validate",
]
