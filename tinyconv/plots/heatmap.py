"""One image as a heat map with its numbers: what a network gets to see."""

from typing import TYPE_CHECKING, Any

import numpy as np

from .figure import SEQUENTIAL, displayable, headline, new_figure
from .numbers import short, three_characters, write_numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]

LARGEST = 32  # pixels per side up to which the numbers can be read


def heat_map(image: Array, title: str = "") -> "Figure":
    """Every pixel as a colour and, in images of up to 32×32, as a number; one panel per channel.

    image: (height, width[, 1 or 3]), in any range.
    """
    displayable(image)  # refuses what is no image
    pixels = np.asarray(image).reshape(*np.shape(image)[:2], -1)
    height, width, channels = pixels.shape
    finite = pixels[np.isfinite(pixels)]  # others are left white
    low, high = (finite.min(), finite.max()) if finite.size else (0, 1)
    cell = 0.36 if max(height, width) <= LARGEST else 7 / max(height, width)
    figure = new_figure(channels * (width * cell + 0.7) + 0.9, height * cell + 0.9)
    numbers = f"{height} × {width} × {channels}, {pixels.dtype}, {short(low)} … {short(high)}"
    headline(figure, f"{title}: {numbers}" if title else numbers)
    write = short if (finite == np.rint(finite)).all() else three_characters(finite)
    panels = figure.subplots(1, channels, squeeze=False)[0]
    for axes, channel, name in zip(panels, np.moveaxis(pixels, -1, 0), ("red", "green", "blue"), strict=False):
        drawn = axes.imshow(channel, cmap=SEQUENTIAL, vmin=low, vmax=high)
        if max(height, width) <= LARGEST:
            write_numbers(axes, channel, drawn, fontsize=8, write=write)
        axes.set(xlabel="column", ylabel="row")
        axes.xaxis.set_ticks_position("top")
        axes.xaxis.set_label_position("top")
        if channels > 1:
            axes.set_title(name)
    figure.colorbar(drawn, ax=list(panels), shrink=0.8, aspect=30, label="value")
    return figure
