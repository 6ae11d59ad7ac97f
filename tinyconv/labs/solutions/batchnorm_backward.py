"""Lab 9: batchnorm_backward, the gradients of batch normalisation

Batch normalisation shifts and scales every channel so that over the batch it has mean 0 and variance 1, and then lets
gamma and beta undo as much of that as is good for the loss:

    x̂ = (x - mean) / √(variance + ε)              y = gamma · x̂ + beta

Mean and variance are taken per channel: over all axes but the last.  The forward pass is given below.

    x ──┬──────────────► (x - mean) ──► x̂ ──► y           three ways from x to y, so
        ├──► mean ──────────┘           │                  three terms in dx
        └──► variance ──────────────────┘

Changing one x changes the mean and the variance, and through them every y of its channel.  With m numbers per channel,

    dbeta = Σ dy          dgamma = Σ dy · x̂          dx = gamma / √(variance + ε) · (dy - dbeta / m - x̂ · dgamma / m)

(the equations of Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing internal
covariate shift", 2015, section 3, put together).  Try to find this on paper before you type it.

Your gradients are compared with central differences of the forward pass, in float64.

Fill in the function batchnorm_backward, then run:  tinyconv lab check 9
"""

import numpy as np


def batchnorm_forward(x, gamma, beta, epsilon=1e-3):
    """Return y, with the shape of x.  This one is given."""
    axes = tuple(range(x.ndim - 1))  # all but the last
    x_hat = (x - x.mean(axis=axes)) / np.sqrt(x.var(axis=axes) + epsilon)
    return gamma * x_hat + beta


def batchnorm_backward(dy, x, gamma, epsilon=1e-3):
    """Return dx, dgamma and dbeta, with the shapes of x, gamma and beta, and with the dtype of x.

    dy     the gradient of y
    x      what went into batchnorm_forward: images (n, height, width, c) or rows (n, c)
    gamma  (c,)
    """
    axes = tuple(range(x.ndim - 1))
    m = x.size // x.shape[-1]
    deviation = np.sqrt(x.var(axis=axes) + epsilon)
    x_hat = (x - x.mean(axis=axes)) / deviation
    dbeta = dy.sum(axis=axes)
    dgamma = (dy * x_hat).sum(axis=axes)
    dx = gamma / deviation * (dy - dbeta / m - x_hat * dgamma / m)
    return dx, dgamma, dbeta
