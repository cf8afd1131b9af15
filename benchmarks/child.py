"""What a process of its own costs: the processor's seconds, and the peak of its memory."""

import importlib
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import Times


def processor_seconds() -> float:
    """What all threads of this process have used; less than the wall's time on a busy machine."""
    return time.process_time()


def peak_bytes() -> int:
    """The most memory that this process has had.

    `getrusage` would tell the peak of the process before `exec` where that one had more.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def load(*packages: str) -> None:
    """Imports what a contender needs, before its clock starts."""
    for package in ("benchmarks.job_networks", *packages):
        importlib.import_module(package)


def ask(module: str, *arguments: Any, cache: Path | None = None) -> dict[str, Any]:
    """What `python -m benchmarks.<module>` answers to these arguments, one line of JSON.

    Args:
        module: of the benchmarks.
        *arguments: as they are, or as JSON.
        cache: the folder for what JAX compiles; None for no cache.

    Returns:
        The answer.
    """
    told = [
        argument if isinstance(argument, str) else json.dumps(argument) for argument in arguments
    ]
    command = [sys.executable, "-m", f"benchmarks.{module}", *told]
    # Or a first run would find what another one has compiled.
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    if cache is not None:
        environment["JAX_COMPILATION_CACHE_DIR"] = str(cache)
        # As the command line has it.
        environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def in_turns(
    module: str, cases: dict[str, tuple[Any, ...]], rounds: int, *fields: str
) -> tuple[Times, ...]:
    """Some fields of each contender's answers, a process a turn, A B A B."""
    times: tuple[Times, ...] = tuple({name: [] for name in cases} for _ in fields)
    for _ in range(rounds):
        for name, arguments in cases.items():
            answer = ask(module, *arguments)
            for found, field in zip(times, fields, strict=True):
                found[name].append(float(answer[field]))
    return times
