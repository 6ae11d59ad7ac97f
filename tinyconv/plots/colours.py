"""Convolution in colour: each channel of a photo with its own slice of the kernel, and the results added up."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyconv.errors import ShapeError
from tinyconv.kernels.geometry import PaddingLike

from .convolution import show_kernel, words
from .convolve import Convolution
from .figure import bare, extent, headline, new_figure, show
from .numbers import from_to
from .tiles import colour_scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]

REDNESS: Array = np.full((3, 3, 3), 0.1) * np.array([1.0, -0.5, -0.5])  # red, less the mean of green and blue


def colour_convolution(
    image: Array, kernel: Array = REDNESS, *, strides: int | Sequence[int] = 1, padding: PaddingLike = "same"
) -> "Figure":
    """A row per channel: the channel, its slice of the kernel, its part of the result; on the right their sum.

    image: (height, width, 3), 0 … 1; kernel: (kh, kw, 3), which by default finds red things.  In the results red stands
    for numbers above 0 and blue for those below.  Raises ShapeError for other shapes.
    """
    photo = np.asarray(image, np.float32)
    if photo.ndim != 3 or photo.shape[2] != 3 or kernel.ndim != 3 or kernel.shape[2] != 3:
        raise ShapeError(
            f"A photo in colour (height, width, 3) needs a kernel (kh, kw, 3), but got {photo.shape}, {kernel.shape}."
        )
    parts = [
        Convolution(photo[..., c], kernel[..., c], strides=strides, padding=padding).output() for c in range(3)
    ]
    total = np.add.reduce(parts)
    shape = min(1.3, photo.shape[0] / photo.shape[1])
    figure = new_figure(13.2, 0.7 + 3 * (0.35 + 3.6 * shape))
    how = f"stride {words(strides)}, padding {words(padding)}"
    headline(figure, f"Each colour with its own slice of the kernel, then added; {how}")
    grid = figure.subplots(3, 4, width_ratios=(1, 0.38, 1, 1.12))
    scale = colour_scale(np.stack(parts), signed=True)
    for row, (name, part) in enumerate(zip(("red", "green", "blue"), parts, strict=True)):
        channel, weights, result = grid[row, :3]
        show(channel, photo[..., row], cmap="gray", vmin=0, vmax=1, interpolation=None)
        channel.set_title(name, loc="left", fontsize=11, fontweight="bold")
        bare(channel)
        show_kernel(weights, kernel[..., row], like=kernel, room=72 * 1.2 / kernel.shape[1])
        weights.set_title("× its slice", fontsize=11)
        result.imshow(part, extent=extent(photo), **scale)
        result.set_title(f"= its part, {from_to(part)}", fontsize=11)
        bare(result)
    original, added, positive = grid[:, 3]
    show(original, photo, vmin=0, vmax=1, interpolation=None)
    original.set_title("the photo", fontsize=11)
    drawn = added.imshow(total, extent=extent(photo), **colour_scale(total, signed=True))
    added.set_title(f"the three parts added, {total.shape[0]} × {total.shape[1]}", fontsize=11)
    figure.colorbar(drawn, ax=added, shrink=0.85)
    show(positive, np.maximum(total, 0), cmap="gray", vmin=0, interpolation=None, extent=extent(photo))
    positive.set_title("and what ReLU leaves of it", fontsize=11)
    for axes in (original, added, positive):
        bare(axes)
    return figure
