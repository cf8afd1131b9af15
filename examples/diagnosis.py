"""My network does not learn: diagnose it, take the remedy, look again, until it is healthy.

Each patient is a network for scikit-learn's digits. The first is the deep network of the nineties,
sigmoids under Gaussian weights of variance 0.01; each next one takes the remedy that the last
verdict names. Twenty epochs show that only the healthy ones learn. Run with a folder as argument to
keep the pictures.
"""

import sys
from functools import partial
from pathlib import Path

import jax
import optax
from flax import linen as nn

import hondo
from hondo.data import load, split
from hondo.linen import BatchNorm, DeepMLP, PlainMLP

DEEP = partial(DeepMLP, 10, depth=60, width=64, norm=BatchNorm)
PATIENTS: dict[str, nn.Module] = {
    "1 sigmoid, variance 0.01": PlainMLP(10, depth=20, width=64),
    "2 relu, variance 0.01": PlainMLP(10, depth=20, width=64, activation=nn.relu),
    "3 relu, he_normal": PlainMLP(
        10, depth=20, width=64, activation=nn.relu, kernel_init=hondo.he_normal()
    ),
    "4 sixty layers with batch norm": DEEP(residual=False),
    "5 and residual connections": DEEP(residual=True),
}


def main(folder: Path | None) -> None:
    """Diagnoses and trains every patient, and prints both."""
    dataset = load("digits")
    parts = split(dataset, 0.15, seed=0)
    train, valid = (jax.tree.map(jax.numpy.asarray, tuple(part)) for part in parts[:2])
    for name, module in PATIENTS.items():
        problem = hondo.supervised(module, loss="cross_entropy")
        batch = jax.tree.map(lambda leaf: leaf[:256], train)
        report = hondo.diagnose(problem, batch=batch, key=jax.random.key(0))
        result = hondo.fit(
            problem,
            optax.sgd(0.01, momentum=0.9),
            train,
            valid,
            key=jax.random.key(0),
            batch_size=64,
            max_epochs=20,
            stopper=hondo.early_stopping(20, mode="min"),
        )
        accuracy = float(jax.numpy.nanmax(result.history.valid["accuracy"]))
        print(f"{name}: best validation accuracy {accuracy:.3f}")
        print(*(report.verdicts or ["healthy"]), sep="\n", end="\n\n")
        if folder is not None:
            hondo.diagnosis.draw(folder / f"diagnosis-{name[0]}.png", report)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
