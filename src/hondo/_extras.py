"""Packages that only some users need: each extra of the installation by name."""

from importlib.util import find_spec


def check_extra(extra: str, *modules: str) -> None:
    """Raises unless the modules of this extra are installed; imports none of them.

    Raises:
        ModuleNotFoundError: some are not; it says how to install them.

    Example:
        >>> check_extra("train", "math")
    """
    missing = [module for module in modules if not _is_installed(module)]
    if missing:
        raise ModuleNotFoundError(
            f"{', '.join(missing)} must be installed for this, as the extra {extra!r} does. "
            f"Run: pip install 'hondo[{extra}]'.",
            name=missing[0],
        )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:
        return False
