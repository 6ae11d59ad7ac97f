"""Batch normalisation by its definition.

The gradient, with x̂ = (x - mean) / √(variance + ε), m values per channel, and mean and variance depending on every x
(Ioffe and Szegedy, 2015, section 3):

    dbeta = Σ dy      dgamma = Σ dy · x̂      dx = gamma / √(variance + ε) · (dy - dbeta / m - x̂ · dgamma / m)
"""

import numpy as np

from ..arrays import check_shape, quiet
from ..contract import Array
from ..workspace import ensure


@quiet
def forward_training(
    x: Array, gamma: Array, beta: Array, epsilon: float, *, out: tuple[Array, Array, Array] | None = None
) -> tuple[Array, Array, Array]:
    """Return (y, mean, variance)."""
    y_out, mean_out, variance_out = out or (None, None, None)
    mean = ensure(mean_out, x.shape[-1:], x.dtype)
    variance = ensure(variance_out, x.shape[-1:], x.dtype)
    axes = tuple(range(x.ndim - 1))
    mean[...] = x.mean(axis=axes, dtype=np.float64)
    variance[...] = x.var(axis=axes, dtype=np.float64)
    return forward_inference(x, gamma, beta, mean, variance, epsilon, out=y_out), mean, variance


@quiet
def forward_inference(
    x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, epsilon: float, *, out: Array | None = None
) -> Array:
    """Return y."""
    check_channels(x, gamma=gamma, beta=beta, mean=mean, variance=variance)
    y = ensure(out, x.shape, x.dtype)
    y[...] = (x - mean) * (gamma / np.sqrt(variance + epsilon)) + beta
    return y


@quiet
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
    axes = tuple(range(x.ndim - 1))
    m = x.size // x.shape[-1]
    inverse = 1 / np.sqrt(variance + epsilon)
    x_hat = (x - mean) * inverse
    dbeta[...] = dy.sum(axis=axes, dtype=np.float64)
    dgamma[...] = (dy * x_hat).sum(axis=axes, dtype=np.float64)
    dx[...] = gamma * inverse * (dy - dbeta / m - x_hat * (dgamma / m))
    return dx, dgamma, dbeta


def check_channels(x: Array, **per_channel: Array) -> None:
    """Raise ValueError unless each of `per_channel` holds one value for each of x's channels."""
    for name, array in per_channel.items():
        check_shape(array, x.shape[-1:], name)
