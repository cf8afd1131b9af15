"""Importing hondo brings what it stands on, nothing that only some users need, and its version."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import hondo
import hondo_spec

ROOT = Path(__file__).parent.parent


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
    known = {"jax", "numpy", "flax", "optax", *sys.stdlib_module_names}
    assert brought - known == {"hondo", "jaxtyping"}


def test_the_version_is_one_in_code_package_citation_and_changelog() -> None:
    citation = re.search(r"^version: (\S+)", (ROOT / "CITATION.cff").read_text(), re.M)
    newest = re.search(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert citation
    assert newest
    versions = {citation[1], newest[1], version("hondo"), hondo_spec.__version__}
    assert versions == {hondo.__version__}
