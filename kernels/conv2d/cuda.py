"""Convolution in CUDA as a matrix product whose operands are read from the images in place; see conv2d.cu.

    forward            y (pixels, f)  = windows (pixels, taps·c) · w (taps·c, f)
    input gradient     dx (pixels, c) = dy under each tap (pixels, taps·f) · w turned (taps·f, c)
    weight gradient    dw (taps·c, f) = windowsᵀ (taps·c, pixels) · dy (pixels, f)

The input gradient is gathered: an element of dx belongs to one thread, so nothing is added atomically.  With strides, a
pixel lies under some of the taps only; so there is a product for each class of pixels under the same ones.

In the weight gradient the sum over the pixels of the batch is long, and dw is small: the sum is cut into parts, which
are added in order (see `cuda.gemm`).

Beyond the contract, all take `precision`: "float32", or "tf32" or "bf16" to let tensor cores multiply rounded numbers.
"""

from functools import lru_cache
from math import gcd, prod
from pathlib import Path
from typing import Any

import numpy as np

from ..contract import Array, ImageShape, WeightShape
from ..cuda import gemm
from ..cuda.arrays import contiguous, ensure
from ..cuda.launcher import Source
from ..geometry import NO_PADDING, Padding, Pair, output_sizes
from ..workspace import Workspace

SOURCE = Source(Path(__file__).with_name("conv2d.cu"))


def forward(
    x: Array, w: Array, b: Array | None = None, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1), out: Array | None = None, workspace: Workspace | None = None,
    precision: str = "float32",
) -> Array:
    """y = windows · w + b; see `contract.Conv2D`."""
    x, w = contiguous(x), contiguous(w)
    kh, kw, channels, filters = w.shape
    out_sizes = output_sizes(x.shape[1:3], (kh, kw), strides, padding, dilation)
    y = ensure(out, (len(x), *out_sizes, filters), x.dtype, like=x)
    if y.size:
        gemm.multiply(
            SOURCE, "conv2d_forward", x, w, (gemm.width(x, channels), gemm.width(w, filters)),
            (y.size // filters, filters, kh * kw * channels), scalars(x.shape, w.shape, strides, padding, dilation), y,
            bias=None if b is None else contiguous(b), precision=precision, workspace=workspace,
            defines=_one_class(strides),
        )  # fmt: skip
    return y


def backward_input(
    dy: Array, w: Array, x_shape: ImageShape, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1), out: Array | None = None, workspace: Workspace | None = None,
    precision: str = "float32",
) -> Array:
    """dx: each pixel gathers dy · w from the windows over it."""
    dy, w = contiguous(dy), contiguous(w)
    channels, filters = w.shape[2:]
    n, height, width, _ = x_shape
    dx = ensure(out, x_shape, dy.dtype, like=dy)
    # Of the largest class of pixels that see dy through the same taps: see `Axis` of windows.cuh.
    pixels = prod(-(-size // stride) for size, stride in zip((height, width), strides, strict=True))
    taps = prod(-(-size // (s // gcd(s, d))) for size, s, d in zip(w.shape[:2], strides, dilation, strict=True))
    if dx.size:
        gemm.multiply(
            SOURCE, "conv2d_backward_input", dy, w, (gemm.width(dy, filters), gemm.width(w, filters)),
            (n * pixels, channels, taps * filters),
            scalars((n, height, width, channels), w.shape, strides, padding, dilation), dx,
            products=strides[0] * strides[1], precision=precision, workspace=workspace, defines=_one_class(strides),
        )  # fmt: skip
    return dx


def backward_weights(
    x: Array, dy: Array, w_shape: WeightShape, *, strides: Pair = (1, 1), padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1), out: tuple[Array, Array] | None = None, workspace: Workspace | None = None,
    precision: str = "float32",
) -> tuple[Array, Array]:
    """dw = windowsᵀ · dy, and db = Σ dy in the same pass."""
    x, dy = contiguous(x), contiguous(dy)
    kh, kw, channels, filters = w_shape
    dw, db = (None, None) if out is None else out
    dw, db = ensure(dw, w_shape, x.dtype, like=x), ensure(db, (filters,), x.dtype, like=x)
    if not dy.size:
        dw[...] = 0
        db[...] = 0
        return dw, db
    gemm.multiply(
        SOURCE, "conv2d_backward_weights", x, dy, (gemm.width(x, channels), gemm.width(dy, filters)),
        (kh * kw * channels, filters, dy.size // filters),
        scalars(x.shape, tuple(w_shape), strides, padding, dilation), dw, columns=db,
        precision=precision, workspace=workspace, defines=_one_class(strides),
    )  # fmt: skip
    return dw, db


def _one_class(strides: Pair) -> dict[str, int]:
    """The macro of windows.cuh; for all three products, so that they are variants of one file."""
    return {"ONE_CLASS": int(tuple(strides) == (1, 1))}


@lru_cache(maxsize=256)
def scalars(
    x_shape: ImageShape, w_shape: WeightShape, strides: Pair, padding: Padding, dilation: Pair
) -> tuple[Any, ...]:
    """The parameters CONVOLUTION of windows.cuh, in its order.

    Raises ValueError for images of more elements than 32 bits can count.
    """
    kh, kw, channels, filters = w_shape
    oh, ow = output_sizes(x_shape[1:3], (kh, kw), strides, padding, dilation)
    for name, size in (("x", np.prod(x_shape, dtype=np.int64)), ("y", x_shape[0] * oh * ow * filters)):
        gemm.check_size(int(size), name)
    sizes = (*x_shape, filters, kh, kw, *strides, *dilation, padding[0][0], padding[1][0], oh, ow)
    dividers = [gemm.divider(max(divisor, 1)) for divisor in (channels, filters, kw, oh, ow)]
    return (*map(np.int32, sizes), *(number for pair in dividers for number in pair))
