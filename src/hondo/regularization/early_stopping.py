"""Early stopping as a pure value (slide 4): it knows neither loops nor files."""

from collections.abc import Callable
from enum import IntEnum
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from hondo._bind import bind
from hondo._numerics.checks import (
    check_bool,
    check_choice,
    check_count,
    check_range,
    check_real_number,
    check_type,
    error,
    python_value,
)
from hondo._numerics.sharding import vary_with
from hondo._numerics.tree_checks import check_same_form
from hondo._types import Tree

# What is kept of the best step, such as the parameters.
Payload: TypeAlias = Tree
# What an int32 counts to.
_MOST_STEPS = 2**31 - 1


class StopReason(IntEnum):
    """Why a run ended, or RUNNING while it has not; the rule itself gives the first three.

    Example:
        >>> import hondo
        >>> hondo.StopReason(1).name, int(hondo.StopReason.BUDGET)
        ('PATIENCE', 3)
    """

    RUNNING = 0
    PATIENCE = 1
    TARGET = 2
    BUDGET = 3
    INTERRUPTED = 4
    NONFINITE = 5


class EarlyStoppingState(NamedTuple):
    """The stopper's whole memory: arrays whose structure, shapes and dtypes `update` keeps.

    Attributes:
        stopped: whether the rule has stopped; once true, nothing below changes any more.
        best_value: the best value seen, +inf (mode "min") or -inf ("max") before there is one.
        best_step: the index of the update that brought it, -1 before there is one.
        best: the payload of that update, bit for bit; the payload of `init` before there is one.
        wait: how many updates in a row have brought no improvement.
        step: how many updates there have been.
        reason: a `StopReason`.

    Example:
        >>> import hondo
        >>> stopper = hondo.early_stopping(patience=9, mode="max")
        >>> state = stopper.init(0)
        >>> for accuracy in (0.7, 0.9, 0.8):
        ...     state = stopper.update(state, accuracy, 0)
        >>> int(state.best_step), int(state.wait), bool(state.stopped)
        (1, 1, False)
    """

    stopped: Bool[Array, ""]
    best_value: Float[Array, ""]
    best_step: Int[Array, ""]
    best: Payload
    wait: Int[Array, ""]
    step: Int[Array, ""]
    reason: Int[Array, ""]


class EarlyStopping(NamedTuple):
    """A stopping rule: `init(payload)` → state, `update(state, value, payload)` → state.

    Example:
        >>> import hondo
        >>> stopper = hondo.early_stopping(patience=1, mode="min")
        >>> bool(stopper.update(stopper.init(0), 0.5, 0).stopped)
        False
    """

    init: Callable[[Payload], EarlyStoppingState]
    update: Callable[[EarlyStoppingState, ArrayLike, Payload], EarlyStoppingState]


def early_stopping(
    patience: int,
    *,
    mode: Literal["min", "max"],
    min_delta: float | Array = 0.0,
    relative: bool = False,
    target: float | Array | None = None,
    warmup: int = 0,
    baseline: float | Array | None = None,
) -> EarlyStopping:
    r"""Stops after `patience` updates in a row without improvement and keeps the best payload.

    With best value $b$, new value $v$ and minimal difference $\delta$, in mode "min" an update
    improves if and only if

    $$ b - v > \delta \quad\text{(absolute)}, \qquad b - v > \delta\,|b| \quad\text{(relative)}, $$

    and mode "max" is mode "min" of $-v$. The rule stops at the first update that completes exactly
    `patience` consecutive non-improvements, or that reaches the target. NaN never improves;
    infinities are ordinary values. Comparisons are made in float32.

    The same state comes out of a Python loop, `jax.jit`, `lax.scan` and `jax.vmap`. Under
    `jax.shard_map` it varies over the axes over which the payload of `init` does.

    Args:
        patience: consecutive non-improvements that end the run, an integer ≥ 0; 0 is 1.
        mode: "min" for a loss, "max" for a score; required, never guessed.
        min_delta: $\delta$ ≥ 0; a difference of exactly $\delta$ is not an improvement.
        relative: whether $\delta$ is a fraction of $|b|$; right for negative values too.
        target: a value that is good enough to stop at once, or None.
        warmup: the first so many updates are never counted as waiting; the best is kept from
            the first one all the same. An integer ≥ 0.
        baseline: a value that an improvement must improve on too, or waiting goes on through it,
            as in Keras; the best is kept whatever it is, and a run ends at a non-improvement only.

    Returns:
        The pair `(init, update)`.

    Raises:
        ValueError: patience < 0, warmup < 0, min_delta negative, NaN or an array, target or
            baseline NaN or an array, unknown mode; at an update, a value that is an array, or a
            payload that has not the structure, shapes and dtypes of `init`'s.

    Example:
        >>> import jax.numpy as jnp
        >>> from hondo import early_stopping
        >>> stopper = early_stopping(2, mode="min")
        >>> state = stopper.init({"w": jnp.zeros(())})
        >>> for step, loss in enumerate([3.0, 1.0, 2.0, 1.5]):
        ...     state = stopper.update(state, loss, {"w": jnp.asarray(float(step))})
        >>> bool(state.stopped), float(state.best_value), int(state.best_step)
        (True, 1.0, 1)
        >>> float(state.best["w"])
        1.0

    References:
        Slide 4, "Paro temprano"; Goodfellow et al. 2016, algorithm 7.1.
    """
    check_count("patience", patience, least=0)
    check_count("warmup", warmup, least=0)
    check_choice("mode", mode, ("min", "max"))
    check_range("min_delta", min_delta, 0.0, repair="Only mode says which direction is better.")
    _check_value("target", target)
    _check_value("baseline", baseline)
    check_bool("relative", relative)
    sign = 1.0 if mode == "min" else -1.0
    goal = None if target is None else sign * python_value(target)
    mark = None if baseline is None else sign * python_value(baseline)
    rule = _Rule(patience, sign, python_value(min_delta), relative, goal, warmup, mark)
    return EarlyStopping(bind(_init, rule), bind(_update, rule))


def _check_value(name: str, value: float | Array | None) -> None:
    if value is None:
        return
    check_real_number(name, value)
    if not isinstance(value, Tracer) and np.isnan(value):
        raise error(name, value, "a number", f"None is without a {name}.")


class _Rule(NamedTuple):
    """The arguments of `early_stopping`, with sign·value to be minimized; arrays only if traced."""

    patience: int
    sign: float
    min_delta: float | Array
    relative: bool
    goal: float | Array | None
    warmup: int
    baseline: float | Array | None


def _init(rule: _Rule, payload: Payload) -> EarlyStoppingState:
    # Each leaf has a buffer of its own, because a buffer of two leaves cannot be donated.
    state = EarlyStoppingState(
        stopped=jnp.zeros((), bool),
        best_value=jnp.full((), rule.sign * jnp.inf, jnp.float32),
        best_step=jnp.full((), -1, jnp.int32),
        best=jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), payload),
        wait=jnp.zeros((), jnp.int32),
        step=jnp.zeros((), jnp.int32),
        reason=jnp.zeros((), jnp.int32),
    )
    return vary_with(state, payload, (rule.min_delta, rule.goal, rule.baseline))


def _update(
    rule: _Rule, state: EarlyStoppingState, value: ArrayLike, payload: Payload
) -> EarlyStoppingState:
    check_type("state", state, EarlyStoppingState, "init(payload) makes the first.")
    check_real_number("value", value)
    check_same_form("payload", payload, "init's", state.best)
    value = jnp.asarray(value, jnp.float32)
    improved = _improves(rule, rule.sign * state.best_value, rule.sign * value)
    resets = improved
    if rule.baseline is not None:
        resets &= _improves(rule, jnp.asarray(rule.baseline, jnp.float32), rule.sign * value)
    wait = jnp.where(resets | (state.step < min(rule.warmup, _MOST_STEPS)), 0, state.wait + 1)
    reason = _reason(rule, jnp.where(improved, 0, wait), rule.sign * value)
    new = EarlyStoppingState(
        stopped=reason != StopReason.RUNNING,
        best_value=jnp.where(improved, value, state.best_value),
        best_step=jnp.where(improved, state.step, state.best_step),
        best=optax.tree.where(improved, payload, state.best),
        wait=wait,
        step=state.step + 1,
        reason=reason,
    )
    return optax.tree.where(state.stopped, state, new)


def _improves(rule: _Rule, best: Array, value: Array) -> Array:
    """Whether best - value > δ, or δ·|best|; an infinite best is beaten by anything less."""
    magnitude = jnp.abs(jnp.where(jnp.isfinite(best), best, 0.0))
    scale = magnitude if rule.relative else jnp.float32(1.0)
    # Compiled code may flush a subnormal difference to zero, but compares exactly.
    min_delta = jnp.asarray(rule.min_delta, jnp.float32)
    by_enough = (min_delta == 0) | (best - value > min_delta * scale)
    return (value < best) & by_enough


def _reason(rule: _Rule, wait: Array, value: Array) -> Array:
    patience = min(max(rule.patience, 1), _MOST_STEPS)
    waited = jnp.where(wait >= patience, int(StopReason.PATIENCE), int(StopReason.RUNNING))
    goal = None if rule.goal is None else jnp.asarray(rule.goal, jnp.float32)
    reached = jnp.zeros((), bool) if goal is None else value <= goal
    return jnp.where(reached, int(StopReason.TARGET), waited).astype(jnp.int32)
