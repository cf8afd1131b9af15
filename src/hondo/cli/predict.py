"""`hondo predict`: a run's best model on new inputs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from hondo._types import Outputs, Tree
from hondo.cli import build, run_folder
from hondo.cli.config import PredictConfig
from hondo.data import Dataset, load, standardize

_BATCH = 1024


def prepare(config: PredictConfig) -> Callable[[], np.ndarray]:
    """Reads the run, its model and the inputs; returns the work that is left.

    Raises:
        ValueError: not a run's folder, a run without a model or whose model is not finite, inputs
            of another shape, a file that exists.
    """
    if config.out is not None and config.out.exists():
        raise ValueError(f"out must be a new file, got {config.out}, which exists.")
    trained = run_folder.read_config(config.run)
    dataset = load(trained.dataset, trained.data_dir)
    inputs = dataset.test_inputs if config.inputs is None else _read_inputs(config.inputs, dataset)
    network = build.network(trained, dataset)
    variables = run_folder.load_model(config.run, _variable_shapes(network, dataset))
    _check_variables(config.run, variables)
    return partial(run, config, dataset, network, variables, inputs)


def run(
    config: PredictConfig, dataset: Dataset, network: nn.Module, variables: Tree, inputs: np.ndarray
) -> np.ndarray:
    """Predicts, prints the score of known targets, writes the CSV file where one is named.

    Raises:
        ValueError: the model gives NaN for an input.
    """
    predictions = _predict(dataset, network, variables, inputs)
    _check_outputs(predictions)
    if config.inputs is None:
        print(_score(dataset, predictions))
    if dataset.task != "regression":
        predictions = predictions.astype(np.int32)
    else:
        predictions = predictions * dataset.target_units.scale + dataset.target_units.offset
    if config.out is not None:
        with config.out.open("x") as file:
            file.write("prediction\n" + "".join(f"{value}\n" for value in predictions))
    print(f"{len(predictions)} predictions" + (f" in {config.out}" if config.out else ""))
    return predictions


def _read_inputs(path: Path, dataset: Dataset) -> np.ndarray:
    try:
        inputs = np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError) as reason:
        raise ValueError(f"inputs must be a NumPy file, got {path}: {reason}") from None
    if not isinstance(inputs, np.ndarray):
        raise ValueError(f"inputs must be one array (.npy), got {path}, which holds several.")
    shape = dataset.inputs.shape[1:]
    if (*inputs.shape[1:], 1) == shape:
        inputs = inputs[..., None]
    if np.iscomplexobj(inputs):
        raise ValueError(f"inputs must be real, got {path} of dtype {inputs.dtype}.")
    fits = inputs.shape[1:] == shape and len(inputs) > 0
    if not (fits and np.all(np.isfinite(inputs))):
        raise ValueError(
            f"inputs must be finite, of shape (n, {', '.join(map(str, shape))}) with n at least "
            f"1, got shape {inputs.shape}."
        )
    with np.errstate(over="ignore"):
        scaled = standardize(inputs, dataset.input_units)
    if not np.all(np.isfinite(scaled)):
        raise ValueError(f"inputs must be in the range of float32, got {path} with larger ones.")
    return scaled


def _check_variables(run: Path, variables: Tree) -> None:
    if not all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(variables)):
        raise ValueError(
            f"run must hold a finite model, got {run}, whose model has NaN or infinities. "
            "It has diverged: train it anew."
        )


def _check_outputs(predictions: np.ndarray) -> None:
    """Raises rather than serve NaN, which would compare as class 0, or an infinity.

    Raises:
        ValueError: either, with the rows where it is.
    """
    rows = np.flatnonzero(~np.isfinite(predictions))
    if rows.size:
        some = ", ".join(map(str, rows[:5])) + (", …" if rows.size > 5 else "")
        raise ValueError(
            f"the model must give finite outputs, got NaN or infinities in {rows.size} of "
            f"{len(predictions)} rows: {some}. It has diverged, or these inputs "
            "are unlike its training data."
        )


def _variable_shapes(network: nn.Module, dataset: Dataset) -> Tree:
    example = jnp.asarray(dataset.inputs[:1])
    return jax.eval_shape(lambda: network.init(jax.random.key(0), example, train=False))


def _predict(
    dataset: Dataset, network: nn.Module, variables: Tree, inputs: np.ndarray
) -> np.ndarray:
    infer = jax.jit(lambda x: _decide(dataset, network.apply(variables, x, train=False)))
    parts = [infer(inputs[i : i + _BATCH]) for i in range(0, len(inputs), _BATCH)]
    return np.concatenate([np.asarray(part) for part in parts])


def _decide(dataset: Dataset, outputs: Outputs) -> jax.Array:
    """Classes or numbers, and NaN where an output is not finite."""
    if dataset.task == "regression":
        return outputs[:, 0]
    is_class = dataset.task == "classification"
    decided = jnp.argmax(outputs, axis=-1) if is_class else outputs[:, 0] > 0
    return jnp.where(jnp.isfinite(outputs).all(axis=-1), decided.astype(jnp.float32), jnp.nan)


def _score(dataset: Dataset, predictions: np.ndarray) -> str:
    if dataset.task == "regression":
        error = np.mean((predictions - dataset.test_targets) ** 2)
        return f"test mean squared error {error:.4f}, in units of the targets' variance"
    return f"test accuracy {np.mean(predictions == dataset.test_targets):.4f}"
