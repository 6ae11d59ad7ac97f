"""Lab 2: col2im, from the rows back to an image

The gradient travels the way of the numbers backwards.  im2col (lab 1) copied a pixel into every window that contains
it; so the gradient of the pixel is the sum of the gradients of all its copies.  That sum is col2im.

    im2col copies                 col2im adds

       ┌─► row 0                  row 0 ─┐
    5 ─┼─► row 1                  row 1 ─┼─► sum
       └─► row 4                  row 4 ─┘

    x[n, r, s, c] = Σ cols[(n, i, j), (p, q, c)]  over all i, j, p, q with  i·sh + p - ph = r  and  j·sw + q - pw = s

What lies in the padding belongs to no pixel and is dropped.  It is not the inverse of im2col: a pixel in four windows
comes back four times as large.  It is the transpose: Σ im2col(x)·cols = Σ x·col2im(cols) for any x and cols.

Fill in the function, then run:  tinyconv lab check 2
"""

import numpy as np


def col2im(cols, x_shape, kernel_size, strides=(1, 1), padding=(0, 0)):
    """Return x (n, height, width, c), with the dtype of cols.

    cols         (n·oh·ow, kh·kw·c), as im2col of lab 1 orders them
    x_shape      (n, height, width, c)
    kernel_size  (kh, kw), the size of the window
    strides      (sh, sw)
    padding      (ph, pw), rows and columns of zeros on each side
    """
    n, height, width, channels = x_shape
    (kh, kw), (sh, sw), (ph, pw) = kernel_size, strides, padding
    oh = (height + 2 * ph - kh) // sh + 1
    ow = (width + 2 * pw - kw) // sw + 1
    windows = cols.reshape(n, oh, ow, kh, kw, channels)
    padded = np.zeros((n, height + 2 * ph, width + 2 * pw, channels), cols.dtype)
    for i in range(oh):
        for j in range(ow):
            top, left = i * sh, j * sw
            padded[:, top : top + kh, left : left + kw] += windows[:, i, j]
    return padded[:, ph : ph + height, pw : pw + width]
