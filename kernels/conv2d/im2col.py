"""Convolution as one matrix product: copy each window into a row, then multiply all rows by the weights at once.

    cols (n·oh·ow, kh·kw·c)   one row per output pixel: the window under the kernel, flattened
    w    (kh·kw·c, f)         one column per filter
    y  = cols · w             dw = colsᵀ · dy             dcols = dy · wᵀ, added back by col2im

The price is memory: a pixel is copied into every window that contains it, kh·kw times for stride 1.  So the batch is
worked through in pieces whose `cols` fit the workspace's cap.  (Chellapilla, Puri and Simard, "High performance
convolutional neural networks for document processing", 2006.)
"""

from typing import Any

import numpy as np

from ..contract import ImageShape, WeightShape
from ..geometry import NO_PADDING, Padding, Pair, output_sizes
from ..workspace import Workspace, ensure
from .naive import pad

Array = np.ndarray[Any, Any]


def im2col(
    x: Array, kernel_size: Pair, strides: Pair = (1, 1), padding: Padding = NO_PADDING, dilation: Pair = (1, 1),
    out: Array | None = None,
) -> Array:
    """Return cols (n·oh·ow, kh·kw·c): row (n, i, j) is the window of output pixel (i, j) of image n."""
    n, h, w, c = x.shape
    (kh, kw), (sh, sw), (dh, dw) = kernel_size, strides, dilation
    oh, ow = output_sizes((h, w), kernel_size, strides, padding, dilation)
    cols = ensure(out, (n * oh * ow, kh * kw * c), x.dtype)
    by_tap = cols.reshape(n, oh, ow, kh, kw, c)
    padded = pad(x, padding)
    for p in range(kh):  # each tap of the kernel sees the image shifted by its own offset
        for q in range(kw):
            rows = slice(p * dh, p * dh + sh * (oh - 1) + 1, sh)
            columns = slice(q * dw, q * dw + sw * (ow - 1) + 1, sw)
            by_tap[:, :, :, p, q] = padded[:, rows, columns]
    return cols


def col2im(
    cols: Array, x_shape: ImageShape, kernel_size: Pair, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1), out: Array | None = None,
) -> Array:
    """The transpose of `im2col`: return x (x_shape), each pixel the sum of its copies in cols (n·oh·ow, kh·kw·c)."""
    n, h, w, c = x_shape
    (kh, kw), (sh, sw), (dh, dw) = kernel_size, strides, dilation
    oh, ow = output_sizes((h, w), kernel_size, strides, padding, dilation)
    (top, bottom), (left, right) = padding
    by_tap = cols.reshape(n, oh, ow, kh, kw, c)
    padded = np.zeros((n, h + top + bottom, w + left + right, c), cols.dtype)
    for p in range(kh):
        for q in range(kw):
            rows = slice(p * dh, p * dh + sh * (oh - 1) + 1, sh)
            columns = slice(q * dw, q * dw + sw * (ow - 1) + 1, sw)
            padded[:, rows, columns] += by_tap[:, :, :, p, q]
    x = ensure(out, x_shape, cols.dtype)
    x[...] = padded[:, top : top + h, left : left + w]
    return x


def forward(
    x: Array, w: Array, b: Array | None = None, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1), out: Array | None = None, workspace: Workspace | None = None,
) -> Array:
    """y = im2col(x) · w + b; see `contract.Conv2D`."""
    kh, kw, _, filters = w.shape
    oh, ow = output_sizes(x.shape[1:3], (kh, kw), strides, padding, dilation)
    y = ensure(out, (len(x), oh, ow, filters), x.dtype)
    w_matrix = w.reshape(-1, filters)  # (kh·kw·c, f)
    for piece, cols in _pieces(len(x), (oh, ow, len(w_matrix)), x.dtype, workspace):
        im2col(x[piece], (kh, kw), strides, padding, dilation, out=cols)
        np.matmul(cols, w_matrix, out=y[piece].reshape(-1, filters))
    if b is not None:
        y += b
    return y


def backward_input(
    dy: Array, w: Array, x_shape: ImageShape, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1), out: Array | None = None, workspace: Workspace | None = None,
) -> Array:
    """dx = col2im(dy · wᵀ)."""
    kh, kw, _, filters = w.shape
    n, oh, ow, _ = dy.shape
    dx = ensure(out, x_shape, dy.dtype)
    w_matrix = w.reshape(-1, filters)
    for piece, dcols in _pieces(n, (oh, ow, len(w_matrix)), dy.dtype, workspace):
        np.matmul(dy[piece].reshape(-1, filters), w_matrix.T, out=dcols)
        some = dx[piece]
        col2im(dcols, some.shape, (kh, kw), strides, padding, dilation, out=some)
    return dx


def backward_weights(
    x: Array, dy: Array, w_shape: WeightShape, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1), out: tuple[Array, Array] | None = None, workspace: Workspace | None = None,
) -> tuple[Array, Array]:
    """dw = im2col(x)ᵀ · dy and db = Σ dy, piece after piece."""
    kh, kw, _, filters = w_shape
    n, oh, ow, _ = dy.shape
    dw, db = (None, None) if out is None else out
    dw, db = ensure(dw, w_shape, x.dtype), ensure(db, (filters,), x.dtype)
    dw_matrix = dw.reshape(-1, filters)
    dw_matrix[...] = 0
    for piece, cols in _pieces(n, (oh, ow, len(dw_matrix)), x.dtype, workspace):
        im2col(x[piece], (kh, kw), strides, padding, dilation, out=cols)
        dw_matrix += cols.T @ dy[piece].reshape(-1, filters)
    np.sum(dy, axis=(0, 1, 2), out=db)
    return dw, db


def _pieces(
    n: int, per_image: tuple[int, int, int], dtype: np.dtype[Any], workspace: Workspace | None
) -> list[tuple[slice, Array]]:
    """Cut n images into pieces whose cols, (oh, ow, kh·kw·c) per image, fit the cap: (images, room for their cols)."""
    workspace = Workspace() if workspace is None else workspace
    oh, ow, depth = per_image
    step = workspace.pieces(n, oh * ow * depth * dtype.itemsize)
    cuts = [(start, min(start + step, n)) for start in range(0, n, step)]
    return [
        (slice(start, stop), workspace.array("conv2d/cols", ((stop - start) * oh * ow, depth), dtype))
        for start, stop in cuts
    ]
