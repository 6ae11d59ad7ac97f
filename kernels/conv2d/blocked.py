"""im2col in pieces that stay in the cache: the step between im2col.py and direct.py.

The product is im2col's, cols · w, but cols never exists as a whole: a thread takes an image, copies some windows into a
buffer of its own, small enough for its L2 cache, and multiplies them while they are there.

    image ── copy some windows ──▶ cols (pixels, kh·kw·c) ── · w ──▶ those pixels of y
                                   cols ── ᵀ · dy of those pixels ──▶ added to dw
    dy of some pixels ── · wᵀ ──▶ cols ── add each window back where it came from ──▶ dx

The copies themselves remain, kh·kw of each pixel; direct.py does without.  As there, `Tables` say where windows start.
"""

from typing import Any

import numpy as np
from numba import get_thread_id, prange

from .. import threads
from ..contract import ImageShape, WeightShape
from ..geometry import NO_PADDING, Padding, Pair
from ..jit import jit
from ..matmul import (
    BLOCK_DEPTH,
    fill_up,
    multiply_block,
    no_bias,
    offsets,
    padded_columns,
    transposed,
    whole_vectors,
)
from ..microkernel import MAX_VECTORS, VECTOR_BYTES, product
from ..workspace import Workspace, ensure
from .direct import Tables, add_parts, cut_padding, padded_image, partial_sums, scratch_images, tables

Array = np.ndarray[Any, Any]

COLS_BYTES = 256 * 2**10  # of the buffer: half of a small L2 cache, the other half is for weights and images


def forward(
    x: Array, w: Array, b: Array | None = None, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1), out: Array | None = None, workspace: Workspace | None = None,
) -> Array:
    """y = cols · w + b, some pixels at a time; see `contract.Conv2D`."""
    x, workspace = np.ascontiguousarray(x), Workspace() if workspace is None else workspace
    filters = w.shape[3]
    t = tables(x.shape, w.shape[:2], strides, padding, dilation)
    y = ensure(out, (t.n, *t.out_sizes, filters), x.dtype)
    w_matrix = whole_vectors(w.reshape(-1, filters), workspace, "conv2d/w")
    cols = _buffer(t, len(w_matrix), x.dtype, workspace)
    _forward(
        x.reshape(t.n, -1), t.image, t.windows, t.runs, t.depth, t.pixels, w_matrix, _depths(len(w_matrix)), filters,
        no_bias(x.dtype) if b is None else b, scratch_images(t, x.dtype, workspace), cols,
        offsets(cols.shape[1], len(w_matrix)), offsets(t.pixels, filters), y.reshape(t.n, -1),
    )  # fmt: skip
    return y


def backward_input(
    dy: Array, w: Array, x_shape: ImageShape, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1), out: Array | None = None, workspace: Workspace | None = None,
) -> Array:
    """cols = dy · wᵀ, some pixels at a time, added back to the windows."""
    dy, workspace = np.ascontiguousarray(dy), Workspace() if workspace is None else workspace
    filters = w.shape[3]
    t = tables(tuple(x_shape), w.shape[:2], strides, padding, dilation)
    dx = ensure(out, x_shape, dy.dtype)
    w_matrix = w.reshape(-1, filters)
    cols = _buffer(t, len(w_matrix), dy.dtype, workspace)
    _backward_input(
        dy.reshape(t.n, -1), t.image, t.windows, t.runs, t.depth, t.pixels,
        transposed(w_matrix, workspace, "conv2d/w"), _depths(filters), len(w_matrix),
        scratch_images(t, dy.dtype, workspace), cols, offsets(t.pixels, filters),
        offsets(cols.shape[1], len(w_matrix)), dx.reshape(t.n, -1),
    )  # fmt: skip
    return dx


def backward_weights(
    x: Array, dy: Array, w_shape: WeightShape, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1), out: tuple[Array, Array] | None = None, workspace: Workspace | None = None,
) -> tuple[Array, Array]:
    """dw = colsᵀ · dy, some pixels at a time, and db = Σ dy."""
    x, dy = np.ascontiguousarray(x), np.ascontiguousarray(dy)
    workspace = Workspace() if workspace is None else workspace
    filters = w_shape[3]
    t = tables(x.shape, w_shape[:2], strides, padding, dilation)
    dw, db = (None, None) if out is None else out
    dw, db = ensure(dw, w_shape, x.dtype), ensure(db, (filters,), x.dtype)
    depth = dw.size // filters
    cols = _buffer(t, depth, x.dtype, workspace)
    parts, sums = partial_sums(t.n, dw.size, filters, x.dtype, workspace)
    width = padded_columns(filters, x.dtype)
    _backward_weights(
        x.reshape(t.n, -1), dy.reshape(t.n, -1), t.image, t.windows, t.runs, t.depth, t.pixels, filters, width,
        scratch_images(t, x.dtype, workspace), cols,
        workspace.array("conv2d/dy", (threads.maximum(), t.pixels * width), x.dtype), offsets(depth, 1), offsets(1, 0),
        offsets(depth, filters), parts, sums,
    )  # fmt: skip
    add_parts(sums, dw.reshape(-1), db)
    return dw, db


def _buffer(t: Tables, depth: int, dtype: Any, workspace: Workspace) -> Array:
    """For each thread, cols (pixels, depth) for as many pixels of one image as fit."""
    fits = COLS_BYTES // (depth * np.dtype(dtype).itemsize)
    return workspace.array("conv2d/block", (threads.maximum(), max(1, min(fits, t.pixels)), depth), dtype)


def _depths(depth: int) -> Array:
    """Where each piece of a long sum starts; see `matmul.multiply_block`."""
    return offsets(-(-depth // BLOCK_DEPTH), BLOCK_DEPTH)


# -- compiled ---------------------------------------------------------------------------------------------------------


@jit(inline=True)
def copy_windows(x, windows, first, last, runs, depth, cols):
    """Row p of cols = the window at windows[first + p] of the padded image x (flat), run by run."""
    for pixel in range(first, last):
        for run in range(cols.shape[1] // depth):
            start = windows[pixel] + runs[run]
            source, target = x[start : start + depth], cols[pixel - first, run * depth : (run + 1) * depth]
            for k in range(depth):
                target[k] = source[k]


@jit(inline=True)
def add_windows(cols, windows, first, last, runs, depth, x):
    """The way back: each row of cols is added to its window of x."""
    for pixel in range(first, last):
        for run in range(cols.shape[1] // depth):
            start = windows[pixel] + runs[run]
            source, target = cols[pixel - first, run * depth : (run + 1) * depth], x[start : start + depth]
            for k in range(depth):
                target[k] += source[k]


@jit(parallel=True)
def _forward(
    x, image, windows, runs, depth, pixels, w, depths, filters, bias, scratch, buffers, cols_rows, y_rows, y
):  # fmt: skip
    full = MAX_VECTORS * (VECTOR_BYTES // x.itemsize)
    for n in prange(len(x)):
        cols = buffers[get_thread_id()]
        padded = padded_image(x[n], image, scratch[get_thread_id()])
        for first in range(0, pixels, len(cols)):
            last = min(first + len(cols), pixels)
            copy_windows(padded, windows, first, last, runs, depth, cols)
            for column in range(0, filters, full):
                multiply_block(
                    cols.reshape(-1), cols_rows, 0, last - first, depths, 1, w, column, min(full, filters - column),
                    y[n, first * filters :], y_rows, column,
                )  # fmt: skip
        for start in range(0, len(bias) and y.shape[1], filters):
            pixel = y[n, start : start + filters]
            for f in range(filters):
                pixel[f] += bias[f]


@jit(parallel=True)
def _backward_input(
    dy, image, windows, runs, depth, pixels, w, depths, inputs, scratch, buffers, dy_rows, cols_rows, dx
):  # fmt: skip
    h, width, _, ph, pw, _, _ = image
    full = MAX_VECTORS * (VECTOR_BYTES // dy.itemsize)
    for n in prange(len(dy)):
        cols = buffers[get_thread_id()]
        whole = h == ph and width == pw
        padded = dx[n] if whole else scratch[get_thread_id()]
        padded[:] = 0
        for first in range(0, pixels, len(cols)):
            last = min(first + len(cols), pixels)
            for column in range(0, inputs, full):
                multiply_block(
                    dy[n], dy_rows[first:], 0, last - first, depths, 1, w, column, min(full, inputs - column),
                    cols.reshape(-1), cols_rows, column,
                )  # fmt: skip
            add_windows(cols, windows, first, last, runs, depth, padded)
        if not whole:
            cut_padding(padded, image, dx[n])


@jit(parallel=True)
def _backward_weights(
    x, dy, image, windows, runs, depth, pixels, filters, width, scratch, buffers, wide, inputs, no_runs, dw_rows, parts,
    sums,
):  # fmt: skip
    full = MAX_VECTORS * (VECTOR_BYTES // x.itemsize)
    for part in prange(len(sums)):
        sums[part] = 0
        dw, db = sums[part, : len(sums[part]) - filters], sums[part, len(sums[part]) - filters :]
        cols, rows = buffers[get_thread_id()], wide[get_thread_id()]
        for n in range(parts[part], parts[part + 1]):
            padded = padded_image(x[n], image, scratch[get_thread_id()])
            fill_up(dy[n], filters, rows, width)
            for first in range(0, pixels, len(cols)):
                last = min(first + len(cols), pixels)
                copy_windows(padded, windows, first, last, runs, depth, cols)
                for column in range(0, filters, full):
                    product(
                        cols.reshape(-1), inputs, 0, cols.shape[1], no_runs, 0, 1, last - first, cols.shape[1],
                        rows, first * width + column, width, min(full, filters - column), dw, dw_rows, column, 1,
                    )  # fmt: skip
            for start in range(0, dy.shape[1], filters):
                pixel = dy[n, start : start + filters]
                for f in range(filters):
                    db[f] += pixel[f]
