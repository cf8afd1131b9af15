"""The time to import the library."""

import subprocess
import sys

from benchmarks.measure import Rows, Settings, against, race

NAME = "import"


def compare(settings: Settings) -> Rows:
    """In fresh processes."""
    statements = {
        "hondo": "import hondo",
        "jax + flax.linen + optax": "import jax, flax.linen, optax",
    }
    runs = {name: lambda code=code: _python(code) for name, code in statements.items()}
    rounds = 3 if settings.quick else settings.rounds
    times = race(runs, settings._replace(seconds=0.0, rounds=rounds))
    yield against(NAME, "a fresh process", times, "jax + flax.linen + optax", 1.1)


def _python(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)
