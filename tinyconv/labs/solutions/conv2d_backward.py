"""Lab 4: conv2d_backward, the gradients of the convolution

dy says how much the loss changes with each number of y.  How much does it change with each number of x, w and b?  Look
at one product x · w in the sum that makes one y (lab 3): y changes by w for each x, and by x for each w.  So

    db[f]          = Σ_{n, i, j}  dy[n, i, j, f]
    dw[p, q, c, f] = Σ_{n, i, j}  dy[n, i, j, f] · x[n, i·sh + p - ph, j·sw + q - pw, c]
    dx[n, r, s, c] = Σ            dy[n, i, j, f] · w[p, q, c, f]     over all f, i, j, p, q with
                                                                     i·sh + p - ph = r  and  j·sw + q - pw = s

(Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 9.5).  Padding counts as 0 in dw, and dx is only asked
for the real pixels.

    forward                          backward

    padded ──window──► pixels @ w    padded gradient ◄──add── dy @ wᵀ       and       dw = pixelsᵀ @ dy

With im2col and col2im:  dw = colsᵀ · dy  and  dx = col2im(dy · wᵀ).

Your gradients are compared with central differences of the forward pass, (L(x + h) - L(x - h)) / 2h, in float64.

Fill in the function, then run:  tinyconv lab check 4
"""

import numpy as np


def conv2d_backward(dy, x, w, strides=(1, 1), padding=(0, 0)):
    """Return dx, dw and db, with the shapes of x, w and b, and with the dtype of x.

    dy       the gradient of y (n, oh, ow, filters)
    x        the images (n, height, width, c)
    w        the kernels (kh, kw, c, filters)
    strides  (sh, sw)
    padding  (ph, pw), rows and columns of zeros on each side
    """
    _, height, width, _ = x.shape
    kh, kw, _, _ = w.shape
    _, oh, ow, _ = dy.shape
    (sh, sw), (ph, pw) = strides, padding
    padded = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    dpadded = np.zeros_like(padded)
    dw = np.zeros_like(w)
    for p in range(kh):
        for q in range(kw):
            rows, columns = slice(p, p + sh * oh, sh), slice(q, q + sw * ow, sw)
            dw[p, q] = np.tensordot(padded[:, rows, columns], dy, axes=((0, 1, 2), (0, 1, 2)))
            dpadded[:, rows, columns] += dy @ w[p, q].T
    dx = dpadded[:, ph : ph + height, pw : pw + width]
    db = dy.sum(axis=(0, 1, 2))
    return dx, dw, db
