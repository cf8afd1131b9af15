"""The twelve plans, with every criterion, as they were written before anything ran in full."""

from hondo.lecture.plan import Plan
from hondo.lecture.plans.gradients import CLIPPING, INITIALIZATION, RESIDUAL, VANISHING
from hondo.lecture.plans.normalization import BATCH_NORM, BENEFITS
from hondo.lecture.plans.regularization import (
    DROPOUT,
    EARLY_STOPPING,
    ENSEMBLES,
    LEAGUE,
    MULTITASK,
    PENALTIES,
)

PLANS: tuple[Plan, ...] = (
    PENALTIES,
    EARLY_STOPPING,
    MULTITASK,
    ENSEMBLES,
    DROPOUT,
    LEAGUE,
    VANISHING,
    INITIALIZATION,
    RESIDUAL,
    CLIPPING,
    BATCH_NORM,
    BENEFITS,
)
