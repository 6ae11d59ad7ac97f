"""Convolution as the formula says it, with Python loops over every output pixel: the definition, to check by hand.

One output pixel is the window under the kernel, times the kernel, summed.  Backward runs the same loops and asks for
each product x·w in the sum: y changes by w for each x, so dx gets dy·w; y changes by x for each w, so dw gets dy·x.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..contract import ImageShape, WeightShape
from ..geometry import NO_PADDING, Padding, Pair, output_sizes
from ..workspace import Workspace, ensure

Array = np.ndarray[Any, Any]


def forward(
    x: Array, w: Array, b: Array | None = None, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1), out: Array | None = None, workspace: Workspace | None = None,
) -> Array:
    """y[n, i, j, f] = b[f] + Σ window(i, j)[n, p, q, c] · w[p, q, c, f]; see `contract.Conv2D`."""
    n, h, width, _ = x.shape
    kh, kw, _, filters = w.shape
    oh, ow = output_sizes((h, width), (kh, kw), strides, padding, dilation)
    y = ensure(out, (n, oh, ow, filters), x.dtype)
    padded = pad(x, padding)
    for i, j, rows, columns in windows((oh, ow), (kh, kw), strides, dilation):
        for f in range(filters):
            y[:, i, j, f] = (padded[:, rows, columns] * w[:, :, :, f]).sum(axis=(1, 2, 3))
    if b is not None:
        y += b
    return y


def backward_input(
    dy: Array, w: Array, x_shape: ImageShape, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1), out: Array | None = None, workspace: Workspace | None = None,
) -> Array:
    """Every window gets dy · w added where it lies; then the padding is cut off."""
    kh, kw, _, filters = w.shape
    (top, _), (left, _) = padding
    dx = ensure(out, x_shape, dy.dtype)
    padded = pad(np.zeros(x_shape, dy.dtype), padding)
    for i, j, rows, columns in windows(dy.shape[1:3], (kh, kw), strides, dilation):
        for f in range(filters):
            padded[:, rows, columns] += dy[:, i, j, f, None, None, None] * w[:, :, :, f]
    dx[...] = padded[:, top : top + x_shape[1], left : left + x_shape[2]]
    return dx


def backward_weights(
    x: Array, dy: Array, w_shape: WeightShape, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1), out: tuple[Array, Array] | None = None, workspace: Workspace | None = None,
) -> tuple[Array, Array]:
    """dw = Σ over images and pixels of dy · window; db = Σ dy."""
    kh, kw, _, filters = w_shape
    dw, db = (None, None) if out is None else out
    dw, db = ensure(dw, w_shape, x.dtype), ensure(db, (filters,), x.dtype)
    dw[...] = 0
    padded = pad(x, padding)
    for i, j, rows, columns in windows(dy.shape[1:3], (kh, kw), strides, dilation):
        for f in range(filters):
            dw[:, :, :, f] += (padded[:, rows, columns] * dy[:, i, j, f, None, None, None]).sum(axis=0)
    db[...] = dy.sum(axis=(0, 1, 2))
    return dw, db


def pad(x: Array, padding: Padding) -> Array:
    """A copy of x (n, h, w, c) with a border of zeros."""
    return np.pad(x, ((0, 0), *padding, (0, 0)))


def windows(
    out_sizes: tuple[int, ...], kernel_size: Pair, strides: Pair, dilation: Pair
) -> Iterator[tuple[int, int, slice, slice]]:
    """For each output pixel (i, j): the rows and the columns of the padded image that lie under the kernel."""
    for i in range(out_sizes[0]):
        top = i * strides[0]
        rows = slice(top, top + dilation[0] * (kernel_size[0] - 1) + 1, dilation[0])
        for j in range(out_sizes[1]):
            left = j * strides[1]
            yield i, j, rows, slice(left, left + dilation[1] * (kernel_size[1] - 1) + 1, dilation[1])
