"""Matrix products on the micro-kernel: how operands are laid out for it, and the plain product C = A · B.

B is cut into *panels* of up to MAX_VECTORS vectors of columns, each copied so that its rows follow one another: then the
micro-kernel reads B strictly forwards.  All panels but the last are full; the last is as wide as its columns need,
rounded up to whole vectors and filled with zeros.  A panel before it in memory always has K · panel elements.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numba import prange

from .jit import jit
from .microkernel import MAX_ROWS, MAX_VECTORS, VECTOR_BYTES, product
from .workspace import Workspace

Array = np.ndarray[Any, Any]

BLOCK_ROWS = 96  # rows of C that one thread works on at a time: 8, 12 and 16 tiles
BLOCK_DEPTH = 128  # of K: 128 rows of a full panel are 32 KiB, which stay in the L1 cache for all tiles of the block


def lanes(dtype: Any) -> int:
    """Elements in one vector register."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize


def padded_columns(columns: int, dtype: Any) -> int:
    """`columns` rounded up to whole vectors."""
    return -(-columns // lanes(dtype)) * lanes(dtype)


def panel_width(dtype: Any) -> int:
    """Columns of a full panel."""
    return MAX_VECTORS * lanes(dtype)


@lru_cache(maxsize=256)
def offsets(rows: int, stride: int) -> Array:
    """Where `rows` equally spaced rows start: 0, stride, …, ready for the micro-kernel (see `as_table`)."""
    return as_table(np.arange(rows) * stride)


def as_table(starts: Any) -> Array:
    """int64 offsets, the last one repeated: a tile that reaches beyond the last row reads it again and drops the result."""
    table = np.asarray(starts, np.int64).ravel()
    table = np.concatenate([table, np.full(MAX_ROWS, table[-1])])
    table.setflags(write=False)
    return table


def pack(b: Array, workspace: Workspace, name: str, *, transposed: bool = False) -> Array:
    """Copy b (K, columns), or its transpose when `transposed`, into panels: flat, K · padded_columns elements."""
    rows, columns = b.shape[::-1] if transposed else b.shape
    panels = workspace.array(name, (rows * padded_columns(columns, b.dtype),), b.dtype)
    (_pack_transposed if transposed else _pack)(np.ascontiguousarray(b), panels)
    return panels


@jit(parallel=True)
def _pack(b, panels):
    depth, columns = b.shape
    lanes = VECTOR_BYTES // b.itemsize
    full = MAX_VECTORS * lanes
    for block in prange((depth + 63) // 64):
        for first in range(0, columns, full):
            used = min(full, columns - first)
            width = (used + lanes - 1) // lanes * lanes
            for k in range(block * 64, min(block * 64 + 64, depth)):
                start = first * depth + k * width
                for j in range(used):
                    panels[start + j] = b[k, first + j]
                for j in range(used, width):
                    panels[start + j] = 0


@jit(parallel=True)
def _pack_transposed(b, panels):
    columns, depth = b.shape
    lanes = VECTOR_BYTES // b.itemsize
    full = MAX_VECTORS * lanes
    for panel in prange((columns + full - 1) // full):
        first = panel * full
        used = min(full, columns - first)
        width = (used + lanes - 1) // lanes * lanes
        for j in range(width):
            if j < used:
                for k in range(depth):
                    panels[first * depth + k * width + j] = b[first + j, k]
            else:
                for k in range(depth):
                    panels[first * depth + k * width + j] = 0


def matmul(
    a: Array, a_rows: Array, a_k: int, depth: int, panels: Array, out: Array, bias: Array | None = None
) -> Array:
    """out (rows, columns) = A · B + bias, with A's rows at a_rows in the flat array a, elements a_k apart.

    Each element of `out` is summed over k in blocks of BLOCK_DEPTH, in order: the bits do not depend on the threads.
    """
    rows, columns = out.shape
    starts = offsets(-(-depth // BLOCK_DEPTH), BLOCK_DEPTH * a_k)
    _matmul(
        a, a_rows, a_k, depth, starts, panels, out.reshape(-1), offsets(rows, columns), rows, columns,
        no_bias(out.dtype) if bias is None else bias,
    )
    return out


@lru_cache
def no_bias(dtype: Any) -> Array:
    """An empty bias, which adds nothing."""
    return np.empty(0, dtype)


@jit(parallel=True)
def _matmul(a, a_rows, a_k, depth, starts, panels, c, c_rows, rows, columns, bias):
    full = MAX_VECTORS * (VECTOR_BYTES // c.itemsize)
    width = (columns + VECTOR_BYTES // c.itemsize - 1) // (VECTOR_BYTES // c.itemsize) * (VECTOR_BYTES // c.itemsize)
    row_blocks = (rows + BLOCK_ROWS - 1) // BLOCK_ROWS
    for task in prange(row_blocks * ((columns + full - 1) // full)):
        first = task // row_blocks * full
        row = task % row_blocks * BLOCK_ROWS
        last = min(row + BLOCK_ROWS, rows)
        used = min(full, columns - first)
        panel = min(full, width - first)
        for block in range((depth + BLOCK_DEPTH - 1) // BLOCK_DEPTH):
            k = block * BLOCK_DEPTH
            product(
                a, a_rows, row, last, starts, block, 1, min(BLOCK_DEPTH, depth - k), a_k,
                panels, first * depth + k * panel, panel, used, c, c_rows, first, min(block, 1),
            )
        for i in range(row, last):
            for j in range(first, min(first + used, len(bias))):
                c[i * columns + j] += bias[j]
