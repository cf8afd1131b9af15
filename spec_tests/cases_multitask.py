"""Multitask losses, missing labels and gradient surgery under the generic laws."""

import jax.numpy as jnp
from laws import Case

import hondo


def _trunk(weight, x):
    return weight * x


def _model(key, x):
    model = hondo.multitask(_trunk, {"a": _trunk, "b": lambda weight, x: x - weight})
    weight = jnp.ones((), x.dtype)
    return model(hondo.MultitaskParams(weight, {"a": 2 * weight, "b": weight}), x)


def _losses(x):
    return {"a": jnp.sum(jnp.square(x[0])), "b": jnp.sum(jnp.square(x[1]))}


def _loss(key, x):
    return hondo.multitask_loss(_losses(x), weights={"a": 0.3, "b": 0.7})


def _uncertainty(key, x):
    log_variances = {"a": x[2, 0], "b": x[2, 1]}
    return hondo.uncertainty_weighting(_losses(x), log_variances, classification=["a"])


def _fill(key, x):
    return hondo.fill_missing(jnp.where(x > 0, x, jnp.nan)).targets


def _masked(key, x):
    return hondo.masked_mean(x, x > 0.5)


def _labeled(key, x):
    targets = jnp.where(x > 0, x, jnp.nan)
    return hondo.labelled_mean(lambda p, t: jnp.square(p - t), 2 * x, targets)


def _surgery(key, x):
    return hondo.pcgrad(key, {"w": x[:, :5].reshape(4, 5, 1), "b": x[:, 5:]})


# n additions and two products for each of the n = 8 squares: γ_10, less than 10 units of eps.
SUM_ULPS = 10

# A task's gradient takes part in 3 projections, each with a product of two 8-term sums and a
# division, and in a sum of 4: 3 (8 + 8 + 3) + 4 roundings.
SURGERY_ULPS = 61

CASES = (
    Case("multitask", _model, keeps=False),
    Case("multitask_loss", _loss, keeps=False, ulps=SUM_ULPS),
    Case("uncertainty_weighting", _uncertainty, keeps=False, ulps=SUM_ULPS),
    Case("fill_missing", _fill),
    Case("masked_mean", _masked, keeps=False, ulps=SUM_ULPS),
    Case("labelled_mean", _labeled, keeps=False, ulps=SUM_ULPS),
    Case("pcgrad", _surgery, random=True, keeps=False, ulps=SURGERY_ULPS),
)
EXEMPT = {
    "Labels": "what fill_missing returns",
    "MultitaskParams": "a container",
}
