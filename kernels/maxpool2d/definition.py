"""Max-pooling by its definition: look at the real pixels of one window after the other, for all images at once."""

import numpy as np

from ..arrays import check_shape
from ..contract import Array, ImageShape, winner_dtype
from ..geometry import NO_PADDING, Padding, Pair
from ..pooling import each_window, pooled_shape
from ..workspace import ensure


def forward(
    x: Array, pool_size: Pair, *, strides: Pair, padding: Padding = NO_PADDING, out: Array | None = None,
    winners: Array | None = None,
) -> tuple[Array, Array]:
    """Return (y, winners); integers work as well, because a padding pixel takes no part at all."""
    shape = pooled_shape(x.shape, pool_size, strides, padding)
    y = ensure(out, shape, x.dtype)
    winners = ensure(winners, shape, winner_dtype(pool_size))
    for i, j, rows, columns, places in each_window(x.shape, pool_size, strides, padding):
        pixels = x[:, rows, columns].reshape(shape[0], places.size, shape[3])  # (n, pixels, c)
        first = pixels.argmax(axis=1)  # (n, c): the first maximum, or the first NaN
        y[:, i, j] = np.take_along_axis(pixels, first[:, None], axis=1)[:, 0]
        winners[:, i, j] = places.reshape(-1)[first]
    return y, winners


def backward(
    dy: Array, winners: Array, x_shape: ImageShape, pool_size: Pair, *, strides: Pair, padding: Padding = NO_PADDING,
    out: Array | None = None,
) -> Array:
    """Return dx."""
    shape = pooled_shape(x_shape, pool_size, strides, padding)
    check_shape(dy, shape, "dy")
    check_shape(winners, shape, "winners")
    dx = ensure(out, x_shape, dy.dtype)
    dx[...] = 0
    for i, j, rows, columns, places in each_window(x_shape, pool_size, strides, padding):
        won = winners[:, i, j, None, None] == places[..., None]  # (n, rows, columns, c)
        dx[:, rows, columns] += np.where(won, dy[:, i, j, None, None], dy.dtype.type(0))
    return dx
