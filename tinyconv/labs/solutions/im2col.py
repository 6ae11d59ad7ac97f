"""Lab 1: im2col, every window of an image as one row of a matrix

A convolution looks at an image through a small window that moves along.  im2col writes what the window sees at each
place into one row of a matrix.  A whole convolution is then one matrix product, which computers are very good at
(Chellapilla, Puri and Simard, "High performance convolutional neural networks for document processing", 2006).

    x, 3×4 pixels         cols, for windows of 2×2

     0  1  2  3            0  1  4  5     the window at the top left
     4  5  6  7            1  2  5  6     one step to the right
     8  9 10 11            2  3  6  7
                           4  5  8  9     the next row of windows
                           5  6  9 10
                           6  7 10 11

Row (n, i, j) of cols holds, in the order (p, q, c),

    x[n, i·sh + p - ph, j·sw + q - pw, c]         p = 0 … kh-1,  q = 0 … kw-1,  c = 0 … channels-1

where a pixel outside of the image counts as 0.  The windows start sh rows and sw columns apart (the strides), the
padding adds ph rows above and below and pw columns left and right, and so there are

    oh = ⌊(height + 2·ph - kh) / sh⌋ + 1          ow = ⌊(width + 2·pw - kw) / sw⌋ + 1

windows from top to bottom and from left to right (Dumoulin and Visin, "A guide to convolution arithmetic for deep
learning", 2016).

Fill in the function, then run:  tinyconv lab check 1
"""

import numpy as np


def im2col(x, kernel_size, strides=(1, 1), padding=(0, 0)):
    """Return cols (n·oh·ow, kh·kw·c), with the dtype of x.

    x            the images (n, height, width, c)
    kernel_size  (kh, kw), the size of the window
    strides      (sh, sw)
    padding      (ph, pw)
    """
    n, height, width, channels = x.shape
    (kh, kw), (sh, sw), (ph, pw) = kernel_size, strides, padding
    oh = (height + 2 * ph - kh) // sh + 1
    ow = (width + 2 * pw - kw) // sw + 1
    padded = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    cols = np.zeros((n, oh, ow, kh, kw, channels), x.dtype)
    for i in range(oh):
        for j in range(ow):
            top, left = i * sh, j * sw
            cols[:, i, j] = padded[:, top : top + kh, left : left + kw]
    return cols.reshape(n * oh * ow, kh * kw * channels)
