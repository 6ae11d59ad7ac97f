"""Matrix products on the micro-kernel: how operands are laid out for it, and the plain product C = A · B.

The micro-kernel reads rows of B in whole vectors.  So B is a row-major matrix whose rows are as long as whole vectors:
a weight or gradient array as it is where its last axis allows, else a copy filled up with zeros (`whole_vectors`).
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numba import get_thread_id, prange

from . import threads
from .jit import jit
from .microkernel import MAX_ROWS, MAX_VECTORS, VECTOR_BYTES, product
from .transpose import transpose
from .workspace import Workspace

Array = np.ndarray[Any, Any]

BLOCK_ROWS = 96  # rows of C that one thread works on at a time: 8, 12 and 16 tiles
BLOCK_DEPTH = 128  # of K: 128 rows of 4 vectors are 32 KiB, which stay in the L1 cache for all tiles of the block


def lanes(dtype: Any) -> int:
    """Elements in one vector register."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize


def padded_columns(columns: int, dtype: Any) -> int:
    """`columns` rounded up to whole vectors."""
    return -(-columns // lanes(dtype)) * lanes(dtype)


@lru_cache(maxsize=256)
def offsets(rows: int, stride: int) -> Array:
    """Where `rows` equally spaced rows start: 0, stride, …, ready for the micro-kernel (see `as_table`)."""
    return as_table(np.arange(rows) * stride)


def as_table(starts: Any) -> Array:
    """int64 offsets, the last one repeated: a tile that reaches beyond the last row reads that again, and drops it."""
    table = np.asarray(starts, np.int64).ravel()
    table = np.concatenate([table, np.full(MAX_ROWS, table[-1])])
    table.setflags(write=False)
    return table


def whole_vectors(b: Array, workspace: Workspace, name: str) -> Array:
    """b (rows, columns) itself if its rows are of whole vectors, else a copy with zeros at their ends."""
    if padded_columns(b.shape[1], b.dtype) == b.shape[1]:
        return np.ascontiguousarray(b)
    wide = workspace.array(name, (len(b), padded_columns(b.shape[1], b.dtype)), b.dtype)
    _fill_up(np.ascontiguousarray(b), wide)
    return wide


def transposed(a: Array, workspace: Workspace, name: str) -> Array:
    """aᵀ, its rows of whole vectors as `whole_vectors` makes them."""
    rows, columns = a.shape
    wide = workspace.array(name, (columns, padded_columns(rows, a.dtype)), a.dtype)
    _transpose(np.ascontiguousarray(a), wide)
    return wide


@lru_cache
def no_bias(dtype: Any) -> Array:
    """An empty bias, which adds nothing."""
    return np.empty(0, dtype)


def bias_or_zeros(b: Array | None, columns: int, dtype: Any) -> Array:
    """b, contiguous, or zeros to add where there is no bias."""
    return _zeros(columns, dtype) if b is None else np.ascontiguousarray(b)


@lru_cache(maxsize=256)
def _zeros(columns: int, dtype: Any) -> Array:
    return np.zeros(columns, dtype)


def matmul(a: Array, a_rows: Array, a_k: int, b: Array, out: Array, bias: Array | None = None) -> Array:
    """out (rows, columns) = A · b + bias, with A's rows at a_rows in the flat array a, elements a_k apart.

    b is (depth, columns rounded up to whole vectors).  Each element of `out` is summed over k in blocks of BLOCK_DEPTH,
    in order: the bits do not depend on the threads.
    """
    rows, columns = out.shape
    _matmul(
        a, a_rows, a_k, _depth_blocks(len(b), a_k), b, out.reshape(-1), offsets(rows, columns), rows, columns,
        no_bias(out.dtype) if bias is None else bias,
    )
    return out


def matmul_transposed(a: Array, a_rows: Array, a_k: int, b: Array, out: Array, workspace: Workspace) -> Array:
    """out (columns, rows) = (A · b)ᵀ, A and b as in `matmul`: for b that is cheap to transpose and A that is not."""
    scratch = workspace.array("matmul/block", (threads.maximum(), BLOCK_ROWS * b.shape[1]), out.dtype)
    _matmul_transposed(a, a_rows, a_k, _depth_blocks(len(b), a_k), b, offsets(BLOCK_ROWS, b.shape[1]), scratch, out)
    return out


def _depth_blocks(depth: int, a_k: int) -> Array:
    """Where A's blocks of BLOCK_DEPTH columns start."""
    return offsets(-(-depth // BLOCK_DEPTH), BLOCK_DEPTH * a_k)


# -- compiled ---------------------------------------------------------------------------------------------------------


@jit()
def _fill_up(b, wide):
    fill_up(b.reshape(-1), b.shape[1], wide.reshape(-1), wide.shape[1])


@jit(inline=True)
def fill_up(rows, columns, wide, width):
    """Copy rows of `columns` elements (all flat) to `wide`, filled up with zeros to `width` elements each."""
    for row in range(len(rows) // columns):
        source, target = rows[row * columns : (row + 1) * columns], wide[row * width : (row + 1) * width]
        for k in range(columns):
            target[k] = source[k]
        for k in range(columns, width):
            target[k] = 0


@jit()
def _transpose(a, wide):
    rows = len(a)
    transpose(a, wide[:, :rows])
    for row in range(len(wide)):
        rest = wide[row, rows:]
        for k in range(len(rest)):
            rest[k] = 0


@jit(inline=True)
def multiply_block(a, a_rows, row, last, starts, a_k, b, first, used, c, c_rows, c_off):
    """C[row:last, :used] = A[row:last] · b[:, first:first + used], K in blocks that stay in the L1 cache."""
    depth, width = b.shape
    flat = b.reshape(-1)
    for block in range((depth + BLOCK_DEPTH - 1) // BLOCK_DEPTH):
        k = block * BLOCK_DEPTH
        product(
            a, a_rows, row, last, starts, block, 1, min(BLOCK_DEPTH, depth - k), a_k,
            flat, k * width + first, width, used, c, c_rows, c_off, min(block, 1),
        )


@jit(parallel=True)
def _matmul(a, a_rows, a_k, starts, b, c, c_rows, rows, columns, bias):
    full = MAX_VECTORS * (VECTOR_BYTES // c.itemsize)
    row_blocks = (rows + BLOCK_ROWS - 1) // BLOCK_ROWS
    for task in prange(row_blocks * ((columns + full - 1) // full)):
        first = task // row_blocks * full
        row = task % row_blocks * BLOCK_ROWS
        last = min(row + BLOCK_ROWS, rows)
        used = min(full, columns - first)
        multiply_block(a, a_rows, row, last, starts, a_k, b, first, used, c, c_rows, first)
        if len(bias):
            some = bias[first : first + used]
            for i in range(row, last):
                c_row = c[i * columns + first : i * columns + first + used]
                for j in range(used):
                    c_row[j] += some[j]


@jit(parallel=True)
def _matmul_transposed(a, a_rows, a_k, starts, b, c_rows, scratch, out):
    full = MAX_VECTORS * (VECTOR_BYTES // out.itemsize)
    columns, rows = out.shape
    for block in prange((rows + BLOCK_ROWS - 1) // BLOCK_ROWS):
        c = scratch[get_thread_id()]
        row = block * BLOCK_ROWS
        last = min(row + BLOCK_ROWS, rows)
        for first in range(0, columns, full):
            multiply_block(
                a, a_rows[row:], 0, last - row, starts, a_k, b, first, min(full, columns - first), c, c_rows, first
            )
        transpose(c.reshape(BLOCK_ROWS, b.shape[1])[: last - row, :columns], out[:, row:last])
