"""The suite runs strict: no silent promotion, no silent broadcast, no warning, checked types."""

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator

import hypothesis
import pytest
from compile_quickly import COMPILE_QUICKLY
from jaxtyping import install_import_hook

if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    # The workers, and the commands that tests start, share what they compile, as a user's do.
    compiled = tempfile.mkdtemp(prefix="compiled-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    atexit.register(shutil.rmtree, compiled, ignore_errors=True)

import jax  # It reads the environment once.

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
# Every module of hondo is imported under this hook: annotated shapes are checked at run time. That
# is a quarter of the time, so `.ci/run` imports as users do where it compiles as they do.
if os.environ.get("HONDO_SHAPES") != "unchecked":
    install_import_hook("hondo", "beartype.beartype")

hypothesis.settings.register_profile("dev", max_examples=25, deadline=None)
hypothesis.settings.register_profile(
    "spec-ci", max_examples=100, deadline=None, derandomize=True, database=None
)
hypothesis.settings.register_profile("deep", max_examples=2000, deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HONDO_PROFILE", "spec-ci"))


def pytest_configure(config: pytest.Config) -> None:
    # A job in the background ignores Ctrl-C, and so would every process that a test starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "spec(*ids): the properties of the specification it checks")
    config.addinivalue_line("markers", "promise(*numbers): the promises of the design it checks")


@pytest.fixture(scope="session", autouse=True)
def _children_compile_quickly() -> None:
    """The processes that tests start are asked what they do, not how fast they do it.

    Most of their time is LLVM's. This process has read its own flags when it has a device.
    """
    jax.devices()
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {COMPILE_QUICKLY}".strip()


@pytest.fixture(scope="module", autouse=True)
def _forget_programs():
    """Compiled programs of many modules together take gigabytes."""
    yield
    jax.clear_caches()


@pytest.fixture(scope="module")
def rows_of_any_length() -> Iterator[None]:
    """Layer normalization takes its form for many rows however short they are."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_FEWEST_FEATURES", "_FEWEST_ENTRIES"):
            patch.setattr(f"hondo._fast.layer_norm_rows.{name}", 1)
        yield
