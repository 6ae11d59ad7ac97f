"""One filter on one image, with what a picture of it needs to know: sizes, padding, a window."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyconv.errors import ArgumentError, ShapeError
from tinyconv.kernels import registry
from tinyconv.kernels.geometry import PaddingLike, Pair, output_sizes, pair, resolve_padding

Array = np.ndarray[Any, Any]


class Convolution:
    """The convolution of image (h, w[, channels]) with one filter's kernel (kh, kw[, channels]), channels added up.

    Raises ShapeError when they do not fit each other, ArgumentError for strides or padding that there cannot be.
    """

    def __init__(
        self, image: Array, kernel: Array, *, strides: int | Sequence[int] = 1, padding: PaddingLike = "valid"
    ) -> None:
        self.image, self.kernel = _with_channels(image), _with_channels(kernel)
        if self.image.ndim != 3 or self.kernel.ndim != 3 or self.image.shape[2] != self.kernel.shape[2]:
            raise ShapeError(
                f"The kernel of one filter (kh, kw, channels) must have the channels of the image (height, width, "
                f"channels), but got {np.shape(kernel)} for an image {np.shape(image)}."
            )
        sizes, kernel_size = self.image.shape[:2], self.kernel.shape[:2]
        try:
            self.strides = pair(strides, "strides")
            self.padding = resolve_padding(padding, sizes, kernel_size, self.strides)
        except (TypeError, ValueError) as problem:
            raise ArgumentError(f"{problem}") from problem
        try:
            self.output_size: Pair = output_sizes(sizes, kernel_size, self.strides, self.padding)
        except ValueError as problem:
            raise ShapeError(f"The kernel does not fit on the image: {problem}") from problem

    def output(self) -> Array:
        """Return the result (oh, ow)."""
        conv2d = registry.choose("conv2d", "numpy")
        x, w = self.image[np.newaxis], self.kernel[..., np.newaxis]
        return np.asarray(conv2d.forward(x, w, strides=self.strides, padding=self.padding)[0, ..., 0])

    def strongest(self) -> Pair:
        """Return the output pixel (row, column) that is farthest from 0, the first of several."""
        row, column = divmod(int(np.abs(self.output()).argmax()), self.output_size[1])
        return row, column

    def window(self, at: Pair) -> tuple[Array, Pair]:
        """Return what the kernel sees for the output pixel `at` (row, column), (kh, kw, channels), padding as 0.

        And the row and column of the image where that begins, which is negative in the padding.
        """
        (kh, kw), ((top, _), (left, _)) = self.kernel.shape[:2], self.padding
        row, column = at[0] * self.strides[0], at[1] * self.strides[1]
        padded = np.pad(self.image, (*self.padding, (0, 0)))
        return padded[row : row + kh, column : column + kw], (row - top, column - left)


def _with_channels(values: Array) -> Array:
    """As float32, grey with a channel axis."""
    array = np.asarray(values, np.float32)
    return array[..., np.newaxis] if array.ndim == 2 else array
