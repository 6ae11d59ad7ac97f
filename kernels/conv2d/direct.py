"""Convolution as the same matrix product as im2col, without the buffer: the micro-kernel reads the image in place.

In NHWC the kw·c inputs under one kernel row are contiguous.  So the row of `cols` that belongs to output pixel (i, j)
need not be copied: it *is* kh runs of kw·c elements, which start at pixel (i·sh, j·sw) and lie one image row apart.
(With dilation: kh·kw runs of c elements.)  Tables of offsets say where rows and runs start; see
`tinyconv.kernels.microkernel`.

    forward            y  = cols · w        rows = output pixels      runs = kernel rows
    weight gradient    dw = colsᵀ · dy      rows = inputs (p, q, c)   runs = rows of dy
    input gradient     per tap (p, q):  dx[pixel + tap] += dy[pixel] · w[p, q]ᵀ

The input gradient is col2im without the buffer: each tap's product is added where its inputs came from, so no zero is
ever multiplied (a convolution with the flipped kernel would multiply the padding).  Few channels would leave most of a
vector empty, so then all taps of a kernel row, kw·c contiguous elements, are added at once, for pixels whose windows do
not overlap: see `input_gradient_tables`.

One image is worked on by one thread, so what is read again and again stays in its L2 cache; padded images are copied
into a scratch image with a border of zeros.  The weight gradient is summed over the images of a *part* of the batch,
then over the parts, in order: the number of parts depends on the shapes only, so the bits do not depend on the threads.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import get_thread_id, prange

from .. import threads
from ..contract import ImageShape, WeightShape
from ..geometry import NO_PADDING, Padding, Pair, output_sizes
from ..jit import jit
from ..matmul import as_table, fill_up, no_bias, offsets, padded_columns, whole_vectors
from ..microkernel import MAX_ROWS, MAX_VECTORS, VECTOR_BYTES, product
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
    def pixels(self) -> int:
        """Output pixels of one image."""
        return self.out_sizes[0] * self.out_sizes[1]

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


class InputGradientTables(NamedTuple):
    """What is added where in the input gradient.  (Flat, as Numba's loops want it.)"""

    at_once: int  # taps that are added together: 1, or all of a kernel row
    elements: int  # that they add to
    taps: Array  # where the first of them lies, from the start of the window
    turns: Array  # bounds of the groups of pixels whose windows do not overlap
    windows: Array  # where each pixel's window starts in the padded dx, turn by turn
    dy_rows: Array  # where each pixel starts in dy, in the same order


@lru_cache(maxsize=256)
def input_gradient_tables(
    x_shape: ImageShape, kernel_size: Pair, strides: Pair, padding: Padding, dilation: Pair, dtype: Any, width: int
) -> InputGradientTables:
    """The offsets for dx of `x_shape`, of a dy whose pixels are `width` elements apart.

    A tile of the micro-kernel reads what it adds to, and writes it when it is done: the rows of C must not overlap.
    One tap of neighbouring pixels falls on neighbouring inputs, but windows overlap.  So with kw taps at once, every
    kw-th column of pixels (every kw/sw-th, for strides) takes its turn.
    """
    t = tables(x_shape, kernel_size, strides, padding, dilation)
    c, kw, (oh, ow) = x_shape[3], kernel_size[1], t.out_sizes
    at_once = kw if dilation[1] == 1 and padded_columns(kw * c, dtype) < kw * padded_columns(c, dtype) else 1
    turns = -(-at_once // strides[1])
    pixels = np.arange(oh * ow).reshape(oh, ow)
    groups = [pixels[:, turn::turns].ravel() for turn in range(turns)]
    order = np.concatenate(groups)
    return InputGradientTables(
        at_once=at_once,
        elements=at_once * c,
        taps=t.taps if at_once == 1 else t.runs,
        turns=np.cumsum([0, *map(len, groups)]),
        windows=as_table(t.windows[order]),
        dy_rows=as_table(order * width),
    )


def forward(
    x: Array, w: Array, b: Array | None = None, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1), out: Array | None = None, workspace: Workspace | None = None,
) -> Array:
    """y = cols · w + b, cols read from x in place; see `contract.Conv2D`."""
    x, workspace = np.ascontiguousarray(x), Workspace() if workspace is None else workspace
    filters = w.shape[3]
    t = tables(x.shape, w.shape[:2], strides, padding, dilation)
    y = ensure(out, (t.n, *t.out_sizes, filters), x.dtype)
    _forward(
        x.reshape(t.n, -1), t.image, whole_vectors(w.reshape(-1, filters), workspace, "conv2d/w"),
        no_bias(x.dtype) if b is None else b, t.windows, t.runs, t.depth, offsets(t.pixels, filters), filters,
        scratch_images(t, x.dtype, workspace), y.reshape(t.n, -1),
    )
    return y


def backward_input(
    dy: Array, w: Array, x_shape: ImageShape, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1), out: Array | None = None, workspace: Workspace | None = None,
) -> Array:
    """dx: for each tap, dy · w[tap]ᵀ added where the tap's inputs came from."""
    dy, workspace = np.ascontiguousarray(dy), Workspace() if workspace is None else workspace
    t = tables(tuple(x_shape), w.shape[:2], strides, padding, dilation)
    g = input_gradient_tables(tuple(x_shape), w.shape[:2], strides, padding, dilation, dy.dtype, w.shape[3])
    dx = ensure(out, x_shape, dy.dtype)
    _backward_input(
        dy.reshape(t.n, -1), transposed_taps(w, workspace, g.at_once), t.image, g, offsets(1, 0),
        scratch_images(t, dy.dtype, workspace), dx.reshape(t.n, -1),
    )
    return dx


def backward_weights(
    x: Array, dy: Array, w_shape: WeightShape, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1), out: tuple[Array, Array] | None = None, workspace: Workspace | None = None,
) -> tuple[Array, Array]:
    """dw = colsᵀ · dy, cols read from x in place, and db = Σ dy."""
    x, dy = np.ascontiguousarray(x), np.ascontiguousarray(dy)
    workspace = Workspace() if workspace is None else workspace
    filters = w_shape[3]
    t = tables(x.shape, w_shape[:2], strides, padding, dilation)
    dw, db = (None, None) if out is None else out
    dw, db = ensure(dw, w_shape, x.dtype), ensure(db, (filters,), x.dtype)
    parts, sums = partial_sums(t.n, dw.size, filters, x.dtype, workspace)
    _backward_weights(
        x.reshape(t.n, -1), dy.reshape(t.n, -1), t.image, t.inputs, t.window_rows, t.column_stride, t.out_sizes,
        filters, offsets(dw.size // filters, filters), scratch_images(t, x.dtype, workspace),
        scratch_rows(t, filters, x.dtype, workspace), parts, sums,
    )
    add_parts(sums, dw.reshape(-1), db)
    return dw, db


def scratch_images(t: Tables, dtype: Any, workspace: Workspace) -> Array:
    """Room for one padded image per thread, or nothing when images are read in place."""
    return workspace.array("conv2d/padded", (threads.maximum(), max(t.padded_size, 1)), dtype)


def scratch_rows(t: Tables, filters: int, dtype: Any, workspace: Workspace) -> Array:
    """Room for one image of dy per thread, its pixels widened to whole vectors, or nothing when they are whole."""
    width = padded_columns(filters, dtype)
    return workspace.array("conv2d/dy", (threads.maximum(), t.pixels * width if width > filters else 1), dtype)


def transposed_taps(w: Array, workspace: Workspace, at_once: int = 1) -> Array:
    """w[p, q]ᵀ for every tap, its rows filled up to whole vectors: (kh·kw, f, c rounded up).

    For taps `at_once` that follow each other: (kh·kw / at_once, f, at_once·c rounded up).
    """
    kh, kw, channels, filters = w.shape
    shape = kh * kw // at_once, filters, padded_columns(at_once * channels, w.dtype)
    taps = workspace.array("conv2d/taps", shape, w.dtype)
    _transpose_taps(np.ascontiguousarray(w).reshape(shape[0], at_once * channels, filters), taps)
    return taps


def partial_sums(n: int, weights: int, filters: int, dtype: Any, workspace: Workspace) -> tuple[Array, Array]:
    """Bounds (parts + 1,) that cut n images into parts, and room for their (dw, db): (parts, weights + filters)."""
    size = (weights + filters) * np.dtype(dtype).itemsize
    count = max(1, min(n, MAX_PARTS, PART_BYTES // size))
    return _bounds(n, count), workspace.array("conv2d/partial", (count, weights + filters), dtype)


@lru_cache(maxsize=256)
def _bounds(n: int, parts: int) -> Array:
    return np.arange(parts + 1, dtype=np.int64) * n // parts


# -- compiled ---------------------------------------------------------------------------------------------------------
#
# Inner loops run from 0 over slices: an index like start + f might be negative for all Numba knows, and then the loop
# would not become vector instructions.  Copies are loops because assigning slices takes Numba a second to compile.


@jit(parallel=True)
def _transpose_taps(w, taps):
    count, channels, filters = w.shape
    for tap in prange(count):
        for f in range(filters):
            for c in range(channels):
                taps[tap, f, c] = w[tap, c, f]
            for c in range(channels, taps.shape[2]):
                taps[tap, f, c] = 0


@jit(inline=True)
def padded_image(x, image, padded):
    """x (one image, flat) itself, or `padded` with x in its middle and zeros around."""
    h, w, c, ph, pw, top, left = image
    if h == ph and w == pw:
        return x
    padded[:] = 0
    for i in range(h):
        start = ((i + top) * pw + left) * c
        source, target = x[i * w * c : (i + 1) * w * c], padded[start : start + w * c]
        for k in range(w * c):
            target[k] = source[k]
    return padded


@jit(inline=True)
def cut_padding(padded, image, x):
    """x (one image, flat) = the middle of `padded`."""
    h, w, c, _, pw, top, left = image
    for i in range(h):
        start = ((i + top) * pw + left) * c
        source, target = padded[start : start + w * c], x[i * w * c : (i + 1) * w * c]
        for k in range(w * c):
            target[k] = source[k]


@jit(inline=True)
def convolve(x, w, windows, runs, depth, filters, y, y_rows):
    """y (one image, flat) = cols · w; x is padded already, w is (kh·kw·c, f rounded up to whole vectors)."""
    full = MAX_VECTORS * (VECTOR_BYTES // x.itemsize)
    flat = w.reshape(-1)
    for first in range(0, filters, full):
        product(
            x, windows, 0, len(y_rows) - MAX_ROWS, runs, 0, w.shape[0] // depth, depth, 1,
            flat, first, w.shape[1], min(full, filters - first), y, y_rows, first, 0,
        )


@jit(inline=True)
def add_input_gradient(dy, g, no_runs, taps_w, dx):
    """dx (one padded image, flat, zeroed by the caller) += for each tap dy · w[tap]ᵀ."""
    full = MAX_VECTORS * (VECTOR_BYTES // dy.itemsize)
    count, filters, width = taps_w.shape
    flat = taps_w.reshape(-1)
    for first in range(0, g.elements, full):
        for tap in range(count):
            for turn in range(len(g.turns) - 1):
                product(
                    dy, g.dy_rows, g.turns[turn], g.turns[turn + 1], no_runs, 0, 1, filters, 1,
                    flat, tap * filters * width + first, width, min(full, g.elements - first),
                    dx, g.windows, g.taps[tap] + first, 1,
                )


@jit(inline=True)
def add_weight_gradient(x, inputs, window_rows, column_stride, out_sizes, dy, width, filters, dw, dw_rows):
    """dw (flat) += colsᵀ · dy for one image: x padded already, dy's pixels `width` apart, in whole vectors."""
    full = MAX_VECTORS * (VECTOR_BYTES // x.itemsize)
    oh, ow = out_sizes
    for first in range(0, filters, full):
        product(
            x, inputs, 0, len(dw_rows) - MAX_ROWS, window_rows, 0, oh, ow, column_stride,
            dy, first, width, min(full, filters - first), dw, dw_rows, first, 1,
        )


@jit(parallel=True)
def _forward(x, image, w, bias, windows, runs, depth, y_rows, filters, scratch, y):
    for n in prange(len(x)):
        padded = padded_image(x[n], image, scratch[get_thread_id()])
        convolve(padded, w, windows, runs, depth, filters, y[n], y_rows)
        if len(bias):
            for start in range(0, y.shape[1], filters):
                pixel = y[n, start : start + filters]
                for f in range(filters):
                    pixel[f] += bias[f]


@jit(parallel=True)
def _backward_input(dy, taps_w, image, g, no_runs, scratch, dx):
    h, w, _, ph, pw, _, _ = image
    for n in prange(len(dy)):
        whole = h == ph and w == pw
        padded = dx[n] if whole else scratch[get_thread_id()]
        padded[:] = 0
        add_input_gradient(dy[n], g, no_runs, taps_w, padded)
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
                pixel = dy[n, start : start + filters]
                for f in range(filters):
                    db[f] += pixel[f]
            rows = dy[n]
            if width > filters:
                rows = wide[get_thread_id()]
                fill_up(dy[n], filters, rows, width)
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
