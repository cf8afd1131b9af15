"""The words that dropout masks are cut from, as one raw stream for batteries of tests.

python -m benchmarks.randomness | dieharder -a -g 200
"""

import itertools
import os
import signal
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import tyro
from jaxtyping import Array, PRNGKeyArray, UInt32

from hondo._fast.hashed_bits import hash_bits

CHUNK = 2**22


def stream(
    seed: int, words_per_key: int = 2**32, row_length: int = 1024
) -> Iterator[UInt32[Array, " words"]]:
    """The words of an array of such rows under one key, then under the next key, for ever.

    A key is the seed with the number of the array folded in: what a loop over steps does.
    """
    shape = (words_per_key // row_length, row_length)
    count = min(words_per_key, max(CHUNK, row_length)) // row_length
    for array in itertools.count():
        key = jax.random.fold_in(jax.random.key(seed), array)
        for first in range(0, shape[0], count):
            yield _rows(key, first, count, shape)


@partial(jax.jit, static_argnames=("count", "shape"))
def _rows(key: PRNGKeyArray, first: int, count: int, shape: tuple[int, int]) -> Any:
    # XLA computes no more than these rows: the words are functions of their indices.
    return jax.lax.dynamic_slice_in_dim(hash_bits(key, shape), first, count).ravel()


def main(seed: int = 0, words_per_key: int = 2**32, row_length: int = 1024) -> None:
    """Writes 32-bit words to stdout until its reader has enough.

    Args:
        seed: of the first key.
        words_per_key: how many words each key gives, a power of two; few of them test how keys
            relate.
        row_length: the length of the array's rows, a power of two that is no larger; more than
            2^16 tests the hash of the index alone.
    """
    for words in stream(seed, words_per_key, row_length):
        sys.stdout.buffer.write(memoryview(jax.device_get(words)))


if __name__ == "__main__":
    # The reader closes the pipe when it has enough; that is no error.
    signal.signal(signal.SIGPIPE, lambda *_: os._exit(0))
    tyro.cli(main)
