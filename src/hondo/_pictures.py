"""How every picture looks: colors, marks of axes, and the file it becomes."""

import io
import math
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal

from hondo._extras import check_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

# Okabe and Ito's, which people with any color vision tell apart.
BLUE, RED, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#AA4499"
ORANGE, SKY, BLACK, GRAY = "#E69F00", "#56B4E9", "#222222", "#777777"
LINES = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY)
# Text stays text, so that it can be searched and edited; the same picture is the same bytes.
_SETTINGS: "dict[RcKeyType, Any]" = {
    "svg.fonttype": "none",
    "svg.hashsalt": "hondo",
    "font.size": 10.0,
    "axes.titlesize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    # Without #, which begins a comment in a file of settings.
    "axes.prop_cycle": f"cycler('color', {[color.strip('#') for color in LINES]})",
}
Axis = Literal["x", "y"]


def new_figure(width: float = 9.6, height: float = 3.6) -> "Figure":
    """An empty figure, in inches; draw into it inside `style()`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def style() -> AbstractContextManager[None]:
    """The settings of every picture, as a context to draw and to save in."""
    check_extra("train", "matplotlib")
    from matplotlib import rc_context

    return rc_context(dict(_SETTINGS))


def matplotlibrc() -> str:
    """The settings as matplotlib's file of them, for a process that draws by itself.

    Example:
        >>> matplotlibrc().splitlines()[0]
        'svg.fonttype: none'
    """
    return "".join(f"{name}: {value}\n" for name, value in _SETTINGS.items())


def as_bytes(figure: "Figure", kind: str) -> bytes:
    """The figure as the content of a file."""
    content = io.BytesIO()
    with style():
        figure.savefig(
            content, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else {}
        )
    return content.getvalue()


def log_axis(axes: "Axes", axis: Axis = "y") -> None:
    """A logarithmic axis whose marks read 0.5, 2 and 10, or 10⁻⁶ where there are many decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    (axes.set_yscale if axis == "y" else axes.set_xscale)("log")
    low, high = sorted(axes.get_ylim() if axis == "y" else axes.get_xlim())
    decades = math.log10(high / low) if 0 < low < high else 9.0
    marks = (1.0, 2.0, 5.0) if decades < 2.5 else (1.0,)
    of = axes.yaxis if axis == "y" else axes.xaxis
    of.set_major_locator(LogLocator(subs=marks, numticks=8 if decades >= 2.5 else 15))
    of.set_major_formatter(FuncFormatter(lambda value, _: write_number(value)))
    of.set_minor_locator(NullLocator())


def integer_marks(axes: "Axes", axis: Axis = "x") -> None:
    """Marks at integers only, for what is counted."""
    from matplotlib.ticker import MaxNLocator

    (axes.xaxis if axis == "x" else axes.yaxis).set_major_locator(MaxNLocator(integer=True))


def write_number(value: float | int) -> str:
    """A number as people write it.

    Example:
        >>> write_number(2.0), write_number(0.05), write_number(1e-6), write_number(3e8)
        ('2', '0.05', '10⁻⁶', '3·10⁸')
    """
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if math.isnan(value) or value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:g}"
    exponent = math.floor(math.log10(abs(value)) + 1e-9)
    digits = f"{value / 10.0**exponent:.3g}"
    power = "10" + str(exponent).translate(_SUPERSCRIPTS)
    return power if digits == "1" else f"{digits}·{power}"


_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def chance_line(axes: "Axes", value: float, label: str, axis: Axis = "y") -> None:
    """A dashed line at what guessing, or no effect, gives."""
    line = axes.axhline if axis == "y" else axes.axvline
    line(value, color=GRAY, linestyle="--", linewidth=1, label=label)
