"""A picture of each technique that explains it, as `hondo show` draws them."""

import inspect
from difflib import get_close_matches
from typing import TYPE_CHECKING

from hondo._extras import check_extra
from hondo._numerics.checks import error
from hondo._pictures import new_figure, style
from hondo.show.table import PICTURES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Option = float | int | str


def picture(technique: str, *, seed: int = 0, **options: Option) -> "Figure":
    """Draws what a technique does, computed by its own functions.

    Args:
        technique: its name in `hondo list`, such as "dropout".
        seed: of everything random, an integer in [0, 2^63).
        **options: the technique's hyperparameters, see `options_of`; each has a default.

    Returns:
        The figure, to be saved by its `savefig`; a notebook with `%matplotlib inline` shows it.

    Raises:
        ValueError: an unknown technique, or an option or a value that it does not take.
        ModuleNotFoundError: without the extra `train`.

    Example:
        >>> import hondo.show
        >>> figure = hondo.show.picture("dropout", keep_prob=0.5)
        >>> len(figure.axes)
        4
    """
    check_extra("train", "matplotlib", "sklearn")
    check_options(technique, options)
    with style():
        figure = new_figure()
        title = PICTURES[technique](figure, seed, **options)
        figure.suptitle(f"{technique} · {title}", fontsize="medium")
    return figure


def options_of(technique: str) -> dict[str, Option | None]:
    """The options of a technique's picture with their defaults.

    Raises:
        ValueError: an unknown technique.

    Example:
        >>> import hondo.show
        >>> hondo.show.options_of("early_stopping")
        {'patience': 10, 'min_delta': 0.0}
    """
    if technique not in PICTURES:
        near = get_close_matches(technique, PICTURES, n=3)
        repair = f"Did you mean {' or '.join(near)}? " if near else ""
        expected = "a technique of `hondo list`"
        raise error("technique", technique, expected, f"{repair}`hondo show` lists them.")
    parameters = inspect.signature(PICTURES[technique]).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def check_options(technique: str, options: dict[str, Option]) -> None:
    """Raises for options that the picture has not.

    Raises:
        ValueError: an unknown technique, or such an option.
    """
    known = options_of(technique)
    for name, value in options.items():
        if name not in known:
            repair = f"Its options: {', '.join(known) or 'none'}."
            raise error(name, value, f"left out for {technique}", repair)


__all__ = ["options_of", "picture"]
