"""Max-pooling on a GPU: a thread for 16 bytes of the result, which are neighbouring channels of one pixel."""

from pathlib import Path

from ..arrays import check_shape
from ..contract import Array, ImageShape, winner_dtype
from ..cuda.arrays import contiguous, ensure
from ..cuda.launcher import Source, ctype
from ..cuda.launches import over_pixels
from ..geometry import NO_PADDING, Padding, Pair
from ..pooling import pooled_shape

_SOURCE = Source(Path(__file__).with_name("maxpool2d.cu"))


def forward(
    x: Array, pool_size: Pair, *, strides: Pair, padding: Padding = NO_PADDING, out: Array | None = None,
    winners: Array | None = None,
) -> tuple[Array, Array]:
    """Return (y, winners)."""
    shape = pooled_shape(x.shape, pool_size, strides, padding)
    y = ensure(out, shape, x.dtype, like=x)
    winners = ensure(winners, shape, winner_dtype(pool_size), like=x)
    over_pixels(
        _SOURCE, "forward", (contiguous(x), winners, y), x.shape, shape, pool_size, strides, padding,
        WINNER=ctype(winners.dtype),
    )
    return y, winners


def backward(
    dy: Array, winners: Array, x_shape: ImageShape, pool_size: Pair, *, strides: Pair, padding: Padding = NO_PADDING,
    out: Array | None = None,
) -> Array:
    """Return dx."""
    shape = pooled_shape(x_shape, pool_size, strides, padding)
    check_shape(dy, shape, "dy")
    check_shape(winners, shape, "winners")
    dx = ensure(out, x_shape, dy.dtype, like=dy)
    over_pixels(
        _SOURCE, "backward", (contiguous(dy), contiguous(winners), dx), x_shape, shape, pool_size, strides, padding,
        WINNER=ctype(winners.dtype),
    )
    return dx
