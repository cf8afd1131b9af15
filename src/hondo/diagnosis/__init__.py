"""Which layer is sick, why, and what cures it: slides 9 to 15 as an instrument."""

from hondo.diagnosis.diagnose import diagnose
from hondo.diagnosis.draw import draw
from hondo.diagnosis.locate import Origin, find_nonfinite
from hondo.diagnosis.report import Diagnosis, LayerReport, Verdict
from hondo.diagnosis.theory import (
    MeanField,
    batch_norm_growth,
    correlation_map,
    mean_field,
    moments,
    residual_growth,
)
from hondo.diagnosis.verdicts import KINDS
from hondo.diagnosis.watch import Watched, watch

__all__ = [
    "KINDS",
    "Diagnosis",
    "LayerReport",
    "MeanField",
    "Origin",
    "Verdict",
    "Watched",
    "batch_norm_growth",
    "correlation_map",
    "diagnose",
    "draw",
    "find_nonfinite",
    "mean_field",
    "moments",
    "residual_growth",
    "watch",
]
