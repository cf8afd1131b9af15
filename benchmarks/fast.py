"""Each fast form beside its plain form: the list that `spec_tests/test_fast.py` holds to account.

`python -m benchmarks fast` prints the ratios that the headers of `hondo/_fast/` quote, and
`--only convolution` those of the pairs that have the word in their name.
"""

from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from benchmarks import fast_arrays, fast_draws, fast_norms
from benchmarks.fast_pair import Function, Pair, arguments, with_gradient
from benchmarks.measure import Row, Rows, Run, Settings, race, ratio

NAME = "fast"
PAIRS = [*fast_norms.PAIRS, *fast_arrays.PAIRS, *fast_draws.PAIRS]


def compare(settings: Settings) -> Rows:
    """The time of each fast form over that of its plain form, forward and with its gradient."""
    chosen = [pair for pair in PAIRS if settings.only in pair.name]
    for pair in chosen[: 3 if settings.quick else None]:
        for dtype in [d for d in pair.dtypes if d in (jnp.float32, jnp.bfloat16)]:
            yield from _case(settings, pair, dtype)


def _case(settings: Settings, pair: Pair, dtype: DTypeLike) -> Iterator[Row]:
    args = arguments(pair, pair.large, dtype)
    case = f"{pair.name}, {'×'.join(map(str, pair.large[0]))} {jnp.dtype(dtype).name}"
    forms = {"fast": pair.fast, "plain": pair.plain}

    def jitted(name: str, function: Function) -> Function:
        return pair.compiled(function, is_fast=name == "fast")

    kinds = {"forward": lambda f: f, "with its gradient": with_gradient}
    for kind in list(kinds)[: 2 if pair.gradient else 1]:
        runs = {n: partial(jitted(n, kinds[kind](form)), *args) for n, form in forms.items()}
        yield Row(NAME, f"{case} {kind}", "fast / plain", *ratio(race(runs, settings), *forms))
    if pair.is_compiled_faster:
        runs = {n: _compilation(partial(jitted, n), form, args) for n, form in forms.items()}
        times = race(runs, settings._replace(seconds=0.0))
        yield Row(NAME, f"{case} to compile", "fast / plain", *ratio(times, *forms))


def _compilation(
    jitted: Callable[[Function], Function], function: Function, args: list[jax.Array]
) -> Run:
    # A new function each time, because JAX compiles one it has seen no more.
    return lambda: jitted(lambda *args: function(*args))(*args)
