"""A small run with everything that has to come back; prints a digest of all that it comes to.

Run by `test_resume`: the first argument is the folder, or "none"; the second what runs it.
"""

import hashlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen

import hondo
from hondo.linen import BatchNorm

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(48, 5)).astype(np.float32), RNG.integers(0, 3, 48)


class Net(linen.Module):
    """Batch statistics and dropout."""

    @linen.compact
    def __call__(self, x, *, train):
        """The logits."""
        x = linen.BatchNorm(use_running_average=not train)(linen.Dense(4)(x))
        return linen.Dense(3)(linen.Dropout(0.3, deterministic=not train)(linen.relu(x)))


class OwnNet(linen.Module):
    """The same with hondo's batch norm, whose microbatches are one batch."""

    @linen.compact
    def __call__(self, x, *, train):
        """The logits."""
        x = BatchNorm(decay=0.9)(linen.Dense(8)(x), train=train)
        return linen.Dense(3)(linen.Dropout(0.3, deterministic=not train)(linen.relu(x)))


def augment(key, example, partner):
    """Noise, and a share of the partner."""
    x, label = example
    return hondo.gaussian_noise(key, x, std=0.1) + 0.1 * partner[0], label


def keep(example):
    """What a filter lets through."""
    return example[0][0] > -0.5


def pipeline(rows=range(32), seed=0):
    """Examples one after another: filtered, mixed with others and shuffled within a window."""
    import grain

    source = grain.MapDataset.source([(X[i], Y[i]) for i in rows]).shuffle(seed=seed).repeat()
    # Grain reads 500 examples ahead by default.
    ahead = grain.ReadOptions(num_threads=1, prefetch_buffer_size=8)
    both = source.to_iter_dataset(ahead).filter(keep), source.to_iter_dataset(ahead)
    mixed = grain.IterDataset.mix(both, weights=(0.7, 0.3))
    return grain.experimental.WindowShuffleIterDataset(mixed, window_size=10, seed=seed)


class Rows:
    """The training data, example by example, as other processes can have it."""

    def __len__(self):
        return 32

    def __getitem__(self, index):
        return X[index], Y[index]


def noise(key, example, partner):
    """An augmentation that leaves the partner alone."""
    return hondo.gaussian_noise(key, example[0], std=0.1), example[1]


def digest(tree):
    """The SHA-256 of all arrays of a tree."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        found.update(np.asarray(jax.random.key_data(leaf) if is_key else leaf).tobytes())
    return found.hexdigest()


def run(folder, fit=hondo.fit_with_progress, **changes):
    """The run, with these arguments changed."""
    arguments = {
        "problem": hondo.supervised(Net(), loss="cross_entropy"),
        "optimizer": optax.sgd(1e-2, momentum=0.9),
        "train": (X[:32], Y[:32]),
        "valid": (X[32:], Y[32:]),
        "key": jax.random.key(0),
        "batch_size": 8,
        "max_epochs": 12,
        "stopper": hondo.early_stopping(20, mode="min"),
        "augment": augment,
        "folder": folder,
        "save_every": folder and hondo.every(steps=3),
    }
    return fit(**{**arguments, **changes})


if __name__ == "__main__":
    whole = sys.argv[1] == "none"
    options = {} if whole else {"folder": sys.argv[1], "save_every": hondo.every(steps=2)}
    if sys.argv[2] != "fit_with_progress":
        problem = hondo.supervised(OwnNet(), loss="cross_entropy")
        options |= {"fit": hondo.stream, "microbatches": 2, "valid_every": 3, "problem": problem}
    if sys.argv[2] == "workers":
        options |= {"train": Rows(), "workers": 2, "threads": 1}
    if sys.argv[2] == "sequence":
        # Sixteen periods of three steps, as above.
        options |= {"train": pipeline(), "augment": noise, "max_epochs": 16}
    print(digest(run(**{"folder": None, **options})))
