"""The words that dropout masks are cut from, as one raw stream for batteries of tests.

python -m benchmarks.randomness | dieharder -a -g 200
"""

import itertools
import os
import signal
import sys
from collections.abc import Iterator
from functools import partial

import jax
import tyro
from jaxtyping import Array, PRNGKeyArray, UInt32

from hondo.regularization.masks import keyed_words

CHUNK = 2**22


def stream(seed: int, words_per_key: int = 2**32) -> Iterator[UInt32[Array, " words"]]:
    """The words of the units 0, 1, … of an array under one key, then under the next key, for ever.

    A key is the seed with the number of the array folded in: what a loop over steps does.
    """
    chunk = min(words_per_key, CHUNK)
    for array in itertools.count():
        key = jax.random.fold_in(jax.random.key(seed), array)
        for start in range(0, words_per_key, chunk):
            yield _row(key, start // chunk, (words_per_key // chunk, chunk))


@partial(jax.jit, static_argnames="shape")
def _row(key: PRNGKeyArray, row: int, shape: tuple[int, int]) -> UInt32[Array, " words"]:
    # XLA computes no more than the row: the words are functions of their indices.
    return keyed_words(key, shape)[row]


def main(seed: int = 0, words_per_key: int = 2**32) -> None:
    """Writes 32-bit words to stdout until its reader has enough.

    Args:
        seed: of the first key.
        words_per_key: how many words each key gives, a power of two; few of them test how keys
            relate.
    """
    for words in stream(seed, words_per_key):
        sys.stdout.buffer.write(memoryview(jax.device_get(words)))


if __name__ == "__main__":
    # The reader closes the pipe when it has enough; that is no error.
    signal.signal(signal.SIGPIPE, lambda *_: os._exit(0))
    tyro.cli(main)
