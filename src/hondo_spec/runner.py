"""Runs properties on targets, judges what they find, and never crashes over a bad adapter."""

import copy
import itertools
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from hondo_spec.corpus import stored_inputs
from hondo_spec.draws import Cases, Made, refusable
from hondo_spec.profiles import Profile
from hondo_spec.property import RESERVED, Draw, Property
from hondo_spec.results import OperationError, Result, Stat, Verdict, judge
from hondo_spec.target import Known, Target
from hondo_spec.time_limit import TimeUpError, time_limit

STATUSES = ("PASS", "FAIL", "XFAIL", "XPASS", "N/A", "UNPOWERED", "VACUOUS", "ERROR")
RAISES = "raises"  # what a result is called where there is none but an error
# Hypothesis stays near what it drew: several short searches come further around than a long one.
_SEARCHES, _LEAST = 5, 4  # of one property, and examples of one search, at least
# What makes a run fail.
UNEXPECTED = ("FAIL", "XPASS", "VACUOUS", "ERROR")


class Record(NamedTuple):
    """What came of one property on one target.

    Attributes:
        target: its name.
        id: of the property.
        status: one of `STATUSES`.
        headroom: the largest error over its bound among all that was drawn.
        message: got, want and bound where it is worst, or the reason.
        inputs: the minimal drawn inputs at which it fails.
        examples: how many inputs were tried.
        assertions: how many statistical assertions were made.
        seconds: how long it took.
    """

    target: str
    id: str
    status: str
    headroom: float = 0.0
    message: str = ""
    inputs: Mapping[str, Any] | None = None
    examples: int = 0
    assertions: int = 0
    seconds: float = 0.0


class _RefutedError(Exception):
    """A verdict other than PASS; hypothesis shrinks the inputs that lead to it."""


def run_property(property: Property, target: Target, profile: Profile) -> Record:
    """Judges one property; whatever the target does, there is a record."""
    began = time.perf_counter()
    trial = _Trial(property, target, profile)
    if missing := [name for name in property.needs if name not in target.operations]:
        return Record(target.name, property.id, "N/A", message=f"has no {', '.join(missing)}")
    known = target.known.get(property.id)
    known = trial.known = known if known and known.holds_in(target.version) else None
    if known and known.inputs and set(known.inputs) != set(property.draws):
        wanted = f"the stored inputs must be {', '.join(property.draws)}"
        return Record(target.name, property.id, "ERROR", message=wanted)
    status = _attempt(trial)
    message, inputs = trial.worst.message, trial.inputs
    if known:
        status, message, inputs = _beside_known(trial, known, status)
    inputs = inputs if status not in ("PASS", "UNPOWERED", "N/A") else None
    return Record(
        target.name, property.id, status, trial.worst.headroom, message, inputs,
        trial.examples, trial.assertions, time.perf_counter() - began,
    )  # fmt: skip


def _attempt(trial: "_Trial") -> str:
    """Explores, and notes the worst verdict and whether the known failure shows; the status."""
    try:
        with time_limit(trial.profile.seconds):
            trial.fails = trial.known is not None and _fails(trial, trial.known)
            _explore(trial)
    except _RefutedError:
        return trial.worst.status
    except Flaky as reason:
        trial.worst = _error(f"not a function of its inputs: {reason}")
    except TimeUpError as reason:
        trial.worst = _error(str(reason))
    except Exception as reason:
        trial.worst = _error(_explain(reason))
    else:
        return _unrefuted(trial)
    return "ERROR"


def _unrefuted(trial: "_Trial") -> str:
    """The status where nothing fails: an operation must not refuse everything unless it says so."""
    for name, (reason, inputs) in trial.refused.items():
        if name not in trial.answered:
            trial.worst = _error(f"it refuses all that is drawn, and does not declare it: {reason}")
            trial.inputs = inputs
            return "ERROR"
    if trial.found or trial.known:
        return trial.worst.status if trial.worst.status == "UNPOWERED" else "PASS"
    trial.worst = _error("it refuses all that is drawn, as it declares, or has too few devices")
    return "N/A"


def _beside_known(
    trial: "_Trial", known: Known, status: str
) -> tuple[str, str, Mapping[str, Any] | None]:
    """The status, message and inputs of a property of which a failure is known."""
    message, inputs = trial.worst.message, trial.inputs
    if status == "PASS" or (trial.excused and status == "UNPOWERED"):
        status = "XFAIL" if trial.fails or trial.excused else "XPASS"
        return status, f"{known.reason} · {trial.excused or message}", known.inputs or inputs
    if status == "UNPOWERED":
        return status, f"{known.reason} · {message}", inputs
    if known.inputs is None and known.case is None and status != "VACUOUS":
        return "XFAIL", f"{known.reason} · {message}", inputs
    return status, f"beside what is known ({known.reason}): {message}", inputs


class _Trial:
    """One property on one target: the body, and the worst verdict so far."""

    def __init__(self, property: Property, target: Target, profile: Profile):
        self.property, self.target, self.profile = property, target, profile
        self.worst = Verdict("PASS", -1.0, "")
        self.inputs: Mapping[str, Any] | None = None
        self.known: Known | None = None
        # Whether it shows at its stored inputs.
        self.fails = False
        # The results that fail where the failure is known, and the first that was excused.
        self.seen: frozenset[str] = frozenset()
        self.excused = ""
        # The operations that answer, and those that refuse undeclared: first error and inputs.
        self.answered: set[str] = set()
        self.refused: dict[str, tuple[str, Mapping[str, Any] | None]] = {}
        self.examples = self.assertions = self.found = 0

    def __call__(self, **drawn: Any) -> None:
        """Raises `_RefutedError` if any result is not PASS; a statistic may only be unpowered."""
        self.examples += 1
        # As drawn, whatever the target writes there.
        self.inputs = copy.deepcopy(drawn)
        try:
            for result in results(self.property, self.target, self.profile, drawn, self.answered):
                self.judge(result)
        except OperationError as reason:
            if not (self.is_known(RAISES, str(reason)) or self.may_refuse(reason, drawn)):
                raise

    def judge(self, result: Result) -> None:
        """Raises `_RefutedError` unless it is right, unpowered, or known to fail."""
        self.found += 1
        self.assertions += isinstance(result, Stat)
        verdict = judge(result, self.profile.level)
        if verdict.status == "FAIL" and self.is_known(result.what, verdict.message):
            return
        if verdict.status in ("FAIL", "VACUOUS"):
            self.worst = verdict
            raise _RefutedError(verdict.message)
        self.worst = max(self.worst, verdict, key=lambda v: (v.status == "UNPOWERED", v.headroom))

    def may_refuse(self, reason: OperationError, drawn: Mapping[str, Any]) -> bool:
        """Whether not everybody takes what was drawn; notes who refuses it undeclared."""
        kinds = set().union(*map(refusable, drawn.values())) if reason.refused_by else set()
        if not any(self.target.conventions.get(kind) == "refused" for kind in kinds):
            self.refused.setdefault(reason.refused_by, (str(reason), self.inputs))
        return bool(kinds)

    def is_known(self, what: str, message: str) -> bool:
        """Whether a failure at the present inputs is the known one, and notes that it was met."""
        given = {name: _given(value) for name, value in (self.inputs or {}).items()}
        known = self.known is not None and self.known.excuses(what, given, self.seen)
        self.excused = self.excused or (message if known else "")
        return known


def results(
    property: Property, target: Target, profile: Profile, drawn: Mapping[str, Any],
    answered: set[str] | None = None,
) -> Iterator[Result]:  # fmt: skip
    """What a property finds on a target at these inputs; the names of what answers are added."""
    reserved = {"samples": profile.samples, "conventions": target.conventions}
    names = set() if answered is None else answered
    arguments = [
        reserved[name] if name in RESERVED else _guarded(name, target.operations.get(name), names)
        for name in property.arguments
    ]
    answer = property.body(*arguments, **{name: _given(value) for name, value in drawn.items()})
    yield from [answer] if isinstance(answer, Result) else answer


def _given(drawn: Any) -> Any:
    return drawn() if isinstance(drawn, Made) else drawn


def _error(message: str) -> Verdict:
    return Verdict("ERROR", 0.0, message)


def _explore(trial: _Trial) -> None:
    for inputs in stored_inputs(trial.property, trial.profile.corpus):
        trial(**inputs)
    draws = trial.property.draws
    tuples = [values for values in draws.values() if isinstance(values, tuple)]
    if len(tuples) == len(draws):
        for values in itertools.product(*tuples):
            trial(**dict(zip(draws, values, strict=True)))
    else:
        _search(trial)


def _search(trial: _Trial) -> None:
    """Searches for each case of what has most of them, and draws among those of the others."""
    parts = {name: _cases(draw) for name, draw in trial.property.draws.items()}
    profile = trial.profile
    swept, cases = max(parts.items(), key=lambda part: len(part[1]))
    count = max(_SEARCHES, min(len(cases), profile.examples // _LEAST))
    configured = settings(
        max_examples=-(-profile.examples // count), derandomize=not profile.fresh,
        phases=tuple(Phase) if profile.shrink else (Phase.generate,),
        database=None, deadline=None, report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip

    for number in range(count):
        turn = {**parts, swept: cases[number % len(cases) :: count]}
        drawn = {name: st.one_of(*some) for name, some in turn.items()}
        # Hypothesis wants a function.
        search = given(**drawn)(lambda **values: trial(**values))
        if not profile.fresh or profile.seed is not None:
            search = hypothesis.seed((profile.seed or 0) * count + number)(search)
        configured(search)()


def _cases(draw: Draw) -> tuple[st.SearchStrategy[Any], ...]:
    if isinstance(draw, Cases):
        return draw.strategies
    return tuple(map(st.just, draw)) if isinstance(draw, tuple) else (draw,)


def _fails(trial: _Trial, known: Known) -> bool:
    """Whether the known failure shows at its stored inputs; notes by which results."""
    if not known.inputs:
        return False
    failed, inputs = {}, copy.deepcopy(known.inputs)
    try:
        for result in results(trial.property, trial.target, trial.profile, inputs):
            verdict = judge(result, trial.profile.level)
            if verdict.status == "FAIL":
                failed[result.what] = verdict.message
    except Exception as reason:
        failed[RAISES] = _explain(reason)
    trial.seen, trial.excused = frozenset(failed), next(iter(failed.values()), "")
    return bool(failed)


def _guarded(
    name: str, operation: Callable[..., Any] | None, answered: set[str]
) -> Callable[..., Any] | None:
    if operation is None:
        return None

    def call(*arguments: Any) -> Any:
        before = _bytes(arguments)
        try:
            answer = as_arrays(operation(*arguments))
        except TimeUpError as reason:
            raise TimeUpError(f"{name}: {reason}{_line(reason)}") from None
        except KeyboardInterrupt:
            raise
        # Exits and the outcomes of test frameworks too, which are no Exceptions.
        except BaseException as reason:
            raise OperationError(f"{name} raised {_explain(reason)}", refused_by=name) from reason
        if _bytes(arguments) != before:
            # What is drawn is also what the answer is compared with.
            raise OperationError(f"{name} wrote to its arguments")
        answered.add(name)
        return answer

    return call


def _bytes(value: Any) -> list[bytes]:
    """The content of every array in a structure of arguments."""
    if isinstance(value, Mapping):
        return _bytes([*value.values()])
    if isinstance(value, list | tuple):
        return [content for one in value for content in _bytes(one)]
    return [value.tobytes()] if isinstance(value, np.ndarray) else []


def as_arrays(answer: Any) -> Any:
    """The answer with NumPy arrays for those of other libraries, also inside of containers."""
    if isinstance(answer, Mapping):
        return {name: as_arrays(value) for name, value in answer.items()}
    if isinstance(answer, tuple | list):
        converted = [as_arrays(part) for part in answer]
        return converted if isinstance(answer, list) else tuple(converted)
    foreign = hasattr(answer, "__array__") and not isinstance(answer, np.ndarray | np.generic)
    return np.asarray(answer) if foreign else answer


def _explain(reason: BaseException) -> str:
    """The error and the line that it comes from."""
    if isinstance(reason, OperationError):
        return str(reason)
    return f"{type(reason).__name__}: {reason}{_line(reason)}"


def _line(reason: BaseException) -> str:
    frames = traceback.extract_tb(reason.__traceback__)
    ours = [number for number, frame in enumerate(frames) if frame.filename == __file__]
    # We call hypothesis, which calls us again.
    inner = frames[ours[-1] + 1 if ours else 0 :]
    return f" ({_place(inner[0].filename)}:{inner[0].lineno}: {inner[0].line})" if inner else ""


def _place(filename: str) -> str:
    """Our own files by their place in the package, others where they are."""
    path, package = Path(filename), Path(__file__).parent
    return str(path.relative_to(package.parent)) if path.is_relative_to(package) else filename
