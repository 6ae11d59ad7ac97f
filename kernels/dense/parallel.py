"""Dense layer on the register-blocked micro-kernel; see `contract.Dense` and `tinyconv.kernels.microkernel`.

All three products are the same routine; only the way A is read differs: x by rows for y = x·w, x by columns for
dw = xᵀ·dy, w by rows for dxᵀ = w·dyᵀ (so that dy is transposed, which is small, and w is not).
"""

from typing import Any

import numpy as np

from ..jit import jit
from ..matmul import matmul, matmul_transposed, offsets, transposed, whole_vectors
from ..workspace import Workspace, ensure

Array = np.ndarray[Any, Any]


def forward(
    x: Array, w: Array, b: Array | None = None, *, out: Array | None = None, workspace: Workspace | None = None
) -> Array:
    """y = x · w + b, (n, units)."""
    x, workspace = np.ascontiguousarray(x), Workspace() if workspace is None else workspace
    (n, features), units = x.shape, w.shape[1]
    y = ensure(out, (n, units), x.dtype)
    return matmul(x.reshape(-1), offsets(n, features), 1, whole_vectors(w, workspace, "dense/w"), y, b)


def backward_input(dy: Array, w: Array, *, out: Array | None = None, workspace: Workspace | None = None) -> Array:
    """dx = (w · dyᵀ)ᵀ, (n, features)."""
    w, workspace = np.ascontiguousarray(w), Workspace() if workspace is None else workspace
    (n, units), features = dy.shape, w.shape[0]
    dx = ensure(out, (n, features), dy.dtype)
    dy_transposed = transposed(dy, workspace, "dense/dy_transposed")
    return matmul_transposed(w.reshape(-1), offsets(features, units), 1, dy_transposed, dx, workspace)


def backward_weights(
    x: Array, dy: Array, *, out: tuple[Array, Array] | None = None, workspace: Workspace | None = None
) -> tuple[Array, Array]:
    """dw = xᵀ · dy, (features, units), and db = Σ dy over the batch, (units,)."""
    x, workspace = np.ascontiguousarray(x), Workspace() if workspace is None else workspace
    features, units = x.shape[1], dy.shape[1]
    dw, db = (None, None) if out is None else out
    dw, db = ensure(dw, (features, units), x.dtype), ensure(db, (units,), x.dtype)
    matmul(x.reshape(-1), offsets(features, 1), features, whole_vectors(dy, workspace, "dense/dy"), dw)
    sum_rows(np.ascontiguousarray(dy), db)
    return dw, db


@jit()
def sum_rows(a, total):
    """total (columns,) = Σ over the rows of a, in order."""
    total[:] = 0
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            total[j] += a[i, j]
