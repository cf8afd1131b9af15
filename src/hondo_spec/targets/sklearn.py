"""scikit-learn's losses, penalties and statistics that have the same formula."""

import math
from importlib import import_module
from typing import Any

import numpy as np

from hondo_spec.adapter import collect_operations, operation
from hondo_spec.target import Known, of_package, since

linear_model: Any = import_module("sklearn.linear_model")
metrics: Any = import_module("sklearn.metrics")
preprocessing: Any = import_module("sklearn.preprocessing")
utils: Any = import_module("sklearn.utils")
extmath: Any = import_module("sklearn.utils.extmath")


def _rows(x: np.ndarray) -> np.ndarray:
    return x.reshape(-1, x.shape[-1])


@operation
def _softmax(z):
    return extmath.softmax(_rows(z)).reshape(z.shape)


@operation
def _cross_entropy(z, classes):
    """The loss of the probabilities, which is all that scikit-learn takes."""
    return metrics.log_loss(classes, extmath.softmax(z), labels=np.arange(z.shape[-1]))


@operation
def _accuracy(z, classes):
    """Of the largest of the scores; of two classes it takes their difference."""
    scores = z if z.shape[-1] > 2 else z[:, 1] - z[:, 0]
    return metrics.top_k_accuracy_score(classes, scores, k=1, labels=np.arange(z.shape[-1]))


@operation
def _l2_normalize(x):
    return preprocessing.normalize(_rows(x)).reshape(x.shape)


@operation
def _proximal_l1(w, threshold):
    """The lasso of as many orthogonal examples as weights: Σ (y − 2^k w)² / 2n + threshold Σ|w|."""
    scale = 2 ** math.ceil(math.log(w.size, 4))
    design = np.zeros((scale**2, w.size), w.dtype)
    np.fill_diagonal(design, scale)
    lasso = linear_model.Lasso(threshold, fit_intercept=False, tol=0.0, max_iter=2)
    return lasso.fit(design, design @ w.ravel()).coef_.reshape(w.shape)


@operation
def _sgd_step(w, gradient, learning_rate, strength):
    """One step on the example x = gradient whose residual is 1."""
    options = {"alpha": strength, "eta0": learning_rate, "max_iter": 1, "tol": None}
    x, start = np.float64(gradient).reshape(1, -1), np.float64(w).ravel()
    sgd = linear_model.SGDRegressor(learning_rate="constant", fit_intercept=False, **options)
    return sgd.fit(x, x @ start - 1, coef_init=start).coef_.reshape(w.shape)


@operation
def _batch_moments(x):
    scaler = preprocessing.StandardScaler().fit(_rows(x))
    return scaler.mean_, scaler.var_


@operation
def _merge_moments(parts):
    scaler = preprocessing.StandardScaler()
    for part in parts:
        scaler.partial_fit(_rows(part))
    return scaler.mean_, scaler.var_


@operation
def _bootstrap_indices(seed, count):
    return utils.resample(np.arange(count), random_state=seed)


KNOWN = {
    "ACT-07": Known(
        "probabilities below the ε of their dtype count as that: the loss is at most 16, and 36 in "
        "float64, however far out the class is",
        {"z": np.zeros((6, 4), np.float32), "level": 0.0, "ruled_out": 0},
        "https://scikit-learn.org/stable/modules/generated/sklearn.metrics.log_loss.html",
        case=lambda z, what: what == "far out" or bool(np.any(np.ptp(z, axis=-1) > 15)),
    ),
    "PEN-03": Known(
        "a learning rate of 0 is refused, and 1 − ηλ is 0 where it would be below",
        {"w": np.ones((3, 4), np.float32), "seed": 0, "learning_rate": 0.3, "strength": 4.0},
        case=lambda learning_rate, strength: not 0 < learning_rate * strength <= 1,
    ),
    "NRM-05": Known(
        "squares under- and overflow, and halves stay halves",
        {"seed": 0, "case": ((7,), "float32"), "power": -80},
        case=lambda case, power: abs(power) > 60 or case[1] != "float32",
    ),
}

OPERATIONS, CONVENTIONS = collect_operations(globals()), {"nan_scores": "refused"}
TARGET = of_package("scikit-learn", OPERATIONS, CONVENTIONS, since("1.9.1", KNOWN), mode="float64")
