"""Batch normalisation, compiled: one thread per chunk of rows, all channels of a row at a time.

Sums are taken in float64 over chunks whose size depends on the shape only, and the chunks are added up in order, so the
result has the same bits for any number of threads.  The squares of a chunk are taken around the chunk's own mean while
it is still in the cache; around the mean of all, Σ (x - mean)² = Σ_chunks (squares + rows · (chunk mean - mean)²).
"""

from typing import Any

import numpy as np
from numba import prange

from ..arrays import check_shape, contiguous
from ..contract import Array
from ..jit import jit
from ..workspace import ensure
from .definition import check_channels

_CHUNK = 16384  # values in a chunk, about


def forward_training(
    x: Array, gamma: Array, beta: Array, epsilon: float, *, out: tuple[Array, Array, Array] | None = None
) -> tuple[Array, Array, Array]:
    """Return (y, mean, variance)."""
    y_out, mean_out, variance_out = out or (None, None, None)
    mean = ensure(mean_out, x.shape[-1:], x.dtype)
    variance = ensure(variance_out, x.shape[-1:], x.dtype)
    _moments(_rows(x), mean, variance)
    return forward_inference(x, gamma, beta, mean, variance, epsilon, out=y_out), mean, variance


def forward_inference(
    x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, epsilon: float, *, out: Array | None = None
) -> Array:
    """Return y."""
    check_channels(x, gamma=gamma, beta=beta, mean=mean, variance=variance)
    y = ensure(out, x.shape, x.dtype)
    _normalise(
        _rows(x), *(contiguous(array, x.dtype) for array in (gamma, beta, mean, variance)), x.dtype.type(epsilon),
        _rows(y),
    )
    return y


def backward(
    dy: Array, x: Array, gamma: Array, mean: Array, variance: Array, epsilon: float, *,
    out: tuple[Array, Array, Array] | None = None,
) -> tuple[Array, Array, Array]:
    """Return (dx, dgamma, dbeta)."""
    check_shape(dy, x.shape, "dy")
    check_channels(x, gamma=gamma, mean=mean, variance=variance)
    dx_out, dgamma_out, dbeta_out = out or (None, None, None)
    dx = ensure(dx_out, x.shape, x.dtype)
    dgamma = ensure(dgamma_out, gamma.shape, x.dtype)
    dbeta = ensure(dbeta_out, gamma.shape, x.dtype)
    _backward(
        _rows(dy), _rows(x), *(contiguous(array, x.dtype) for array in (gamma, mean, variance)), x.dtype.type(epsilon),
        _rows(dx), dgamma, dbeta,
    )
    return dx, dgamma, dbeta


def _rows(array: Array) -> Array:
    """(m, channels): one row for each value that a channel has."""
    return contiguous(array).reshape(-1, array.shape[-1])


@jit(inline=True)
def _rows_per_chunk(channels: int) -> int:
    return max(1, _CHUNK // channels)


@jit(parallel=True)
def _moments(x: Array, mean: Array, variance: Array) -> None:
    m, channels = x.shape
    rows = _rows_per_chunk(channels)
    chunks = (m + rows - 1) // rows
    means, squares = np.empty((chunks, channels)), np.empty((chunks, channels))
    for chunk in prange(chunks):
        _chunk_moments(x[chunk * rows : (chunk + 1) * rows], means[chunk], squares[chunk])
    for ch in range(channels):
        total = 0.0
        for chunk in range(chunks):
            total += means[chunk, ch] * min(rows, m - chunk * rows)
        center, total = total / m, 0.0
        for chunk in range(chunks):
            total += squares[chunk, ch] + min(rows, m - chunk * rows) * (means[chunk, ch] - center) ** 2
        mean[ch], variance[ch] = center, total / m


@jit(inline=True)
def _chunk_moments(x: Array, mean: Array, squares: Array) -> None:
    """Fill in each channel's mean, and its sum of squared distances from that mean."""
    rows, channels = x.shape
    for ch in range(channels):
        mean[ch] = 0.0
        squares[ch] = 0.0
    for row in range(rows):
        for ch in range(channels):
            mean[ch] += x[row, ch]
    for ch in range(channels):
        mean[ch] /= rows
    for row in range(rows):
        for ch in range(channels):
            distance = x[row, ch] - mean[ch]
            squares[ch] += distance * distance


@jit(parallel=True)
def _normalise(x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, epsilon: Any, y: Array) -> None:
    m, channels = x.shape
    scale = np.empty_like(gamma)
    for ch in range(channels):
        scale[ch] = gamma[ch] / np.sqrt(variance[ch] + epsilon)
    rows = _rows_per_chunk(channels)
    for chunk in prange((m + rows - 1) // rows):
        for row in range(chunk * rows, min(m, (chunk + 1) * rows)):
            for ch in range(channels):
                y[row, ch] = (x[row, ch] - mean[ch]) * scale[ch] + beta[ch]


@jit(parallel=True)
def _backward(
    dy: Array, x: Array, gamma: Array, mean: Array, variance: Array, epsilon: Any, dx: Array, dgamma: Array,
    dbeta: Array,
) -> None:
    m, channels = x.shape
    inverse, one = np.empty_like(gamma), gamma.dtype.type(1)
    for ch in range(channels):
        inverse[ch] = one / np.sqrt(variance[ch] + epsilon)
    rows = _rows_per_chunk(channels)
    chunks = (m + rows - 1) // rows
    sums, products = np.empty((chunks, channels)), np.empty((chunks, channels))
    for chunk in prange(chunks):
        part = slice(chunk * rows, (chunk + 1) * rows)
        _chunk_sums(dy[part], x[part], mean, sums[chunk], products[chunk])
    scale, shift, slope = np.empty_like(gamma), np.empty_like(gamma), np.empty_like(gamma)
    for ch in range(channels):
        total, product = 0.0, 0.0
        for chunk in range(chunks):
            total += sums[chunk, ch]
            product += products[chunk, ch]
        dbeta[ch], dgamma[ch] = total, product * inverse[ch]
        scale[ch], shift[ch], slope[ch] = gamma[ch] * inverse[ch], total / m, product * inverse[ch] * inverse[ch] / m
    for chunk in prange(chunks):
        for row in range(chunk * rows, min(m, (chunk + 1) * rows)):
            for ch in range(channels):
                dx[row, ch] = scale[ch] * (dy[row, ch] - shift[ch] - (x[row, ch] - mean[ch]) * slope[ch])


@jit(inline=True)
def _chunk_sums(dy: Array, x: Array, mean: Array, sums: Array, products: Array) -> None:
    """Fill in each channel's Σ dy and Σ dy · (x - mean)."""
    rows, channels = x.shape
    for ch in range(channels):
        sums[ch] = 0.0
        products[ch] = 0.0
    for row in range(rows):
        for ch in range(channels):
            gradient = float(dy[row, ch])
            sums[ch] += gradient
            products[ch] += gradient * (x[row, ch] - mean[ch])
