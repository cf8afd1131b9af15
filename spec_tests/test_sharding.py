"""On many devices as on one: explicit and automatic meshes, shard_map with its checks, whole runs.

Each test is a process of its own that has eight devices.
"""

import os
import pathlib
import subprocess
import sys

import pytest
from compile_quickly import with_devices

HERE = pathlib.Path(__file__).parent


def run(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, HERE / program, *arguments],
        env={**os.environ, **with_devices(8)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr[-2000:] if done.returncode else done.stdout.strip()


@pytest.mark.slow
@pytest.mark.promise(6)
@pytest.mark.parametrize("kind", ["explicit", "auto", "shard_map"])
def test_every_function_works_where_its_data_is_divided(kind: str) -> None:
    assert run("sharded_calls.py", kind) == ""


@pytest.mark.slow
@pytest.mark.parametrize("check", ["flops", "runs", "uneven", "shard_map", "pipelines"])
def test_a_run_on_eight_devices_is_the_run_on_one(check: str) -> None:
    assert run("sharded_runs.py", check) == "as on one device"
