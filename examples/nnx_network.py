"""A deep network of nnx: the blocks repeat in one scan, and `fit` trains it as it does linen's."""

import jax
import jax.numpy as jnp
import optax
from flax import nnx

import hondo
from hondo.data import load, split
from hondo.nnx import BatchNorm, Dropout, Repeat, Residual


class PreActivation(nnx.Module):
    """Norm, activation, dropout, then a dense layer."""

    def __init__(self, width, *, rate, rngs):
        self.norm, self.dropout = BatchNorm(width, rngs=rngs), Dropout(rate, rngs=rngs)
        self.dense = nnx.Linear(width, width, kernel_init=hondo.he_normal(), rngs=rngs)

    def __call__(self, x, *, train):
        x = jax.nn.relu(self.norm(x, train=train))
        return self.dense(self.dropout(x, train=train))


class Branch(nnx.Module):
    """Two pre-activated layers."""

    def __init__(self, width, *, rngs):
        self.first = PreActivation(width, rate=0.0, rngs=rngs)
        self.second = PreActivation(width, rate=0.1, rngs=rngs)

    def __call__(self, x, *, train):
        return self.second(self.first(x, train=train), train=train)


class DeepMLP(nnx.Module):
    """A first layer, `blocks` residual blocks of two layers each, a last layer."""

    def __init__(self, inputs, outputs, *, blocks=11, width=128, rngs):
        def block(rngs):
            return Residual(Branch(width, rngs=rngs))

        self.first = nnx.Linear(inputs, width, kernel_init=hondo.he_normal(), rngs=rngs)
        self.blocks = Repeat(block, blocks, rngs=rngs)
        self.norm, self.last = BatchNorm(width, rngs=rngs), nnx.Linear(width, outputs, rngs=rngs)

    def __call__(self, images, *, train):
        x = self.blocks(self.first(images.reshape(images.shape[0], -1)), train=train)
        return self.last(jax.nn.relu(self.norm(x, train=train)))


digits = load("digits")
train, valid = split(digits, valid_fraction=0.15, seed=0)
# A function of `rngs`, so that every key of `fit` starts from its own parameters.
problem = hondo.supervised(lambda rngs: DeepMLP(64, 10, rngs=rngs), loss="cross_entropy")
result = hondo.fit(
    problem,
    optax.chain(hondo.clip_by_global_norm(1.0), optax.adam(2e-3)),
    train,
    valid,
    key=jax.random.key(0),
    batch_size=64,
    max_epochs=30,
    stopper=hondo.early_stopping(8, mode="min"),
)
test = jnp.asarray(digits.test_inputs), jnp.asarray(digits.test_targets)
metrics = hondo.evaluate(problem, result.best.params, result.best.model_state, test)
print(f"24 layers, {result.last.epoch} epochs: test accuracy {metrics['accuracy']:.4f}")
