"""Lets autodoc read docstrings that are Markdown: `code`, $formulas$, [links](to) and * lists."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_BLOCK = re.compile(r"\$\$(.+?)\$\$", re.S)
_CODE = re.compile(r"(?<![`:\w])`([^`]+)`(?!`)")
_FORMULA = re.compile(r"(?<![\\$\w])\$([^$\n]+(?:\n[^$\n]+)?)\$(?!\$)")
_STRONG = re.compile(r"(?<![\w*])(\*\*?)(\S(?:[^*\n]*[^*\s])?)\1(?![\w*])")
_STAR = re.compile(r"(?<=\S)\*|\*(?=\S)")
_LINK = re.compile(r"\[([^\]]+)\]\((https?://[^)]+)\)")

# What jax's and jaxtyping's names are made of, in the order of replacement.
_TYPES = {
    "~": "",
    "jax.jaxlib._jax.Array": "Array",
    "jaxlib._jax.Array": "Array",
    "jaxtyping.": "",
    "jax.Array": "Array",
    "Key[Array, ''] | UInt32[Array, '2'] | UInt32[Array, '4']": "PRNGKeyArray",
    "Union[Key[Array, ''], UInt32[Array, '2'], UInt32[Array, '4']]": "PRNGKeyArray",
    "Array | ndarray | bool | number | bool | int | float | complex": "ArrayLike",
    "Array | numpy.ndarray | numpy.bool | numpy.number | bool | int | float | complex": "ArrayLike",
}


def to_rst(lines: list[str]) -> list[str]:
    """The same text as reStructuredText; examples, which begin with >>>, are left as they are."""
    text = "\n".join(lines)
    kept: list[str] = []

    def keep(rst: str) -> str:
        kept.append(rst)
        return f"\0{len(kept) - 1}\0"

    def block(match: re.Match[str]) -> str:
        start = text.rfind("\n", 0, match.start()) + 1
        indent = " " * (match.start() - start)
        body = " ".join(match[1].split())
        return keep(f".. math:: {body}\n{indent}")

    text = _hide_examples(text, keep)
    text = _BLOCK.sub(block, text)
    text = _CODE.sub(lambda match: keep(f"``{match[1]}``"), text)
    text = _FORMULA.sub(lambda match: keep(rf":math:`{' '.join(match[1].split())}`"), text)
    text = _LINK.sub(lambda match: keep(f"`{match[1]} <{match[2]}>`__"), text)
    text = _STRONG.sub(lambda match: keep(match[0]), text)
    text = _STAR.sub(r"\*", text)
    text = text.replace("|", r"\|").replace("_ ", r"\_ ")
    while "\0" in text:
        text = re.sub("\0(\\d+)\0", lambda match: kept[int(match[1])], text)
    return text.split("\n")


def _hide_examples(text: str, keep: Callable[[str], str]) -> str:
    """Takes paragraphs that are examples out of the text."""
    paragraphs = re.split(r"(\n[ \t]*\n)", text)
    return "".join(keep(part) if ">>> " in part else part for part in paragraphs)


def _process(
    app: "Sphinx", what: str, name: str, obj: object, options: Any, lines: list[str]
) -> None:
    lines[:] = to_rst(lines)


def _name_types(
    app: "Sphinx",
    what: str,
    name: str,
    obj: object,
    options: Any,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Arrays and keys by the names that they have in the code."""

    def named(text: str | None) -> str | None:
        for old, new in _TYPES.items():
            text = text and text.replace(old, new)
        return text

    return named(signature), named(returns)


def _is_skipped(
    app: "Sphinx", what: str, name: str, obj: object, skip: bool, options: Any
) -> bool | None:
    """What a class takes from other libraries has its documentation there."""
    module = getattr(obj, "__module__", None) or "hondo"
    return True if not module.startswith("hondo") else None


def setup(app: "Sphinx") -> dict[str, bool]:
    """Before napoleon, whose priority is 500."""
    app.connect("autodoc-process-signature", _name_types)
    app.connect("autodoc-skip-member", _is_skipped)
    app.connect("autodoc-process-docstring", _process, priority=400)
    return {"parallel_read_safe": True}
