"""What one command has compiled, the next one reads: in the user's cache folder, or where told."""

import os
import subprocess
import sys

import pytest
from test_cli import MAIN

pytestmark = pytest.mark.slow
SMALL = ("train", "--dataset", "diabetes", "--depth", "4", "--width", "4", "--max-epochs", "1")


def start(home, *arguments, **told) -> subprocess.Popen:
    """A command of a user whose cache folder is `home`, and who has told JAX nothing else."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    environment |= {"XDG_CACHE_HOME": str(home), "HOME": str(home), **told}
    command = [sys.executable, "-c", MAIN, *arguments]
    out, err = subprocess.PIPE, subprocess.PIPE
    return subprocess.Popen(
        command, env=environment, cwd=home.parent, text=True, stdout=out, stderr=err
    )


def end(process: subprocess.Popen) -> str:
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    return errors


def programs(home) -> set[str]:
    return {path.name for path in home.rglob("*-cache")}


def test_what_two_commands_at_once_compile_a_third_one_reads(tmp_path) -> None:
    # All is kept, or the third would keep what took it a tenth of a second and the others less.
    home, told = tmp_path / "cache", {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    both = [start(home, *SMALL, "--out", name, **told) for name in ("one", "other")]
    assert sum(end(process).count(f"is kept in {home}") for process in both) == 1
    before = programs(home)
    assert before
    # JAX notes when each was last used only where their size is bounded.
    assert list(home.rglob("*-atime"))
    errors = end(start(home, *SMALL, "--out", "third", **told))
    assert "is kept in" not in errors
    assert programs(home) == before


def test_what_jax_was_told_stays_and_the_rest_is_said(tmp_path) -> None:
    """The size and the shortest compilation that is kept are JAX's own settings too."""
    home = tmp_path / "cache"
    own = {"JAX_COMPILATION_CACHE_MAX_SIZE": "-1"}
    own["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "1000"
    errors = end(start(home, *SMALL, "--out", "one", **own))
    assert f"kept in {home}/hondo/compiled, whatever its size" in errors
    assert not programs(home)


def refused(home, *arguments, **told) -> list[str]:
    """What a command says that compiles nothing, because it was given no run."""
    process = start(home, "predict", "nothing", *arguments, **told)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 2
    return errors.splitlines()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--no-cache",), {}),
        ((), {"JAX_COMPILATION_CACHE_DIR": "elsewhere"}),
        ((), {"JAX_ENABLE_COMPILATION_CACHE": "false"}),
    ],
)
def test_nothing_is_kept_where_that_is_not_wanted(tmp_path, arguments, told) -> None:
    home = tmp_path / "cache"
    assert len(refused(home, *arguments, **told)) == 1
    assert not home.exists()


def test_a_folder_that_cannot_be_made_costs_nothing(tmp_path) -> None:
    home = tmp_path / "cache"
    home.write_text("a file")
    assert len(refused(home)) == 1


def test_bad_input_is_one_line_and_the_next_command_says_where(tmp_path) -> None:
    home = tmp_path / "cache"
    assert len(refused(home)) == 1
    quiet = end(start(home, *SMALL, "--quiet", "--out", "quiet"))
    assert "is kept in" not in quiet
    assert end(start(home, *SMALL, "--out", "one")).count(f"is kept in {home}") == 1
    assert "is kept in" not in end(start(home, *SMALL, "--out", "other"))
