"""Which specification this is, since when it has each property, and what a run stood on."""

import sys
from importlib.metadata import version

from hondo_spec.areas import BY_ID

# Of the list of properties. From the first release on an id is never made to demand more: that
# takes a new id, and a new version of the specification. That of the suite, which is the package,
# may change without it.
SPECIFICATION = "0.2"
SUITE = "0.1.0"
# The ids that later versions brought.
LATER = dict.fromkeys(
    ("NRM-08", "NRM-09", "NRM-10", *(f"STR-{number:02d}" for number in range(1, 14))), "0.2"
)
_FRAMEWORKS = ("jax", "jaxlib", "flax", "torch", "tensorflow", "mlx", "tinygrad", "ml_dtypes")


def since(id: str) -> str:
    """The version of the specification that brought the property.

    Example:
        >>> from hondo_spec.versions import since
        >>> since("BNT-08")
        '0.1'
    """
    return LATER.get(BY_ID[id].id, "0.1")


def versions() -> dict[str, str]:
    """Those of Python, of what judges, and of the frameworks that are imported."""
    judges = ("numpy", "scipy", "hypothesis")
    loaded = [name for name in _FRAMEWORKS if name in sys.modules]
    python = {"python": sys.version.split()[0]}
    return python | {name: version(name) for name in (*judges, *loaded)}
