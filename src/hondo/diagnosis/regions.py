"""Activations as they are written: regions of elementwise equations, run on any shape."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Jaxpr, JaxprEqn, Literal, Var
from jaxtyping import Array, Bool, Float

from hondo._types import Leaf
from hondo.diagnosis.jaxprs import Atom, array_type
from hondo.gradients.activations import ACTIVATIONS

_ELEMENTWISE = set(
    re.findall(
        r"\w+",
        """abs add add_any and ceil clamp convert_element_type copy cos cosh div eq erf erf_inv erfc
        exp exp2 expm1 floor ge gt integer_pow is_finite le log log1p logistic lt max min mul ne
        neg nextafter not or pow pvary round rsqrt select_n sign sin sinh sqrt square sub tan tanh
        xor""",
    )
)
_UNIFORM = {"broadcast_in_dim", "reshape"}
_CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "custom_jvp_call": "call_jaxpr"}


def is_elementwise(equation: JaxprEqn) -> bool:
    """Whether each entry of the result depends on the same entry of the operands alone."""
    name = equation.primitive.name
    if name in _CALLS:
        inner = equation.params[_CALLS[name]].jaxpr.eqns
        return all(is_elementwise(e) or e.primitive.name in _UNIFORM for e in inner)
    return name in _ELEMENTWISE


def keeps_uniform(equation: JaxprEqn) -> bool:
    """Whether equal entries everywhere stay equal entries everywhere."""
    return is_elementwise(equation) or equation.primitive.name in _UNIFORM


class Region(NamedTuple):
    """The equations from one value to another, all of them elementwise."""

    equations: tuple[JaxprEqn, ...]
    root: Var
    sink: Var

    def __call__(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """φ(z), of any shape."""
        return _run(self.equations, {self.root: z}, [self.sink], z.shape)[0]

    @property
    def key(self) -> str:
        """Equal for regions that are written alike."""
        order: dict[Var, int] = {self.root: 0}
        for equation in self.equations:
            order.update({var: len(order) for var in equation.outvars})
        return ";".join(_described(equation, order) for equation in self.equations)


def _described(equation: JaxprEqn, order: dict[Var, int]) -> str:
    operands = [
        repr(atom.val) if isinstance(atom, Literal) else f"%{order.get(atom)}"
        for atom in equation.invars
    ]
    params = {name: value for name, value in equation.params.items() if name != "shape"}
    inner = equation.params.get(_CALLS.get(equation.primitive.name, ""))
    written = str(inner.jaxpr.eqns) if inner else str(params)
    return f"{equation.primitive.name}{operands}{written}"


def _run(
    equations: Sequence[JaxprEqn], known: dict[Var, Leaf], wanted: Sequence[Atom], shape: tuple
) -> list[Leaf]:
    """Runs elementwise equations on another shape than the one that they were traced for."""
    known = dict(known)

    def read(atom: Atom) -> Leaf:
        return atom.val if isinstance(atom, Literal) else known[atom]

    for equation in equations:
        known[equation.outvars[0]] = _run_one(equation, list(map(read, equation.invars)), shape)
    return list(map(read, wanted))


def _run_one(equation: JaxprEqn, values: list[Leaf], shape: tuple[int, ...]) -> Leaf:
    name = equation.primitive.name
    if name in _UNIFORM:
        return jnp.broadcast_to(jnp.ravel(values[0])[0], shape)
    if name == "pvary":
        # What the region is run on here is the same on every device.
        return values[0]
    if name in _CALLS:
        inner: Jaxpr = equation.params[_CALLS[name]].jaxpr
        constants = equation.params[_CALLS[name]].consts
        known = dict(zip(inner.constvars, constants, strict=True))
        known |= dict(zip(inner.invars, values, strict=True))
        return _run(inner.eqns, known, inner.outvars, shape)[0]
    return equation.primitive.bind(*map(jnp.asarray, _alike(values)), **equation.params)


def _alike(values: list[Leaf]) -> list[Leaf]:
    """Scalars broadcast where an array stands beside them, as select_n requires."""
    shape = np.broadcast_shapes(*map(np.shape, values))
    return [jnp.broadcast_to(value, shape) for value in values]


class Slopes(NamedTuple):
    """What a grid tells of an activation φ.

    Attributes:
        name: its name in `hondo.ACTIVATIONS`, "φ" for any other.
        flat_below: at and below it |φ'| is at most a tenth of its maximum; -inf if nowhere.
        flat_above: the same on the right.
        is_activation: whether it is finite, no straight line, and of bounded slope.
        scale: how many times the named one it is, as dropout makes it 1/P times.
    """

    name: str
    flat_below: float
    flat_above: float
    is_activation: bool = True
    scale: float = 1.0

    @property
    def saturating(self) -> bool:
        """Whether it is flat on both sides, and at none of them from the middle on, as relu6."""
        low, high = abs(self.flat_below), abs(self.flat_above)
        return bool(np.isfinite(low + high) and min(low, high) > max(low, high) / 2)

    @property
    def switches_off(self) -> bool:
        """Whether a unit can be off: flat on one side, where its slope goes to 0."""
        return bool(np.isfinite(min(abs(self.flat_below), abs(self.flat_above))))

    def is_flat(self, z: Float[Array, "*shape"]) -> Bool[Array, "*shape"]:
        """Which entries are flat: on either side if it saturates, else on the nearer one."""
        below, above = z <= self.flat_below, z >= self.flat_above
        if self.saturating:
            return below | above
        return below if abs(self.flat_below) <= abs(self.flat_above) else above


NO_ACTIVATION = Slopes("", -np.inf, np.inf, False)
_POSITIVE = np.concatenate([np.logspace(-30, -3, 28), np.linspace(0.002, 12, 3000)])
_GRID = np.concatenate([-_POSITIVE[::-1], [0.0], _POSITIVE])
_FAR = np.array([-100.0, -30.0, 30.0, 100.0])


def slopes(region: Region) -> Slopes:
    """Runs an activation on a grid, once, while tracing."""
    dtype = array_type(region.root).dtype
    with jax.ensure_compile_time_eval():
        known = _known(region, dtype)
        return known if known is not None else _measured(region, dtype)


def _known(region: Region, dtype: np.dtype) -> Slopes | None:
    """The entry of `hondo.ACTIVATIONS` of which it is a multiple, if there is one."""
    z = jnp.asarray(_GRID[::7], dtype)
    values = np.asarray(region(z), np.float64)
    tolerance = 4 * float(jnp.finfo(dtype).eps) * 12
    for entry in ACTIVATIONS.values():
        known = np.asarray(entry.function(z), np.float64)
        scale = float(round(values[-1] / known[-1], 3))
        if scale > 0 and np.allclose(values, scale * known, 1e-3, scale * tolerance):
            limits = entry.flat_below, entry.flat_above
            is_linear = entry.name == "identity"
            return NO_ACTIVATION if is_linear else Slopes(entry.name, *limits, scale=scale)
    return None


def _measured(region: Region, dtype: np.dtype) -> Slopes:
    z = jnp.asarray(np.concatenate([_GRID, _FAR]), dtype)
    value, slope = (np.asarray(v, np.float64) for v in jax.jvp(region, (z,), (jnp.ones_like(z),)))
    if not (np.all(np.isfinite(value)) and np.all(np.isfinite(slope))):
        return NO_ACTIVATION
    near, far = np.abs(slope[: len(_GRID)]), np.abs(slope[len(_GRID) :])
    steepest = float(near.max())
    curved = float(np.ptp(slope)) > 1e-2 * steepest
    if not curved or steepest > 100 or float(far.max()) > 30 * max(steepest, 1.0):
        return NO_ACTIVATION
    return Slopes("φ", *_flat_limits(near / steepest, far / steepest))


def _flat_limits(slope: np.ndarray, far: np.ndarray) -> tuple[float, float]:
    """The ends of the flat sides: flat means at most a tenth, and going on to zero."""
    steep = np.flatnonzero(slope > 0.1).tolist()
    below, above = -np.inf, np.inf
    if far[0] < 1e-3 and far[0] <= far[1] <= 0.1 and steep[0] > 0:
        below = _between(slope, steep[0] - 1, steep[0])
    if far[-1] < 1e-3 and far[-1] <= far[-2] <= 0.1 and steep[-1] < len(slope) - 1:
        above = _between(slope, steep[-1] + 1, steep[-1])
    # Where the slope grows without bound, as that of relu², it passes a tenth of itself on the
    # other side of 0; then 0 is where the flat side ends.
    return min(below, 0.0), max(above, 0.0)


def _between(slope: np.ndarray, flat: int, steep: int) -> float:
    """Where the slope passes a tenth, between two points of the grid; a kink is at the first."""
    if abs(_GRID[flat]) <= 1e-3 and abs(_GRID[steep]) <= 1e-3:
        return 0.0
    jump = slope[steep] - slope[flat]
    if jump > 0.3:
        return float(_GRID[flat])
    return float(_GRID[flat] + (0.1 - slope[flat]) / jump * (_GRID[steep] - _GRID[flat]))
