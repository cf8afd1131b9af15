"""The regularization path of λ in one program: every member stops early by itself."""

import functools

import jax
import optax

import hondo
from hondo.data import load, split
from hondo.linen import DeepMLP

# A device for each core, before JAX starts: members run at the same time.
jax.config.update("jax_num_cpu_devices", 2)
train, valid = split(load("digits"), valid_fraction=0.15, seed=0)
problem = hondo.supervised(DeepMLP(outputs=10, depth=4, width=64, rate=0.0), loss="cross_entropy")


def build(hyper):
    penalty = functools.partial(hondo.l2_penalty, strength=hyper["l2"])
    return {
        "problem": problem._replace(loss=hondo.penalized(problem.loss, penalty)),
        "key": jax.random.key(hyper["seed"]),
    }


runs = hondo.sweep(
    build,
    hondo.grid(l2=[0.0, 1e-4, 1e-3, 1e-2, 1e-1], seed=range(3)),
    train,
    valid,
    optimizer=optax.adam(1e-3),
    batch_size=64,
    max_epochs=40,
    stopper=hondo.early_stopping(5, mode="min"),
)
for row in runs.table():
    print("l2 {l2:<7g} seed {seed}  {epochs:2d} epochs  loss {best_value:.4f}".format(**row))
print("best:", runs.best()[0])
