"""Convolution as the same matrix product as im2col, without the buffer: the micro-kernel reads the image in place.

In NHWC the kw·c inputs under one kernel row are contiguous.  So the row of `cols` that belongs to output pixel (i, j) need
not be copied: it *is* kh runs of kw·c elements, which start at pixel (i·sh, j·sw) and lie one image row apart.  (With
dilation: kh·kw runs of c elements.)  Tables of offsets say where rows and runs start; see `tinyconv.kernels.microkernel`.

    forward            y  = cols · w        rows = output pixels       runs = kernel rows     panels of w
    weight gradient    dw = colsᵀ · dy      rows = taps (p, q, c)      runs = rows of dy      dy as it lies
    input gradient     per tap (p, q):  dx[pixel + tap] += dy[pixel] · w[p, q]ᵀ               panels of w[p, q]ᵀ

The input gradient is col2im without the buffer: each tap's product is added where its inputs came from, so no zero is
ever multiplied (a convolution with the flipped kernel would multiply the padding).

One image is worked on by one thread, so what is read again and again stays in its L2 cache; padded images are copied into
a scratch image with a border of zeros.  The weight gradient is summed over the images of a *part* of the batch, then
over the parts, in order: the number of parts depends on the shapes only, so the bits do not depend on the threads.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import config, get_thread_id, prange

from ..contract import ImageShape, WeightShape
from ..geometry import NO_PADDING, Padding, Pair, output_sizes
from ..jit import jit
from ..microkernel import MAX_ROWS, MAX_VECTORS, VECTOR_BYTES, product
from ..panels import as_table, no_bias, offsets, pack, padded_columns
from ..workspace import Workspace, ensure

Array = np.ndarray[Any, Any]

PART_BYTES = 4 * 2**20  # what all partial weight gradients together may take
MAX_PARTS = 16


class Tables(NamedTuple):
    """Sizes and offsets of one convolution, for images with their padding: everything but the arrays themselves."""

    n: int
    image: tuple[int, int, int, int, int, int, int]  # h, w, c of the input, its padded h and w, and top, left padding
    windows: Array  # where the window of each output pixel starts in the padded image
    runs: Array  # where its runs start, from there
    depth: int  # elements in a run
    taps: Array  # where each tap (p, q) lies, from the start of the window
    inputs: Array  # where each input (p, q, c) of a window lies, from its start: rows of colsᵀ
    window_rows: Array  # where each row of windows starts
    column_stride: int  # from one window to its right neighbour, in elements
    out_sizes: Pair  # (oh, ow)

    @property
    def padded_size(self) -> int:
        """Elements of one padded image, or 0 when there is no padding and images are read in place."""
        h, w, c, ph, pw, _, _ = self.image
        return 0 if (h, w) == (ph, pw) else ph * pw * c


@lru_cache(maxsize=256)
def tables(
    x_shape: ImageShape, kernel_size: Pair, strides: Pair, padding: Padding, dilation: Pair
) -> Tables:
    """The offsets for images of `x_shape`; kept, as a training step asks for the same ones again and again."""
    n, h, w, c = x_shape
    (kh, kw), (sh, sw), (dh, dw) = kernel_size, strides, dilation
    (top, bottom), (left, right) = padding
    ph, pw = h + top + bottom, w + left + right
    oh, ow = output_sizes((h, w), kernel_size, strides, padding, dilation)

    def at(rows: Any, columns: Any) -> Array:
        """Offsets of pixels (row, column) of the padded image."""
        return (np.asarray(rows)[:, None] * pw + np.asarray(columns)) * c

    tap_offsets = at(np.arange(kh) * dh, np.arange(kw) * dw)  # (kh, kw)
    contiguous = dw == 1
    return Tables(
        n=n,
        image=(h, w, c, ph, pw, top, left),
        windows=as_table(at(np.arange(oh) * sh, np.arange(ow) * sw)),
        runs=as_table(tap_offsets[:, 0] if contiguous else tap_offsets),
        depth=kw * c if contiguous else c,
        taps=as_table(tap_offsets),
        inputs=as_table(tap_offsets[:, :, None] + np.arange(c)),
        window_rows=as_table(at(np.arange(oh) * sh, [0])),
        column_stride=sw * c,
        out_sizes=(oh, ow),
    )


def forward(
    x: Array, w: Array, b: Array | None = None, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1), out: Array | None = None, workspace: Workspace | None = None,
) -> Array:
    """y = cols · w + b, cols read from x in place; see `contract.Conv2D`."""
    x, workspace = np.ascontiguousarray(x), Workspace() if workspace is None else workspace
    kh, kw, channels, filters = w.shape
    t = tables(x.shape, (kh, kw), strides, padding, dilation)
    y = ensure(out, (t.n, *t.out_sizes, filters), x.dtype)
    panels = pack(w.reshape(-1, filters), workspace, "conv2d/w")
    bias = no_bias(x.dtype) if b is None else b
    _forward(
        x.reshape(t.n, -1), t.image, panels, bias, t.windows, t.runs, t.depth, offsets(y[0, ..., 0].size, filters),
        filters, kh * kw * channels, scratch_images(t, x.dtype, workspace), y.reshape(t.n, -1),
    )
    return y


def backward_input(
    dy: Array, w: Array, x_shape: ImageShape, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1), out: Array | None = None, workspace: Workspace | None = None,
) -> Array:
    """dx: for each tap, dy · w[tap]ᵀ added where the tap's inputs came from."""
    dy, workspace = np.ascontiguousarray(dy), Workspace() if workspace is None else workspace
    kh, kw, channels, filters = w.shape
    t = tables(tuple(x_shape), (kh, kw), strides, padding, dilation)
    dx = ensure(out, x_shape, dy.dtype)
    _backward_input(
        dy.reshape(t.n, -1), pack_taps(w, workspace), t.image, t.windows, offsets(dy[0, ..., 0].size, filters),
        offsets(1, 0), t.taps, filters, scratch_images(t, dy.dtype, workspace), dx.reshape(t.n, -1),
    )
    return dx


def backward_weights(
    x: Array, dy: Array, w_shape: WeightShape, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1), out: tuple[Array, Array] | None = None, workspace: Workspace | None = None,
) -> tuple[Array, Array]:
    """dw = colsᵀ · dy, cols read from x in place, and db = Σ dy."""
    x, dy = np.ascontiguousarray(x), np.ascontiguousarray(dy)
    workspace = Workspace() if workspace is None else workspace
    kh, kw, _, filters = w_shape
    t = tables(x.shape, (kh, kw), strides, padding, dilation)
    dw, db = (None, None) if out is None else out
    dw, db = ensure(dw, w_shape, x.dtype), ensure(db, (filters,), x.dtype)
    parts, sums = partial_sums(t.n, dw.size, filters, x.dtype, workspace)
    _backward_weights(
        x.reshape(t.n, -1), dy.reshape(t.n, -1), t.image, t.inputs, t.window_rows, t.column_stride, t.out_sizes, filters,
        offsets(dw.size // filters, filters), scratch_images(t, x.dtype, workspace),
        scratch_rows(t, filters, x.dtype, workspace), parts, sums,
    )
    add_parts(sums, dw.reshape(-1), db)
    return dw, db


def threads() -> int:
    """How many threads there can be at most: scratch memory has a row for each."""
    return int(config.NUMBA_NUM_THREADS)


def scratch_images(t: Tables, dtype: Any, workspace: Workspace) -> Array:
    """Room for one padded image per thread, or nothing when images are read in place."""
    return workspace.array("conv2d/padded", (threads(), max(t.padded_size, 1)), dtype)


def scratch_rows(t: Tables, filters: int, dtype: Any, workspace: Workspace) -> Array:
    """Room for one image of dy per thread, its pixels widened to whole vectors, or nothing when they are whole."""
    width, (oh, ow) = padded_columns(filters, dtype), t.out_sizes
    return workspace.array("conv2d/dy", (threads(), oh * ow * width if width > filters else 1), dtype)


def pack_taps(w: Array, workspace: Workspace) -> Array:
    """Panels of w[p, q]ᵀ (f, c) for every tap, one tap after the other: (kh·kw, f · padded c)."""
    kh, kw, channels, filters = w.shape
    width = padded_columns(channels, w.dtype)
    packed = workspace.array("conv2d/taps", (kh * kw, filters * width), w.dtype)
    _pack_taps(np.ascontiguousarray(w).reshape(kh * kw, channels, filters), packed)
    return packed


def partial_sums(n: int, weights: int, filters: int, dtype: Any, workspace: Workspace) -> tuple[Array, Array]:
    """Cut n images into parts; return their bounds (parts + 1,) and room for their (dw, db), (parts, weights + filters)."""
    size = (weights + filters) * np.dtype(dtype).itemsize
    count = max(1, min(n, MAX_PARTS, PART_BYTES // size))
    return _bounds(n, count), workspace.array("conv2d/partial", (count, weights + filters), dtype)


@lru_cache(maxsize=256)
def _bounds(n: int, parts: int) -> Array:
    return np.arange(parts + 1, dtype=np.int64) * n // parts


# -- compiled: loops where NumPy would copy slices, which take Numba a second to compile ------------------------------


@jit(parallel=True)
def _pack_taps(w, packed):
    taps, channels, filters = w.shape
    lanes = VECTOR_BYTES // w.itemsize
    full = MAX_VECTORS * lanes
    for tap in prange(taps):
        for first in range(0, channels, full):
            used = min(full, channels - first)
            width = (used + lanes - 1) // lanes * lanes
            for f in range(filters):
                start = first * filters + f * width
                for c in range(used):
                    packed[tap, start + c] = w[tap, first + c, f]
                for c in range(used, width):
                    packed[tap, start + c] = 0


@jit(inline=True)
def padded_image(x, image, padded):
    """x (one image, flat) itself, or `padded` with x in its middle and zeros around."""
    h, w, c, ph, pw, top, left = image
    if h == ph and w == pw:
        return x
    padded[:] = 0
    for i in range(h):
        start = ((i + top) * pw + left) * c
        for k in range(w * c):
            padded[start + k] = x[i * w * c + k]
    return padded


@jit(inline=True)
def cut_padding(padded, image, x):
    """x (one image, flat) = the middle of `padded`."""
    h, w, c, _, pw, top, left = image
    for i in range(h):
        start = ((i + top) * pw + left) * c
        for k in range(w * c):
            x[i * w * c + k] = padded[start + k]


@jit(inline=True)
def convolve(x, panels, windows, runs, depth, total_depth, filters, y, y_rows):
    """y (one image, flat) = cols · w, panel after panel; x is padded already."""
    lanes = VECTOR_BYTES // x.itemsize
    full = MAX_VECTORS * lanes
    for first in range(0, filters, full):
        used = min(full, filters - first)
        width = (used + lanes - 1) // lanes * lanes
        product(
            x, windows, 0, len(y_rows) - MAX_ROWS, runs, 0, total_depth // depth, depth, 1,
            panels, first * total_depth, width, used, y, y_rows, first, 0,
        )  # fmt: skip


@jit(inline=True)
def add_input_gradient(dy, dy_rows, no_runs, taps_w, windows, taps, filters, channels, dx):
    """dx (one padded image, flat, zeroed by the caller) += for each tap dy · w[tap]ᵀ."""
    lanes = VECTOR_BYTES // dy.itemsize
    full = MAX_VECTORS * lanes
    for first in range(0, channels, full):
        used = min(full, channels - first)
        width = (used + lanes - 1) // lanes * lanes
        for tap in range(len(taps_w)):
            product(
                dy, dy_rows, 0, len(dy_rows) - MAX_ROWS, no_runs, 0, 1, filters, 1,
                taps_w[tap], first * filters, width, used, dx, windows, taps[tap] + first, 1,
            )  # fmt: skip


@jit(inline=True)
def whole_vectors(dy, filters, wide):
    """Copy dy (one image, flat) to `wide`, its pixels filled up with zeros to whole vectors."""
    lanes = VECTOR_BYTES // dy.itemsize
    width = (filters + lanes - 1) // lanes * lanes
    for pixel in range(len(dy) // filters):
        for f in range(filters):
            wide[pixel * width + f] = dy[pixel * filters + f]
        for f in range(filters, width):
            wide[pixel * width + f] = 0


@jit(inline=True)
def add_weight_gradient(x, inputs, window_rows, column_stride, out_sizes, dy, width, filters, dw, dw_rows):
    """dw (flat) += colsᵀ · dy for one image: x padded already, dy's pixels `width` apart, in whole vectors."""
    full = MAX_VECTORS * (VECTOR_BYTES // x.itemsize)
    oh, ow = out_sizes
    for first in range(0, filters, full):
        product(
            x, inputs, 0, len(dw_rows) - MAX_ROWS, window_rows, 0, oh, ow, column_stride,
            dy, first, width, min(full, filters - first), dw, dw_rows, first, 1,
        )  # fmt: skip


@jit(parallel=True)
def _forward(x, image, panels, bias, windows, runs, depth, y_rows, filters, total_depth, scratch, y):
    for n in prange(len(x)):
        padded = padded_image(x[n], image, scratch[get_thread_id()])
        convolve(padded, panels, windows, runs, depth, total_depth, filters, y[n], y_rows)
        if len(bias):
            for start in range(0, y.shape[1], filters):
                for f in range(filters):
                    y[n, start + f] += bias[f]


@jit(parallel=True)
def _backward_input(dy, taps_w, image, windows, dy_rows, no_runs, taps, filters, scratch, dx):
    h, w, c, ph, pw, top, left = image
    for n in prange(len(dy)):
        whole = h == ph and w == pw
        padded = dx[n] if whole else scratch[get_thread_id()]
        padded[:] = 0
        add_input_gradient(dy[n], dy_rows, no_runs, taps_w, windows, taps, filters, c, padded)
        if not whole:
            cut_padding(padded, image, dx[n])


@jit(parallel=True)
def _backward_weights(
    x, dy, image, inputs, window_rows, column_stride, out_sizes, filters, dw_rows, scratch, wide, parts, sums
):
    lanes = VECTOR_BYTES // x.itemsize
    width = (filters + lanes - 1) // lanes * lanes
    weights = sums.shape[1] - filters
    for part in prange(len(sums)):
        sums[part] = 0
        dw, db = sums[part, :weights], sums[part, weights:]
        for n in range(parts[part], parts[part + 1]):
            padded = padded_image(x[n], image, scratch[get_thread_id()])
            for start in range(0, dy.shape[1], filters):
                for f in range(filters):
                    db[f] += dy[n, start + f]
            rows = dy[n]
            if width > filters:
                rows = wide[get_thread_id()]
                whole_vectors(dy[n], filters, rows)
            add_weight_gradient(
                padded, inputs, window_rows, column_stride, out_sizes, rows, width, filters, dw, dw_rows
            )


@jit(parallel=True)
def add_parts(sums, dw, db):
    """dw and db = Σ over the parts, in order; threads share the elements."""
    parts, size = sums.shape
    weights = len(dw)
    block = 4096
    for b in prange((size + block - 1) // block):
        for i in range(b * block, min(b * block + block, size)):
            total = sums[0, i]
            for part in range(1, parts):
                total += sums[part, i]
            if i < weights:
                dw[i] = total
            else:
                db[i - weights] = total
