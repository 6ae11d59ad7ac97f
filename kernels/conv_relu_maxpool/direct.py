"""Convolution, ReLU and max-pooling image by image; see `contract.ConvReluMaxPool`.

The image between convolution and pooling is the biggest array of a network (4 times the pooled one, for 2×2 windows),
and is needed for a moment only.  Here it is a scratch image per thread that stays in the L2 cache: forward convolves
into it and pools from it; backward spreads dy over the winners in it and hands it to both products of the convolution's
backward.  What is kept for backward is one byte per output: which pixel of the window won, or that none did.
"""

from typing import Any

import numpy as np
from numba import get_thread_id, prange

from .. import threads
from ..contract import winner_dtype
from ..conv2d.direct import (
    add_input_gradient,
    add_parts,
    add_weight_gradient,
    convolve,
    cut_padding,
    input_gradient_tables,
    padded_image,
    partial_sums,
    scratch_images,
    tables,
    transposed_taps,
)
from ..geometry import Padding, Pair, output_sizes
from ..jit import jit
from ..matmul import bias_or_zeros, no_bias, offsets, padded_columns, whole_vectors
from ..workspace import Workspace, ensure
from .pooling import rectify_and_pool, spread

Array = np.ndarray[Any, Any]


def forward(
    x: Array, w: Array, b: Array | None, pool_size: Pair, *, strides: Pair, padding: Padding, dilation: Pair,
    pool_strides: Pair, pool_padding: Padding, out: Array | None = None, winners: Array | None = None,
    workspace: Workspace | None = None,
) -> tuple[Array, Array]:
    """y, winners of maxpool2d(relu(conv2d(x, w, b))), both (n, ph, pw, f)."""
    x, workspace = np.ascontiguousarray(x), Workspace() if workspace is None else workspace
    filters = w.shape[3]
    t = tables(x.shape, w.shape[:2], strides, padding, dilation)
    shape = (t.n, *output_sizes(t.out_sizes, pool_size, pool_strides, pool_padding), filters)
    y, winners = ensure(out, shape, x.dtype), ensure(winners, shape, winner_dtype(pool_size))
    _forward(
        x.reshape(t.n, -1), t.image, whole_vectors(w.reshape(-1, filters), workspace, "conv2d/w"),
        bias_or_zeros(b, filters, x.dtype), t.windows, t.runs, t.depth, offsets(t.pixels, filters), filters,
        scratch_images(t, x.dtype, workspace),
        workspace.array("conv_relu_maxpool/z", (threads.maximum(), t.pixels * filters), x.dtype),
        t.out_sizes, pool_size, pool_strides, (pool_padding[0][0], pool_padding[1][0]), y, winners,
    )
    return y, winners


def backward(
    dy: Array, winners: Array, x: Array, w: Array, pool_size: Pair, *, strides: Pair, padding: Padding, dilation: Pair,
    pool_strides: Pair, pool_padding: Padding, need_dx: bool = True,
    out: tuple[Array | None, Array, Array] | None = None, workspace: Workspace | None = None,
) -> tuple[Array | None, Array, Array]:
    """(dx, dw, db); dx is None when `need_dx` is false."""
    dy, winners, x = (np.ascontiguousarray(array) for array in (dy, winners, x))
    workspace = Workspace() if workspace is None else workspace
    filters = w.shape[3]
    t = tables(x.shape, w.shape[:2], strides, padding, dilation)
    dx, dw, db = (None, None, None) if out is None else out
    dw, db = ensure(dw, w.shape, x.dtype), ensure(db, (filters,), x.dtype)
    dx = ensure(dx, x.shape, x.dtype) if need_dx else None
    width = padded_columns(filters, x.dtype)
    g = input_gradient_tables(x.shape, w.shape[:2], strides, padding, dilation, x.dtype, width)
    parts, sums = partial_sums(t.n, dw.size, filters, x.dtype, workspace)
    padded_dx = workspace.array("conv_relu_maxpool/dx", (threads.maximum(), max(t.padded_size, 1)), x.dtype)
    _backward(
        dy, winners, x.reshape(t.n, -1), t.image,
        transposed_taps(w, workspace, g.at_once) if need_dx else _empty(x.dtype, 3), g, offsets(1, 0), t.inputs,
        t.window_rows, t.column_stride, t.out_sizes, filters, width,
        offsets(dw.size // filters, filters), scratch_images(t, x.dtype, workspace), padded_dx,
        workspace.array("conv_relu_maxpool/dz", (threads.maximum(), t.pixels * width), x.dtype), parts, sums,
        pool_size, pool_strides, (pool_padding[0][0], pool_padding[1][0]),
        _empty(x.dtype, 2) if dx is None else dx.reshape(t.n, -1),
    )
    add_parts(sums, dw.reshape(-1), db)
    return dx, dw, db


def _empty(dtype: Any, axes: int) -> Array:
    """Stands for an array that is not wanted: it has no elements."""
    return no_bias(dtype).reshape((0,) * axes)


@jit(parallel=True)
def _forward(
    x, image, w, bias, windows, runs, depth, z_rows, filters, scratch, z_scratch, z_sizes, pool_size, pool_strides,
    pool_before, y, winners,
):
    for n in prange(len(x)):
        z = z_scratch[get_thread_id()]
        padded = padded_image(x[n], image, scratch[get_thread_id()])
        convolve(padded, w, windows, runs, depth, filters, z, z_rows)
        z_image = z.reshape((z_sizes[0], z_sizes[1], filters))
        rectify_and_pool(z_image, bias, y[n], winners[n], pool_size, pool_strides, pool_before)


@jit(parallel=True)
def _backward(
    dy, winners, x, image, taps_w, g, no_runs, inputs, window_rows, column_stride, z_sizes, filters, width, dw_rows,
    scratch, padded_dx, dz_scratch, parts, sums, pool_size, pool_strides, pool_before, dx,
):
    h, w, _, ph, pw, _, _ = image
    whole = h == ph and w == pw
    weights = sums.shape[1] - filters
    for part in prange(len(sums)):
        sums[part] = 0
        dw, db = sums[part, :weights], sums[part, weights:]
        dz = dz_scratch[get_thread_id()]
        for n in range(parts[part], parts[part + 1]):
            dz_image = dz.reshape((z_sizes[0], z_sizes[1], width))
            spread(dy[n], winners[n], pool_size, pool_strides, pool_before, dz_image, db)
            padded = padded_image(x[n], image, scratch[get_thread_id()])
            add_weight_gradient(padded, inputs, window_rows, column_stride, z_sizes, dz, width, filters, dw, dw_rows)
            if len(dx):
                some = dx[n] if whole else padded_dx[get_thread_id()]
                some[:] = 0
                add_input_gradient(dz, g, no_runs, taps_w, some)
                if not whole:
                    cut_padding(some, image, dx[n])
