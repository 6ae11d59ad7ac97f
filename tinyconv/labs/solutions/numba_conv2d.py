"""Lab 11: a Numba kernel, the convolution compiled

Loops in Python are slow, a hundred times slower than the processor.  Numba compiles a function to machine code when it
is called first; then plain loops are the fastest there is, and no padded copy and no matrix of windows is needed.

    @njit(parallel=True)          compile this function, and share its prange loops out among the threads
    for r in prange(n * oh):      like range, but the rounds run at the same time, in no order

      thread 0   y[0, 0, :]       each thread makes whole rows of the output, and
      thread 1   y[0, 1, :]       no two threads ever write the same element
      thread 2   y[0, 2, :]

That last point is the rule: a prange loop over something that is summed (channels, kernel places, images in dw) would
let threads overwrite each other's sums (Numba's manual, "Automatic parallelization with @jit", on explicit parallel
loops).  It computes what conv2d_forward of lab 3 did:

    y[n, i, j, f] = b[f] + Σ_{p, q, c} x[n, i·sh + p - ph, j·sw + q - pw, c] · w[p, q, c, f]

There is no padded copy: skip the pixels outside of the image.  Careful, x[0, -1] is not an error, it is the last row.

Write the function as loops, then run:  tinyconv lab check 11      (the compiler takes some seconds)
"""

import numpy as np
from numba import njit, prange


@njit(parallel=True)
def conv2d(x, w, b, strides, padding):
    """Return y (n, oh, ow, filters), with the dtype of x; all arguments as in lab 3."""
    n, height, width, channels = x.shape
    kh, kw, _, filters = w.shape
    sh, sw = strides
    ph, pw = padding
    oh = (height + 2 * ph - kh) // sh + 1
    ow = (width + 2 * pw - kw) // sw + 1
    y = np.zeros((n, oh, ow, filters), x.dtype)
    for r in prange(n * oh):  # one row of the output: row i of image k
        k, i = r // oh, r % oh
        for j in range(ow):
            for f in range(filters):
                total = b[f]
                for p in range(kh):
                    for q in range(kw):
                        row, column = i * sh + p - ph, j * sw + q - pw
                        if 0 <= row < height and 0 <= column < width:
                            for c in range(channels):
                                total += x[k, row, column, c] * w[p, q, c, f]
                y[k, i, j, f] = total
    return y
