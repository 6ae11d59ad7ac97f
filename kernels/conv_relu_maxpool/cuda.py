"""Convolution, ReLU and max-pooling in CUDA; see `contract.ConvReluMaxPool`.

Forward is one kernel: the product that `conv2d.cuda` computes, with its rows in the order in which the pool wants them,
so that a thread pools what it has in registers (quarters.cu, places.cu).  Where windows of the pool overlap, a place
would be computed for each window that has it: there forward is the three operations one after the other.

Backward is the pool's, which gives nothing to a window that nobody won (closed.cu), and then the convolution's.

Beyond the contract, both take `precision`, as `conv2d.cuda` does.  Tensor cores leave their sums with lanes that do not
have whole windows, so with them, too, forward is the three operations.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..contract import Array, ImageShape, winner_dtype
from ..conv2d import cuda as conv2d
from ..cuda import gemm
from ..cuda.arrays import contiguous, ensure, scratch
from ..cuda.launcher import Source, ctype
from ..cuda.launches import over_elements
from ..geometry import Padding, Pair, output_sizes
from ..maxpool2d import cuda as maxpool2d
from ..pooling import pooled_shape
from ..relu import cuda as relu
from ..workspace import Workspace

_QUARTERS, _PLACES, _CLOSED = (
    Source(Path(__file__).with_name(name)) for name in ("quarters.cu", "places.cu", "closed.cu")
)


def forward(
    x: Array, w: Array, b: Array | None, pool_size: Pair, *, strides: Pair, padding: Padding, dilation: Pair,
    pool_strides: Pair, pool_padding: Padding, out: Array | None = None, winners: Array | None = None,
    workspace: Workspace | None = None, precision: str = "float32",
) -> tuple[Array, Array]:
    """y, winners of maxpool2d(relu(conv2d(x, w, b))), both (n, ph, pw, f)."""
    x, w, b = contiguous(x), contiguous(w), None if b is None else contiguous(b)
    kh, kw, channels, filters = w.shape
    z_shape = (len(x), *output_sizes(x.shape[1:3], (kh, kw), strides, padding, dilation), filters)
    shape = pooled_shape(z_shape, pool_size, pool_strides, pool_padding)
    y = ensure(out, shape, x.dtype, like=x)
    winners = ensure(winners, shape, winner_dtype(pool_size), like=x)
    if not y.size:
        return y, winners
    overlapping = pool_size[0] > pool_strides[0] or pool_size[1] > pool_strides[1]
    if gemm.check_precision(precision, x) or overlapping:
        z = scratch(workspace, "conv_relu_maxpool/z", z_shape, x.dtype, like=x)
        conv2d.forward(
            x, w, b, strides=strides, padding=padding, dilation=dilation, out=z, workspace=workspace,
            precision=precision,
        )
        relu.forward(z, out=z)
        maxpool2d.forward(z, pool_size, strides=pool_strides, padding=pool_padding, out=y, winners=winners)
        over_elements(_CLOSED, "closed", (winners, y), np.int32(pool_size[0] * pool_size[1]), VALUE=ctype(y.dtype))
        return y, winners
    quarters = pool_size == (2, 2)
    rows = y.size // filters * (4 if quarters else 1)
    widths = gemm.width(x, channels), gemm.width(w, filters)
    sizes = rows, filters, kh * kw * channels
    tile = gemm.plan(*sizes, x.dtype.itemsize, widths == (4, 4), whole=True, small=not quarters).tile
    defines = {"T": ctype(x.dtype), "WINNER": ctype(winners.dtype), "A_WIDTH": widths[0], "B_WIDTH": widths[1]}
    source = _QUARTERS if quarters else _PLACES
    source.launch(
        "forward", (-(-rows // tile.rows), -(-filters // tile.columns)),
        tile.threads, x, w, b, y, winners, *_pool(shape, pool_size, pool_strides, pool_padding),
        *conv2d.scalars(x.shape, w.shape, strides, padding, dilation), defines={**defines, **tile.defines()},
    )
    return y, winners


def backward(
    dy: Array, winners: Array, x: Array, w: Array, pool_size: Pair, *, strides: Pair, padding: Padding, dilation: Pair,
    pool_strides: Pair, pool_padding: Padding, need_dx: bool = True,
    out: tuple[Array | None, Array, Array] | None = None, workspace: Workspace | None = None,
    precision: str = "float32",
) -> tuple[Array | None, Array, Array]:
    """(dx, dw, db); dx is None when `need_dx` is false."""
    z_shape = (len(x), *output_sizes(x.shape[1:3], w.shape[:2], strides, padding, dilation), w.shape[3])
    dz = scratch(workspace, "conv_relu_maxpool/dz", z_shape, dy.dtype, like=dy)
    maxpool2d.backward(dy, winners, z_shape, pool_size, strides=pool_strides, padding=pool_padding, out=dz)
    windows: dict[str, Any] = {
        "strides": strides, "padding": padding, "dilation": dilation, "workspace": workspace, "precision": precision,
    }  # fmt: skip
    dx, dw, db = (None, None, None) if out is None else out
    weights_out = None if dw is None or db is None else (dw, db)
    dw, db = conv2d.backward_weights(x, dz, w.shape, out=weights_out, **windows)
    return (conv2d.backward_input(dz, w, x.shape, out=dx, **windows) if need_dx else None), dw, db


@lru_cache(maxsize=256)
def _pool(shape: ImageShape, pool_size: Pair, strides: Pair, padding: Padding) -> tuple[Any, ...]:
    """The parameters POOL of pooled.cuh."""
    sizes = (*shape[1:3], *pool_size, *strides, padding[0][0], padding[1][0])
    dividers = (gemm.divider(size) for size in shape[1:3])
    return (*map(np.int32, sizes), *(number for pair in dividers for number in pair))
