"""Whole runs and functions of the host, whose bits are hashed.

Each of `RUNS` takes nothing and gives a dict of trees, each of which becomes a line.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from bits_modules import (
    CLASSES,
    IMAGES,
    KEY,
    LABELS,
    ROWS,
    LinenNet,
    NnxNet,
    Runs,
    microbatch_runs,
    module_runs,
)
from flax import linen

import hondo
import hondo.data

OPTIMIZER = optax.chain(
    hondo.clip_by_global_norm(1.0), optax.sgd(0.1, momentum=0.9), hondo.max_norm(2.0)
)
AUGMENT = hondo.on_images(
    hondo.random_flip,
    partial(hondo.random_shift, max_shift=1),
    partial(hondo.random_rotation, max_angle=20.0),
    mix=partial(hondo.mixup, alpha=0.3),
)
OPTIONS: dict[str, Any] = {
    "key": KEY,
    "batch_size": 16,
    "max_epochs": 4,
    "stopper": hondo.early_stopping(2, mode="min"),
}
DATA = (IMAGES[:40], LABELS[:40]), (IMAGES[40:], LABELS[40:])


def run_parts(result: hondo.FitResult) -> dict[str, Any]:
    return {
        "best": result.best,
        "params": (result.last.params, result.last.model_state),
        "optimizer": result.last.opt_state,
        "history": result.history,
        "reason": (result.reason, result.last.epoch),
    }


def fitted(fit: Callable[..., Any], net: Any, augment: Any = None) -> Callable[[], Any]:
    def run() -> Any:
        problem = hondo.supervised(net, loss="cross_entropy")
        penalty = partial(hondo.elastic_net_penalty, l1_strength=1e-4, l2_strength=1e-3)
        problem = problem._replace(loss=hondo.penalized(problem.loss, penalty))
        return run_parts(fit(problem, OPTIMIZER, *DATA, **OPTIONS, augment=augment))

    return run


def ensemble() -> Any:
    problem = hondo.supervised(LinenNet(), loss="cross_entropy")
    run = partial(hondo.fit, problem, OPTIMIZER, *DATA, **OPTIONS)
    return run_parts(jax.vmap(lambda key: run(key=key))(jax.random.split(KEY, 2)))


def swept(lanes: int) -> Any:
    def build(hyper: Any) -> Any:
        problem = hondo.supervised(LinenNet(hyper["rate"]), loss="cross_entropy")
        return {"problem": problem, "key": jax.random.key(hyper["seed"])}

    members = hondo.grid(rate=[0.1, 0.5], seed=[0, 1])
    found = hondo.sweep(build, members, *DATA, lanes=lanes, optimizer=OPTIMIZER, **OPTIONS)
    runs = {f"member{i}": run_parts(result) for i, result in enumerate(found.results)}
    return {"table": found.table(), "best": found.best()[0], **runs}


def fit_runs() -> Runs:
    return {
        "fit:linen": fitted(hondo.fit, LinenNet()),
        "fit:nnx": fitted(hondo.fit, NnxNet),
        "fit:linen-augment": fitted(hondo.fit, LinenNet(), augment=AUGMENT),
        "fit:nnx-augment": fitted(hondo.fit, NnxNet, augment=AUGMENT),
        "fit:vmap": ensemble,
        "fit_with_progress": fitted(hondo.fit_with_progress, LinenNet(), augment=AUGMENT),
        "sweep:one-lane": partial(swept, 1),
        "sweep:two-lanes": partial(swept, 2),
    }


def problem_parts(loss: Any, targets: jax.Array, outputs: int, reduce: Any) -> dict[str, Any]:
    problem = hondo.supervised(linen.Dense(outputs), loss=loss, reduce=reduce)
    batch = ROWS, targets
    params, state = problem.init(KEY, batch)
    gradient = jax.jit(jax.grad(problem.loss, has_aux=True))(params, state, batch, KEY)
    return {
        "init": params,
        "gradient": gradient,
        "loss": problem.loss(params, state, batch, KEY),
        "metrics": jax.jit(problem.metrics)(params, state, batch),
    }


def problem_runs() -> Runs:
    binary = (CLASSES[:16] > 0).astype(jnp.float32)
    targets = {
        "cross_entropy": (CLASSES[:16], 3),
        "cross_entropy-labels": (LABELS[:16], 3),
        "binary_cross_entropy": (binary, 1),
        "squared_error": (ROWS[:, :2], 2),
    }
    return {
        f"supervised:{name}-{label}": partial(problem_parts, name.split("-")[0], *batch, reduce)
        for name, batch in targets.items()
        for label, reduce in {"mean": jnp.mean, "sum": jnp.sum}.items()
    }


PARAMS = {"Dense_0": {"kernel": ROWS, "bias": ROWS[0]}, "norm": {"scale": ROWS[0], "w": ROWS}}
AXES = {"rate": [0.1, 0.5], "seed": [0, 1, 2], "net": ["a", None], "on": [True, False]}


def nonfinite_names() -> Any:
    broken = {**PARAMS, "norm": {"scale": ROWS[0].at[1].set(jnp.nan), "w": ROWS}}
    clip = hondo.clip_by_global_norm(1.0)
    state: Any = clip.update(broken, clip.init(broken))[1]
    return hondo.nonfinite_leaves(state, PARAMS)


def numbers_of(activation: hondo.Activation) -> tuple[float, ...]:
    return activation.gain, activation.flat_below, activation.flat_above


def loaded(name: str) -> dict[str, Any]:
    dataset = hondo.data.load(name)
    parts = {"inputs": dataset.inputs, "targets": dataset.targets, "test": dataset.test_inputs}
    return parts | {"split": hondo.data.split(dataset, 0.2, seed=0)}


NAMES, PATHS = tuple(hondo.ACTIVATIONS), (("w",), ("norm", "weight"), ("bias",), ("a", "kernel"))
SHAPES = (7, 11), (3, 3, 4, 6), (5, 7, 11)


def turned_fans() -> Any:
    return hondo.fans((7, 11), in_axis=1, out_axis=0)


def host_runs() -> Runs:
    values: Runs = {
        "find_activation": lambda: [numbers_of(hondo.find_activation(name)) for name in NAMES],
        "gain": lambda: [hondo.gain(name) for name in (*NAMES, jnp.tanh)],
        "fans": lambda: [*map(hondo.fans, SHAPES), turned_fans()],
        "is_weight": lambda: [hondo.is_weight(path, None) for path in PATHS],
        "weight_mask": lambda: hondo.weight_mask(PARAMS),
        "nonfinite_leaves": nonfinite_names,
        "grid": lambda: {name: list(map(str, v)) for name, v in hondo.grid(**AXES).items()},
        "balanced_weights": lambda: hondo.balanced_weights(CLASSES),
        "top_k_accuracy": lambda: hondo.top_k_accuracy(ROWS[:, :3], CLASSES[:16], k=2),
        "clip_per_example": lambda: hondo.clip_per_example(ROWS, limit=1.0),
        "r_squared": lambda: hondo.r_squared(ROWS[:, 0], ROWS[:, 1]).values,
        "init_batch_stats": lambda: hondo.init_batch_stats(5),
        "init_moments": lambda: hondo.init_moments(5),
    }
    return {name: partial(lambda run: {"value": run()}, run) for name, run in values.items()}


SETS = ("digits", "breast-cancer", "diabetes")
RUNS: Runs = {
    **fit_runs(),
    **module_runs(),
    **microbatch_runs(),
    **problem_runs(),
    **host_runs(),
    **{f"data.load:{name}": partial(loaded, name) for name in SETS},
}
# Names without a line of their own, and what holds their bits.
INSIDE = {
    "every": "makes a rule of when to save",
    "distributed": "starts a cluster",
    "fully_sharded": "makes a rule of where parameters lie",
    "replicated": "a rule of where parameters lie",
    "finish_epoch": "a part of every run of fit",
    "restore": "reads what `save` wrote; test_resume compares the bits",
    "save": "writes a folder",
    "start": "a part of every run of fit",
    "step": "a part of every run of fit",
    "stream": "test_stream holds it to fit_with_progress",
    "load_run": "reads a folder; test_own_data compares its predictions",
    "roles": "tells names and axes, no numbers",
    "linen.WeightNorm": "weight_norm has a line",
    "nnx.WeightNorm": "weight_norm has a line",
    "penalized": "makes the loss of every run of fit",
    "nnx.BatchMoment": "a kind of variable, that nnx.hold_moments makes",
}
