"""Many small images in one panel: feature maps and filters, drawn side by side on one scale of colours."""

from typing import TYPE_CHECKING, Any

import numpy as np

from .figure import SEQUENTIAL, SIGNED, bare

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

Array = np.ndarray[Any, Any]

GAP = 0.08  # between two tiles, as a share of a tile's width


def colour_scale(values: Array, *, signed: bool = False) -> dict[str, Any]:
    """Options for `imshow`: from 0 up, or with white at 0 where there are negative numbers or might be some."""
    largest = float(np.abs(values).max(initial=0)) or 1.0
    if signed or values.min(initial=0) < 0:
        return {"cmap": SIGNED, "vmin": -largest, "vmax": largest}
    return {"cmap": SEQUENTIAL, "vmin": 0.0, "vmax": largest}


def draw_tiles(axes: "Axes", tiles: Array, columns: int, **options: Any) -> "AxesImage":
    """Draw tiles (n, height, width[, 3]) row by row, `columns` per row, each one unit wide; return the last one drawn.

    `options` are those of `imshow`; tile i is `axes.images[i]`.
    """
    height = tiles.shape[1] / tiles.shape[2]
    rows = -(-len(tiles) // columns)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        x, y = column * (1 + GAP), row * (height + GAP)
        drawn = axes.imshow(tile, extent=(x, x + 1, y + height, y), interpolation="nearest", **options)
    bare(axes)
    axes.set(xlim=(0, columns * (1 + GAP) - GAP), ylim=(rows * (height + GAP) - GAP, 0), aspect="equal")
    return drawn


def number_tiles(axes: "Axes", tiles: Array, columns: int, per_row: int = 1, top: str = "") -> None:
    """Number the columns 0, 1, … above the tiles, after the word `top`, and the rows 0, `per_row`, … beside them."""
    height = tiles.shape[1] / tiles.shape[2]
    rows, columns = -(-len(tiles) // columns), min(columns, len(tiles))
    axes.set_xticks(np.arange(columns) * (1 + GAP) + 0.5, [f"{top} {i}".strip() for i in range(columns)])
    axes.set_yticks(np.arange(rows) * (height + GAP) + height / 2, [str(per_row * i) for i in range(rows)])
    axes.tick_params(length=0, labelsize=8, labeltop=True, labelbottom=False)
