"""A finished run, to predict with and to give away."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jaxtyping import Array, Float

import hondo
from hondo._numerics.checks import error
from hondo._types import ModelState, Outputs, Params, Tree
from hondo.cli import models, run_folder
from hondo.cli.config import TrainConfig
from hondo.cli.model_folder import find_model, load_model
from hondo.cli.tasks import heads_of, split_outputs
from hondo.data import Dataset, Encoder
from hondo.data.columns import TableEncoding
from hondo.data.dataset import Examples, InputArray
from hondo.data.new_examples import read_examples
from hondo.training.saving.files import first_line, write_whole

_BATCH = 1024


class LoadedRun(NamedTuple):
    """The best model of a run, and what it must know of its data; nothing of the data is needed.

    Attributes:
        config: what was configured.
        dataset: the form of the data, without examples.
        problem: what was trained.
        params: the best parameters; of an ensemble, those of its members, stacked.
        model_state: the model state of the same epoch, in the same form.
    """

    config: TrainConfig
    dataset: Dataset
    problem: hondo.Problem
    params: Params
    model_state: ModelState

    def predict(self, examples: Examples) -> np.ndarray:
        """The class of each example, by its name where it has one; or its number.

        Args:
            examples: a table of pandas, an array in the units of the source, or a file of one of
                them, or a folder of images.

        Returns:
            One for each example; of several targets a structured array, with a field for each.

        Raises:
            ValueError: examples of another form; a model that gives NaN or infinity.
        """
        outputs = self.outputs(examples)
        if not self.dataset.tasks:
            return predictions(self.dataset, outputs)
        return _as_fields([(one, predictions(one, own)) for one, own in self.split(outputs)])

    def predict_proba(self, examples: Examples) -> np.ndarray:
        """The probability of each class, in the order of `dataset.classes`, (n, classes).

        Of several targets a structured array, with a field for each that has classes.

        Raises:
            ValueError: a regression; examples of another form; a model that gives NaN.
        """
        check_classes(self.dataset)
        outputs = self.outputs(examples)
        if not self.dataset.tasks:
            return probabilities(self.dataset, outputs)
        chances = [
            (one, probabilities(one, own))
            for one, own in self.split(outputs)
            if one.task != "regression"
        ]
        return _as_fields(chances)

    def outputs(self, examples: Examples) -> np.ndarray:
        """What the model gives: (n, outputs), logits of a classification; the tasks' in turn.

        Raises:
            ValueError: examples of another form; a model that gives NaN or infinity.
        """
        read = read_examples(self.dataset, examples)
        return self.infer(encoder_of(self.dataset).encode(read))

    def infer(self, inputs: InputArray) -> np.ndarray:
        """What the model gives for encoded inputs, float32 (n, …).

        Raises:
            ValueError: a model that gives NaN or infinity.
        """
        infer = jax.jit(self._apply)
        parts = [infer(inputs[i : i + _BATCH]) for i in range(0, len(inputs), _BATCH)]
        outputs = np.concatenate([np.asarray(part) for part in parts])
        check_outputs(outputs)
        return outputs

    def split(self, outputs: np.ndarray) -> list[tuple[Dataset, np.ndarray]]:
        """Each task's form of data, and its own outputs."""
        heads = heads_of(self.dataset)
        return [*zip(self.dataset.each_task, split_outputs(heads, outputs), strict=True)]

    def export(self, path: Path | str) -> None:
        """Writes the model as StableHLO, for CPU, CUDA, ROCm and TPU; read without this library.

        It takes encoded inputs, float32 (n, …) with any n, and gives what `outputs` does:

            jax.export.deserialize(Path("model.stablehlo").read_bytes()).call(inputs)

        Raises:
            OSError: a file that cannot be written.
        """
        shape = export.symbolic_shape(f"n, {', '.join(map(str, self.dataset.inputs.shape[1:]))}")
        inputs = jax.ShapeDtypeStruct(shape, jnp.float32)
        platforms = ("cpu", "cuda", "rocm", "tpu")
        exported = export.export(jax.jit(self._apply), platforms=platforms)(inputs)
        write_whole(Path(path), bytes(exported.serialize()))

    def _apply(self, inputs: Float[Array, "n ..."]) -> Outputs:
        variables = {"params": self.params, **self.model_state}
        return models.infer(self.config, self.dataset, variables, inputs)


def read_run(folder: Path | str) -> LoadedRun:
    """Reads the best model of a run, and checks that it is what was written.

    Raises:
        ValueError: not a run's folder, one without a model, or one that was damaged.
    """
    folder = Path(folder)
    config = run_folder.read_config(folder)
    find_model(folder, config)
    dataset = run_folder.read_data(folder)
    try:
        problem = models.kept_problem(config, dataset)
        shapes = models.variable_shapes(config, dataset)
    except (TypeError, ValueError) as reason:
        raise ValueError(
            f"run must be of one network, got {folder}: {first_line(reason)}"
        ) from None
    variables = dict(load_model(folder, config, shapes))
    check_variables(folder, variables)
    return LoadedRun(config, dataset, problem, variables.pop("params"), variables)


def check_variables(folder: Path, variables: Tree) -> None:
    """Raises for a model that is not finite.

    Raises:
        ValueError: a NaN or an infinity in it.
    """
    if not all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(variables)):
        raise ValueError(
            f"run must hold a finite model, got {folder}, whose model has NaN or infinities. "
            "It has diverged: train it anew."
        )


def _as_fields(each: Sequence[tuple[Dataset, np.ndarray]]) -> np.ndarray:
    """One array with a field for each task, called as its target."""
    fields = [(one.name, values.dtype, values.shape[1:]) for one, values in each]
    made = np.empty(len(each[0][1]), fields)
    for one, values in each:
        made[one.name] = values
    return made


def encoder_of(dataset: Dataset) -> Encoder:
    """The encoder, which every data set of a run has.

    Raises:
        ValueError: it has none.
    """
    if dataset.encoder is None:
        raise error("the data set", dataset.name, "one with an encoder")
    return dataset.encoder


def unseen_levels(dataset: Dataset, examples: Examples) -> list[str]:
    """Levels of categories that training never saw; they count as none of the levels."""
    encoder = dataset.encoder
    return encoder.unseen(examples) if isinstance(encoder, TableEncoding) else []


def predictions(dataset: Dataset, outputs: np.ndarray) -> np.ndarray:
    """Classes by name where they have one, or numbers in the targets' own units."""
    decided = decide(dataset, outputs)
    if dataset.task == "regression":
        return decided * dataset.target_units.scale + dataset.target_units.offset
    numbers = decided.astype(np.int32)
    return np.array(dataset.classes)[numbers] if dataset.classes else numbers


def decide(dataset: Dataset, outputs: np.ndarray) -> np.ndarray:
    """Numbers of classes, or standardized numbers; NaN where an output is not finite."""
    if dataset.task == "regression":
        return outputs[:, 0]
    is_class = dataset.task == "classification"
    decided = np.argmax(outputs, axis=-1) if is_class else outputs[:, 0] > 0
    return np.where(np.isfinite(outputs).all(axis=-1), decided.astype(np.float32), np.nan)


def probabilities(dataset: Dataset, outputs: np.ndarray) -> np.ndarray:
    """Of each class, in order.

    Raises:
        ValueError: a regression, which has none.
    """
    check_classes(dataset)
    logits = outputs.astype(np.float64)
    if dataset.task == "binary":
        logits = np.concatenate([np.zeros_like(logits), logits], axis=-1)
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def check_classes(dataset: Dataset) -> None:
    """Raises for a data set that has no probabilities.

    Raises:
        ValueError: regressions only.
    """
    if all(one.task == "regression" for one in dataset.each_task):
        raise error("probabilities", "a regression", "asked of a classification")


def check_outputs(outputs: np.ndarray) -> None:
    """Raises rather than serve NaN, which would compare as class 0, or an infinity.

    Raises:
        ValueError: one of them, with the rows where it is, counted from 0.
    """
    rows = np.flatnonzero(~np.isfinite(outputs).reshape(len(outputs), -1).all(axis=1))
    if rows.size:
        some = ", ".join(map(str, rows[:5])) + (", …" if rows.size > 5 else "")
        what = "NaN" if np.isnan(outputs[rows[0]]).any() else "infinity"
        raise ValueError(
            f"the model must give finite outputs, got {what} in {rows.size} of {len(outputs)} "
            f"rows: {some}. It has diverged, or these inputs are unlike its training data."
        )
