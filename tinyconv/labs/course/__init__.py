"""The labs in their order, one file each: cases, from the easiest to the oddest, and the mistakes people make."""

from tinyconv.errors import ArgumentError
from tinyconv.labs.course import (
    adam_step,
    batchnorm_backward,
    col2im,
    conv2d_backward,
    conv2d_forward,
    cuda_matmul,
    dropout,
    im2col,
    maxpool_backward,
    numba_conv2d,
    softmax_cross_entropy,
    training_loop,
)
from tinyconv.labs.lab import Lab
from tinyconv.naming import suggestion

COURSE: tuple[Lab, ...] = (
    im2col.LAB,
    col2im.LAB,
    conv2d_forward.LAB,
    conv2d_backward.LAB,
    maxpool_backward.LAB,
    softmax_cross_entropy.LAB,
    dropout.LAB,
    adam_step.LAB,
    batchnorm_backward.LAB,
    training_loop.LAB,
    numba_conv2d.LAB,
    cuda_matmul.LAB,
)


def get(which: int | str) -> Lab:
    """Return a lab by its number, or by its name.

    Raises ArgumentError when there is none.

    >>> get(3).name, get("3").name, get("im2col").number
    ('conv2d_forward', 'conv2d_forward', 1)
    """
    for lab in COURSE:
        if str(which) in (str(lab.number), f"{lab.number:02d}", lab.name):
            return lab
    names = suggestion(str(which), [lab.name for lab in COURSE])
    raise ArgumentError(f"There is no lab {which}; they go from 1 to {len(COURSE)}. {names}")
