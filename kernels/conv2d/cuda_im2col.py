"""Convolution in CUDA step by step, to be read before `cuda`: im2col, a tiled matrix product, col2im.

The same three products as in `im2col`, on a GPU; cuda_im2col.cu has the kernels.  The batch is worked through in pieces
whose `cols` fit the workspace's cap.
"""

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..contract import Array, ImageShape, WeightShape
from ..cuda.arrays import contiguous, ensure, scratch
from ..cuda.launcher import Source, blocks, ctype
from ..geometry import NO_PADDING, Padding, Pair, output_sizes
from ..workspace import Workspace

SOURCE = Source(Path(__file__).with_name("cuda_im2col.cu"))
TILE = 16  # as in the kernel
THREADS = 256


def forward(
    x: Array, w: Array, b: Array | None = None, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1), out: Array | None = None, workspace: Workspace | None = None,
) -> Array:
    """y = im2col(x) · w + b; see `contract.Conv2D`."""
    x, w, b = contiguous(x), contiguous(w), None if b is None else contiguous(b)
    filters = w.shape[3]
    oh, ow = output_sizes(x.shape[1:3], w.shape[:2], strides, padding, dilation)
    y = ensure(out, (len(x), oh, ow, filters), x.dtype, like=x)
    depth = prod(w.shape[:3])
    sizes = _sizes(x.shape, w.shape, strides, padding, dilation)
    for piece, cols in _pieces(x, (oh, ow, depth), workspace):
        _launch("im2col", cols.size, x[piece], cols, np.int64(cols.size), *sizes)
        _multiply(cols, (depth, 1), w, (filters, 1), y[piece], (len(cols), filters, depth), bias=b)
    return y


def backward_input(
    dy: Array, w: Array, x_shape: ImageShape, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1), out: Array | None = None, workspace: Workspace | None = None,
) -> Array:
    """dx = col2im(dy · wᵀ)."""
    dy, w = contiguous(dy), contiguous(w)
    _, oh, ow, filters = dy.shape
    dx = ensure(out, x_shape, dy.dtype, like=dy)
    depth = prod(w.shape[:3])
    sizes = _sizes(x_shape, w.shape, strides, padding, dilation)
    for piece, dcols in _pieces(dy, (oh, ow, depth), workspace):
        _multiply(dy[piece], (filters, 1), w, (1, filters), dcols, (len(dcols), depth, filters))
        some = dx[piece]
        _launch("col2im", some.size, dcols, some, np.int64(some.size), *sizes)
    return dx


def backward_weights(
    x: Array, dy: Array, w_shape: WeightShape, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1), out: tuple[Array, Array] | None = None, workspace: Workspace | None = None,
) -> tuple[Array, Array]:
    """dw = im2col(x)ᵀ · dy and db = Σ dy."""
    x, dy = contiguous(x), contiguous(dy)
    _, oh, ow, filters = dy.shape
    dw, db = (None, None) if out is None else out
    dw, db = ensure(dw, w_shape, x.dtype, like=x), ensure(db, (filters,), x.dtype, like=x)
    depth = prod(w_shape[:3])
    sizes = _sizes(x.shape, w_shape, strides, padding, dilation)
    dw[...] = 0
    for piece, cols in _pieces(x, (oh, ow, depth), workspace):
        _launch("im2col", cols.size, x[piece], cols, np.int64(cols.size), *sizes)
        _multiply(cols, (1, depth), dy[piece], (filters, 1), dw, (depth, filters, len(cols)), add=True)
    SOURCE.launch(
        "sum_rows", blocks(filters, 32), (32, 8), dy, db, np.int64(dy.size // filters), np.int32(filters),
        defines={"T": ctype(dy.dtype)},
    )  # fmt: skip
    return dw, db


def _launch(kernel: str, threads: int, *arguments: Any) -> None:
    """One thread per element."""
    defines = {"T": ctype(arguments[0].dtype)}
    SOURCE.launch(kernel, blocks(threads, THREADS), THREADS, *arguments, defines=defines)


def _multiply(
    a: Array, a_strides: Pair, b: Array, b_strides: Pair, c: Array, sizes: tuple[int, int, int], *,
    bias: Array | None = None, add: bool = False,
) -> None:
    """c (m, n) = a (m, k) · b (k, n) for matrices with any strides, in elements; sizes are (m, n, k)."""
    m, n, _ = sizes
    numbers = map(np.int32, (*sizes, *a_strides, *b_strides, add))
    SOURCE.launch(
        "multiply", (blocks(m, TILE), blocks(n, TILE)), (TILE, TILE), a, b, bias, c, *numbers,
        defines={"T": ctype(c.dtype)},
    )  # fmt: skip


def _sizes(
    x_shape: ImageShape, w_shape: WeightShape, strides: Pair, padding: Padding, dilation: Pair
) -> tuple[np.int32, ...]:
    """The kernels' SIZES."""
    oh, ow = output_sizes(x_shape[1:3], w_shape[:2], strides, padding, dilation)
    numbers = (*x_shape[1:], *w_shape[:2], *strides, *dilation, padding[0][0], padding[1][0], oh, ow)
    return tuple(map(np.int32, numbers))


def _pieces(
    images: Array, per_image: tuple[int, int, int], workspace: Workspace | None
) -> Iterator[tuple[slice, Array]]:
    """Cut the images into pieces whose cols, (oh, ow, kh·kw·c) per image, fit the cap: (images, room for cols)."""
    oh, ow, depth = per_image
    n, dtype = len(images), images.dtype
    step = (workspace or Workspace()).pieces(n, oh * ow * depth * dtype.itemsize)
    memory = scratch(workspace, "conv2d/cols", (min(step, n) * oh * ow, depth), dtype, like=images)
    for start in range(0, n, step):
        stop = min(start + step, n)
        yield slice(start, stop), memory[: (stop - start) * oh * ow]
