"""Batch normalisation on a GPU: a block for each chunk of rows and up to 32 channels; sums in float64.

How the rows are cut into chunks depends on the shape only.  The sums of the chunks are kept in the memory of the result
until that is written, so nothing is allocated.
"""

from pathlib import Path

import numpy as np

from ..arrays import check_shape
from ..contract import Array
from ..cuda.arrays import contiguous, ensure
from ..cuda.launcher import Source, blocks, ctype
from .definition import check_channels

_SOURCE = Source(Path(__file__).with_name("batchnorm.cu"))
_LANES = 32  # channels of a block, at most
_THREADS, _MERGING_THREADS = 256, 512  # of a block that has a chunk, and of one that adds up chunks
_ROWS, _CHUNKS = 64, 512  # at least so many rows in a chunk; at most so many chunks


def forward_training(
    x: Array, gamma: Array, beta: Array, epsilon: float, *, out: tuple[Array, Array, Array] | None = None
) -> tuple[Array, Array, Array]:
    """Return (y, mean, variance)."""
    y_out, mean_out, variance_out = out or (None, None, None)
    check_channels(x, gamma=gamma, beta=beta)
    y = ensure(y_out, x.shape, x.dtype, like=x)
    mean = ensure(mean_out, x.shape[-1:], x.dtype, like=x)
    variance = ensure(variance_out, x.shape[-1:], x.dtype, like=x)
    x = contiguous(x)
    if _chunks(x) == 1:
        _launch("moments", x, mean, variance)
    else:
        _launch("chunk_moments", x, y)
        _launch("merge_moments", y, mean, variance, merge=True)
    return forward_inference(x, gamma, beta, mean, variance, epsilon, out=y), mean, variance


def forward_inference(
    x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, epsilon: float, *, out: Array | None = None
) -> Array:
    """Return y."""
    check_channels(x, gamma=gamma, beta=beta, mean=mean, variance=variance)
    y = ensure(out, x.shape, x.dtype, like=x)
    _launch("normalise", *map(contiguous, (x, gamma, beta, mean, variance)), x.dtype.type(epsilon), y)
    return y


def backward(
    dy: Array, x: Array, gamma: Array, mean: Array, variance: Array, epsilon: float, *,
    out: tuple[Array, Array, Array] | None = None,
) -> tuple[Array, Array, Array]:
    """Return (dx, dgamma, dbeta)."""
    check_shape(dy, x.shape, "dy")
    check_channels(x, gamma=gamma, mean=mean, variance=variance)
    dx_out, dgamma_out, dbeta_out = out or (None, None, None)
    dx = ensure(dx_out, x.shape, x.dtype, like=x)
    dgamma = ensure(dgamma_out, gamma.shape, x.dtype, like=x)
    dbeta = ensure(dbeta_out, gamma.shape, x.dtype, like=x)
    dy, x, gamma, mean, variance = map(contiguous, (dy, x, gamma, mean, variance))
    small = x.dtype.type(epsilon)
    if _chunks(x) == 1:
        _launch("sums", dy, x, mean, variance, small, dgamma, dbeta)
    else:
        _launch("chunk_sums", dy, x, mean, dx)
        _launch("merge_sums", dx, variance, small, dgamma, dbeta, merge=True)
    _launch("input_gradient", dy, x, gamma, mean, variance, small, dgamma, dbeta, dx)
    return dx, dgamma, dbeta


def _rows_per_chunk(x: Array) -> int:
    return max(_ROWS, blocks(x.size // x.shape[-1], _CHUNKS))


def _chunks(x: Array) -> int:
    return max(1, blocks(x.size // x.shape[-1], _rows_per_chunk(x)))


def _launch(kernel: str, x: Array, *others: object, merge: bool = False) -> None:
    """Launch kernel(x, *others, m, channels, rows per chunk), where x has the shape that is cut into chunks."""
    channels = x.shape[-1]
    lanes = min(_LANES, 1 << (channels - 1).bit_length())
    grid = 1 if merge else _chunks(x), blocks(channels, lanes)
    block = lanes, (_MERGING_THREADS if merge else _THREADS) // lanes
    sizes = np.int64(x.size // channels), np.int32(channels), np.int32(_rows_per_chunk(x))
    _SOURCE.launch(kernel, grid, block, x, *others, *sizes, defines={"T": ctype(x.dtype)})
