"""What names tell of a parameter: those of Flax, Haiku, Keras, Equinox and PyTorch."""

import re
from collections.abc import Callable
from typing import Literal, TypeAlias

from jax.tree_util import KeyPath

from hondo._numerics.checks import check_callable
from hondo._types import Leaf

Path: TypeAlias = tuple[str, ...]
# Whether a parameter is chosen; None for the weights and embeddings of `roles`.
Where: TypeAlias = Callable[[Path, Leaf], bool] | None
Role = Literal["weight", "bias", "scale", "embedding", "other"]

# A name in lower case, without the numbers at its end.
_ROLES: tuple[tuple[Role, str], ...] = (
    ("weight", r"(.+_)?(kernel|weight)|weights|w(_[a-z]{1,2})?|lora_[ab]"),
    ("weight", r"weight_(ih|hh|hr)(_l\d*)?(_reverse)?|weight_(v|orig)|original"),
    ("bias", r"(.+_)?bias|bias_.+|b(_[a-z]{1,2})?|beta|offset"),
    ("scale", r"(.+_)?scale|gamma|gain|g|magnitude|negative_slope|alpha|weight_g"),
    ("embedding", r"(.+_)?(embeddings?|embed)"),
)
# Weight norm of PyTorch: the lengths, the directions.
_PARAMETRIZATIONS: dict[Path, Role] = {
    ("weight", "original0"): "scale",
    ("weight", "original1"): "weight",
}
_CONTAINERS = {"value", "raw_value"}
_NORM = r"(.+_)?(ln|bn|gn)(_.+)?|.*norm(s|alization)?"
_EMBEDDING = r".*embed.*|(.+_)?emb(_.+)?|wte|wpe"
_DENSE = r"(?!einsum)(.+_)?(dense|linear|fc)(_[a-z])?"
# Haiku and Keras keep the outputs of a transposed convolution before its inputs.
_TRANSPOSED = r".*conv\d_?d_transpose"


def check_where(where: Where) -> None:
    """Raises unless `where` is None or a function.

    Raises:
        ValueError: it is something else.
    """
    if where is not None:
        check_callable("where", where)


def names(path: KeyPath) -> Path:
    """The names along a path of keys: dict keys, attributes, positions.

    Example:
        >>> import jax
        >>> [names(path) for path, _ in jax.tree_util.tree_leaves_with_path({"a": [1.0]})]
        [('a', '0')]
    """
    return tuple(str(_name(entry)) for entry in path)


def _name(entry: object) -> object:
    for attribute in ("key", "name", "idx"):
        if hasattr(entry, attribute):
            return getattr(entry, attribute)
    return entry


def parts(path: Path) -> Path:
    """The names in lower case, flat ones cut, without the boxes that hold the arrays.

    Example:
        >>> parts(("mlp/~/linear_0", "w")), parts(("0.LN1.weight",)), parts(("kernel", "value"))
        (('mlp', 'linear_0', 'w'), ('0', 'ln1', 'weight'), ('kernel',))
    """
    pieces = [piece for name in path for piece in re.split(r"[/.]", name.lower())]
    cut = [piece for piece in pieces if piece not in ("", "~")]
    while cut and cut[-1] in _CONTAINERS:
        cut.pop()
    return tuple(cut)


def role_by_name(path: Path) -> Role:
    """The role that the last name tells; `weight` may yet be the scale of a norm."""
    if path[-2:] in _PARAMETRIZATIONS:
        return _PARAMETRIZATIONS[path[-2:]]
    name = _unnumbered(path[-1]) if path else ""
    for role, pattern in _ROLES:
        if re.fullmatch(pattern, name):
            return role
    return "other"


def has_outputs_first(path: Path) -> bool:
    """Whether a weight is (out, in, …), as in PyTorch and Equinox, and not (…, in, out)."""
    name = _unnumbered(path[-1]) if path else ""
    return "weight" in name.split("_") or name == "original"


def bias_names(name: str) -> tuple[str, ...]:
    """What the bias beside a weight of this name may be called.

    Example:
        >>> bias_names("weight_ih"), bias_names("w_h")
        (('bias_ih', 'bias', 'b'), ('b_h', 'bias', 'b'))
    """
    return re.sub("weight|kernel", "bias", re.sub("^w(?=_|$)", "b", name)), "bias", "b"


def is_norm(path: Path) -> bool:
    """Whether the parameter's layer is called a norm."""
    return bool(re.fullmatch(_NORM, layer_name(path)))


def is_embedding(path: Path) -> bool:
    """Whether the parameter's layer is called an embedding."""
    return bool(re.fullmatch(_EMBEDDING, layer_name(path)))


def is_dense(path: Path) -> bool:
    """Whether the layer is called one whose kernels have two axes."""
    return bool(re.fullmatch(_DENSE, layer_name(path)))


def is_convolution(path: Path) -> bool:
    """Whether the layer is called a convolution."""
    return "conv" in layer_name(path)


def is_transposed(path: Path) -> bool:
    """Whether the kernel is (…, out, in), by the layer's name."""
    return bool(re.fullmatch(_TRANSPOSED, layer_name(path)))


def is_depthwise(path: Path) -> bool:
    """Whether a kernel is (…, channels, multiplier), by its own name or the layer's."""
    return "depthwise" in layer_name(path) or "depthwise" in path[-1]


def layer_name(path: Path) -> str:
    """The last name before the parameter's own that is more than a number, numbers aside.

    Example:
        >>> layer_name(("net", "conv2_d_1", "w")), layer_name(("norms", "0", "weight"))
        ('conv2_d', 'norms')
    """
    stems = [stem for name in path[:-1] if (stem := _unnumbered(name))]
    return stems[-1] if stems else ""


def _unnumbered(name: str) -> str:
    return name.rstrip("_0123456789")
