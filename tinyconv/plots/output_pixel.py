"""How one output pixel of a convolution is computed: window × kernel, added up, plus the bias."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyconv.errors import ArgumentError
from tinyconv.kernels.geometry import PaddingLike, Pair

from .convolve import Convolution
from .figure import headline, new_figure
from .matrix import draw_matrix, outline, pale_scale
from .numbers import short
from .tiles import colour_scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]

CELL = 0.56  # inches per number


def output_pixel(
    image: Array, kernel: Array, bias: float = 0.0, *, at: Pair | None = (0, 0), strides: int | Sequence[int] = 1,
    padding: PaddingLike = "valid", channels: int = 3,
) -> "Figure":
    """The window under the kernel, the kernel, their products, and the sum, for the output pixel `at` (row, column).

    One row per input channel: image, window, kernel, products; on the right, the whole output; below, the sum.  Of more
    than `channels` input channels those with the largest sums are drawn, and the others are added up in the last line.
    Where `at` is None it is the pixel whose sum, without the bias, is farthest from 0.

    image: (height, width[, channels]); kernel: (kh, kw[, channels]), of one filter; padding and strides as for Conv2D.
    Raises ShapeError when they do not fit, and ArgumentError when there is no output pixel `at`.
    """
    conv = Convolution(image, kernel, strides=strides, padding=padding)
    at = conv.strongest() if at is None else at
    (row, column), (height, width) = at, conv.output_size
    if not (0 <= row < height and 0 <= column < width):
        raise ArgumentError(f"The output has {height} × {width} pixels, so there is none at {row}, {column}.")
    window, corner = conv.window(at)  # (kh, kw, channels), and where in the image it begins
    products = window * conv.kernel
    sums = products.sum(axis=(0, 1))  # one per channel
    shown = np.sort(np.argsort(-np.abs(sums), kind="stable")[:channels])

    matrix = max(1.4, CELL * window.shape[1])
    height_of_row = max(2.0, CELL * window.shape[0] + 0.5)
    figure = new_figure(2 * 2.8 + 3 * matrix + 1.8, 1.1 + height_of_row * len(shown))
    total = float(sums.sum() + bias)
    headline(figure, f"How output pixel ({row}, {column}) is computed")
    figure.supxlabel(_equation(products, sums, shown, bias, total), fontsize=12)

    def side(image: Array) -> float:
        """How wide an image is drawn, at least, in a panel of 2.4 inches and as high as a row."""
        return min(2.4, (height_of_row - 0.4) * image.shape[1] / image.shape[0])

    grid = figure.add_gridspec(len(shown), 5, width_ratios=(2.4, matrix, matrix, matrix, 2.4))
    scale = colour_scale(conv.image)
    for place, c in enumerate(shown):
        pixels, taken, weights, result = (figure.add_subplot(grid[place, i]) for i in range(4))
        name = f"input, channel {c}" if len(sums) > 1 else "input"
        draw_matrix(pixels, conv.image[..., c], name, width=side(conv.image), **scale)
        outline(pixels, corner, window.shape[:2])
        draw_matrix(taken, window[..., c], "window", width=matrix, **scale)
        draw_matrix(weights, conv.kernel[..., c], "kernel", width=matrix, sign="×", **pale_scale(conv.kernel))
        name = f"products, sum {short(sums[c])}"
        draw_matrix(result, products[..., c], name, width=matrix, sign="=", **pale_scale(products))
    output = conv.output() + bias
    right = figure.add_subplot(grid[:, 4])
    draw_matrix(right, output, "output", width=side(output), **colour_scale(output))
    outline(right, at, (1, 1))
    return figure


def _equation(products: Array, sums: Array, shown: Array, bias: float, total: float) -> str:
    """The last line: what is added up, the bias, the result."""
    if products.size <= 9:
        terms = [_exactly(product) for product in products.reshape(-1)]
    else:
        terms = [_exactly(sums[channel]) for channel in shown]
    if len(shown) < len(sums):
        others = float(sums.sum() - sums[shown].sum())
        terms.append(f"{_exactly(others)} [{len(sums) - len(shown)} more channels]")
    terms.append(f"{_exactly(bias)} [bias]")
    return " + ".join(terms).replace("+ −", "− ") + f" = {_exactly(total)}"


def _exactly(value: Any) -> str:
    """A number with three digits behind the point, where it has them: the terms should add up to the result."""
    text = f"{round(float(value), 3) + 0.0:.3f}".rstrip("0").rstrip(".")  # + 0.0 turns -0 into 0
    return text.replace("-", "−")
