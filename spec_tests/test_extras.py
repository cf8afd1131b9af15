"""Without an extra, whatever needs it says in one line which one, and how to install it."""

import subprocess
import sys

import pytest

# As an installation without them: they cannot be imported, in either of two ways.
BLOCK_BY_FINDER = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""
BLOCK_BY_NONE = "import sys\nsys.modules |= dict.fromkeys({names})\n"
TRAIN = ("matplotlib", "orbax", "rich", "sklearn", "tyro")
SPEC = ("hypothesis", "jaxtyping", "packaging", "scipy")
HONDO = "sys.argv = ['hondo', 'train']\nfrom hondo.cli import main\nmain()"
OF_SPEC = "import runpy\nsys.argv = ['-m']\nrunpy.run_module('hondo_spec', run_name='__main__')"


def run_without(names, program, block=BLOCK_BY_FINDER):
    command = [sys.executable, "-c", block.format(names=set(names)) + program]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def one_line(done, *words) -> None:
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2, done.stderr
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]


@pytest.mark.slow
def test_the_commands_name_their_extra() -> None:
    one_line(run_without(TRAIN, HONDO), *TRAIN, "pip install 'hondo[train]'")
    one_line(run_without(SPEC, OF_SPEC), *SPEC, "pip install 'hondo[spec]'")


@pytest.mark.slow
def test_the_lecture_names_its_extra() -> None:
    program = HONDO.replace("'train'", "'lecture', '7'")
    one_line(run_without(["scipy"], program), "scipy", "pip install 'hondo[lecture]'")


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAIN)
@pytest.mark.parametrize("block", [BLOCK_BY_FINDER, BLOCK_BY_NONE])
def test_each_package_of_train_is_asked_for_before_anything_runs(name, block) -> None:
    one_line(run_without([name], HONDO, block), name, "pip install 'hondo[train]'")


@pytest.mark.slow
@pytest.mark.parametrize("name", SPEC)
@pytest.mark.parametrize("block", [BLOCK_BY_FINDER, BLOCK_BY_NONE])
def test_each_package_of_spec_is_asked_for_before_anything_runs(name, block) -> None:
    one_line(run_without([name], OF_SPEC, block), name, "pip install 'hondo[spec]'")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "program", "extra"),
    [
        (("hypothesis",), "import hondo_spec", "hondo[spec]"),
        (("sklearn",), "import hondo.data\nhondo.data.load('digits')", "hondo[train]"),
        (("orbax",), "import hondo\nhondo.save('run', 1.0)", "hondo[train]"),
        (
            ("grain",),
            "from hondo.training.streaming.feed import check_grain\ncheck_grain()",
            "[stream]",
        ),
        (
            ("tensorboardX",),
            "from hondo.training.saving.event_file import check_tensorboard\ncheck_tensorboard()",
            "[tensorboard]",
        ),
        (("rich",), "from hondo.training.progress_bar import open_bar\nopen_bar('')", "[train]"),
    ],
)
def test_the_functions_name_their_extra_too(names, program, extra) -> None:
    done = run_without(names, program)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ModuleNotFoundError: {names[0]} must be installed"), done.stderr
    assert extra in last


@pytest.mark.slow
def test_the_rest_of_hondo_needs_no_extra() -> None:
    """But for what flax brings by itself."""
    program = "import hondo, hondo.linen, hondo.nnx, hondo.data"
    done = run_without(
        {*TRAIN, *SPEC} - {"jaxtyping", "orbax", "packaging", "rich", "scipy"}, program
    )
    assert done.returncode == 0, done.stderr
