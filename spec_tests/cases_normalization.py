"""The normalizations under the generic laws."""

import jax.numpy as jnp
from laws import Case

import hondo

EPS = 1e-5


def _vectors(x):
    features = x.shape[-1]
    return jnp.linspace(0.5, 2.0, features), jnp.linspace(-1.0, 1.0, features)


def _stats(x):
    scale, bias = _vectors(x)
    return hondo.BatchStats(mean=bias, var=scale, weight=jnp.ones_like(scale))


def _batch_norm(key, x):
    return hondo.batch_norm(x, _stats(x), *_vectors(x), decay=0.9, epsilon=EPS)


def _masked_batch_norm(key, x):
    where = jnp.arange(x.shape[0]) < x.shape[0] - 1
    return hondo.batch_norm(x, _stats(x), *_vectors(x), decay=0.9, epsilon=EPS, where=where)


def _inference(key, x):
    return hondo.batch_norm_inference(x, _stats(x), *_vectors(x), epsilon=EPS)


def _update(key, x):
    return hondo.update_batch_stats(_stats(x), hondo.batch_moments(x), decay=0.9)


def _stacked(x):
    moments = hondo.batch_moments(x)
    return hondo.Moments(*(jnp.stack([leaf, leaf + 1]) for leaf in moments))


def _merge(key, x):
    return hondo.merge_moments(hondo.batch_moments(x), hondo.batch_moments(x + 1))


def _fold(key, x):
    scale, bias = _vectors(x)
    return hondo.fold_batch_norm(x, bias, _stats(x), scale, bias, epsilon=EPS)


def _group_norm(key, x):
    return hondo.group_norm(x, *_vectors(x), groups=4, epsilon=EPS)


def _pool(key, x):
    return hondo.pool_moments(_stacked(x))


def _average(key, x):
    return hondo.batch_averaged_stats(_stacked(x))


# eps covers one rounding of a result near the largest; the sums below are of 4 to 12 terms whose
# order and contraction are the compiler's, and the inverse root passes their error on.
ULPS = 16

CASES = (
    Case("batch_norm", _batch_norm, shape=(12, 8), keeps=False, ulps=ULPS),
    Case("batch_norm", _masked_batch_norm, shape=(5, 3, 8), keeps=False, ulps=ULPS, label="masked"),
    Case(
        "batch_normalize",
        lambda key, x: hondo.batch_normalize(x, *_vectors(x), epsilon=EPS)[0],
        shape=(12, 8),
        ulps=ULPS,
    ),
    Case("batch_norm_inference", _inference, ulps=ULPS),
    Case("update_batch_stats", _update, keeps=False, ulps=ULPS),
    Case("batch_moments", lambda key, x: hondo.batch_moments(x), keeps=False, ulps=ULPS),
    Case("merge_moments", _merge, keeps=False, ulps=ULPS),
    Case("pool_moments", _pool, keeps=False, ulps=ULPS),
    Case(
        "moments_variance",
        lambda key, x: hondo.moments_variance(hondo.batch_moments(x), ddof=1),
        keeps=False,
        ulps=ULPS,
    ),
    Case(
        "population_stats",
        lambda key, x: hondo.population_stats(hondo.batch_moments(x)),
        keeps=False,
        ulps=ULPS,
    ),
    Case("batch_averaged_stats", _average, keeps=False, ulps=ULPS),
    Case("fold_batch_norm", _fold, keeps=False, ulps=ULPS),
    Case("layer_norm", lambda k, x: hondo.layer_norm(x, *_vectors(x), epsilon=EPS), ulps=ULPS),
    Case("group_norm", _group_norm, shape=(2, 3, 8), ulps=ULPS),
    Case(
        "instance_norm",
        lambda key, x: hondo.instance_norm(x, *_vectors(x), epsilon=EPS),
        shape=(2, 3, 8),
        ulps=ULPS,
    ),
    Case("rms_norm", lambda k, x: hondo.rms_norm(x, _vectors(x)[0], epsilon=EPS), ulps=ULPS),
    Case("l2_normalize", lambda key, x: hondo.l2_normalize(x), ulps=ULPS),
    Case("weight_norm", lambda key, x: hondo.weight_norm(x, _vectors(x)[0]), ulps=ULPS),
)
EXEMPT = {
    "BatchStats": "a state",
    "Moments": "a state",
    "init_batch_stats": "a constant state",
    "init_moments": "a constant state",
}
