"""ReLU and max-pooling of one image that is in cache, and back: shared by the rungs of conv_relu_maxpool.

Windows of one pixel, and of 2×2 side by side, have vector code of their own, see `squares`; this file also does all the
others.
"""

from ..jit import jit
from ..maxpool2d.parallel import pool_row
from .squares import pool_quarters, rectify_pixels, side_of_squares, spread_pixels, spread_quarters


@jit(inline=True)
def rectify_and_pool(z, bias, y, winners, pool_size, pool_strides, pool_before):
    """y, winners (ph, pw, f) = maxpool2d(relu(z + bias)) for one image z (h, w, f), which is overwritten."""
    side = side_of_squares(pool_size, pool_strides, pool_before, z, y)
    if side == 2:
        pool_quarters(z, bias, y, winners)
    elif side == 1:
        rectify_pixels(z, bias, y, winners)
    else:
        _add_bias_and_rectify(z.reshape(-1), bias)
        zero, nobody = z.dtype.type(0), winners.dtype.type(pool_size[0] * pool_size[1])
        for i in range(len(y)):
            pool_row(
                z, y[i], winners[i], i, pool_size[0], pool_size[1], pool_strides[0], pool_strides[1], pool_before[0],
                pool_before[1],
            )  # fmt: skip
            for j in range(y.shape[1]):
                value, winner = y[i, j], winners[i, j]
                for f in range(y.shape[2]):
                    winner[f] = nobody if value[f] <= zero else winner[f]


@jit(inline=True)
def _add_bias_and_rectify(z, bias):
    """z (flat) = max(z + bias, 0); NaN stays."""
    filters, zero = len(bias), z.dtype.type(0)
    for start in range(0, len(z), filters):
        pixel = z[start : start + filters]
        for f in range(filters):
            value = pixel[f] + bias[f]
            pixel[f] = zero if value <= zero else value


@jit(inline=True)
def spread(dy, winners, pool_size, pool_strides, pool_before, dz, db):
    """Give dy (ph, pw, f) to the winners in dz (h, w, f or wider); db += Σ dy where there is one."""
    side = side_of_squares(pool_size, pool_strides, pool_before, dz, dy)
    if side == 2:
        spread_quarters(dy, winners, dz, db)
    elif side == 1:
        spread_pixels(dy, winners, dz, db)
    else:
        _spread(dy, winners, pool_size, pool_strides, pool_before, dz, db)


@jit(inline=True)
def _spread(dy, winners, pool_size, pool_strides, pool_before, dz, db):
    """The same for windows of any kind."""
    zero, nobody = dz.dtype.type(0), winners.dtype.type(pool_size[0] * pool_size[1])
    rows, columns, filters = dy.shape
    dz[:] = zero
    for i in range(rows):
        for j in range(columns):
            sent, winner = dy[i, j], winners[i, j]
            for f in range(filters):
                db[f] += zero if winner[f] == nobody else sent[f]
            for p in range(pool_size[0]):
                row = i * pool_strides[0] - pool_before[0] + p
                for q in range(pool_size[1]):
                    column = j * pool_strides[1] - pool_before[1] + q
                    if row < 0 or row >= dz.shape[0] or column < 0 or column >= dz.shape[1]:
                        continue
                    pixel = dz[row, column]
                    place = winners.dtype.type(p * pool_size[1] + q)
                    for f in range(filters):
                        pixel[f] += sent[f] if winner[f] == place else zero
