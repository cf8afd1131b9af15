"""The lecture as a specification: properties that judge anybody's implementation.

Example:
    >>> import numpy as np
    >>> from hondo_spec import Target, check_target
    >>> wrong = Target("wrong", {"proximal_l1": lambda w, t: np.where(np.abs(w) > t, w, 0)})
    >>> [(record.id, record.status) for record in check_target(wrong, areas=["PEN-05"])]
    [('PEN-05', 'FAIL')]
"""

import sys

from hondo_spec.extras import what_is_missing

if missing := what_is_missing():
    # While `python -m hondo_spec` looks for its module, a line is all that its user needs.
    if sys.argv[:1] == ["-m"]:
        print(f"hondo_spec: {missing}", file=sys.stderr)
        sys.exit(2)
    raise ModuleNotFoundError(missing, name=__name__)

from hondo_spec.adapter import collect_operations, operation
from hondo_spec.check import check_target, replay
from hondo_spec.results import Check, Exact, Holds, Stat
from hondo_spec.runner import STATUSES, UNEXPECTED, Record
from hondo_spec.target import BUILT_IN, Known, Target, find_target
from hondo_spec.versions import SUITE

__version__ = SUITE

__all__ = [
    "BUILT_IN", "STATUSES", "UNEXPECTED", "Check", "Exact", "Holds", "Known", "Record", "Stat",
    "Target", "check_target", "collect_operations", "find_target", "operation", "replay",
]  # fmt: skip
