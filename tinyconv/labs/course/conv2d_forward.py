"""Lab 3, conv2d_forward.  Lab 11 has the same cases."""

import numpy as np
from numpy.typing import DTypeLike

from tinyconv.kernels.conv2d import naive
from tinyconv.labs.lab import EXACT, SINGLE, Array, Case, Lab, both_sides, draw_whole, mistake

Pair = tuple[int, int]
Shape = tuple[int, int, int, int]


def make_cases(seed: int) -> list[Case]:
    """Convolutions of all kinds; what is right comes from the kernel that is written as loops."""
    return convolutions("conv2d_forward", seed)


def convolutions(function: str, seed: int) -> list[Case]:
    """Calls of a function (x, w, b, strides, padding)."""
    rng = np.random.default_rng(seed)

    def case(
        name: str,
        x: Array | Shape,
        w: Array | Shape,
        strides: Pair = (1, 1),
        padding: Pair = (0, 0),
        b: Array | None = None,
        dtype: DTypeLike = np.float64,
    ) -> Case:
        images = draw_whole(rng, x, dtype) if isinstance(x, tuple) else x
        kernels = draw_whole(rng, w, dtype) if isinstance(w, tuple) else w
        biases = draw_whole(rng, kernels.shape[3:], dtype) if b is None else b
        arguments = {"x": images, "w": kernels, "b": biases, "strides": strides, "padding": padding}
        y = naive.forward(images, kernels, biases, strides=strides, padding=both_sides(padding))
        return Case(name, function, arguments, (y,), SINGLE if dtype == np.float32 else EXACT)

    cross = np.array([[0.0, 1, 0], [1, 1, 1], [0, 1, 0]]).reshape(3, 3, 1, 1)
    counting = np.arange(1.0, 17).reshape(1, 4, 4, 1)
    return [
        case("the picture in the text: a cross over 4×4 pixels", counting, cross, b=np.zeros(1)),
        case("the same with a bias", counting, cross, b=np.array([100.0])),
        case("a kernel that is not symmetric", counting, np.arange(1.0, 5).reshape(2, 2, 1, 1), b=np.zeros(1)),
        case("two filters", (1, 4, 5, 1), (2, 2, 1, 2)),
        case("three channels", (1, 4, 5, 3), (2, 2, 3, 2)),
        case("a kernel that is not square", (1, 5, 6, 2), (3, 2, 2, 3)),
        case("a batch of two", (2, 4, 3, 2), (2, 3, 2, 3)),
        case("strides 2×1", (2, 7, 5, 2), (3, 2, 2, 2), (2, 1)),
        case("strides that leave pixels over", (1, 6, 8, 1), (3, 3, 1, 2), (2, 3)),
        case("strides larger than the kernel", (1, 7, 8, 2), (2, 1, 2, 3), (3, 4)),
        case("padding 1×1", (1, 3, 4, 2), (3, 3, 2, 2), (1, 1), (1, 1)),
        case("padding 2×0 and strides 2×3", (2, 5, 7, 3), (4, 2, 3, 2), (2, 3), (2, 0)),
        case("float32 stays float32", (2, 4, 4, 1), (2, 2, 1, 2), dtype=np.float32),
    ]


LAB = Lab(
    3,
    "conv2d_forward",
    "the convolution",
    {"conv2d_forward": ("y",)},
    make_cases,
    (
        mistake("You forgot the bias: add b[f] to every pixel of filter f.", ("return y + b", "return y")),
        mistake("You subtract the bias; it is added.", ("return y + b", "return y - b")),
        mistake(
            "You add the bias once per place of the kernel; it is added once per output pixel.",
            ("y += pixels @ w[p, q]", "y += pixels @ w[p, q] + b"),
            ("return y + b", "return y"),
        ),
        mistake(
            "Your kernel is turned round, as in a mathematician's convolution: w[p, q] belongs to x[i + p, j + q].",
            ("y += pixels @ w[p, q]", "y += pixels @ w[kh - 1 - p, kw - 1 - q]"),
        ),
        mistake(
            "Your kernel is transposed: p goes down, q goes to the right.",
            ("p : p + sh * oh : sh, q : q + sw * ow : sw", "q : q + sh * oh : sh, p : p + sw * ow : sw"),
            ("((0, 0), (ph, ph), (pw, pw), (0, 0))", "((0, 0), (ph, ph + 9), (pw, pw + 9), (0, 0))"),
        ),
        mistake(
            "You forgot the strides: the window of y[i, j] begins at row i·sh and column j·sw.",
            ("p : p + sh * oh : sh, q : q + sw * ow : sw", "p : p + oh, q : q + ow"),
        ),
        mistake(
            "You forgot the strides in the size of y: oh and ow are divided by sh and sw.",
            ("(sh, sw), (ph, pw) = strides", "(sh, sw), (ph, pw) = (1, 1)"),
        ),
        mistake(
            "You swapped the strides: sh is for the rows, sw for the columns.",
            ("(sh, sw), (ph, pw) =", "(sw, sh), (ph, pw) ="),
        ),
        mistake("You forgot the padding.", ("strides, padding\n", "strides, (0, 0)\n")),
        mistake("You swapped the padding: ph goes above and below, pw left and right.", ("(ph, pw) =", "(pw, ph) =")),
        mistake(
            "You pad below and on the right only; ph rows go above as well, and pw columns to the left.",
            ("((0, 0), (ph, ph), (pw, pw), (0, 0))", "((0, 0), (0, 2 * ph), (0, 2 * pw), (0, 0))"),
        ),
        mistake(
            "You use one channel only; the sum runs over all of them.",
            ("pixels @ w[p, q]", "pixels[..., :1] @ w[p, q, :1]"),
        ),
        mistake(
            "You average over the channels; they are added.", ("pixels @ w[p, q]", "pixels @ w[p, q] / w.shape[2]")
        ),
        mistake(
            "Your kernels are reshaped with channels and filters swapped: w is (kh, kw, c, filters).",
            ("w[p, q]\n", "w.reshape(kh, kw, filters, -1)[p, q].T\n"),
        ),
        mistake("NumPy makes arrays of float64 unless told: np.zeros(shape, x.dtype).", (", x.dtype)", ")")),
    ),
)
