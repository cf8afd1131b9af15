"""Which other libraries are here, and how torch is asked."""

import importlib.metadata
import importlib.util
import os
from collections.abc import Callable
from typing import Any

PACKAGES = {
    "flax": "flax",
    "equinox": "equinox",
    "haiku": "dm-haiku",
    "keras": "keras",
    "torch": "torch",
    "sklearn": "scikit-learn",
    "jax": "jax",
    "jaxlib": "jaxlib",
    "optax": "optax",
    "numpy": "numpy",
}
os.environ.setdefault("KERAS_BACKEND", "jax")
# Torch's threads would otherwise spin for a while after their turn, in the turn of the next.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def installed(package: str) -> bool:
    """Whether the package can be imported here."""
    return importlib.util.find_spec(package.partition(".")[0]) is not None


def versions() -> dict[str, str]:
    """The version of each package, or "absent"."""
    return {
        name: importlib.metadata.version(distribution) if installed(name) else "absent"
        for name, distribution in PACKAGES.items()
    }


def only_installed(contenders: dict[str, tuple[str, Any]]) -> dict[str, Any]:
    """Of name → (package, thing), the things whose package is here."""
    return {name: thing for name, (package, thing) in contenders.items() if installed(package)}


def to_torch(array: Any) -> Any:
    """The array as a tensor on torch's accelerator, or the CPU."""
    import jax.numpy as jnp
    import numpy as np
    import torch

    tensor = torch.from_numpy(np.array(array, np.float32))
    dtype = torch.bfloat16 if array.dtype == jnp.bfloat16 else torch.float32
    return tensor.to("cuda" if torch.cuda.is_available() else "cpu", dtype)


def synchronized(run: Callable[[], Any]) -> Callable[[], Any]:
    """The torch function, which returns when its result exists."""
    import torch

    def waits() -> Any:
        result = run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return result

    return waits
