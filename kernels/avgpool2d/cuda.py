"""Average pooling on a GPU: a thread for 16 bytes of the result, which are neighbouring channels of one pixel."""

from pathlib import Path

from ..arrays import check_shape
from ..contract import Array, ImageShape
from ..cuda.arrays import contiguous, ensure
from ..cuda.launcher import Source
from ..cuda.launches import over_pixels
from ..geometry import NO_PADDING, Padding, Pair
from ..pooling import pooled_shape

_SOURCE = Source(Path(__file__).with_name("avgpool2d.cu"))


def forward(
    x: Array, pool_size: Pair, *, strides: Pair, padding: Padding = NO_PADDING, out: Array | None = None
) -> Array:
    """Return y."""
    shape = pooled_shape(x.shape, pool_size, strides, padding)
    y = ensure(out, shape, x.dtype, like=x)
    over_pixels(_SOURCE, "forward", (contiguous(x), y), x.shape, shape, pool_size, strides, padding)
    return y


def backward(
    dy: Array, x_shape: ImageShape, pool_size: Pair, *, strides: Pair, padding: Padding = NO_PADDING,
    out: Array | None = None,
) -> Array:
    """Return dx."""
    shape = pooled_shape(x_shape, pool_size, strides, padding)
    check_shape(dy, shape, "dy")
    dx = ensure(out, x_shape, dy.dtype, like=dy)
    over_pixels(_SOURCE, "backward", (contiguous(dy), dx), x_shape, shape, pool_size, strides, padding)
    return dx
