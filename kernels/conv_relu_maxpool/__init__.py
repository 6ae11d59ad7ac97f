"""Convolution, ReLU and max-pooling in one pass: every rung computes `contract.ConvReluMaxPool`.

    definition.py  one after the other
    direct.py      image by image
    winograd.py    the same, with fewer multiplications
    cuda.py        on a GPU, in registers
"""
