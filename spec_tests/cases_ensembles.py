"""Ensembles, decompositions and parameter averages under the generic laws."""

import jax
from laws import Case

import hondo
from hondo.normalization.moments import batch_moments


def _init(key, x):
    return hondo.init_ensemble(key, lambda key: jax.random.normal(key, (2,)), members=3)


def _bootstrap(key, x):
    return hondo.bootstrap_indices(key, 16)


def _scan(pair, x):
    def update(state, value):
        return pair.update(state, value), None

    return jax.lax.scan(update, pair.init(x[0]), x)[0]


def _ema(key, x):
    return _scan(hondo.ema(0.9), x)


def _swa(key, x):
    return _scan(hondo.swa(), x)


def _averaged(key, x):
    average = hondo.swa()
    return hondo.averaged_params(average.update(average.init(x), x), x)


def _moments(key, x):
    return hondo.recompute_moments(lambda scale, x: batch_moments(scale * x), 2.0, x[:, None])


# Sums of at most 32 terms and ten more operations: less than 42 roundings.
ULPS = 42

CASES = (
    Case("init_ensemble", _init, random=True, differentiable=False, keeps=False, ulps=ULPS),
    Case(
        "average_probabilities",
        lambda key, x: hondo.average_probabilities(x),
        (3, 4, 5),
        keeps=False,
        ulps=ULPS,
    ),
    Case(
        "average_log_probabilities",
        lambda key, x: hondo.average_log_probabilities(x),
        (3, 4, 5),
        keeps=False,
        ulps=ULPS,
    ),
    Case("bootstrap_indices", _bootstrap, random=True, differentiable=False, keeps=False),
    Case("ambiguity", lambda key, x: hondo.ambiguity(x, x[0]), keeps=False, ulps=ULPS),
    Case("bias_variance", lambda key, x: hondo.bias_variance(x, x[0]), keeps=False, ulps=ULPS),
    Case(
        "error_covariance", lambda key, x: hondo.error_covariance(x, x[0]), keeps=False, ulps=ULPS
    ),
    Case("ema", _ema, keeps=False, ulps=ULPS),
    Case("swa", _swa, keeps=False, ulps=ULPS),
    Case("averaged_params", _averaged),
    Case("recompute_moments", _moments, (4, 8, 3), keeps=False, ulps=ULPS),
)
EXEMPT = {
    "Ambiguity": "what ambiguity returns",
    "BiasVariance": "what bias_variance returns",
    "ErrorCovariance": "what error_covariance returns",
    "ParameterAverage": "the pair that ema and swa return",
    "ParameterAverageState": "a state",
}
