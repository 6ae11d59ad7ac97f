"""Convolution, as a staircase: every rung computes `contract.Conv2D`.

    naive.py      loops
    im2col.py     one matrix product
    blocked.py    the same, compiled, in pieces that stay in the cache
    direct.py     the same without copying the windows
    winograd.py   fewer multiplications, for 2×2 to 5×5 kernels

On a GPU:

    cuda_im2col.py   im2col and one matrix product
    cuda.py          the same without the matrix of windows
"""
