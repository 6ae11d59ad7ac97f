"""Which pixels lie in which window: index arithmetic that both poolings share.

The functions of integers look at one axis at a time.  Window i covers the places i·stride - before to i·stride - before
+ kernel - 1 of an axis of `size` real pixels; its tap t lies at i·stride - before + t.  They are plain Python: the
definitions call them as they are, the parallel rungs compile them.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .contract import Array, ImageShape
from .geometry import Padding, Pair, check_pool_padding, output_sizes


def pooled_shape(x_shape: ImageShape, pool_size: Pair, strides: Pair, padding: Padding) -> ImageShape:
    """The shape (n, oh, ow, c) that pooling gives for images of `x_shape`.

    Raises ValueError when `x_shape` is not that of images, a window is larger than the padded image, or the padding is
    wider than half the window.
    """
    if len(x_shape) != 4:
        raise ValueError(f"pooling needs images of shape (n, height, width, channels), but got shape {x_shape}.")
    check_pool_padding(pool_size, padding)
    n, h, w, c = x_shape
    return n, *output_sizes((h, w), pool_size, strides, padding), c


def real_pixels(window: int, kernel: int, stride: int, before: int, size: int) -> Pair:
    """(first, stop): the pixels of `window` that are real, not padding."""
    start = window * stride - before
    return max(start, 0), min(start + kernel, size)


def windows_over(pixel: int, kernel: int, stride: int, before: int, windows: int) -> Pair:
    """(first, stop): those of the `windows` that contain `pixel`."""
    place = pixel + before
    return max((place - kernel) // stride + 1, 0), min(place // stride + 1, windows)


def windows_with_real_tap(tap: int, stride: int, before: int, size: int, windows: int) -> Pair:
    """(first, stop): those of the `windows` whose `tap` lies on a real pixel."""
    place = tap - before  # of window 0
    return max(-(place // stride), 0), min(-((place - size) // stride), windows)


class Window(NamedTuple):
    """The real part of window (i, j): its pixels of the image, and their places i·kw + j in the window."""

    i: int
    j: int
    rows: slice
    columns: slice
    places: Array  # (rows, columns), int


def each_window(x_shape: ImageShape, pool_size: Pair, strides: Pair, padding: Padding) -> Iterator[Window]:
    """Yield all windows over images of `x_shape`, row by row."""
    _, oh, ow, _ = pooled_shape(x_shape, pool_size, strides, padding)
    places = np.arange(pool_size[0] * pool_size[1]).reshape(pool_size)
    (kh, kw), (sh, sw), ((top, _), (left, _)) = pool_size, strides, padding
    for i in range(oh):
        rows = slice(*real_pixels(i, kh, sh, top, x_shape[1]))
        up = i * sh - top  # the window's first row, maybe a padded one
        for j in range(ow):
            columns = slice(*real_pixels(j, kw, sw, left, x_shape[2]))
            start = j * sw - left
            real = places[rows.start - up : rows.stop - up, columns.start - start : columns.stop - start]
            yield Window(i, j, rows, columns, real)
