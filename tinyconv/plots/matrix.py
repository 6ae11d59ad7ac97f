"""A matrix as a picture: colours, numbers where there is room, thin lines between cells, an outline around some."""

from typing import TYPE_CHECKING, Any

import numpy as np

from .figure import SIGNED, VERMILLION
from .numbers import alike, write_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray[Any, Any]

ROOM = 8  # rows or columns up to which numbers are written


def pale_scale(values: Array) -> dict[str, Any]:
    """Options for `imshow` of signed numbers: red above 0, blue below, and never so dark that digits drown."""
    largest = 1.5 * float(np.abs(values).max()) or 1.0
    return {"cmap": SIGNED, "vmin": -largest, "vmax": largest}


def draw_matrix(
    axes: "Axes", values: Array, title: str = "", *, width: float, sign: str = "", **options: Any
) -> None:
    """Draw values (rows, columns) with their numbers, where there are few, and `sign` to the left of them.

    `width` inches are what the matrix gets at least; `options` are those of `imshow`.
    """
    drawn = axes.imshow(values, interpolation="nearest", **options)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color="0.6", linewidth=0.8)
    if max(values.shape) <= ROOM:
        write_numbers(axes, values, drawn, write=alike(values), room=72 * width / values.shape[1])
        draw_grid(axes, values.shape)
    axes.set_title(title, fontsize=11)
    axes.annotate(sign, (0, 0.5), (-10, 0), "axes fraction", "offset points", ha="center", va="center", fontsize=16)


def draw_grid(axes: "Axes", shape: tuple[int, ...]) -> None:
    """Thin white lines between the cells of a matrix of `shape`."""
    axes.set_xticks(np.arange(1, shape[1]) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, shape[0]) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="minor", length=0)


def outline(axes: "Axes", corner: tuple[int, int], size: tuple[int, ...]) -> None:
    """Frame `size` (rows, columns) cells from `corner` (row, column) on, also where they lie beside the matrix."""
    from matplotlib.patches import Rectangle

    place = (corner[1] - 0.5, corner[0] - 0.5)
    axes.add_patch(
        Rectangle(place, size[1], size[0], fill=False, edgecolor=VERMILLION, linewidth=3, clip_on=False, zorder=5)
    )
