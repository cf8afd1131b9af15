"""A failure as a script in NumPy that knows nothing of this package, for somebody else's issues."""

import copy
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from hondo_spec.adapter_source import source_of
from hondo_spec.areas import BY_ID
from hondo_spec.check import find_profile
from hondo_spec.literals import literal
from hondo_spec.operations import OPERATIONS
from hondo_spec.profiles import Profile
from hondo_spec.property import Property
from hondo_spec.results import Check, Exact, Result, judge
from hondo_spec.runner import Record, as_arrays
from hondo_spec.runner import results as results_of
from hondo_spec.target import Target

# Longer arrays that are not constant are not printed.
LONGEST = 2000


class Call(NamedTuple):
    """One call of an operation: its name, its arguments, and the answer if there was one."""

    name: str
    arguments: tuple[Any, ...]
    answer: Any


def reproducer(
    record: Record, target: Target, profile: Profile | str = "spec-ci", module: str = ""
) -> str:
    """The call that fails, with its arguments written out, and what it should have given.

    The adapter's lines are part of it where they can be read. The property is run once more.

    Args:
        record: of a failure.
        target: what fails.
        profile: of the run.
        module: where the target is, for the lines of its adapter.

    Returns:
        Python; empty for a record without inputs, and where there was no answer.
    """
    if record.inputs is None or "no answer within" in record.message:
        return ""
    property = BY_ID[record.id]
    calls, result = _watched(record, target, find_profile(profile))
    call, path = _call_that_fails(calls, result)
    version = f" {target.version}" if target.version else ""
    stated = f"{target.name}{version}: {property.statement}{_source(property)}."
    head = [f"# {' '.join(text.split())}" for text in (stated, record.message)]
    body = [*_call(call, target, module), *_claim(result, path)] if call else []
    return "\n".join([*head, *_imports(body), *body]) + "\n"


def _source(property: Property) -> str:
    """The paper, without the slide that only this repository knows."""
    paper = property.source.rpartition("; ")[2]
    return "" if paper.startswith(("slide", "the ")) else f" ({paper})"


def _watched(record: Record, target: Target, profile: Profile) -> tuple[list[Call], Result | None]:
    """The calls up to the first result that fails, and that result; None if an operation raises."""
    calls: list[Call] = []

    def watch(name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any) -> Any:
            calls.append(Call(name, copy.deepcopy(arguments), None))
            answer = operation(*arguments)
            calls[-1] = calls[-1]._replace(answer=as_arrays(answer))
            return answer

        return watched

    operations = {name: watch(name, operation) for name, operation in target.operations.items()}
    watched = replace(target, operations=operations)
    # What an operation or, over a strange answer, the property raises is in the record's message.
    with suppress(Exception):
        for result in results_of(BY_ID[record.id], watched, profile, record.inputs or {}):
            if judge(result, profile.level).status == "FAIL":
                return calls, result
    return calls, None


def _call_that_fails(calls: list[Call], result: Result | None) -> tuple[Call | None, str | None]:
    """The call whose answer, or what part of it, is the one that was judged; else the last call."""
    if isinstance(result, Check | Exact):
        for call in reversed(calls):
            for path, leaf in _leaves(call.answer):
                if _same(leaf, result.got):
                    return call, path
    return (calls[-1] if calls else None), None


def _leaves(answer: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(answer, Mapping | list | tuple):
        pairs = answer.items() if isinstance(answer, Mapping) else enumerate(answer)
        for name, value in pairs:
            yield from _leaves(value, f"{path}[{name!r}]")
    elif answer is not None:
        yield path, answer


def _same(one: Any, other: Any) -> bool:
    one, other = np.asarray(one), np.asarray(other)
    alike = one.shape == other.shape and (one == other) | ((one != one) & (other != other))
    return bool(np.all(alike))


def _call(call: Call, target: Target, module: str) -> list[str]:
    """The adapter, its arguments by name, and the call."""
    stub = OPERATIONS[call.name]
    parameters = list(inspect.signature(stub).parameters)
    further = (f"argument_{k}" for k in range(len(call.arguments)))
    names = [*parameters, *further][: len(call.arguments)]
    adapter = source_of(call.name, target.operations[call.name], module)
    summary = (inspect.getdoc(stub) or "").partition("\n")[0]
    unknown = f"{call.name} = ...  # of the library: {summary}"
    return [
        f"\n{adapter or unknown}\n",
        *(f"{name} = {_value(v)}" for name, v in zip(names, call.arguments, strict=True)),
        f"got = {call.name}({', '.join(names)})",
        "print(got)",
    ]


def _value(value: Any) -> str:
    text = literal(value)
    long = isinstance(value, np.ndarray) and value.size > LONGEST and "np.full" not in text
    return f"...  # {value.dtype} of shape {value.shape}, too long to print" if long else text


def _claim(result: Result | None, path: str | None) -> list[str]:
    """What is wrong with the answer, where that is a comparison with one part of it."""
    if path is None or not isinstance(result, Check | Exact) or np.size(result.want) > LONGEST:
        return []
    want = f"want = {literal(np.asarray(result.want))}"
    if isinstance(result, Exact):
        return [want, f"np.testing.assert_array_equal(np.asarray(got{path}), want)"]
    return [
        want,
        f"bound = {literal(np.asarray(result.bound, np.float64))}",
        f"y = np.asarray(got{path}, np.float64)",
        "assert np.all((y == want) | (np.abs(y - want) <= bound)), np.abs(y - want)",
    ]


def _imports(body: list[str]) -> list[str]:
    text = "\n".join(body)
    is_foreign = re.search(r"np\.(array|full)\(.*?, 'bfloat16'\)", text, re.S)
    foreign = ["import ml_dtypes"] if is_foreign else []
    return ([] if "import numpy as np" in text else ["import numpy as np"]) + foreign
