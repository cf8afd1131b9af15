"""The main job: a network with batch norm, dropout, L2, clipping, Adam, the best state kept."""

from functools import lru_cache, partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

LEARNING_RATE, L2, CLIP, DROPOUT = 1e-3, 1e-4, 1.0, 0.1


class Job(NamedTuple):
    """What is trained on what; the same for every library.

    Attributes:
        network: one of `job_networks`.
        depth: its layers.
        width: its units or channels.
        batch: examples a step.
        rows: how many training examples of noise, or the digits without a number.
        data: "digits" or "fashion"; of rows, it is not looked at.
    """

    network: str = "DeepMLP"
    depth: int = 24
    width: int = 128
    batch: int = 64
    rows: int | None = None
    data: str = "digits"


class Trained(NamedTuple):
    """What a run comes to, of its best epoch."""

    loss: float
    accuracy: float


class Run(Protocol):
    """Trains from nothing; ends early with the first epoch that reaches the accuracy or loss."""

    def __call__(
        self, epochs: int, seed: int = 0, accuracy: float | None = None, loss: float | None = None
    ) -> Trained:
        """Returns the best validation values."""
        ...


Split = tuple[Any, Any]


# Read once, before the clock starts.
@lru_cache(1)
def data_of(job: Job) -> tuple[Split, Split]:
    """Training and validation examples as NumPy arrays, images where the network takes them."""
    train, valid = _examples(job)
    if job.network in ("PreActResNet", "CNN"):
        side = round(train[0].shape[1] ** 0.5)
        train, valid = ((x.reshape(-1, side, side, 1), y) for x, y in (train, valid))
    return train, valid


def _examples(job: Job) -> tuple[Split, Split]:
    if job.rows is not None:
        rng = np.random.default_rng(0)
        inputs = rng.standard_normal((job.rows + 256, 16), np.float32)
        targets = rng.integers(0, 10, job.rows + 256).astype(np.int32)
        return (inputs[256:], targets[256:]), (inputs[:256], targets[:256])
    if job.data == "fashion":
        return _fashion()
    from benchmarks.reference_problem import digits

    return jax.tree.map(np.asarray, digits())


def _fashion() -> tuple[Split, Split]:
    from hondo.data import load

    found = load("fashion-mnist")
    inputs = found.inputs.reshape(len(found.inputs), -1)
    tests = found.test_inputs.reshape(len(found.test_inputs), -1)
    return (inputs, found.targets), (tests, found.test_targets)


def hondo_run(job: Job, network: Any = None) -> Run:
    """`hondo.fit`, one program; of that network, if one is given."""
    import hondo
    from benchmarks.job_networks import hondo_network

    train, valid = jax.tree.map(jnp.asarray, data_of(job))
    problem = hondo.supervised(network or hondo_network(job), loss="cross_entropy")
    penalty = partial(hondo.l2_penalty, strength=L2)
    problem = problem._replace(loss=hondo.penalized(problem.loss, penalty))
    optimizer = optax.chain(hondo.clip_by_global_norm(CLIP), optax.adam(LEARNING_RATE))

    def run(
        epochs: int, seed: int = 0, accuracy: float | None = None, loss: float | None = None
    ) -> Trained:
        monitor, target = ("loss", loss) if accuracy is None else ("accuracy", accuracy)
        mode = "min" if accuracy is None else "max"
        stopper = hondo.early_stopping(epochs + 1, mode=mode, target=target)
        options: dict[str, Any] = {"batch_size": job.batch, "max_epochs": epochs}
        result = hondo.fit(
            *(problem, optimizer, train, valid),
            **options,
            key=jax.random.key(seed),
            stopper=stopper,
            monitor=monitor,
        )
        found = {name: np.asarray(values) for name, values in result.history.valid.items()}
        return Trained(float(np.nanmin(found["loss"])), float(np.nanmax(found["accuracy"])))

    return run


def usual_loop(job: Job, start: Any, step: Any, validate: Any, keep: Any = lambda s: s) -> Run:
    """A jitted step in a loop, a validation after each epoch, the best state kept.

    `start(seed)` gives a state, `step(state, x, y, number)` the next one, `validate(state)` loss
    and accuracy; `keep(state)` is what stays of the best, a copy where states change in place.
    """
    inputs, targets = data_of(job)[0]

    def run(
        epochs: int, seed: int = 0, accuracy: float | None = None, loss: float | None = None
    ) -> Trained:
        rng, state, number = np.random.default_rng(seed), start(seed), 0
        best, kept, highest = np.inf, None, 0.0
        for _ in range(epochs):
            order = rng.permutation(len(targets))
            for first in range(0, len(order) - job.batch + 1, job.batch):
                rows, number = order[first : first + job.batch], number + 1
                state = step(state, inputs[rows], targets[rows], number)
            found, score = map(float, validate(state))
            best, kept = (found, keep(state)) if found < best else (best, kept)
            highest = max(highest, score)
            if highest >= (2.0 if accuracy is None else accuracy):
                break
            if best <= (-1.0 if loss is None else loss):
                break
        return Trained(best, highest)

    return run
