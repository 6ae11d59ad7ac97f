"""Average pooling, compiled: one thread per row of the result, all channels of a pixel at a time.

Backward gathers: a row of dx adds up the shares of the windows above it.
"""

from numba import prange

from .. import pooling
from ..arrays import check_shape, contiguous
from ..contract import Array, ImageShape
from ..geometry import NO_PADDING, Padding, Pair
from ..jit import jit
from ..workspace import ensure

_real_pixels = jit(inline=True)(pooling.real_pixels)
_windows_over = jit(inline=True)(pooling.windows_over)
_windows_with_real_tap = jit(inline=True)(pooling.windows_with_real_tap)


def forward(
    x: Array, pool_size: Pair, *, strides: Pair, padding: Padding = NO_PADDING, out: Array | None = None
) -> Array:
    """Return y."""
    y = ensure(out, pooling.pooled_shape(x.shape, pool_size, strides, padding), x.dtype)
    _forward(contiguous(x), y, *pool_size, *strides, padding[0][0], padding[1][0])
    return y


def backward(
    dy: Array, x_shape: ImageShape, pool_size: Pair, *, strides: Pair, padding: Padding = NO_PADDING,
    out: Array | None = None,
) -> Array:
    """Return dx."""
    check_shape(dy, pooling.pooled_shape(x_shape, pool_size, strides, padding), "dy")
    dx = ensure(out, x_shape, dy.dtype)
    _backward(contiguous(dy), dx, *pool_size, *strides, padding[0][0], padding[1][0])
    return dx


@jit(parallel=True)
def _forward(x: Array, y: Array, kh: int, kw: int, sh: int, sw: int, top: int, left: int) -> None:
    n, oh, ow, channels = y.shape
    height, width = x.shape[1], x.shape[2]
    zero = y.dtype.type(0)
    for row in prange(n * oh):
        image, i = row // oh, row % oh
        y_row = y[image, i]
        for j in range(ow):
            for ch in range(channels):
                y_row[j, ch] = zero
        first_row, stop_row = _real_pixels(i, kh, sh, top, height)
        for r in range(first_row, stop_row):
            for q in range(kw):
                first, stop = _windows_with_real_tap(q, sw, left, width, ow)
                for j in range(first, stop):
                    pixel = x[image, r, j * sw - left + q]
                    for ch in range(channels):
                        y_row[j, ch] += pixel[ch]
        for j in range(ow):
            first, stop = _real_pixels(j, kw, sw, left, width)
            count = y.dtype.type((stop_row - first_row) * (stop - first))
            for ch in range(channels):
                y_row[j, ch] /= count


@jit(parallel=True)
def _backward(dy: Array, dx: Array, kh: int, kw: int, sh: int, sw: int, top: int, left: int) -> None:
    n, height, width, channels = dx.shape
    oh, ow = dy.shape[1], dy.shape[2]
    zero = dx.dtype.type(0)
    for row in prange(n * height):
        image, r = row // height, row % height
        dx_row = dx[image, r]
        for s in range(width):
            for ch in range(channels):
                dx_row[s, ch] = zero
        first_row, stop_row = _windows_over(r, kh, sh, top, oh)
        for i in range(first_row, stop_row):
            upper, lower = _real_pixels(i, kh, sh, top, height)
            for q in range(kw):
                first, stop = _windows_with_real_tap(q, sw, left, width, ow)
                for j in range(first, stop):
                    start, end = _real_pixels(j, kw, sw, left, width)
                    count = dx.dtype.type((lower - upper) * (end - start))
                    pixel = dx_row[j * sw - left + q]
                    for ch in range(channels):
                        pixel[ch] += dy[image, i, j, ch] / count
