"""Grain's shuffled datasets, whose iterators say where they are."""

from importlib import import_module
from itertools import pairwise
from typing import Any

from hondo_spec.adapter import collect_operations, operation
from hondo_spec.target import of_package, since
from hondo_spec.targets._one_pass import next_seed

grain: Any = import_module("grain")


@operation
def _epoch_order(seed, epoch, count):
    data = grain.MapDataset.range(count).shuffle(seed=seed).repeat(epoch + 1)
    return [data[place] for place in range(epoch * count, (epoch + 1) * count)]


@operation
def _resumed_batches(seed, count, batch_size, epochs, cuts):
    """What is saved is the state of the iterator."""
    epoch = grain.MapDataset.range(count).shuffle(seed=seed)
    data = epoch.batch(batch_size, drop_remainder=True).repeat(epochs).to_iter_dataset()
    reader, batches = iter(data), []
    for first, last in pairwise([0, *cuts, count // batch_size * epochs]):
        saved, reader = reader.get_state(), iter(data)
        reader.set_state(saved)
        batches += [next(reader) for _ in range(first, last)]
    return batches


DATASETS = "https://google-grain.readthedocs.io/en/latest/grain.dataset.html"
KNOWN = since("0.2.18", next_seed("an epoch is shuffled", DATASETS))
TARGET = of_package("grain", collect_operations(globals()), {}, KNOWN, mode="eager")
