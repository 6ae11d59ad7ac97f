"""Lab 3: conv2d_forward, the convolution

Lay the kernel over a window of the image, multiply what lies on top of each other, add everything, add the bias: that
is one pixel of the output.  Each filter has its own kernel, and its output is one channel of y.

    x                       w               y, its first pixel

     1   2   3 │  4         0  1  0           0·1 + 1·2  + 0·3
     5   6   7 │  8         1  1  1         + 1·5 + 1·6  + 1·7
     9  10  11 │ 12         0  1  0         + 0·9 + 1·10 + 0·11  =  30
    ───────────┘
    13  14  15  16

    y[n, i, j, f] = b[f] + Σ_{p, q, c} x[n, i·sh + p - ph, j·sw + q - pw, c] · w[p, q, c, f]

where a pixel outside of the image counts as 0.  The kernel is not turned round, though a mathematician's convolution
would: every deep-learning framework does it like this (Goodfellow, Bengio and Courville, "Deep Learning", 2016,
equation 9.6).

Two good ways: add up one product per place (p, q) of the kernel, for all windows at once; or use your im2col of lab 1,
which makes it the one product  cols · w.reshape(kh·kw·c, filters).  Copy what you need into this file.

Fill in the function, then run:  tinyconv lab check 3
"""

import numpy as np


def conv2d_forward(x, w, b, strides=(1, 1), padding=(0, 0)):
    """Return y (n, oh, ow, filters), with the dtype of x; oh and ow as in lab 1.

    x        the images (n, height, width, c)
    w        the kernels (kh, kw, c, filters)
    b        the biases (filters,)
    strides  (sh, sw)
    padding  (ph, pw), rows and columns of zeros on each side
    """
    n, height, width, _ = x.shape
    kh, kw, _, filters = w.shape
    (sh, sw), (ph, pw) = strides, padding
    oh = (height + 2 * ph - kh) // sh + 1
    ow = (width + 2 * pw - kw) // sw + 1
    padded = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    y = np.zeros((n, oh, ow, filters), x.dtype)
    for p in range(kh):
        for q in range(kw):
            pixels = padded[:, p : p + sh * oh : sh, q : q + sw * ow : sw]  # what place (p, q) of the kernel sees
            y += pixels @ w[p, q]
    return y + b
