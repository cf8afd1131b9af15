"""Each experiment measures what its plan names, and draws it: with sizes that mean nothing."""

import dataclasses
import os

import jax
import pytest

from hondo.data import FASHION_MNIST
from hondo.lecture import experiments
from hondo.lecture.measures import (
    batch_norm,
    benefits,
    clipping,
    dropout,
    early_stopping,
    ensembles,
    initialization,
    league,
    multitask,
    penalties,
    residual,
    vanishing,
)

pytestmark = pytest.mark.compile_quickly

TINY = {
    1: penalties.Sizes(200),
    2: early_stopping.Sizes(100, 50, 2, 100),
    3: multitask.Sizes(20, 100, 1, 100),
    4: ensembles.Sizes(2, 1, 5),
    5: dropout.Sizes(100, 1, 3, 50, 5),
    6: league.Sizes((100, 100), 50, 1, 4, 50, 1),
    7: vanishing.Sizes(20, 4),
    8: initialization.Sizes(2, 100, 1, 4),
    9: residual.Sizes(100, 1, 50, (8,)),
    10: clipping.Sizes(6, 100, 1),
    11: batch_norm.Sizes(12, 20, 8, 16),
    12: benefits.Sizes(100, 50, 1, 4),
}
NEED_IMAGES = {2, 3, 5, 6, 7, 8, 9, 12}
# The others compile for most of a minute; HONDO_PROFILE=deep measures them too.
CHEAP = {4, 7}
DEEP = os.environ.get("HONDO_PROFILE") == "deep"


@pytest.mark.slow
@pytest.mark.parametrize("number", TINY if DEEP else CHEAP)
def test_an_experiment_measures_every_criterion_and_draws(number) -> None:
    if number in NEED_IMAGES and not FASHION_MNIST.exists():
        pytest.skip("Fashion-MNIST is not installed")
    tiny = dataclasses.replace(experiments[number], quick=TINY[number])
    # Adam of optax promotes the count of its steps.
    with jax.numpy_dtype_promotion("standard"):
        outcome = tiny.run(quick=True, seeds=1)
    assert len(outcome.findings) == len(tiny.plan.criteria)
    assert len(outcome.figure("es").axes) >= 2
