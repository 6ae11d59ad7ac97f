"""Numbers in the cells of a drawn matrix, short enough to fit and in a colour that can be read there."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

Array = np.ndarray[Any, Any]


def short(value: Any) -> str:
    """A number in few characters: whole ones as they are, others with two digits behind the point, or two in all.

    >>> [short(value) for value in (255, 1.0, 0.125, -0.5, 0.0004, 0.999, 12.34)]
    ['255', '1', '0.12', '−0.5', '0.0004', '1', '12.3']
    """
    if float(value).is_integer() and abs(value) < 1e6:
        return f"{int(value)}".replace("-", "−")
    if 0.1 <= abs(value) < 1:
        return f"{value:.2f}".rstrip("0").rstrip(".").replace("-", "−")
    return f"{value:.{2 if abs(value) < 1 else 3}g}".replace("-", "−")


def from_to(values: Array) -> str:
    """The smallest and the largest of `values`, with two digits behind the point."""
    return " … ".join(short(round(float(number), 2)) for number in (values.min(), values.max()))


def three_characters(values: Array) -> Callable[[float], str]:
    """How to write `values`, most of which are not whole, in about three characters each.

    >>> write = three_characters(np.array([0.004, 0.25, -0.5]))
    >>> [write(value) for value in (0.004, 0.25, -0.5, 0.0)]
    ['.00', '.25', '−.50', '0']
    >>> three_characters(np.array([10.5, 30.0]))(10.5)
    '10.5'
    """
    digits = max(0, 2 - int(np.log10(np.abs(values).max(initial=1))))

    def write(value: float) -> str:
        return "0" if value == 0 else ("−" if value < 0 else "") + f"{abs(value):.{digits}f}".removeprefix("0")

    return write


def alike(values: Array) -> Callable[[float], str]:
    """How to write `values` with equally many digits behind the point, at most three, so that they compare at a glance.

    >>> write = alike(np.array([0.12, -0.0072, 0.000038, 0.0]))
    >>> [write(value) for value in (0.12, -0.0072, 0.000038, 0.0)]
    ['0.120', '−0.007', '≈ 0', '0']
    >>> alike(np.array([-1, 0.5]))(-1), alike(np.array([3.0, -4.0]))(-4.0), alike(np.array([2.5e6]))(1e6)
    ('−1.0', '−4', '1e6')
    """
    finite = np.asarray(values, np.float64)[np.isfinite(values)]
    largest = float(np.abs(finite).max(initial=0))
    digits = min(3, max(0, 2 - int(np.floor(np.log10(largest))))) if largest else 0
    while digits and all(f"{value:.{digits}f}".endswith("0") for value in finite.flat):
        digits -= 1

    def write(value: float) -> str:
        if value == 0:
            return "0"
        text = f"{value:.{digits}f}" if largest < 1e5 else f"{value:.0e}".replace("e+0", "e")
        return "≈ 0" if float(text) == 0 else text.replace("-", "−")

    return write


def fitting(texts: Iterable[str], room: float, largest: float) -> float:
    """The size of letters, in points, at most `largest`, with which each of `texts` is at most `room` points wide."""
    widths = {".": 0.32, " ": 0.32, "−": 0.84, "≈": 0.84}  # of DejaVu Sans, in ems
    widest = max((sum(widths.get(letter, 0.64) for letter in text) for text in texts), default=0)
    return min(largest, 0.86 * room / widest) if widest else largest


def write_numbers(
    axes: "Axes", values: Array, drawn: "AxesImage", fontsize: float = 9, write: Callable[[Any], str] = short,
    room: float | None = None,
) -> None:
    """Write each of `values` (rows, columns) into its cell of `drawn`, light on dark colours and dark on light ones.

    In letters smaller than `fontsize` where the widest number needs more than `room` points.
    """
    if room is not None:
        fontsize = fitting((write(value) for value in values.flat if np.isfinite(value)), room, fontsize)
    colours = np.asarray(drawn.cmap(drawn.norm(values)))[..., :3]
    luminance = colours @ np.array([0.2126, 0.7152, 0.0722])  # of sRGB; near enough for black or white
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            axes.text(
                column, row, write(value), ha="center", va="center", fontsize=fontsize,
                color="black" if luminance[row, column] > 0.5 else "white",
            )
