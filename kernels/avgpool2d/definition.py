"""Average pooling by its definition: the mean of the real pixels of one window after the other."""

from ..arrays import check_shape, quiet
from ..contract import Array, ImageShape
from ..geometry import NO_PADDING, Padding, Pair
from ..pooling import each_window, pooled_shape
from ..workspace import ensure


@quiet
def forward(
    x: Array, pool_size: Pair, *, strides: Pair, padding: Padding = NO_PADDING, out: Array | None = None
) -> Array:
    """Return y."""
    y = ensure(out, pooled_shape(x.shape, pool_size, strides, padding), x.dtype)
    for i, j, rows, columns, _ in each_window(x.shape, pool_size, strides, padding):
        y[:, i, j] = x[:, rows, columns].mean(axis=(1, 2))
    return y


@quiet
def backward(
    dy: Array, x_shape: ImageShape, pool_size: Pair, *, strides: Pair, padding: Padding = NO_PADDING,
    out: Array | None = None,
) -> Array:
    """Return dx."""
    check_shape(dy, pooled_shape(x_shape, pool_size, strides, padding), "dy")
    dx = ensure(out, x_shape, dy.dtype)
    dx[...] = 0
    for i, j, rows, columns, places in each_window(x_shape, pool_size, strides, padding):
        dx[:, rows, columns] += (dy[:, i, j] / places.size)[:, None, None]
    return dx
