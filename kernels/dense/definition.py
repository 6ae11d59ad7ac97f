"""Dense layer with NumPy's matrix product, the definition; see `contract.Dense`."""

from typing import Any

import numpy as np

from ..workspace import Workspace, ensure

Array = np.ndarray[Any, Any]


def forward(
    x: Array, w: Array, b: Array | None = None, *, out: Array | None = None, workspace: Workspace | None = None
) -> Array:
    """y = x · w + b, (n, units)."""
    y = np.matmul(x, w, out=ensure(out, (len(x), w.shape[1]), x.dtype))
    if b is not None:
        y += b
    return y


def backward_input(dy: Array, w: Array, *, out: Array | None = None, workspace: Workspace | None = None) -> Array:
    """dx = dy · wᵀ, (n, features)."""
    return np.matmul(dy, w.T, out=ensure(out, (len(dy), w.shape[0]), dy.dtype))


def backward_weights(
    x: Array, dy: Array, *, out: tuple[Array, Array] | None = None, workspace: Workspace | None = None
) -> tuple[Array, Array]:
    """dw = xᵀ · dy, (features, units), and db = Σ dy over the batch, (units,)."""
    dw, db = (None, None) if out is None else out
    dw, db = ensure(dw, (x.shape[1], dy.shape[1]), x.dtype), ensure(db, (dy.shape[1],), x.dtype)
    np.matmul(x.T, dy, out=dw)
    np.sum(dy, axis=0, out=db)
    return dw, db
