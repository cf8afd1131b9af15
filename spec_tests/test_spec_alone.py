"""hondo_spec judges without JAX, Flax, Optax and hondo; its reproducers need not even itself."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOREIGN = {"jax", "jaxlib", "flax", "optax", "hondo", "keras", "torch", "rich", "tyro"}
BLOCK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ImportError(f"{{name}} is not to be imported", name=name)
sys.meta_path.insert(0, Blocked())
"""
ADAPTER = '''
import numpy as np

from hondo_spec import Target, collect_operations, operation
from hondo_spec.draws import single

SLOPE = 0.5


def halved(x):
    """Not max(0, x)."""
    return SLOPE * x


@operation
def _relu(x):
    """Leaks."""
    return np.where(x > 0, x, halved(single(x)))


TARGET = Target(
    "leaky",
    {**collect_operations(globals()), "relu_gradient": lambda x: single(x > 0), "tanh": np.tanh},
    version="1.0",
)
'''


def run_without(names, program, folder):
    command = [sys.executable, "-c", BLOCK.format(names=set(names)) + program]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def command(*arguments):
    return f"from hondo_spec.__main__ import main\nmain({list(arguments)!r})"


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A run on a wrong implementation in NumPy, without any framework."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "leaky.py").write_text(ADAPTER)
    options = ("--target=leaky:TARGET", "--area=ACT-04", "--reproducers=scripts")
    return folder, run_without(FOREIGN, command("run", *options), folder)


@pytest.mark.slow
def test_an_implementation_in_numpy_is_judged_without_any_framework(judged):
    _, done = judged
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("ACT-04 FAIL (must) on leaky: ReLU is max(0, x)")


def test_a_reproducer_needs_nothing_but_numpy(judged):
    folder, _ = judged
    script = (folder / "scripts" / "ACT-04.py").read_text()
    assert "# leaky 1.0: ReLU is max(0, x)" in script
    done = run_without({*FOREIGN, "hondo_spec", "hypothesis", "scipy"}, script, folder)
    assert "Arrays are not equal" in done.stderr, done.stderr
    mended = script.replace("SLOPE * x", "np.zeros_like(x)")
    done = run_without({*FOREIGN, "hondo_spec", "hypothesis", "scipy"}, mended, folder)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_flax_is_judged_without_hondo(tmp_path):
    options = ("--target=flax.linen", "--area=ACT-04,DRP-08,RES-01")
    done = run_without({"hondo"}, command("run", *options), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 PASS, 1 N/A" in done.stdout


def test_the_distribution_asks_for_what_the_extra_asks_for():
    alone, whole = (
        tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        for folder in (ROOT / "packages" / "hondo-spec", ROOT)
    )
    shared = [line for line in whole["dependencies"] if line.startswith(("numpy", "jaxtyping"))]
    extra = whole["optional-dependencies"]["spec"]
    assert sorted(alone["dependencies"]) == sorted([*shared, *extra])
    assert alone["entry-points"] == whole["entry-points"]
    assert alone["requires-python"] == whole["requires-python"]
