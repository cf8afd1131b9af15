"""Hashes of what every public function computes, so that two trees can be compared bit for bit.

    python spec_tests/hash_bits.py --out before.txt
    python spec_tests/hash_bits.py --against before.txt
    python spec_tests/hash_bits.py --against before.txt --only dropout

Each line is `name dtype shape kind hash`, for the outputs or the gradient of one call, eager or
jitted, on one kind of data; where a call raises, the error's type stands for the hash. The script
knows nothing of hondo but its public names, so it judges a tree before and after files move.
The bits are those of one machine and one version of JAX, which have a line of their own. With
JAX_COMPILATION_CACHE_DIR and JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 a later run takes a
quarter of the time.
"""

import argparse
import difflib
import hashlib
import importlib
import inspect
import os
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from bits_calls import ALL_KINDS, CALLS, Call
from bits_gradients import GRADIENT_CALLS
from bits_modules import Runs
from bits_runs import INSIDE, RUNS

import hondo
import hondo.linen
import hondo.nnx

KEY = jax.random.key(17)
# Compilation takes the time, of eager calls most: each operation is compiled by itself.
KINDS = {
    "float32": ALL_KINDS,
    "bfloat16": ("jit", "jit-gradient"),
    "float16": ("jit-gradient",),
    "float64": ("jit-gradient",),
}
VALUES = ("eager", "jit")  # of calls without a gradient, in every dtype
Line = tuple[str, str]


def draw(shape: tuple[int, ...], dtype: str, data: str) -> jax.Array:
    """Normal numbers and a zero: near 0, far from it, with squares that overflow, or broken."""
    x = np.random.default_rng(len(shape)).normal(size=shape) * 2
    x.flat[:1] = 0.0
    limits = jnp.finfo(dtype)
    if data == "far":
        x += 1000.0
    elif data == "huge":
        x *= np.sqrt(float(limits.max))
    elif data == "broken" and x.size:
        values = (np.nan, np.inf, -np.inf, float(limits.tiny) / 4)
        for place, value in zip((1, 2, -1, -2), values, strict=True):
            x.flat[place % x.size] = value
    return jnp.asarray(x, dtype)


def inputs(call: Call, dtype: str, data: str) -> Any:
    if not isinstance(call.shapes, dict):
        return draw(call.shapes, dtype, data)
    kinds = {name: data if name == "x" else "near" for name in call.shapes}
    return {name: draw(shape, dtype, kinds[name]) for name, shape in call.shapes.items()}


def gradient(run: Callable[[Any, Any], Any], key: Any, x: Any) -> Any:
    """The floating outputs, and what comes back to x from a fixed cotangent for each."""

    def floats(x: Any) -> list[jax.Array]:
        leaves = map(jnp.asarray, jax.tree.leaves(run(key, x)))
        return [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]

    outputs, pull_back = jax.vjp(floats, x)
    rng = np.random.default_rng(0)
    cotangents = [jnp.asarray(rng.normal(size=y.shape), y.dtype) for y in outputs]
    return outputs, pull_back(cotangents)


def as_bytes(leaf: Any) -> bytes:
    """Dtype, shape and values; one NaN is like another."""
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    values = np.asarray(leaf)
    if jnp.issubdtype(values.dtype, jnp.floating):
        values = np.where(np.isnan(values), values.dtype.type(np.nan), values)
    return f"{values.dtype}{values.shape}".encode() + values.tobytes()


def digest(found: Any) -> str:
    if isinstance(found, Exception):
        return type(found).__name__
    return hashlib.sha256(b"".join(map(as_bytes, jax.tree.leaves(found)))).hexdigest()[:16]


def attempt(run: Callable[..., Any], *arguments: Any) -> Any:
    """The result, or the error: what a function refuses is part of what it does."""
    try:
        return run(*arguments)
    except Exception as error:
        return error


def hash_call(call: Call, dtype: str) -> Iterator[Line]:
    def pull(key: Any, x: Any) -> Any:
        return gradient(call.run, key, x)

    programs = {"eager": call.run, "jit": jax.jit(call.run)}
    programs |= {"eager-gradient": pull, "jit-gradient": jax.jit(pull)}
    kinds = set(call.kinds).intersection(KINDS[dtype] if call.differentiable else VALUES)
    shape = call.shapes["x"] if isinstance(call.shapes, dict) else call.shapes
    place = f"{call.id} {dtype} {'x'.join(map(str, shape)) or 'scalar'}"
    for data in call.data:
        x = inputs(call, dtype, data)
        for kind in kinds:
            yield f"{place} {kind}/{data}", digest(attempt(programs[kind], KEY, x))


def hash_run(name: str, run: Callable[[], Any]) -> Iterator[Line]:
    found = attempt(run)
    parts = {"run": found} if isinstance(found, Exception) else found
    for part, value in parts.items():
        yield f"{name} - - {part}", digest(value)


def generic_calls() -> Iterator[Call]:
    """The cases of the generic laws."""
    for path in sorted(pathlib.Path(__file__).parent.glob("cases_*.py")):
        for case in importlib.import_module(path.stem).CASES:
            options = case.label, case.differentiable, ALL_KINDS
            yield Call(case.name, case.run, case.shape, *options)


def hash_all(calls: list[Call], runs: Runs) -> Iterator[Line]:
    for dtype in KINDS:
        with jax.enable_x64(dtype == "float64"):
            for call in calls:
                yield from hash_call(call, dtype)
        jax.clear_caches()  # of programs, which fill gigabytes
    for name, run in runs.items():
        yield from hash_run(name, run)


def machine() -> Line:
    return "machine - - jax", f"{jax.__version__}-{jax.default_backend()}-{os.cpu_count()}"


def all_calls() -> list[Call]:
    return [*generic_calls(), *CALLS, *GRADIENT_CALLS]


def assert_complete() -> None:
    """Every public function and every module has a line."""
    covered = {call.name for call in all_calls()} | {name.split(":")[0] for name in RUNS}
    public = {name for name in hondo.__all__ if inspect.isfunction(getattr(hondo, name))}
    for front, face in {"linen": hondo.linen, "nnx": hondo.nnx}.items():
        public |= {f"{front}.{name}" for name in face.__all__}
    missing = public - covered - set(INSIDE)
    assert not missing, f"without a hash: {sorted(missing)}"


def compare(old: list[str], new: list[str]) -> int:
    changed = list(difflib.unified_diff(old, new, "against", "here", lineterm="", n=0))
    print("\n".join(changed) or f"{len(new)} lines, the same bits")
    return int(bool(changed))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, help="the file for the lines, else stdout")
    parser.add_argument("--against", type=pathlib.Path, help="the lines of another tree")
    parser.add_argument("--only", default="", help="a part of the names")
    options = parser.parse_args()
    assert_complete()
    calls = [call for call in all_calls() if options.only in call.id]
    runs = {name: run for name, run in RUNS.items() if options.only in name}
    lines = sorted(f"{place} {value}" for place, value in [machine(), *hash_all(calls, runs)])
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")
    if options.against:
        old = options.against.read_text().splitlines()
        chosen = (line for line in old if options.only in line.split()[0] or "machine" in line)
        return compare(sorted(chosen), lines)
    if not options.out:
        print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
