"""What a diagnosis says: rows, verdicts in words, a table."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import jax
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from hondo._numerics.checks import error
from hondo._types import Leaf
from hondo.diagnosis.remedies import remedy
from hondo.diagnosis.rows import Index, Row, Values, name_of
from hondo.diagnosis.theory import activation_gains
from hondo.diagnosis.verdicts import KINDS, Finding, Tolerance, judge


@dataclass(frozen=True)
class Verdict:
    """What is wrong with one layer, and what cures it.

    Attributes:
        kind: one of `hondo.diagnosis.KINDS`.
        layer: the path of the layer's parameters.
        index: its place in a scanned stack, None elsewhere.
        value: what was measured.
        limit: what is still healthy.
        remedy: in words.

    Example:
        >>> import hondo
        >>> str(hondo.Verdict("dead", "Dense_3", None, 1.0, 0.9, "Take smaller biases."))
        'dead at Dense_3: 1, healthy to 0.9. Take smaller biases.'
    """

    kind: str
    layer: str
    index: Index
    value: float
    limit: float
    remedy: str

    def __str__(self) -> str:
        kind = self.kind.replace("_", " ")
        measured = f": {self.value:.3g}, healthy to {self.limit:.3g}" if self.limit else ""
        return f"{kind} at {self.name}{measured}. {self.remedy}"

    @property
    def name(self) -> str:
        """The layer with its place in the stack."""
        return name_of(self.layer, self.index)


# A float; of several rows an array.
Number = float | np.ndarray


@dataclass(frozen=True)
class LayerReport:
    """One row in the units of the signal; arrays where a name stands for several rows.

    Attributes:
        kind: "layer", "activation" or "sum".
        layer: the path of the layer's parameters.
        index: its place in a scanned stack.
        input_rms: of h.
        response_rms: of z with its bias; of φ(z) for an activation.
        gradient_rms: of the loss's gradient by z, or by φ(z).
        input_gradient_rms: of the gradient by h, through this layer alone.
        weight_rms: of W.
        weight_gradient_rms: of the gradient by W.
        forward_gain: response over input.
        predicted_forward_gain: the theory's.
        backward_gain: gradient by the input over gradient by the response.
        predicted_backward_gain: the theory's.
        cosine: the mean cosine between the responses to two examples.
        flat: the share of entries where the activation is flat.
        off: the share of units that are flat for every example.
        small_gradients: the share of gradients below a thousandth of their RMS.
        update_ratio: RMS of the optimizer's update over that of the weights.
    """

    kind: str
    layer: str
    index: Index | tuple[object, ...]
    input_rms: Number
    response_rms: Number
    gradient_rms: Number
    input_gradient_rms: Number
    weight_rms: Number
    weight_gradient_rms: Number
    forward_gain: Number
    predicted_forward_gain: Number
    backward_gain: Number
    predicted_backward_gain: Number
    cosine: Number
    flat: Number
    off: Number
    small_gradients: Number
    update_ratio: Number


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Diagnosis:
    """The statistics of every layer, the theory beside them, and the verdicts.

    A pytree of arrays, whose names are static: `diagnose` works under jit, and under vmap it makes
    an ensemble's, which `hondo.unstack` cuts into members.

    Attributes:
        rows: what each row is about; static.
        tolerance: what is still healthy; static.
        loss: the loss on the batch.
        values: what was measured, natural logarithms and shares.
        updates: ln RMS of the optimizer's update of each row's weights, NaN without one.
    """

    rows: tuple[Row, ...] = field(metadata={"static": True})
    tolerance: Tolerance = field(metadata={"static": True})
    loss: Leaf
    values: Values
    updates: Leaf

    @property
    def findings(self) -> Finding:
        """The verdicts as arrays (kinds, rows); inside jit traced, else computed on the host.

        Raises:
            ValueError: of an ensemble.
        """
        self._check_is_one()
        if isinstance(self.values.sizes, Tracer):
            return judge(self.rows, self.values, self.tolerance)
        # Zeros have a size of -inf, and no gain.
        with np.errstate(invalid="ignore", over="ignore"):
            return judge(self.rows, jax.tree.map(np.asarray, self.values), self.tolerance)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What is wrong, in the order of causes; empty for a healthy network.

        Raises:
            ValueError: inside jit, or of an ensemble.
        """
        self._check_is_concrete()
        findings = self.findings
        places = np.argwhere(findings.found).tolist()
        return tuple(self._verdict(findings, kind, row) for kind, row in places)

    def _verdict(self, findings: Finding, kind: int, place: int) -> Verdict:
        row, name = self.rows[place], KINDS[kind]
        value = float(findings.value[kind, place])
        limit = float(findings.limit[kind, place])
        is_total = limit == self.tolerance.total
        words = remedy(name, self.rows, self.values, place, is_total)
        return Verdict(name, row.layer, row.index, value, limit, words)

    @property
    def layers(self) -> tuple[LayerReport, ...]:
        """The rows of layers, in the order of execution."""
        return tuple(self.row(i) for i, row in enumerate(self.rows) if row.kind == "layer")

    def table(self) -> list[dict[str, Any]]:
        """Every row as a dict of one kind, for a data frame."""
        return [asdict(self.row(i)) for i in range(len(self.rows))]

    def __getitem__(self, name: str) -> LayerReport:
        """The layer of this name; of a scanned stack "name[3]", or all of it by its name.

        Raises:
            KeyError: no such layer.
        """
        layers = [i for i, row in enumerate(self.rows) if row.kind == "layer"]
        found = [i for i in layers if name in (self.rows[i].name, self.rows[i].layer)]
        if not found:
            known = ", ".join(dict.fromkeys(self.rows[i].layer for i in layers))
            raise KeyError(str(error("name", name, f"one of {known}")))
        if len(found) == 1:
            return self.row(found[0])
        return _stacked([self.row(i) for i in found])

    def _check_is_concrete(self) -> None:
        if isinstance(self.values.sizes, Tracer):
            raise error("report", "traced", "concrete", "Read it outside of jit.")
        self._check_is_one()

    def _check_is_one(self) -> None:
        stack = np.shape(self.values.sizes)[:-4]
        if stack:
            repair = "hondo.unstack(report) cuts an ensemble's into its members'."
            raise error("report", f"stacked {stack}", "of one network", repair)

    def row(self, place: int) -> LayerReport:
        """One row in the units of the signal."""
        self._check_is_concrete()
        row = self.rows[place]
        v: Values = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64)[place], self.values)
        theory = self._theory(row, v)
        return LayerReport(
            row.kind,
            row.layer,
            row.index,
            _exp(v.input.log_rms),
            _exp(v.output.log_rms),
            _exp(v.output_gradient.log_rms),
            _exp(v.input_gradient.log_rms),
            _exp(v.weight.log_rms),
            _exp(v.weight_gradient.log_rms),
            _ratio(v.output.log_rms, v.input.log_rms),
            theory[0],
            _ratio(v.input_gradient.log_rms, v.output_gradient.log_rms),
            theory[1],
            float(v.output.detail),
            float(v.flat),
            float(v.off),
            float(v.output_gradient.detail),
            _ratio(float(self.updates[place]), v.weight.log_rms),
        )

    def _theory(self, row: Row, v: Values) -> tuple[float, float]:
        if row.kind != "layer":
            gains = activation_gains(row.activation, float(v.input.log_rms))
            return row.scale * gains[0], row.scale * gains[1]
        weight = np.exp(2 * v.weight.log_rms)
        bias = np.where(np.isnan(v.bias), 0.0, _ratio(v.bias, v.input.log_rms)) ** 2
        return float(np.sqrt(row.fans[0] * weight + bias)), float(np.sqrt(row.fans[1] * weight))

    def __str__(self) -> str:
        from hondo.diagnosis.text import write

        return write(self)


def _stacked(rows: Sequence[LayerReport]) -> LayerReport:
    """Rows of one name as one, with arrays."""
    first = rows[0]
    columns = [
        np.array([getattr(row, each.name) for row in rows]) for each in fields(LayerReport)[3:]
    ]
    return LayerReport(first.kind, first.layer, tuple(row.index for row in rows), *columns)


def _ratio(log_above: ArrayLike, log_below: ArrayLike) -> float:
    """NaN for zero over zero."""
    with np.errstate(invalid="ignore"):
        return _exp(np.subtract(log_above, log_below))


def _exp(log: ArrayLike) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.exp(log))
