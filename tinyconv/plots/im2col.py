"""im2col as a picture: every window becomes a row, so that a convolution becomes one matrix product."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyconv.errors import ArgumentError, ShapeError
from tinyconv.kernels.conv2d.im2col import im2col
from tinyconv.kernels.geometry import PaddingLike, Pair, pair

from .convolve import Convolution
from .figure import SEQUENTIAL, bare, headline
from .matrix import draw_grid, outline
from .numbers import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]

LARGEST_IMAGE, MOST_ROWS, MOST_COLUMNS = 8, 36, 25  # what can still be read
CELL = 0.38  # inches


def im2col_picture(
    image: Array, kernel_size: int | Sequence[int] = 3, *, strides: int | Sequence[int] = 1,
    padding: PaddingLike = "valid", window: Pair = (0, 0),
) -> "Figure":
    """Which pixel lands where: the image, and the matrix of its windows in the same colours and numbers.

    Each row of the matrix is the window of one output pixel, each column one place of the kernel; a colour is a pixel,
    so its copies are the cells of that colour.  Padding is white.  The `window` (row, column) is outlined in both.

    image: (height, width) of at most 8×8 pixels.  Raises ShapeError for another one, for a kernel that does not fit and
    for a matrix too large to be read, and ArgumentError when there is no such window.
    """
    values = np.asarray(image, np.float64)
    if values.ndim != 2 or max(values.shape) > LARGEST_IMAGE:
        raise ShapeError(f"The picture has room for an image (height, width) of at most 8×8, but got {values.shape}.")
    kernel_size = _kernel_size(kernel_size)
    conv = Convolution(values, np.ones(kernel_size), strides=strides, padding=padding)
    (row, column), (height, width), (kh, kw) = window, conv.output_size, kernel_size
    if not (0 <= row < height and 0 <= column < width):
        raise ArgumentError(f"There are {height} × {width} windows, so there is none at {row}, {column}.")
    if height * width > MOST_ROWS or kh * kw > MOST_COLUMNS:
        raise ShapeError(f"A matrix of {height * width} × {kh * kw} is too large to be read; take a smaller image.")

    # The same rearrangement of the pixels' numbers 1, 2, … tells where each cell comes from; 0 is padding.
    numbers = np.arange(1.0, values.size + 1).reshape(values.shape)
    cells, origins = (
        im2col(a[np.newaxis, ..., np.newaxis], kernel_size, conv.strides, conv.padding) for a in (values, numbers)
    )
    figure, left, right = _panels(values.shape, cells.shape)
    headline(figure, f"im2col: {height} × {width} windows of {kh} × {kw} become a matrix of {len(cells)} × {kh * kw}")
    _draw(left, values, numbers, values.size)
    _draw(right, cells, origins, values.size)
    left.set_title(f"image, {values.shape[0]} × {values.shape[1]}", fontsize=11)
    right.set_title("a column per place of the kernel", fontsize=11, pad=8)
    outline(left, conv.window(window)[1], kernel_size)
    outline(right, (row * width + column, 0), (1, kh * kw))
    right.set_xticks(range(kh * kw), [f"{p},{q}" for p, q in np.ndindex(kh, kw)])
    right.set_yticks(range(len(cells)), [f"{i},{j}" for i, j in np.ndindex(height, width)])
    right.tick_params(length=0, labelsize=9, labeltop=True, labelbottom=False)
    right.set_ylabel("a row per output pixel")
    return figure


def _kernel_size(value: int | Sequence[int]) -> Pair:
    try:
        return pair(value, "kernel_size")
    except (TypeError, ValueError) as problem:
        raise ShapeError(str(problem)) from problem


def _panels(image: Sequence[int], matrix: Sequence[int]) -> "tuple[Figure, Axes, Axes]":
    """A figure with room for both at one size of cells, the image in the middle of the height."""
    from matplotlib.figure import Figure

    above, around, between = 1.0, 0.5, 1.4  # inches; those between are for the matrix's labels
    rows = max(image[0], matrix[0])
    width, height = max(7.5, 2 * around + CELL * (image[1] + matrix[1]) + between), above + CELL * rows + around
    figure = Figure(figsize=(width, height))

    def place(x: float, shape: Sequence[int]) -> "Axes":
        y = around + CELL * (rows - shape[0]) / 2
        return figure.add_axes((x / width, y / height, CELL * shape[1] / width, CELL * shape[0] / height))

    return figure, place(around, image), place(around + CELL * image[1] + between, matrix)


def _draw(axes: "Axes", values: Array, origins: Array, pixels: int) -> None:
    """Draw `values`, coloured by the pixel that each comes from, with padding white."""
    from matplotlib import colormaps

    bare(axes)
    axes.imshow(origins, cmap=colormaps[SEQUENTIAL].with_extremes(under="white"), vmin=1, vmax=pixels)
    draw_grid(axes, values.shape)
    for (i, j), value in np.ndenumerate(values):
        origin = origins[i, j]
        axes.text(
            j, i, short(value), ha="center", va="center", fontsize=10,
            color="0.6" if origin == 0 else "black" if origin > 0.6 * pixels else "white",
        )
