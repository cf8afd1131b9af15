"""Training under the generic laws: the loop has laws of its own, in test_training."""

import jax.numpy as jnp
import optax
from laws import Case

import hondo


def _problem(count):
    return hondo.Problem(
        lambda key, batch: (jnp.zeros((count,), batch.dtype), ()),
        lambda w, state, batch, key: (jnp.mean(jnp.square(batch - w[None])), (state, {})),
        lambda w, state, batch: {"loss": jnp.mean(jnp.square(batch - w[None]), axis=1)},
    )


def _evaluate(key, x):
    problem = _problem(x.shape[1])
    return hondo.evaluate(problem, jnp.zeros_like(x[0]), (), x, batch_size=3)


PROBLEM, OPTIMIZER = _problem(8), optax.sgd(0.1)
STOPPER = hondo.early_stopping(2, mode="min")


def _fit(key, x):
    return hondo.fit(
        PROBLEM, OPTIMIZER, x, x, key=key, batch_size=2, max_epochs=3, stopper=STOPPER
    ).history


CASES = (
    Case("evaluate", _evaluate, keeps=False, ulps=16),
    Case("fit", _fit, random=True, differentiable=False, keeps=False, ulps=16),
)
EXEMPT = {
    "Pooled": "a metric in the making",
    "balanced_weights": "of classes; test_supervised holds it to scikit-learn",
    "r_squared": "a metric in the making; test_supervised holds it to scikit-learn",
    "top_k_accuracy": "a count; test_supervised holds it to scikit-learn",
    "CallbackError": "an error",
    "SaveError": "an error",
    "load_run": "it reads a folder",
    "Best": "a result",
    "EpochMetrics": "a result",
    "Every": "a rule",
    "every": "makes a rule; test_resume holds saves to it",
    "distributed": "it starts a cluster; test_stream_processes",
    "fully_sharded": "makes a rule; test_stream_devices",
    "replicated": "a rule; test_stream_devices",
    "finish_epoch": "a part of fit; test_resume holds it to fit",
    "restore": "it reads a folder",
    "save": "it writes a folder",
    "start": "a part of fit; test_resume holds it to fit",
    "step": "a part of fit; test_resume holds it to fit",
    "FitResult": "a result",
    "History": "a state",
    "Problem": "a tuple of functions",
    "SweepResult": "a result",
    "TrainState": "a state",
    "fit_with_progress": "runs on the host; test_training holds it to fit",
    "grid": "makes members on the host; test_sweep holds it to itertools",
    "stream": "runs on the host; test_stream holds it to fit_with_progress",
    "supervised": "makes functions; test_training holds it to them",
    "sweep": "runs on the host; test_sweep holds it to fit",
}
