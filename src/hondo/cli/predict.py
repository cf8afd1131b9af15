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
from hondo.cli.files import write_whole
from hondo.cli.model_folder import find_model, load_model
from hondo.cli.outcome import finish, open_terminal
from hondo.cli.signals import SIGNALS
from hondo.data import Dataset, load, standardize
from hondo.training.interrupt import interruptible

_BATCH = 1024


def prepare(config: PredictConfig) -> Callable[[], int]:
    """Reads the run, its model and the inputs; returns the work that is left.

    Raises:
        ValueError: not a run's folder, one without a model or that was damaged, a model that is not
            finite, inputs of another shape, a file that exists or has no place.
    """
    if config.out is not None:
        _check_out(config.out)
    trained = run_folder.read_config(config.run)
    find_model(config.run, trained)
    dataset = load(trained.dataset, trained.data_dir)
    inputs = dataset.test_inputs if config.inputs is None else _read_inputs(config.inputs, dataset)
    network = build.network(trained, dataset)
    variables = load_model(config.run, trained, _variable_shapes(network, dataset))
    _check_variables(config.run, variables)
    return partial(run, config, dataset, network, variables, inputs)


def _check_out(out: Path) -> None:
    if out.exists():
        raise ValueError(f"out must be a new file, got {out}, which exists.")
    if not out.parent.is_dir():
        raise ValueError(f"out must be a file in a folder that exists, got {out}.")


def run(
    config: PredictConfig, dataset: Dataset, network: nn.Module, variables: Tree, inputs: np.ndarray
) -> int:
    """Predicts, writes the CSV file where one is named, prints the score of known targets.

    Returns:
        The exit code.

    Raises:
        ValueError: the model gives NaN or infinity for an input.
    """
    raw = _predict(dataset, network, variables, inputs)
    _check_outputs(raw)
    console, lost = open_terminal()
    with interruptible(*SIGNALS) as signals:
        if config.out is not None:
            _check_out(config.out)
            write_whole(config.out, _as_csv(dataset, raw))
        if config.inputs is None:
            console.print(_score(dataset, raw), markup=False, highlight=False)
        where = f" in {config.out}" if config.out else ""
        console.print(f"{len(raw)} predictions{where}", markup=False, highlight=False)
        return finish({}, lost, signals)


def _as_csv(dataset: Dataset, predictions: np.ndarray) -> str:
    if dataset.task != "regression":
        values = predictions.astype(np.int32)
    else:
        values = predictions * dataset.target_units.scale + dataset.target_units.offset
    return "prediction\n" + "".join(f"{value}\n" for value in values)


def _read_inputs(path: Path, dataset: Dataset) -> np.ndarray:
    try:
        # Mapped, so that a header that claims more than the file has allocates nothing.
        inputs = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as reason:
        raise ValueError(f"inputs must be a NumPy file, got {path}: {reason}") from None
    if not isinstance(inputs, np.ndarray):
        raise ValueError(f"inputs must be one array (.npy), got {path}, which holds several.")
    shape = dataset.inputs.shape[1:]
    if (*inputs.shape[1:], 1) == shape:
        inputs = inputs[..., None]
    if inputs.dtype.kind not in "biuf":
        raise ValueError(f"inputs must be real numbers, got {path} of dtype {inputs.dtype}.")
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
        ValueError: one of them, with the rows where it is.
    """
    rows = np.flatnonzero(~np.isfinite(predictions))
    if rows.size:
        some = ", ".join(map(str, rows[:5])) + (", …" if rows.size > 5 else "")
        what = "NaN" if np.isnan(predictions[rows[0]]) else "infinity"
        raise ValueError(
            f"the model must give finite outputs, got {what} in {rows.size} of {len(predictions)} "
            f"rows: {some}. It has diverged, or these inputs are unlike its training data."
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
