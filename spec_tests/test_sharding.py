"""On many devices as on one: explicit and automatic meshes, shard_map with its checks, whole runs.

Each test is a process of its own that has eight devices.
"""

import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent


def run(program: str, *arguments: str) -> str:
    # Most of the time is compilation, of which XLA's partitioning is the part that counts here.
    flags = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
    done = subprocess.run(
        [sys.executable, HERE / program, *arguments],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
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
