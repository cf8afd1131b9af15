"""Concrete arguments are looked at before tracing: what is wrong is refused by its name.

`fuzz_arguments` calls every public function with twenty kinds of wrong value for each argument;
`refused_calls` has what it does not draw: values that are wrong for their place only. Both are
programs of their own, because the suite checks types at run time and refuses some by itself.
"""

import importlib
import json
import pathlib
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from wrong_values import KINDS

import hondo


def run(program):
    path = pathlib.Path(__file__).with_name(program)
    done = subprocess.run([sys.executable, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def answers():
    return run("fuzz_arguments.py")


def test_wrong_arguments_are_refused_by_name(answers) -> None:
    counts = Counter(answer["answer"] for answer in answers)
    others = [answer for answer in answers if answer["answer"] != "clear"]
    assert counts["clear"] >= 0.98 * counts.total(), others


def test_no_wrong_argument_is_accepted(answers) -> None:
    assert [answer for answer in answers if answer["answer"] == "accepted"] == []


def test_the_fuzz_calls_every_public_function_with_enough_kinds() -> None:
    # Imported here, because to make all arguments takes seconds.
    right = importlib.import_module("right_calls")
    functions = {name for name in hondo.__all__ if callable(getattr(hondo, name))}
    types = {name for name in functions if isinstance(getattr(hondo, name), type)}
    assert functions - types - {name.split(".")[0] for name in right.CALLS} == set(right.EXEMPT)
    assert len(KINDS) >= 14
    arguments = [one for call in right.CALLS.values() for one in call.arguments.values()]
    drawn = [len(KINDS.keys() - one.takes) for one in arguments]
    assert np.mean(drawn) > 14


def test_values_that_are_wrong_in_their_place_are_refused_by_name() -> None:
    assert run("refused_calls.py") == []
