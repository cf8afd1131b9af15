"""Grain's shuffled datasets, whose iterators say where they are."""

from importlib import import_module
from itertools import pairwise
from typing import Any

from hondo_spec.adapter import collect_operations, operation
from hondo_spec.target import Known, of_package, since

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


KNOWN = {
    "STR-11": Known(
        "an epoch is shuffled by seed + epoch: the next seed has the same orders, one epoch "
        "earlier",
        {"other": (1, -1), "seed": 0},
        "https://google-grain.readthedocs.io/en/latest/grain.dataset.html",
        case=lambda other: sum(other) == 0,
    )
}
OPERATIONS = collect_operations(globals())
TARGET = of_package("grain", OPERATIONS, {}, since("0.2.18", KNOWN), mode="eager")
