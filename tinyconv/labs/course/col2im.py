"""Lab 2, col2im."""

import numpy as np
from numpy.typing import DTypeLike

from tinyconv.kernels.conv2d.im2col import im2col
from tinyconv.labs.lab import MEASURED, SINGLE, Array, Case, Lab, both_sides, differences, draw_whole, mistake

Pair = tuple[int, int]


def make_cases(seed: int) -> list[Case]:
    """col2im is the gradient of im2col: what is right is measured on im2col."""
    rng = np.random.default_rng(seed)

    def case(
        name: str,
        x_shape: tuple[int, ...],
        kernel_size: Pair,
        strides: Pair = (1, 1),
        padding: Pair = (0, 0),
        cols: Array | None = None,
        dtype: DTypeLike = np.float64,
    ) -> Case:
        def forward(x: Array) -> Array:
            return im2col(x, kernel_size, strides, both_sides(padding))

        if cols is None:
            cols = draw_whole(rng, forward(np.zeros(x_shape)).shape, dtype)
        x = differences(forward, np.zeros(x_shape), cols).round().astype(dtype)  # sums of integers
        arguments = {
            "cols": cols,
            "x_shape": x_shape,
            "kernel_size": kernel_size,
            "strides": strides,
            "padding": padding,
        }
        return Case(name, "col2im", arguments, (x,), SINGLE if dtype == np.float32 else MEASURED)

    return [
        case("no overlap: strides as large as the window", (1, 4, 6, 1), (2, 3), (2, 3)),
        case("overlap: ones are counted", (1, 3, 4, 1), (2, 2), cols=np.ones((6, 4))),
        case("three channels", (1, 4, 5, 3), (2, 2)),
        case("a window that is not square", (1, 5, 6, 2), (3, 2)),
        case("a batch of two", (2, 4, 3, 2), (2, 3)),
        case("strides 2×1", (2, 7, 5, 2), (3, 2), (2, 1)),
        case("pixels that no window sees", (1, 6, 8, 1), (3, 3), (2, 3)),
        case("strides larger than the window", (1, 7, 8, 2), (2, 1), (3, 4)),
        case("padding 1×1", (1, 3, 4, 2), (3, 3), (1, 1), (1, 1)),
        case("padding on one axis only", (2, 5, 7, 3), (4, 2), (2, 3), (2, 0)),
        case("float32 stays float32", (1, 3, 3, 1), (2, 2), dtype=np.float32),
    ]


LAB = Lab(
    2,
    "col2im",
    "the gradient of im2col: add the copies of each pixel",
    {"col2im": ("x",)},
    make_cases,
    (
        mistake(
            "Your windows overwrite each other where they overlap: add them, with +=.", ("+= windows", "= windows")
        ),
        mistake(  # the same, going through the kernel and not through the windows
            "Your windows overwrite each other where they overlap: add them, with +=.",
            ("+= windows", "= windows"),
            ("in range(oh)", "in reversed(range(oh))"),
            ("in range(ow)", "in reversed(range(ow))"),
        ),
        mistake(
            "You forgot the strides: window i starts at row i·sh, window j at column j·sw.",
            ("top, left = i * sh, j * sw", "top, left = i, j"),
        ),
        mistake(
            "The padding is still on your result: cut it off at the end.",
            ("[:, ph : ph + height, pw : pw + width]", ""),
        ),
        mistake(
            "You cut the padding off on one side only: the image begins at row ph and column pw.",
            ("[:, ph : ph + height, pw : pw + width]", "[:, :height, :width]"),
        ),
        mistake(
            "An axis without padding becomes empty: x[0:-0] is x[0:0]. Write x[ph : ph + height].",
            ("[:, ph : ph + height, pw : pw + width]", "[:, ph:-ph, pw:-pw]"),
        ),
        mistake(
            "You average the copies of a pixel; they are added. col2im is the transpose of im2col, not its inverse.",
            (
                "    padded = np.zeros",
                "    count = np.zeros((n, height + 2 * ph, width + 2 * pw, channels))\n    padded = np.zeros",
            ),
            ("+= windows[:, i, j]", "+= windows[:, i, j]\n            count[:, top : top + kh, left : left + kw] += 1"),
            ("return padded[", "return (padded / np.maximum(count, 1))["),
        ),
        mistake(
            "You read the rows of cols with the channel first; their order is (p, q, c).",
            (
                "cols.reshape(n, oh, ow, kh, kw, channels)",
                "cols.reshape(n, oh, ow, channels, kh, kw).transpose(0, 1, 2, 4, 5, 3)",
            ),
        ),
        mistake(
            "You read the windows transposed: within a row of cols, q changes faster than p.",
            ("cols.reshape(n, oh, ow, kh, kw, channels)", "cols.reshape(n, oh, ow, kw, kh, channels).swapaxes(3, 4)"),
        ),
        mistake("NumPy makes arrays of float64 unless told: np.zeros(shape, cols.dtype).", (", cols.dtype)", ")")),
    ),
)
