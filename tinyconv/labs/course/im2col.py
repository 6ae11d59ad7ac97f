"""Lab 1, im2col."""

import numpy as np

from tinyconv.kernels.conv2d import im2col as kernel
from tinyconv.labs.lab import SINGLE, Array, Case, Lab, both_sides, draw_whole, mistake

Pair = tuple[int, int]


def make_cases(seed: int) -> list[Case]:
    """Windows of all kinds; what is right comes from the kernel of the same name."""
    rng = np.random.default_rng(seed)

    def case(name: str, x: Array, kernel_size: Pair, strides: Pair = (1, 1), padding: Pair = (0, 0)) -> Case:
        arguments = {"x": x, "kernel_size": kernel_size, "strides": strides, "padding": padding}
        cols = kernel.im2col(x, kernel_size, strides, both_sides(padding))
        return Case(name, "im2col", arguments, (cols,), SINGLE)

    return [
        case("the picture in the text: 2×2 windows of 3×4 pixels", np.arange(12.0).reshape(1, 3, 4, 1), (2, 2)),
        case("one pixel per window", draw_whole(rng, (1, 3, 2, 1)), (1, 1)),
        case("the window is the whole image", draw_whole(rng, (1, 3, 4, 1)), (3, 4)),
        case("three channels", draw_whole(rng, (1, 4, 5, 3)), (2, 2)),
        case("a window that is not square", draw_whole(rng, (1, 5, 6, 2)), (3, 2)),
        case("a batch of two", draw_whole(rng, (2, 4, 3, 2)), (2, 3)),
        case("strides 2×1", draw_whole(rng, (2, 7, 5, 2)), (3, 2), (2, 1)),
        case("strides that leave pixels over", draw_whole(rng, (1, 6, 8, 1)), (3, 3), (2, 3)),
        case("strides larger than the window", draw_whole(rng, (1, 7, 8, 2)), (2, 1), (3, 4)),
        case("padding 1×1", draw_whole(rng, (1, 3, 4, 2)), (3, 3), (1, 1), (1, 1)),
        case("padding 2×0 and strides 2×3", draw_whole(rng, (2, 5, 7, 3)), (4, 2), (2, 3), (2, 0)),
        case("float32 stays float32", draw_whole(rng, (1, 3, 3, 1), np.float32), (2, 2)),
    ]


LAB = Lab(
    1,
    "im2col",
    "every window of an image as one row of a matrix",
    {"im2col": ("cols",)},
    make_cases,
    (
        mistake(
            "You forgot the strides: window i starts at row i·sh, window j at column j·sw.",
            ("top, left = i * sh, j * sw", "top, left = i, j"),
        ),
        mistake(
            "You swapped the strides: sh is for the rows, sw for the columns.",
            ("(sh, sw), (ph, pw) =", "(sw, sh), (ph, pw) ="),
        ),
        mistake(
            "You forgot the strides in the number of windows: oh and ow are divided by sh and sw.",
            (" // sh + 1", " + 1"),
            (" // sw + 1", " + 1"),
            ("top, left = i * sh, j * sw", "top, left = i, j"),
        ),
        mistake(
            "The last window in each direction is missing: oh and ow end with + 1.",
            (" // sh + 1", " // sh"),
            (" // sw + 1", " // sw"),
        ),
        mistake(
            "You forgot the padding: oh and ow count it, and the windows see zeros there.",
            ("(sh, sw), (ph, pw) = kernel_size, strides, padding", "(sh, sw), (ph, pw) = kernel_size, strides, (0, 0)"),
        ),
        mistake(
            "You swapped the padding: ph goes above and below, pw left and right.",
            ("(ph, pw) =", "(pw, ph) ="),
        ),
        mistake(
            "The channels come first in your rows; the order is (p, q, c), the channel changes fastest.",
            ("return cols.reshape", "return cols.transpose(0, 1, 2, 5, 3, 4).reshape"),
        ),
        mistake(
            "Your windows are transposed: within a row of cols, q changes faster than p.",
            ("return cols.reshape", "return cols.transpose(0, 1, 2, 4, 3, 5).reshape"),
        ),
        mistake(
            "Your rows go down the columns of the image: the windows go row by row, j changes faster than i.",
            ("return cols.reshape", "return cols.transpose(0, 2, 1, 3, 4, 5).reshape"),
        ),
        mistake(
            "Your matrix is transposed: one window is one row, not one column.",
            ("* channels)", "* channels).T"),
        ),
        mistake(
            "Your rows mix the images: all windows of the first image come first, then those of the second.",
            ("return cols.reshape", "return cols.transpose(1, 2, 0, 3, 4, 5).reshape"),
        ),
        mistake("NumPy makes arrays of float64 unless told: np.zeros(shape, x.dtype).", (", x.dtype)", ")")),
    ),
)
