"""Dense layer on the register-blocked micro-kernel; see `contract.Dense` and `tinyconv.kernels.microkernel`.

All three products are the same routine; only the way A is read differs: x by rows for y = x·w, x by columns for
dw = xᵀ·dy, dy by rows for dx = dy·wᵀ.
"""

from typing import Any

import numpy as np
from numba import prange

from ..jit import jit
from ..panels import matmul, offsets, pack
from ..workspace import Workspace, ensure

Array = np.ndarray[Any, Any]


def forward(
    x: Array, w: Array, b: Array | None = None, *, out: Array | None = None, workspace: Workspace | None = None
) -> Array:
    """y = x · w + b, (n, units)."""
    x, workspace = np.ascontiguousarray(x), Workspace() if workspace is None else workspace
    (n, features), units = x.shape, w.shape[1]
    y = ensure(out, (n, units), x.dtype)
    panels = pack(w, workspace, "dense/w")
    return matmul(x.reshape(-1), offsets(n, features), 1, features, panels, y, b)


def backward_input(dy: Array, w: Array, *, out: Array | None = None, workspace: Workspace | None = None) -> Array:
    """dx = dy · wᵀ, (n, features)."""
    dy, workspace = np.ascontiguousarray(dy), Workspace() if workspace is None else workspace
    (n, units), features = dy.shape, w.shape[0]
    dx = ensure(out, (n, features), dy.dtype)
    panels = pack(w, workspace, "dense/w", transposed=True)
    return matmul(dy.reshape(-1), offsets(n, units), 1, units, panels, dx)


def backward_weights(
    x: Array, dy: Array, *, out: tuple[Array, Array] | None = None, workspace: Workspace | None = None
) -> tuple[Array, Array]:
    """dw = xᵀ · dy, (features, units), and db = Σ dy over the batch, (units,)."""
    x, workspace = np.ascontiguousarray(x), Workspace() if workspace is None else workspace
    (n, features), units = x.shape, dy.shape[1]
    dw, db = (None, None) if out is None else out
    dw, db = ensure(dw, (features, units), x.dtype), ensure(db, (units,), x.dtype)
    matmul(x.reshape(-1), offsets(features, 1), features, n, pack(dy, workspace, "dense/dy"), dw)
    sum_rows(np.ascontiguousarray(dy), db)
    return dw, db


@jit(parallel=True)
def sum_rows(a, total):
    """total (columns,) = Σ over the rows of a, in order; threads share the columns, not the rows."""
    rows, columns = a.shape
    for block in prange((columns + 63) // 64):
        first, last = block * 64, min(block * 64 + 64, columns)
        total[first:last] = 0
        for i in range(rows):
            for j in range(first, last):
                total[j] += a[i, j]
