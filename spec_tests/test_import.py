"""Importing hondo brings what it stands on, and nothing that only some users need."""

import subprocess
import sys

import pytest


def imported(statement: str) -> set[str]:
    program = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize("module", ["hondo", "hondo.linen"])
def test_import_pulls_in_no_optional_package(module) -> None:
    """Beyond what jax, flax.linen and optax bring by themselves."""
    given = imported("import jax, flax.linen, optax")
    brought = {name.partition(".")[0] for name in imported(f"import {module}") - given}
    assert brought - {"jax", "numpy", "flax", "optax"} == {"hondo", "jaxtyping"}
