"""One of the processes of a stream; writes what it comes to.

Run by `test_stream_processes`: the folder of the run or "none", where the result goes, how often it
is saved, and whether parameters are "sharded", or the data a "sequence", of which each process has
examples of its own. The cluster's variables say which process this is.
"""

import sys
from pathlib import Path

import jax
import killed_run
import numpy as np
import optax

import hondo

BATCH, COUNT = 8, 32
OPTIMIZER = optax.chain(hondo.clip_by_global_norm(0.1), optax.sgd(0.1, momentum=0.9))
STOPPER = hondo.early_stopping(4, mode="min")


class Rows:
    """The training data, which remembers what was read."""

    def __init__(self):
        self.batches = []

    def __len__(self):
        return COUNT

    def __getitem__(self, index):
        raise AssertionError("read_batch is there")

    def read_batch(self, indices):
        """These rows."""
        self.batches.append(len(indices))
        return killed_run.X[indices], killed_run.Y[indices]


def main(folder, target, every, shard):
    """The run, and what of it is compared."""
    rows, index = Rows(), jax.process_index()
    changes = {"train": rows}
    if shard == "sequence":
        train = killed_run.pipeline(range(index, COUNT, jax.process_count()))
        changes = {"train": train, "augment": killed_run.noise, "valid_every": 4}
    result = killed_run.run(
        None if folder == "none" else folder,
        fit=hondo.stream,
        problem=hondo.supervised(killed_run.OwnNet(), loss="cross_entropy"),
        optimizer=OPTIMIZER,
        batch_size=BATCH,
        stopper=STOPPER,
        save_every=None if folder == "none" else hondo.every(steps=int(every)),
        shard=hondo.fully_sharded(min_size=8) if shard == "sharded" else hondo.replicated,
        **changes,
    )
    whole = jax.jit(lambda tree: tree, out_shardings=result.best.value.sharding)
    leaves = jax.tree.leaves(whole((result.best, result.history, result.last.epoch)))
    arrays = {str(i): np.asarray(leaf) for i, leaf in enumerate(leaves)}
    np.savez(Path(target) / f"{index}.npz", read=rows.batches, **arrays)


if __name__ == "__main__":
    hondo.distributed(heartbeat_seconds=10)
    main(*sys.argv[1:])
