"""Penalties, tasks, ensembles and images that are wrong for values, counts and batches seldom met.

Numbers in half precision where all that is drawn fits, batches below a thousand, sequences that
come again after 2^14, images that are tall, members and tasks that are many.
"""

from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np

from hondo_spec.target import Operation
from hondo_spec.targets import reference as right
from spec_tests.mutants.mutant import Mutant
from spec_tests.mutants.narrow import batch, half, instead, last_off, narrow, off, second

OPERATIONS = right.OPERATIONS
HALVES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}


def _coarse(value: Any, dtype: Any) -> Any:
    """What is left of an array, a number or a tree in that dtype."""
    if isinstance(value, dict):
        return {name: _coarse(leaf, dtype) for name, leaf in value.items()}
    if isinstance(value, np.ndarray):
        return value.astype(dtype).astype(value.dtype)
    return None if value is None else float(np.float64(dtype(value)))


def _through(name: str, place: int, dtype: str) -> dict[str, Operation]:
    """The operation, of an argument that passes through half precision."""

    def operation(*arguments: Any) -> Any:
        coarse = list(arguments)
        with np.errstate(over="ignore"):
            coarse[place] = _coarse(arguments[place], HALVES[dtype])
        return OPERATIONS[name](*coarse)

    return {name: operation}


def _rows(place: int, dtype: str, *rows: tuple[str, str, str]) -> tuple[Mutant, ...]:
    return tuple(
        Mutant(f"{what} in {dtype}", kills, _through(name, place, dtype))
        for what, kills, name in rows
    )


def _some(count: int, name: str) -> dict[str, Operation]:
    """The operation of the first so many of all leaves; gradients of the others are 0."""

    def operation(tree: Any, *strengths: Any) -> Any:
        found = OPERATIONS[name](dict(list(tree.items())[:count]), *strengths)
        zeros = {key: 0 * leaf for key, leaf in tree.items()}
        return zeros | found if isinstance(found, dict) else found

    return {name: operation}


STRENGTHS = (
    *_rows(1, "float16",
        ("the strength of L2", "PEN-01", "l2_penalty"),
        ("the strength of L1", "PEN-04", "l1_penalty"),
        ("the strength of the L2 gradient", "PEN-02", "l2_penalty_gradient"),
        ("the strength of the L1 gradient", "PEN-04", "l1_penalty_gradient"),
        ("the strength of the first part of an elastic net", "PEN-09", "elastic_net_penalty"),
        ("the threshold of a proximal step", "PEN-05", "proximal_l1"),
        ("the limit of max-norm", "PEN-10", "max_norm"),
    ),
    *_rows(2, "float16",
        ("the strength of the second part of an elastic net", "PEN-09", "elastic_net_penalty"),
        ("the learning rate of a penalized step", "PEN-03", "sgd_step"),
    ),
    *_rows(3, "float16",
        ("the strength of a penalized step", "PEN-03", "sgd_step"),
        ("the strength of a penalized loss", "PEN-07", "penalized_loss"),
    ),
    *narrow((
        ("no L2 penalty of a strength of 1e-7", "PEN-01", "l2_penalty",
         lambda t, s: 0 < s < 2e-7, lambda r: 0.0),
        ("no L1 penalty of a strength of 1e-7", "PEN-04", "l1_penalty",
         lambda t, s: 0 < s < 2e-7, lambda r: 0.0),
        ("a strength above 5000", "PEN-02", "l2_penalty_gradient", lambda t, s: s > 5000, off),
        ("an L1 strength above 5000", "PEN-04", "l1_penalty", lambda t, s: s > 5000, off),
        ("an elastic net of a strength above 5000", "PEN-09", "elastic_net_penalty",
         lambda t, a, b: a > 5000, off),
    )),
)  # fmt: skip

WEIGHTS = (
    *(
        mutant
        for dtype in HALVES
        for mutant in _rows(0, dtype,
            ("weights of L2", "PEN-01", "l2_penalty"),
            ("weights of L1", "PEN-04", "l1_penalty"),
            ("weights of the L2 gradient", "PEN-02", "l2_penalty_gradient"),
            ("weights of an elastic net", "PEN-09", "elastic_net_penalty"),
            ("weights of a proximal step", "PEN-05", "proximal_l1"),
            ("weights of a penalized step", "PEN-03", "sgd_step"),
            ("weights of a penalized loss", "PEN-07", "penalized_loss"),
            ("weights of max-norm", "PEN-10", "max_norm"),
        )
    ),
    *_rows(1, "bfloat16", ("the gradient of a penalized step", "PEN-03", "sgd_step")),
    *(
        Mutant(f"sixteen leaves at most: {name}", kills, _some(16, name))
        for name, kills in (
            ("l2_penalty", "PEN-06"),
            ("l1_penalty", "PEN-06"),
            ("elastic_net_penalty", "PEN-06"),
            ("l2_penalty_gradient", "PEN-02 PEN-06"),
            ("l1_penalty_gradient", "PEN-04 PEN-06"),
        )
    ),
)  # fmt: skip


def _counted(dtype: Any) -> dict[str, Operation]:
    """A masked mean whose count is a number of that dtype."""

    def masked_loss(losses: np.ndarray, present: np.ndarray) -> float:
        count = np.array(np.sum(present)).astype(dtype).astype(np.float64)
        return float(np.sum(np.float64(losses[present])) / max(float(count), 1))

    return {"masked_loss": masked_loss}


def _weighed_in_eight_bits(losses: np.ndarray, weights: np.ndarray) -> float:
    """As many examples as an integer of eight bits holds."""
    return OPERATIONS["weighted_loss"](losses[:255], weights[:255])


TASKS = (
    *_rows(0, "bfloat16",
        ("losses of tasks", "MTL-01", "multitask_loss"),
        ("losses that are masked", "MTL-03", "masked_loss"),
        ("losses that are weighted", "MTL-03", "weighted_loss"),
    ),
    *_rows(0, "float16",
        ("losses that are masked", "MTL-03", "masked_loss"),
        ("losses that are weighted", "MTL-03", "weighted_loss"),
    ),
    *_rows(1, "bfloat16",
        ("weights of tasks", "MTL-01", "multitask_loss"),
        ("weights of examples", "MTL-03", "weighted_loss"),
    ),
    *_rows(4, "bfloat16", ("weights of the tasks' gradients", "MTL-02", "multitask_gradients")),
    *_rows(4, "float16", ("weights of the tasks' gradients", "MTL-02", "multitask_gradients")),
    Mutant("labels counted in eight bits", "MTL-03", _counted(np.int8)),
    Mutant("labels counted in eight bits without sign", "MTL-03", _counted(np.uint8)),
    Mutant("labels counted in bfloat16", "MTL-03", _counted(ml_dtypes.bfloat16)),
    Mutant("255 weighted examples at most", "MTL-03", {"weighted_loss": _weighed_in_eight_bits}),
    Mutant(
        "the objective of 64 tasks at most",
        "MTL-01",
        {"multitask_loss": lambda j, a: OPERATIONS["multitask_loss"](j[:64], a[:64])},
    ),
)  # fmt: skip


def _first(count: int, name: str) -> dict[str, Operation]:
    """The operation of the first so many members."""
    return {name: lambda members, *rest: OPERATIONS[name](members[:count], *rest)}


def _mean_logits_of_halves(logits: np.ndarray) -> Any:
    return right.softmax(np.mean(np.float64(logits), axis=0))


def _products_of_halves(dtype: Any) -> Operation:
    """Probabilities that are rounded in a coarser dtype than their own."""
    return lambda z: np.mean(right.softmax(z).astype(dtype).astype(np.float64), axis=0)


def _few_classes(count: int) -> Operation:
    """No class after so many has a probability."""
    return lambda z: OPERATIONS["average_probabilities"](
        np.where(np.arange(z.shape[-1]) < count, z, -np.inf)
    )


def _indices(where: Callable[[int], bool], other: Operation) -> Mapping[str, Operation]:
    return instead("bootstrap_indices", lambda k, n: where(n), other)


def _permutation(seed: int, count: int) -> Any:
    return np.random.default_rng(seed).permutation(count)


def _one_index(seed: int, count: int) -> Any:
    return np.full(count, right.bootstrap_indices(seed, count)[0])


def _pairs_of_indices(seed: int, count: int) -> Any:
    return np.repeat(right.bootstrap_indices(seed, count), 2)[:count]


def _again(length: int) -> Operation:
    return lambda k, n: np.resize(right.bootstrap_indices(k, n)[:length], n)


def _is_small(count: int) -> bool:
    return count < 1000


ENSEMBLES = (
    Mutant("the covariance of eight members", "ENS-03", _first(8, "error_covariance")),
    Mutant("the covariance of sixteen members", "ENS-03", _first(16, "error_covariance")),
    Mutant("an ensemble of at most 64", "ENS-01", _first(64, "average_probabilities")),
    *(
        mutant
        for dtype in HALVES
        for mutant in _rows(0, dtype,
            ("predictions whose errors are compared", "ENS-03", "error_covariance"),
            ("predictions that disagree", "ENS-02", "ambiguity"),
            ("parameters that are averaged", "ENS-06", "average_parameters"),
        )
    ),
    *_rows(1, "bfloat16",
        ("targets of errors that are compared", "ENS-03", "error_covariance"),
        ("targets of those that disagree", "ENS-02", "ambiguity"),
        ("the decay of an average", "ENS-06", "average_parameters"),
    ),
    *_rows(2, "bfloat16", ("weights of members", "ENS-02", "ambiguity")),
    *_rows(2, "float16", ("weights of members", "ENS-02", "ambiguity")),
    Mutant("the average of logits of halves", "ENS-01",
           instead("average_probabilities", half, _mean_logits_of_halves)),
    Mutant("the first member of halves", "ENS-01",
           instead("average_probabilities", half, lambda z: right.softmax(z[0]))),
    Mutant("a class after the 256th that is impossible", "ENS-01",
           {"average_probabilities": _few_classes(256)}),
    Mutant("a class after the 64th that is impossible", "ENS-01",
           {"average_probabilities": _few_classes(64)}),
    Mutant("one index in a bootstrap of less than a thousand", "ENS-05",
           _indices(lambda n: 4 < n < 1000, _one_index)),
    Mutant("a permutation of less than a thousand", "ENS-05",
           _indices(lambda n: 4 < n < 1000, _permutation)),
    Mutant("indices in pairs below a thousand", "ENS-05",
           _indices(lambda n: 4 < n < 1000, _pairs_of_indices)),
    Mutant("a bootstrap without the last of an odd number", "ENS-05", _indices(
        lambda n: n % 2 == 1 and n > 1,
        lambda k, n: np.random.default_rng(k).integers(0, n - 1, n))),
    Mutant("a bootstrap of one that is out of range", "ENS-05",
           _indices(lambda n: n == 1, lambda k, n: np.ones(1, np.int64))),
    Mutant("a bootstrap of period 2^14", "ENS-05", {"bootstrap_indices": _again(2**14)}),
    Mutant("a bootstrap of period 2^15", "ENS-05", {"bootstrap_indices": _again(2**15)}),
    Mutant("a bootstrap of period 2^16", "ENS-05", {"bootstrap_indices": _again(2**16)}),
)  # fmt: skip


def _coins(change: Callable[[np.ndarray], np.ndarray]) -> Operation:
    """Flips by other coins."""

    def random_flip(seed: int, images: np.ndarray) -> np.ndarray:
        coins = change(np.random.default_rng([seed, 5]).random(len(images))) < 0.5
        return np.where(coins[:, None, None, None], right.flip(images), images)

    return random_flip


def _one_for_all(drawn: np.ndarray) -> np.ndarray:
    return np.broadcast_to(drawn[:1], drawn.shape)


def _in_pairs(drawn: np.ndarray) -> np.ndarray:
    return np.repeat(drawn, 2, axis=0)[: len(drawn)]


def _period(length: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda drawn: np.resize(drawn[:length], drawn.shape)


def _corners(
    change: Callable[[np.ndarray], np.ndarray] = lambda drawn: drawn,
    places: Callable[..., Any] = lambda height, width, size: (height - size + 1, width - size + 1),
) -> Operation:
    """Crops at other corners."""

    def random_crop(seed: int, images: np.ndarray, size: int) -> np.ndarray:
        height, width = images.shape[1:3]
        drawn = change(np.random.default_rng(seed).random((len(images), 2)))
        first = np.int64(drawn * np.maximum(places(height, width, size), 1))
        first = np.minimum(first, [height - size, width - size])
        pairs = zip(images, first, strict=True)
        return np.stack([image[i : i + size, j : j + size] for image, (i, j) in pairs])

    return random_crop


def _few(seed: int, images: np.ndarray, *_: Any) -> bool:
    return len(images) < 1000


def _augmented(change: Callable[[np.ndarray], np.ndarray]) -> Operation:
    return lambda k, images, labels: (_coins(change)(k, images), labels)


def _next_labels(seed: int, images: np.ndarray, labels: np.ndarray) -> Any:
    return right.flip(images), np.roll(labels, 1, axis=0)


def _by_width(height: int, width: int, size: int) -> tuple[int, int]:
    return width - size + 1, width - size + 1


def _by_height(height: int, width: int, size: int) -> tuple[int, int]:
    return height - size + 1, height - size + 1


def _by_five(height: int, width: int, size: int) -> tuple[int, int]:
    return height - 4, width - 4


def _without_last(height: int, width: int, size: int) -> tuple[int, int]:
    """The last place is left out, where the size is not 5."""
    return height - size + (size == 5), width - size + (size == 5)


IMAGES = (
    Mutant("one coin for a batch below a thousand", "AUG-03",
           instead("random_flip", _few, _coins(_one_for_all))),
    Mutant("a coin for two images below a thousand", "AUG-03",
           instead("random_flip", _few, _coins(_in_pairs))),
    Mutant("a coin of its own from 64 images on", "AUG-03",
           instead("random_flip", lambda k, x: len(x) < 64, _coins(_one_for_all))),
    Mutant("a single image that is never flipped", "AUG-03",
           instead("random_flip", second(batch(1)), lambda k, x: x)),
    Mutant("flips of period 2^14", "AUG-03", {"random_flip": _coins(_period(2**14))}),
    Mutant("flips of period 2^15", "AUG-03", {"random_flip": _coins(_period(2**15))}),
    Mutant("flips of period 2^16", "AUG-03", {"random_flip": _coins(_period(2**16))}),
    Mutant("one corner for a batch below a thousand", "AUG-04",
           instead("random_crop", _few, _corners(_one_for_all))),
    Mutant("a corner for two images below a thousand", "AUG-04",
           instead("random_crop", _few, _corners(_in_pairs))),
    Mutant("a single image that is cut at its first corner", "AUG-04",
           instead("random_crop", lambda k, x, s: len(x) == 1, _corners(lambda u: 0 * u))),
    Mutant("crops of period 2^14", "AUG-04", {"random_crop": _corners(_period(2**14))}),
    Mutant("crops of period 2^15", "AUG-04", {"random_crop": _corners(_period(2**15))}),
    Mutant("rows of crops below the width", "AUG-04", {"random_crop": _corners(places=_by_width)}),
    Mutant("tall images cut in the upper square", "AUG-04", instead(
        "random_crop", lambda k, x, s: x.shape[1] > x.shape[2], _corners(places=_by_width))),
    Mutant("columns of crops below the height", "AUG-04",
           {"random_crop": _corners(places=_by_height)}),
    Mutant("corners of crops of 5 whatever the size", "AUG-04",
           {"random_crop": _corners(places=_by_five)}),
    Mutant("crops without the last place but of 5", "AUG-04",
           {"random_crop": _corners(places=_without_last)}),
    Mutant("one coin for a batch to augment below a hundred", "AUG-02",
           instead("augment", second(lambda x, y: len(x) < 100), _augmented(_one_for_all))),
    Mutant("a coin for two images to augment below a hundred", "AUG-02",
           instead("augment", second(lambda x, y: len(x) < 100), _augmented(_in_pairs))),
    Mutant("labels of the next image below a hundred", "AUG-02",
           instead("augment", second(lambda x, y: len(x) < 100), _next_labels)),
    Mutant("a single image that is never augmented", "AUG-02",
           instead("augment", second(batch(1)), lambda k, x, y: (x, y))),
    Mutant("labels that pass through float32", "AUG-02", {"augment": lambda k, x, y: (
        right.random_flip(k, x), y.astype(np.float32).astype(y.dtype))}),
    *_rows(1, "float16", ("images to augment", "AUG-02", "augment")),
    *narrow((
        ("mixed images of many", "AUG-05", "mixup", second(lambda x, y: len(x) > 16), off),
        ("mixed images without the last class", "AUG-05", "mixup",
         second(lambda x, y: y.shape[-1] > 16), last_off),
        ("a turn of halves", "AUG-01", "quarter_turn", half, lambda x: x[:, ::-1, ::-1]),
    )),
    *(
        mutant
        for dtype in HALVES
        for mutant in _rows(0, dtype,
            ("evaluated images", "AUG-06", "evaluation_view"),
            ("flipped images", "AUG-01", "flip"),
            ("turned images", "AUG-01", "quarter_turn"),
        )
    ),
)  # fmt: skip

MUTANTS = (*STRENGTHS, *WEIGHTS, *TASKS, *ENSEMBLES, *IMAGES)
