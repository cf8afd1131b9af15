"""What one command compiles, kept for the next: JAX's own cache, in the user's cache folder."""

import os
import warnings
from pathlib import Path

import jax
import platformdirs

_SIZE = 2**30
_SETTINGS = {
    "jax_compilation_cache_max_size": _SIZE,
    # A second command is to compile nothing that takes longer than reading it.
    "jax_persistent_cache_min_compile_time_secs": 0.1,
}


def keep_compiled_programs() -> str:
    """Lets JAX keep compiled programs between commands, the last gigabyte of them.

    What JAX has been told itself stays: JAX_COMPILATION_CACHE_DIR, or JAX_ENABLE_COMPILATION_CACHE.
    Where the folder cannot be made, nothing is kept. Two commands may run at once, because JAX
    locks the folder.

    Returns:
        What the user is to be told, the first time.
    """
    settings = jax.config.values
    is_told = settings["jax_compilation_cache_dir"] is not None
    if is_told or not settings["jax_enable_compilation_cache"]:
        return ""
    folder = platformdirs.user_cache_path("hondo") / "compiled"
    is_new = not folder.exists()
    if not _make(folder):
        return ""
    # What cannot be written or read is compiled, as it would have been.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry")
    for name, value in {"jax_compilation_cache_dir": str(folder), **_SETTINGS}.items():
        jax.config.update(name, value)
    news = f"What is compiled is kept in {folder}, at most 1 GiB; --no-cache keeps nothing."
    return news if is_new else ""


def _make(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
