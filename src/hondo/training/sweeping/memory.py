"""How many members of a sweep fit into a device's memory."""

import os
from collections.abc import Callable
from functools import lru_cache

import jax

from hondo._types import Device, Tree

_USABLE = 0.8  # The rest is for whatever else uses the device.


def usable_memory(device: Device) -> int:
    """Bytes that a sweep may use on the device; virtual devices share the processor's memory."""
    stats = device.memory_stats() or {}
    if "bytes_limit" in stats:
        return int(_USABLE * stats["bytes_limit"]) - stats.get("bytes_in_use", 0)
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return int(_USABLE * pages * size) // len(jax.local_devices())


@lru_cache(maxsize=64)
def needed_memory(compiled: jax.stages.Compiled) -> int:
    """Bytes that a compiled program needs on each device: arguments, results, temporaries."""
    analysis = compiled.memory_analysis()
    if analysis is None:
        return 0
    kept = analysis.argument_size_in_bytes + analysis.output_size_in_bytes
    return kept - analysis.alias_size_in_bytes + analysis.temp_size_in_bytes


def count_bytes(shapes: Tree) -> int:
    """Bytes of a tree of shapes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))


def fit_into_memory(
    need: Callable[[int, int], int], limit: int, slots: int, lanes: int, fixed: int, each: int
) -> tuple[int, int]:
    r"""The slots and lanes of a device that fit, at most those given.

    A program's need is measured by `need(slots, lanes)`. Where it is above the limit, a smaller
    program is chosen by $need = fixed + each \cdot slots + turn \cdot lanes$ and measured again.

    Raises:
        ValueError: not even one slot fits.

    Example:
        >>> fit_into_memory(lambda slots, lanes: 100 + 10 * slots + 5 * lanes, 165, 32, 4, 100, 10)
        (6, 1)
    """
    while (got := need(slots, lanes)) > limit:
        if slots == 1:
            raise ValueError(
                "memory_limit must hold at least one member on each device, which needs "
                f"{got} bytes, got {limit}. Make the model, the data or batch_size smaller, or "
                "raise the limit."
            )
        turn = max(got - fixed - each * slots, 0) / lanes
        part = max(limit - fixed, 0) / max(got - fixed, 1)
        lanes = power_of_two(max(1, int(lanes * min(part, 1.0))))
        room = int((limit - fixed - turn * lanes) / each)
        slots = max(1, min(slots - 1, room))
        lanes = min(lanes, power_of_two(slots))
        slots -= slots % lanes
    return slots, lanes


def power_of_two(count: int) -> int:
    """The largest power of two that is at most `count`.

    Example:
        >>> power_of_two(6)
        4
    """
    return 1 << (count.bit_length() - 1)
