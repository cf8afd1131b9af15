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


def keep_compiled_programs() -> Path | None:
    """Lets JAX keep compiled programs between commands, the last gigabyte of them.

    What JAX has been told by its own variables stays: JAX_COMPILATION_CACHE_DIR,
    JAX_ENABLE_COMPILATION_CACHE, the largest size and the shortest compilation that is kept. Where
    the folder cannot be made, nothing is kept. Two commands may run at once, because JAX locks the
    folder.

    Returns:
        The folder; None where JAX was told another one, or where nothing is kept.
    """
    settings = jax.config.values
    is_told = settings["jax_compilation_cache_dir"] is not None
    if is_told or not settings["jax_enable_compilation_cache"]:
        return None
    folder = platformdirs.user_cache_path("hondo") / "compiled"
    if not _make(folder):
        return None
    # What cannot be written or read is compiled, as it would have been.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry")
    for name, value in {"jax_compilation_cache_dir": str(folder), **_SETTINGS}.items():
        if name.upper() not in os.environ:
            jax.config.update(name, value)
    return folder


def news_of(folder: Path) -> str:
    """What the user is to be told of the folder once, and "" ever after.

    Of two commands that start together, the one that makes the mark says it.
    """
    try:
        (folder.parent / "told").touch(exist_ok=False)
    except OSError:
        return ""
    size = jax.config.values["jax_compilation_cache_max_size"]
    most = "whatever its size" if size < 0 else f"at most {size / 2**30:.3g} GiB"
    return f"What is compiled is kept in {folder}, {most}; --no-cache keeps nothing."


def _make(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
