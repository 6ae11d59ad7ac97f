"""Convolution, ReLU and max-pooling one after the other: what the fused rungs must equal."""

from typing import Any

import numpy as np

from ..conv2d import im2col as conv2d
from ..geometry import Padding, Pair, output_sizes
from ..maxpool2d import definition as maxpool2d
from ..relu import definition as relu
from ..workspace import Workspace

Array = np.ndarray[Any, Any]


def forward(
    x: Array, w: Array, b: Array | None, pool_size: Pair, *, strides: Pair, padding: Padding, dilation: Pair,
    pool_strides: Pair, pool_padding: Padding, out: Array | None = None, winners: Array | None = None,
    workspace: Workspace | None = None,
) -> tuple[Array, Array]:
    """y, winners of maxpool2d(relu(conv2d(x, w, b))); a winner that ReLU holds at 0 is none."""
    z = conv2d.forward(x, w, b, strides=strides, padding=padding, dilation=dilation, workspace=workspace)
    relu.forward(z, out=z)
    y, winners = maxpool2d.forward(z, pool_size, strides=pool_strides, padding=pool_padding, out=out, winners=winners)
    winners[y <= 0] = pool_size[0] * pool_size[1]
    return y, winners


def backward(
    dy: Array, winners: Array, x: Array, w: Array, pool_size: Pair, *, strides: Pair, padding: Padding, dilation: Pair,
    pool_strides: Pair, pool_padding: Padding, need_dx: bool = True,
    out: tuple[Array | None, Array, Array] | None = None, workspace: Workspace | None = None,
) -> tuple[Array | None, Array, Array]:
    """Back through the pool and the ReLU, which lets through what has a winner, then through the convolution."""
    dx, dw, db = (None, None, None) if out is None else out
    conv: dict[str, Any] = {"strides": strides, "padding": padding, "dilation": dilation, "workspace": workspace}
    oh, ow = output_sizes(x.shape[1:3], w.shape[:2], strides, padding, dilation)
    dz = maxpool2d.backward(
        dy, winners, (len(x), oh, ow, w.shape[3]), pool_size, strides=pool_strides, padding=pool_padding
    )
    weights_out = None if dw is None or db is None else (dw, db)
    dw, db = conv2d.backward_weights(x, dz, w.shape, out=weights_out, **conv)
    return (conv2d.backward_input(dz, w, x.shape, out=dx, **conv) if need_dx else None), dw, db
