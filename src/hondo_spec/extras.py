"""What hondo_spec stands on beside NumPy; hondo itself does without most of it."""

from importlib.util import find_spec

_MODULES = ("hypothesis", "jaxtyping", "packaging", "scipy")


def what_is_missing() -> str:
    """Says which modules are missing and how to install them; empty if none is."""
    missing = [module for module in _MODULES if not _is_installed(module)]
    if not missing:
        return ""
    return (
        f"{', '.join(missing)} must be installed for hondo_spec, as its own distribution and the "
        "extra 'spec' of hondo do. Run: pip install hondo-spec, or beside hondo "
        "pip install 'hondo[spec]'."
    )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:
        return False
