"""Convolution, ReLU and max-pooling some images at a time, the convolution by Winograd's algorithm.

As in direct.py the image before pooling lives in scratch memory only, here for the few images whose tiles make a block.
Only the rows and columns that a pooling window reaches are computed: 2×2 windows leave out the last of an odd number.

Backward transforms dz once and uses it twice: at once for the input gradient, and, kept in slabs together with the
transformed input, for the weight gradient.  See `tinyconv.kernels.conv2d.winograd`, also for the error and for what
goes to the direct rung.
"""

from typing import Any

import numpy as np
from numba import get_thread_id, prange

from .. import threads
from ..contract import winner_dtype
from ..conv2d.direct import transposed_taps
from ..conv2d.winograd import (
    Tiling,
    add_input_gradient,
    add_to_sums,
    bias_sums,
    block_scratch,
    convolve,
    sum_tasks,
    supports,
    tiling,
    transform_sums,
    transformed_weights,
    weight_sums,
)
from ..geometry import Padding, Pair, output_sizes
from ..jit import jit
from ..matmul import bias_or_zeros, no_bias
from ..winograd_tiles import read_dy, read_x
from ..workspace import Workspace, ensure
from . import direct
from .pooling import rectify_and_pool, spread

Array = np.ndarray[Any, Any]


def forward(
    x: Array, w: Array, b: Array | None, pool_size: Pair, *, strides: Pair, padding: Padding, dilation: Pair,
    pool_strides: Pair, pool_padding: Padding, out: Array | None = None, winners: Array | None = None,
    workspace: Workspace | None = None, tile: int = 6,
) -> tuple[Array, Array]:
    """y, winners of maxpool2d(relu(conv2d(x, w, b))), both (n, ph, pw, f)."""
    if not supports(w.shape, strides, dilation, x.dtype):
        return direct.forward(
            x, w, b, pool_size, strides=strides, padding=padding, dilation=dilation, pool_strides=pool_strides,
            pool_padding=pool_padding, out=out, winners=winners, workspace=workspace,
        )  # fmt: skip
    x, workspace = np.ascontiguousarray(x), Workspace() if workspace is None else workspace
    t, pooled = _tiling(x, w, padding, pool_size, pool_strides, pool_padding, tile)
    y = ensure(out, (len(x), *pooled, t.f), x.dtype)
    winners = ensure(winners, y.shape, winner_dtype(pool_size))
    _forward(
        x.reshape(len(x), -1), transformed_weights(w, t, workspace), bias_or_zeros(b, t.f, x.dtype),
        bias_or_zeros(None, t.f, x.dtype), t, *block_scratch(t, x.dtype, workspace), _scratch_z(t, x.dtype, workspace),
        pool_size, pool_strides, (pool_padding[0][0], pool_padding[1][0]), y, winners,
    )  # fmt: skip
    return y, winners


def backward(
    dy: Array, winners: Array, x: Array, w: Array, pool_size: Pair, *, strides: Pair, padding: Padding, dilation: Pair,
    pool_strides: Pair, pool_padding: Padding, need_dx: bool = True,
    out: tuple[Array | None, Array, Array] | None = None, workspace: Workspace | None = None, tile: int = 6,
) -> tuple[Array | None, Array, Array]:
    """(dx, dw, db); dx is None when `need_dx` is false."""
    if not supports(w.shape, strides, dilation, x.dtype):
        return direct.backward(
            dy, winners, x, w, pool_size, strides=strides, padding=padding, dilation=dilation,
            pool_strides=pool_strides, pool_padding=pool_padding, need_dx=need_dx, out=out, workspace=workspace,
        )  # fmt: skip
    dy, winners, x = (np.ascontiguousarray(array) for array in (dy, winners, x))
    workspace = Workspace() if workspace is None else workspace
    t, _ = _tiling(x, w, padding, pool_size, pool_strides, pool_padding, tile)
    dx, dw, db = (None, None, None) if out is None else out
    dw, db = ensure(dw, w.shape, x.dtype), ensure(db, (t.f,), x.dtype)
    dx = ensure(dx, x.shape, x.dtype) if need_dx else None
    nothing = no_bias(x.dtype).reshape(0, 0)
    u = transformed_weights(transposed_taps(w, workspace), t, workspace) if need_dx else nothing
    sums, image_db = weight_sums(t, len(x), x.dtype, workspace), bias_sums(len(x), t.f, x.dtype, workspace)
    _backward(
        dy, winners, x.reshape(len(x), -1), u, t, *block_scratch(t, x.dtype, workspace),
        _scratch_z(t, x.dtype, workspace), pool_size, pool_strides, (pool_padding[0][0], pool_padding[1][0]), sums,
        image_db, nothing if dx is None else dx.reshape(len(x), -1),
    )  # fmt: skip
    transform_sums(sums.du, t, image_db, dw.reshape(-1), db)
    return dx, dw, db


def _tiling(
    x: Array, w: Array, padding: Padding, pool_size: Pair, pool_strides: Pair, pool_padding: Padding, tile: int
) -> tuple[Tiling, Pair]:
    """The tiles of the outputs that pooling reaches, and the pooled (height, width)."""
    sizes = output_sizes(x.shape[1:3], w.shape[:2], (1, 1), padding)
    pooled = output_sizes(sizes, pool_size, pool_strides, pool_padding)
    reached_h, reached_w = (
        min(size, (count - 1) * stride + pool - before)
        for size, count, stride, pool, (before, _) in zip(
            sizes, pooled, pool_strides, pool_size, pool_padding, strict=True
        )
    )
    return tiling(x.shape, w.shape, padding, tile, (reached_h, reached_w)), pooled


def _scratch_z(t: Tiling, dtype: Any, workspace: Workspace) -> Array:
    """For each thread: room for the images of a task between convolution and pooling."""
    return workspace.array("winograd/z", (threads.maximum(), t.images, t.oh * t.ow * t.f), dtype)


@jit(parallel=True)
def _forward(
    x, u, bias, no_more_bias, t, v, products, edges, zs, pool_size, pool_strides, pool_before, y, winners
):  # fmt: skip
    for part in prange((len(x) + t.images - 1) // t.images):
        thread = get_thread_id()
        n, stop = part * t.images, min((part + 1) * t.images, len(x))
        z = zs[thread]
        convolve(x[n:stop], u, bias, t, v[thread], products[thread], edges[thread], z)
        for k in range(stop - n):
            z_image = z[k].reshape((t.oh, t.ow, t.f))
            rectify_and_pool(
                z_image, no_more_bias, y[n + k], winners[n + k], pool_size, pool_strides, pool_before
            )  # fmt: skip


@jit(parallel=True)
def _backward(
    dy, winners, x, u, t, v, products, edges, dzs, pool_size, pool_strides, pool_before, sums, image_db, dx
):  # fmt: skip
    for start in range(0, len(x), sums.images):
        count = min(sums.images, len(x) - start)
        for part in prange((count + t.images - 1) // t.images):
            thread = get_thread_id()
            before = part * t.images  # images of this chunk before those of this part
            n, stop = start + before, start + min(before + t.images, count)
            dz, edge = dzs[thread], edges[thread]
            image_db[n:stop] = 0
            for k in range(stop - n):
                dz_image = dz[k].reshape((t.oh, t.ow, t.f))
                spread(dy[n + k], winners[n + k], pool_size, pool_strides, pool_before, dz_image, image_db[n + k])
            if len(dx):
                dx[n:stop] = 0
            for first in range(0, (stop - n) * t.th, t.rows):
                last = min(first + t.rows, (stop - n) * t.th)
                for row in range(first, last):
                    at = (before * t.th + row) * t.tw
                    read_x(x[n + row // t.th], t, row % t.th, edge, sums.v, at)
                    read_dy(dz[row // t.th], t, row % t.th, edge, sums.products, at)
                if len(dx):
                    add_input_gradient(
                        sums.products, sums.rows[(before * t.th + first) * t.tw :], u, t, first, last, v[thread],
                        edge, dx[n:stop],
                    )  # fmt: skip
        for task in prange(sum_tasks(t, sums)):
            add_to_sums(task, count * t.th * t.tw, t, sums, start)
