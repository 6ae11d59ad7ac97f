"""Lab 5: maxpool_forward and maxpool_backward

Max-pooling keeps the largest pixel of each window and forgets the others.  Going back, the winner gets the window's
whole gradient and the others get nothing: changing a loser a little changes nothing.

    x                  y              dy               dx

    1  7 │ 3  1                                        0 10 │20  0
    2  5 │ 3  0        7  3           10 20            0  0 │ 0  0
    ─────┼─────        4  9    ···    30 40            ─────┼─────
    4  4 │ 8  9                                       30  0 │ 0 40
    0  4 │ 6  2                                        0  0 │ 0  0

Three things go wrong easily.
*Ties.*  Two 3s at the top right, three 4s at the bottom left: the first one wins, row by row from the left, and it
alone gets the gradient.  Ties are common: most windows of an MNIST image hold nothing but zeros.
*Padding* must never win.  Zeros would win against negative pixels, so pad with minus infinity.
*Overlap.*  With strides smaller than the window a pixel can win several windows; then its gradients add up.

Each channel of each image is pooled on its own.

Fill in the two functions, then run:  tinyconv lab check 5
"""

import numpy as np


def maxpool_forward(x, pool_size, strides, padding=(0, 0)):
    """Return y (n, oh, ow, c), with the dtype of x; oh and ow as in lab 1.

    x          the images (n, height, width, c)
    pool_size  (kh, kw), the size of the window
    strides    (sh, sw)
    padding    (ph, pw), rows and columns on each side, at most half a window
    """
    n, height, width, channels = x.shape
    (kh, kw), (sh, sw), (ph, pw) = pool_size, strides, padding
    oh = (height + 2 * ph - kh) // sh + 1
    ow = (width + 2 * pw - kw) // sw + 1
    padded = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)), constant_values=-np.inf)
    y = np.zeros((n, oh, ow, channels), x.dtype)
    for i in range(oh):
        for j in range(ow):
            y[:, i, j] = padded[:, i * sh : i * sh + kh, j * sw : j * sw + kw].max(axis=(1, 2))
    return y


def maxpool_backward(dy, x, pool_size, strides, padding=(0, 0)):
    """Return dx, with the shape and the dtype of x.

    dy         the gradient of y (n, oh, ow, c)
    x          the images that went into maxpool_forward, and the other arguments as there
    """
    n, height, width, channels = x.shape
    _, oh, ow, _ = dy.shape
    (kh, kw), (sh, sw), (ph, pw) = pool_size, strides, padding
    padded = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)), constant_values=-np.inf)
    dpadded = np.zeros_like(padded)
    images, planes = np.ogrid[:n, :channels]
    for i in range(oh):
        for j in range(ow):
            window = padded[:, i * sh : i * sh + kh, j * sw : j * sw + kw].reshape(n, kh * kw, channels)
            p, q = np.divmod(window.argmax(axis=1), kw)  # (n, c): argmax is the first of several maxima
            dpadded[images, i * sh + p, j * sw + q, planes] += dy[:, i, j]
    return dpadded[:, ph : ph + height, pw : pw + width]
