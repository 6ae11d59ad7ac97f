"""One image as a heat map with its numbers: what a network gets to see."""

from typing import TYPE_CHECKING, Any

import numpy as np

from .figure import SEQUENTIAL, displayable, headline, new_figure
from .numbers import fitting, short, three_characters, write_numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]

LARGEST = 32  # pixels per side up to which one panel has room for numbers
CELL, SMALLEST_LETTERS = 0.36, 6.0  # inches and points
COLOURED = 3.3  # inches of each of three panels, such that a projector shows them all


def heat_map(image: Array, title: str = "") -> "Figure":
    """Every pixel as a colour and, where there is room for it, as a number; one panel per channel.

    There is room in grey images of up to 32×32 pixels, and in colour up to about 16×16.

    image: (height, width[, 1 or 3]), in any range.
    """
    displayable(image)  # refuses what is no image
    pixels = np.asarray(image).reshape(*np.shape(image)[:2], -1)
    height, width, channels = pixels.shape
    finite = pixels[np.isfinite(pixels)]  # others are left white
    low, high = (finite.min(), finite.max()) if finite.size else (0, 1)
    cell = CELL if max(height, width) <= LARGEST else 7 / max(height, width)
    if channels > 1:
        cell = min(cell, COLOURED / max(height, width))
    write = short if (finite == np.rint(finite)).all() else three_characters(finite)
    letters = fitting(map(write, finite), 72 * cell, 8) if max(height, width) <= LARGEST else 0
    figure = new_figure(channels * (width * cell + 0.7) + 0.9, height * cell + 0.9)
    numbers = f"{height} × {width} × {channels}, {pixels.dtype}, {short(low)} … {short(high)}"
    headline(figure, f"{title}: {numbers}" if title else numbers)
    panels = figure.subplots(1, channels, squeeze=False)[0]
    for axes, channel, name in zip(panels, np.moveaxis(pixels, -1, 0), ("red", "green", "blue"), strict=False):
        drawn = axes.imshow(channel, cmap=SEQUENTIAL, vmin=low, vmax=high)
        if letters >= SMALLEST_LETTERS:
            write_numbers(axes, channel, drawn, letters, write)
        axes.set(xlabel="column", ylabel="row")
        axes.xaxis.set_ticks_position("top")
        axes.xaxis.set_label_position("top")
        if channels > 1:
            axes.set_title(name)
    figure.colorbar(drawn, ax=list(panels), shrink=0.8, aspect=30, label="value")
    return figure
