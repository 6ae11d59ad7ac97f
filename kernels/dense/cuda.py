"""Dense layer in CUDA: three matrix products on the tiles of cuda/gemm.cuh; see dense.cu.

Beyond the contract, all take `precision`: "float32", or "tf32" or "bf16" to let tensor cores multiply rounded numbers.
"""

from pathlib import Path

import numpy as np

from ..contract import Array
from ..cuda import gemm
from ..cuda.arrays import contiguous, ensure
from ..cuda.launcher import Source
from ..workspace import Workspace

SOURCE = Source(Path(__file__).with_name("dense.cu"))


def forward(
    x: Array, w: Array, b: Array | None = None, *, out: Array | None = None, workspace: Workspace | None = None,
    precision: str = "float32",
) -> Array:
    """y = x · w + b, (n, units)."""
    x, w = contiguous(x), contiguous(w)
    (n, features), units = x.shape, w.shape[1]
    y = ensure(out, (n, units), x.dtype, like=x)
    if y.size:
        gemm.multiply(
            SOURCE, "dense_forward", x, w, (gemm.width(x, features), gemm.width(w, units)), (n, units, features),
            _sizes(n, features, units), y, bias=None if b is None else contiguous(b),
            precision=precision, workspace=workspace,
        )  # fmt: skip
    return y


def backward_input(
    dy: Array, w: Array, *, out: Array | None = None, workspace: Workspace | None = None, precision: str = "float32"
) -> Array:
    """dx = dy · wᵀ, (n, features)."""
    dy, w = contiguous(dy), contiguous(w)
    (n, units), features = dy.shape, w.shape[0]
    dx = ensure(out, (n, features), dy.dtype, like=dy)
    if dx.size:
        gemm.multiply(
            SOURCE, "dense_backward_input", dy, w, (gemm.width(dy, units), gemm.width(w, units)),
            (n, features, units), _sizes(n, features, units), dx, precision=precision, workspace=workspace,
        )  # fmt: skip
    return dx


def backward_weights(
    x: Array, dy: Array, *, out: tuple[Array, Array] | None = None, workspace: Workspace | None = None,
    precision: str = "float32",
) -> tuple[Array, Array]:
    """dw = xᵀ · dy, (features, units), and db = Σ dy over the batch, (units,)."""
    x, dy = contiguous(x), contiguous(dy)
    (n, features), units = x.shape, dy.shape[1]
    dw, db = (None, None) if out is None else out
    dw, db = ensure(dw, (features, units), x.dtype, like=x), ensure(db, (units,), x.dtype, like=x)
    if not n:
        dw[...] = 0
        db[...] = 0
        return dw, db
    gemm.multiply(
        SOURCE, "dense_backward_weights", x, dy, (gemm.width(x, features), gemm.width(dy, units)),
        (features, units, n), _sizes(n, features, units), dw, columns=db, precision=precision, workspace=workspace,
    )  # fmt: skip
    return dw, db


def _sizes(*sizes: int) -> tuple[np.int32, ...]:
    """(n, features, units) as the kernels take them."""
    return tuple(map(np.int32, sizes))
