"""Calls every public function with wrong arguments and prints how each was refused, as JSON.

A program of its own, because the test suite checks types at run time and refuses some by itself.
"""

import json
import re
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

from right_calls import CALLS
from wrong_values import KINDS, Call

import hondo

SOURCE = str(Path(hondo.__file__).parent)


def classify(right: Call, name: str, kind: str) -> tuple[str, str]:
    """How a call is answered where one argument is of a wrong kind, and in which words."""
    values = {key: argument.value for key, argument in right.arguments.items()}
    values[name] = KINDS[kind](values[name])
    try:
        right.function(**values)
    except Exception as error:
        return judge(error, name), f"{type(error).__name__}: {error}"[:200]
    return "accepted", ""


def judge(error: Exception, name: str) -> str:
    """Clear if hondo itself raised the error and its words name the argument."""
    *_, last = traceback.walk_tb(error.__traceback__)
    is_ours = last[0].f_code.co_filename.startswith(SOURCE)
    if not is_ours or not isinstance(error, ValueError | TypeError) or " must " not in str(error):
        return "foreign"
    return "clear" if re.search(rf"\b{name}\b", str(error)) else "unnamed"


def answers() -> Iterator[dict[str, str]]:
    """The answer to each kind of value that is wrong for an argument, one argument at a time."""
    for function, right in CALLS.items():
        for name, argument in right.arguments.items():
            for kind in KINDS.keys() - argument.takes:
                answer, words = classify(right, name, kind)
                call = {"function": function, "argument": name, "kind": kind}
                yield {**call, "answer": answer, "words": words}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(list(answers())))
