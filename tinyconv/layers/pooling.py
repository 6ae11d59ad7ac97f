"""Pooling layers: the maximum or the mean of each window, and the mean of the whole image."""

from collections.abc import Sequence
from typing import Any

from tinyconv.errors import ArgumentError, ShapeError
from tinyconv.kernels.contract import winner_dtype
from tinyconv.kernels.geometry import (
    NO_PADDING,
    Padding,
    PaddingLike,
    Pair,
    check_pool_padding,
    output_sizes,
    pair,
    resolve_padding,
)
from tinyconv.layers.base import Array, Layer, Shape, named
from tinyconv.layers.windows import padding_argument


class Pooling2D(Layer):
    """Base of MaxPooling2D and AveragePooling2D.

    Arguments:
        pool_size: one integer, or (vertical, horizontal).
        strides: how far the window moves; None for `pool_size`, so that windows touch and do not overlap.
        padding: "valid" (rows and columns that fill no window are left out), "same" (they fill a window with padding),
            or numbers of pixels, see `Conv2D`.  Padding never wins and never counts.

    Raises ArgumentError for arguments out of range, and ShapeError when the window is larger than the padded image.
    """

    input_rank = 3

    def __init__(
        self, pool_size: int | Sequence[int] = (2, 2), strides: int | Sequence[int] | None = None,
        padding: PaddingLike = "valid", *, name: str | None = None, input_shape: Shape | None = None,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape)
        with named(self, ArgumentError):
            self.pool_size = pair(pool_size, "pool_size")
            self.strides = self.pool_size if strides is None else pair(strides, "strides")
            self.padding = padding_argument(padding)

    def resolve_padding(self, input_shape: Shape) -> Padding:
        """((top, bottom), (left, right)) in pixels, for images of `input_shape`."""
        sizes: Pair = (input_shape[0], input_shape[1])
        return resolve_padding(self.padding, sizes, self.pool_size, self.strides)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(height, width, channels) → (oh, ow, channels)."""
        sizes: Pair = (input_shape[0], input_shape[1])
        with named(self, ShapeError):
            padding = self.resolve_padding(input_shape)
            check_pool_padding(self.pool_size, padding)
            return (*output_sizes(sizes, self.pool_size, self.strides, padding), input_shape[2])

    def _build(self, input_shape: Shape) -> None:
        self.windows: dict[str, Any] = {"strides": self.strides, "padding": self.resolve_padding(input_shape)}

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""
        return {
            **super().get_config(),
            "pool_size": list(self.pool_size),
            "strides": list(self.strides),
            "padding": self.padding,
        }


class MaxPooling2D(Pooling2D):
    """y = the maximum of each window; the first of several equal ones, row by row, alone gets the gradient.

    Arguments: see `Pooling2D`.

    >>> import numpy as np
    >>> layer = MaxPooling2D(2)
    >>> layer(np.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    """

    only_launches = True

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return y (n, oh, ow, channels) for x (n, h, w, channels)."""
        self._x_shape = x.shape
        y_shape = (len(x), *self.output_shape)
        y, self._winners = self.backend.maxpool2d.forward(
            x, self.pool_size, **self.windows,
            out=self.buffer("y", y_shape), winners=self.buffer("winners", y_shape, winner_dtype(self.pool_size)),
        )
        return y

    def backward(self, dy: Array) -> Array | None:
        """Return dx: each pixel gets the sum of the dy of the windows it won."""
        if not self.needs_input_gradient:
            return None
        return self.backend.maxpool2d.backward(
            dy, self._winners, self._x_shape, self.pool_size, **self.windows, out=self.buffer("dx", self._x_shape)
        )


class AveragePooling2D(Pooling2D):
    """y = the mean of each window's real pixels.  Arguments: see `Pooling2D`."""

    only_launches = True

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return y (n, oh, ow, channels) for x (n, h, w, channels)."""
        self._x_shape = x.shape
        return self.backend.avgpool2d.forward(
            x, self.pool_size, **self.windows, out=self.buffer("y", (len(x), *self.output_shape))
        )

    def backward(self, dy: Array) -> Array | None:
        """Return dx: each window spreads its dy evenly over its real pixels."""
        if not self.needs_input_gradient:
            return None
        return self.backend.avgpool2d.backward(
            dy, self._x_shape, self.pool_size, **self.windows, out=self.buffer("dx", self._x_shape)
        )


class GlobalAveragePooling2D(Layer):
    """y[c] = the mean of channel c over the whole image: (height, width, channels) → (channels,)."""

    input_rank = 3
    only_launches = True

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(height, width, channels) → (channels,)."""
        return (input_shape[2],)

    def _build(self, input_shape: Shape) -> None:
        self.pool_size: Pair = (input_shape[0], input_shape[1])

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return y (n, channels) for x (n, h, w, channels): one window, as large as the image."""
        self._x_shape = x.shape
        y = self.buffer("y", (len(x), 1, 1, x.shape[3]))
        self.backend.avgpool2d.forward(x, self.pool_size, strides=self.pool_size, padding=NO_PADDING, out=y)
        return y.reshape(len(x), -1)

    def backward(self, dy: Array) -> Array | None:
        """Return dx (n, h, w, channels): dy spread evenly over the pixels."""
        if not self.needs_input_gradient:
            return None
        return self.backend.avgpool2d.backward(
            dy.reshape(len(dy), 1, 1, -1), self._x_shape, self.pool_size, strides=self.pool_size, padding=NO_PADDING,
            out=self.buffer("dx", self._x_shape),
        )
