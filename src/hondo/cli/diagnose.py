"""`hondo diagnose`: which layer of a run, or of anybody's network, is sick."""

import importlib
import inspect
import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

if TYPE_CHECKING:
    import hondo
    from hondo._types import Batch, ModelState, Module, Params
    from hondo.cli.config import TrainConfig

    Patient = tuple[hondo.Problem, Params, ModelState, Batch]


@dataclass(frozen=True)
class DiagnoseConfig:
    """Measures every layer, forwards and backwards, and names the sick one and its remedy.

    Prints a table and the verdicts, writes diagnosis.png and diagnosis.json. The exit code is 0 for
    a healthy network, 1 for a verdict, 2 for bad input.

    Attributes:
        of: the folder that `hondo train` wrote, of an ensemble its first member; or
            module:attribute, a Flax module, a function that makes an nnx module, or a function
            without arguments that returns a hondo.Problem and a batch.
        at: the run's best model, or its network as it was initialized.
        batch: how many training examples to measure.
        input_shape: for module:attribute, the inputs' shape with the batch, as 32,784; they are
            drawn from N(0, 1).
        out: the folder for the two files; by default the run's own, else the current one.
        seed: of the initialization and of whatever else is random.
        cache: keep what is compiled in your cache folder, for the next command.
    """

    of: tyro.conf.Positional[str]
    at: Literal["best", "init"] = "best"
    batch: int = 256
    input_shape: str | None = None
    out: Path | None = None
    seed: int = 0
    cache: bool = True


def prepare(config: DiagnoseConfig) -> Callable[[], int]:
    """Reads the run or the module; returns the work that is left.

    Raises:
        ValueError: neither a run's folder nor a module's attribute, or a batch that does not fit.
    """
    if config.batch < 1:
        raise ValueError(f"batch must be at least 1, got {config.batch}.")
    is_attribute = ":" in config.of and not Path(config.of).is_dir()
    patient = _of_attribute(config) if is_attribute else _of_run(config)
    out = config.out or (Path() if is_attribute else Path(config.of))
    if not out.is_dir():
        raise ValueError(f"out must be a folder, got {out}.")
    return partial(run, config, patient, out)


def run(config: DiagnoseConfig, patient: "Patient", out: Path) -> int:
    """Diagnoses, prints the report and writes the files; returns 1 where there is a verdict."""
    import jax

    import hondo

    problem, *rest = patient
    report = quick_diagnosis(problem)(*rest, key=jax.random.key(config.seed))
    print(report)
    if report.layers:
        hondo.diagnosis.draw(out / "diagnosis.png", report)
    (out / "diagnosis.json").write_text(as_json(report))
    print(f"written to {out / 'diagnosis.json'} and .png")
    return int(bool(report.verdicts))


def quick_diagnosis(problem: "hondo.Problem") -> "Callable[..., hondo.Diagnosis]":
    """`hondo.diagnose` of a problem, compiled in a hurry: it is run once or twice."""
    import jax

    import hondo

    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else {}
    return jax.jit(partial(hondo.diagnose, problem), compiler_options=options)


def as_json(report: "hondo.Diagnosis") -> str:
    """The verdicts and the table as valid JSON; null stands for what is not finite."""
    content = {
        "loss": float(report.loss),
        "verdicts": [asdict(verdict) for verdict in report.verdicts],
        "rows": report.table(),
    }
    return json.dumps(_plain(content), indent=2, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    is_number = isinstance(value, float)
    return None if is_number and not math.isfinite(value) else value


def _of_run(config: DiagnoseConfig) -> "Patient":
    """The problem of a run, its parameters and some of its training data."""
    import jax
    import jax.numpy as jnp

    from hondo.cli import build, models, run_folder
    from hondo.cli.model_folder import load_model
    from hondo.cli.sources import open_data

    folder = Path(config.of)
    trained = run_folder.read_config(folder)
    dataset, parts = open_data(trained, build.split_seed(trained))
    batch = build.as_arrays(parts.train, config.batch)
    problem = build.problem(trained, dataset)
    params, model_state = initialize(trained, problem, batch)
    if config.at == "best":
        shapes = models.variable_shapes(trained, dataset)
        variables = models.first_member(trained, dict(load_model(folder, trained, shapes)))
        params, model_state = variables.pop("params"), variables
    return problem, params, jax.tree.map(jnp.asarray, model_state), batch


def initialize(
    trained: "TrainConfig", problem: "hondo.Problem", batch: "Batch"
) -> "tuple[Params, ModelState]":
    """The network that a run starts from, by the key of its own, or its first member's, start."""
    import jax

    from hondo.cli import build

    key = jax.random.split(build.run_key(trained.seed))[0]
    if trained.ensemble > 1:
        key = jax.random.split(key, trained.ensemble)[0]
    return jax.jit(problem.init)(key, batch)


def _of_attribute(config: DiagnoseConfig) -> "Patient":
    """Somebody's module with random data, or their own problem and batch."""
    found = _import(config.of)
    if config.input_shape is None:
        problem, batch = _call(found, config.of)
    else:
        problem, batch = _with_random_data(found, _shape(config.input_shape), config.seed)
    import jax

    params, model_state = problem.init(jax.random.key(config.seed), batch)
    return problem, params, model_state, batch


def _import(name: str) -> Any:
    module, _, attribute = name.partition(":")
    # As for `python -m`: modules of the current folder.
    sys.path.insert(0, str(Path.cwd()))
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as reason:
        raise ValueError(f"of must be a folder or module:attribute, got {name}: {reason}") from None


def _call(found: object, name: str) -> "tuple[hondo.Problem, Batch]":
    import hondo

    result = found() if inspect.isfunction(found) else found
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], hondo.Problem):
        return result[0], result[1]
    raise ValueError(
        f"{name} must return a hondo.Problem and a batch, got {type(result).__name__}. For a Flax "
        "module give --input-shape."
    )


def _shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(size) for size in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise ValueError(f"input_shape must be sizes as 32,784, got {text}.")
    return shape


def _with_random_data(
    module: "Module", shape: tuple[int, ...], seed: int
) -> "tuple[hondo.Problem, Batch]":
    """The module fitted to noise by squared error: neither disturbs what the layers do."""
    import jax

    import hondo
    from hondo.training.flax_models import as_functions

    model = as_functions(module)
    inputs_key, targets_key, key = jax.random.split(jax.random.key(seed), 3)
    inputs = jax.random.normal(inputs_key, shape)
    outputs = jax.eval_shape(lambda: model.infer(*model.init(key, inputs), inputs))
    targets = jax.random.normal(targets_key, outputs.shape)
    return hondo.supervised(module, loss="squared_error"), (inputs, targets)
