"""The stopping rule under the generic laws."""

import jax
from laws import Case

import hondo


def _run(key, x):
    stopper = hondo.early_stopping(2, mode="min", min_delta=0.1)

    def update(state, value):
        return stopper.update(state, value, {"value": value}), None

    return jax.lax.scan(update, stopper.init({"value": x[0]}), x)[0]


CASES = (Case("early_stopping", _run, shape=(12,), keeps=False),)
EXEMPT = {
    "EarlyStopping": "the pair that early_stopping returns",
    "EarlyStoppingState": "a state",
    "StopReason": "an enum",
}
