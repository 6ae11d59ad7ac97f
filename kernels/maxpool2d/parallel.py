"""Max-pooling, compiled: one thread per row of the result, all channels of a pixel at a time.

Forward goes through a window place by place and keeps the best so far in y itself, so that every inner loop is a
branch-free select over contiguous channels.  Backward gathers: a row of dx asks each window above it which place won.
"""

from numba import prange

from .. import pooling
from ..arrays import check_shape, contiguous
from ..contract import Array, ImageShape, winner_dtype
from ..geometry import NO_PADDING, Padding, Pair
from ..jit import jit
from ..workspace import ensure

_real_pixels = jit(inline=True)(pooling.real_pixels)
_windows_over = jit(inline=True)(pooling.windows_over)
_windows_with_real_tap = jit(inline=True)(pooling.windows_with_real_tap)


def forward(
    x: Array, pool_size: Pair, *, strides: Pair, padding: Padding = NO_PADDING, out: Array | None = None,
    winners: Array | None = None,
) -> tuple[Array, Array]:
    """Return (y, winners)."""
    shape = pooling.pooled_shape(x.shape, pool_size, strides, padding)
    y = ensure(out, shape, x.dtype)
    winners = ensure(winners, shape, winner_dtype(pool_size))
    _forward(contiguous(x), y, winners, *pool_size, *strides, padding[0][0], padding[1][0])
    return y, winners


def backward(
    dy: Array, winners: Array, x_shape: ImageShape, pool_size: Pair, *, strides: Pair, padding: Padding = NO_PADDING,
    out: Array | None = None,
) -> Array:
    """Return dx."""
    shape = pooling.pooled_shape(x_shape, pool_size, strides, padding)
    check_shape(dy, shape, "dy")
    check_shape(winners, shape, "winners")
    dx = ensure(out, x_shape, dy.dtype)
    _backward(contiguous(dy), contiguous(winners), dx, *pool_size, *strides, padding[0][0], padding[1][0])
    return dx


@jit(parallel=True)
def _forward(
    x: Array, y: Array, winners: Array, kh: int, kw: int, sh: int, sw: int, top: int, left: int
) -> None:
    n, oh, _, _ = y.shape
    for row in prange(n * oh):
        image, i = row // oh, row % oh
        pool_row(x[image], y[image, i], winners[image, i], i, kh, kw, sh, sw, top, left)


@jit(inline=True)
def pool_row(
    x: Array, y: Array, winners: Array, i: int, kh: int, kw: int, sh: int, sw: int, top: int, left: int
) -> None:
    """Row i of the pooled image x (h, w, c): y and winners (ow, c)."""
    fits = 2 * i + 2 <= x.shape[0] and 2 * len(y) <= x.shape[1]
    if kh == kw == sh == sw == 2 and top == left == 0 and fits:
        _row_of_quarters(x[2 * i], x[2 * i + 1], y, winners)
    else:
        _row(x, y, winners, i, kh, kw, sh, sw, top, left)


@jit(inline=True)
def _row_of_quarters(upper: Array, lower: Array, y: Array, winners: Array) -> None:
    """One row of the common case, 2×2 windows side by side without padding: the best stays in a register."""
    one, two, three = winners.dtype.type(1), winners.dtype.type(2), winners.dtype.type(3)
    for j in range(y.shape[0]):
        for ch in range(y.shape[1]):
            best, winner = upper[2 * j, ch], winners.dtype.type(0)
            value = upper[2 * j + 1, ch]
            wins = _wins(value, best)
            best, winner = value if wins else best, one if wins else winner
            value = lower[2 * j, ch]
            wins = _wins(value, best)
            best, winner = value if wins else best, two if wins else winner
            value = lower[2 * j + 1, ch]
            wins = _wins(value, best)
            y[j, ch], winners[j, ch] = value if wins else best, three if wins else winner


@jit(inline=True)
def _row(
    x: Array, y: Array, winners: Array, i: int, kh: int, kw: int, sh: int, sw: int, top: int, left: int
) -> None:
    """The same for windows of any kind."""
    windows, channels = y.shape
    height, width = x.shape[0], x.shape[1]
    first_row, stop_row = _real_pixels(i, kh, sh, top, height)
    for j in range(windows):  # the first real pixel leads until another one is better
        s, _ = _real_pixels(j, kw, sw, left, width)
        place = winners.dtype.type((first_row + top - i * sh) * kw + s + left - j * sw)
        for ch in range(channels):
            y[j, ch] = x[first_row, s, ch]
            winners[j, ch] = place
    for r in range(first_row, stop_row):
        for q in range(kw):
            place = winners.dtype.type((r + top - i * sh) * kw + q)
            first, stop = _windows_with_real_tap(q, sw, left, width, windows)
            for j in range(first, stop):
                pixel = x[r, j * sw - left + q]
                for ch in range(channels):
                    value, best, winner = pixel[ch], y[j, ch], winners[j, ch]
                    wins = _wins(value, best)
                    y[j, ch], winners[j, ch] = value if wins else best, place if wins else winner


@jit(inline=True)
def _wins(value: float, best: float) -> bool:
    """Whether `value` takes the lead: it is larger, or the first NaN.  `&` and `|` keep it free of branches."""
    return ((value > best) | (value != value)) & (best == best)


@jit(parallel=True)
def _backward(
    dy: Array, winners: Array, dx: Array, kh: int, kw: int, sh: int, sw: int, top: int, left: int
) -> None:
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
            for q in range(kw):
                place = winners.dtype.type((r + top - i * sh) * kw + q)
                first, stop = _windows_with_real_tap(q, sw, left, width, ow)
                for j in range(first, stop):
                    pixel = dx_row[j * sw - left + q]
                    for ch in range(channels):
                        gradient = dy[image, i, j, ch]
                        pixel[ch] += gradient if winners[image, i, j, ch] == place else zero
