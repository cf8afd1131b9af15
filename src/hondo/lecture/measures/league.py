"""Experiment 6: five regularizers with the same budget of trials, and shifted images."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Array, Float

import hondo
from hondo._types import Example, Hyperparameters
from hondo.lecture.experiment import Case, Experiment
from hondo.lecture.images import Images, draw_images
from hondo.lecture.panels import strips
from hondo.lecture.plans.regularization import LEAGUE
from hondo.lecture.record import Row
from hondo.lecture.words import Lang, Text
from hondo.linen import Dropout
from hondo.training.sweeping.members import FitArguments

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Four trials of each technique: seeds, λ, c, P, c with P = 0.5, pixels of shift.
TRIALS = {
    "plain": (0, 1, 2, 3),
    "l2": (1e-4, 1e-3, 3e-3, 1e-2),
    "max_norm": (0.5, 1.0, 2.0, 4.0),
    "dropout": (0.3, 0.5, 0.7, 0.9),
    "dropout_max_norm": (0.5, 1.0, 2.0, 4.0),
    "shift": (1, 2, 3, 4),
}
SMALL, LARGE = 1000, 5000


class Sizes(NamedTuple):
    """How much data, and how many steps."""

    examples: tuple[int, int] = (SMALL, LARGE)
    valid: int = 1000
    steps: int = 1000
    width: int = 512
    test: int = 10_000
    trials: int = 4


class Net(nn.Module):
    """784-512-512-10 with dropout on the hidden units."""

    width: int
    rate: float | Array = 0.0

    @nn.compact
    def __call__(self, x: Float[Array, "batch ..."], train: bool) -> Float[Array, "batch 10"]:
        x = x.reshape(len(x), -1)
        for _ in range(2):
            x = nn.relu(nn.Dense(self.width, kernel_init=hondo.he_normal())(x))
            x = Dropout(self.rate)(x, train=train)
        return nn.Dense(10)(x)


def measure(case: Case[Sizes]) -> Row:
    """The test errors of what each method chooses on validation, and their differences."""
    row: Row = {}
    for name, examples in zip((SMALL, LARGE), case.sizes.examples, strict=True):
        images = draw_images(
            case.seed, examples, case.sizes.valid, case.folder, test=case.sizes.test
        )
        methods = [method for method in TRIALS if method != "shift" or name == SMALL]
        errors = {method: _error_of_best(case, method, images) for method in methods}
        row[f"errors_{name}"] = errors
        for worse, better in (
            ("l2", "max_norm"),
            ("l2", "dropout_max_norm"),
            ("max_norm", "dropout_max_norm"),
        ):
            row[f"{worse}_{better}_{name}"] = errors[worse] - errors[better]
    small = row[f"errors_{SMALL}"]
    return {**row, "augmentation_1000": small["plain"] - small["shift"]}


def _error_of_best(case: Case[Sizes], method: str, images: Images) -> float:
    """The trial that is best on validation, scored once on the test part, in percent."""
    batches = len(images.train[1]) // 100
    epochs = max(1, case.sizes.steps // batches)
    values = np.array(TRIALS[method][: case.sizes.trials])
    hyper = {"value": values, "seed": np.full(len(values), case.seed)}
    runs = hondo.sweep(
        partial(_build, method, case.sizes.width),
        hyper,
        images.train,
        images.valid,
        static=("value",) if method == "shift" else (),
        batch_size=100,
        max_epochs=epochs,
        stopper=hondo.early_stopping(epochs, mode="max"),
        monitor="accuracy",
    )
    best = runs.best()[1].best
    problem = hondo.supervised(Net(case.sizes.width), loss="cross_entropy")
    score = hondo.evaluate(problem, best.params, best.model_state, images.test)
    return 100 * (1 - float(score["accuracy"]))


def _build(method: str, width: int, hyper: Hyperparameters) -> FitArguments:
    """One trial as arguments of `fit`."""
    value, key = hyper["value"], jax.random.key(hyper["seed"])
    rate, bound = 0.0, []
    if method == "dropout":
        rate = 1 - jnp.asarray(value, jnp.float32)
    if method == "dropout_max_norm":
        rate = 0.5
    if method.endswith("max_norm"):
        bound = [hondo.max_norm(value)]
    problem = hondo.supervised(Net(width, rate), loss="cross_entropy")
    if method == "l2":
        penalty = partial(hondo.l2_penalty, strength=value)
        problem = problem._replace(loss=hondo.penalized(problem.loss, penalty))
    return {
        "problem": problem,
        "optimizer": optax.chain(optax.adam(1e-3), *bound),
        "key": jax.random.fold_in(key, value) if method == "plain" else key,
        "augment": partial(_shift, value) if method == "shift" else None,
    }


def _shift(pixels: int, key: Array, example: Example, partner: Example) -> Example:
    row, target = example
    return hondo.random_shift(key, row.reshape(28, 28), max_shift=pixels).reshape(-1), target


LABELS = {
    "plain": Text("none", "nada"),
    "l2": Text("ℓ2", "ℓ2"),
    "max_norm": Text("max-norm", "max-norm"),
    "dropout": Text("dropout", "dropout"),
    "dropout_max_norm": Text("both", "ambos"),
    "shift": Text("shifts", "desplazar"),
}
ERROR = Text("test error, %", "error de prueba, %")


def draw(figure: "Figure", rows: Sequence[Row], lang: Lang) -> None:
    """The test errors of each method, for both sizes of training data."""
    for axes, examples in zip(figure.subplots(1, 2), (SMALL, LARGE), strict=True):
        methods = rows[0][f"errors_{examples}"]
        errors = {
            LABELS[method].to(lang): [row[f"errors_{examples}"][method] for row in rows]
            for method in methods
        }
        strips(axes, errors)
        axes.set_title(f"{ERROR.to(lang)}, n = {examples}")


EXPERIMENT = Experiment(
    LEAGUE, measure, draw, Sizes(), Sizes((200, 200), 200, 40, 64, 1000, 1), quick_seeds=1
)
