"""The lecture's twelve experiments: each a claim, a measure, a picture and a verdict.

`experiments[7].run(seeds=30)` runs one, `.figure(lang="es")` draws it.
"""

from hondo.lecture.experiment import Case, Experiment
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
from hondo.lecture.outcome import Finding, Outcome
from hondo.lecture.plan import Criterion, Plan

#: The lecture's twelve experiments, by number.
experiments: dict[int, Experiment] = {
    module.EXPERIMENT.plan.number: module.EXPERIMENT
    for module in (
        penalties,
        early_stopping,
        multitask,
        ensembles,
        dropout,
        league,
        vanishing,
        initialization,
        residual,
        clipping,
        batch_norm,
        benefits,
    )
}
#: Their plans, with every criterion, as they were written before anything ran in full.
PLANS: tuple[Plan, ...] = tuple(experiment.plan for experiment in experiments.values())

__all__ = ["PLANS", "Case", "Criterion", "Experiment", "Finding", "Outcome", "Plan", "experiments"]
