"""Lab 4, conv2d_backward."""

import numpy as np
from numpy.typing import DTypeLike

from tinyconv.kernels.conv2d import im2col
from tinyconv.labs.lab import MEASURED, SINGLE, Array, Case, Lab, both_sides, differences, draw_whole, mistake

Pair = tuple[int, int]
Shape = tuple[int, int, int, int]


def make_cases(seed: int) -> list[Case]:
    """Gradient checks: what is right is measured on the forward pass, with a random dy."""
    rng = np.random.default_rng(seed)

    def case(
        name: str,
        x_shape: Shape,
        w_shape: Shape,
        strides: Pair = (1, 1),
        padding: Pair = (0, 0),
        given: tuple[Array, Array, Array] | None = None,
        dtype: DTypeLike = np.float64,
    ) -> Case:
        def forward(x: Array, w: Array, b: Array) -> Array:
            return im2col.forward(x, w, b, strides=strides, padding=both_sides(padding))

        x, w, b = (draw_whole(rng, shape, dtype) for shape in (x_shape, w_shape, w_shape[3:]))
        dy = draw_whole(rng, forward(x, w, b).shape, dtype)
        dy, x, w = given or (dy, x, w)
        x64, w64, b64 = (array.astype(np.float64) for array in (x, w, b))
        expected = (
            differences(lambda x: forward(x, w64, b64), x64, dy).astype(dtype),
            differences(lambda w: forward(x64, w, b64), w64, dy).astype(dtype),
            differences(lambda b: forward(x64, w64, b), b64, dy).astype(dtype),
        )
        arguments = {"dy": dy, "x": x, "w": w, "strides": strides, "padding": padding}
        return Case(name, "conv2d_backward", arguments, expected, SINGLE if dtype == np.float32 else MEASURED)

    one = np.zeros((1, 3, 3, 1))
    one[0, 1, 2, 0] = 1
    easy = one, np.arange(1.0, 17).reshape(1, 4, 4, 1), np.arange(1.0, 5).reshape(2, 2, 1, 1)
    return [
        case("dy is 1 at y[0, 1, 2, 0], else 0: dx is the kernel, dw a window", (1, 4, 4, 1), (2, 2, 1, 1), given=easy),
        case("a random dy", (1, 4, 5, 1), (2, 2, 1, 1)),
        case("two filters", (1, 4, 5, 1), (2, 2, 1, 2)),
        case("three channels", (1, 4, 5, 3), (2, 2, 3, 2)),
        case("a kernel that is not square", (1, 5, 6, 2), (3, 2, 2, 3)),
        case("a batch of two", (2, 4, 3, 2), (2, 3, 2, 3)),
        case("strides 2×1", (2, 7, 5, 2), (3, 2, 2, 2), (2, 1)),
        case("pixels that no window sees", (1, 6, 8, 1), (3, 3, 1, 2), (2, 3)),
        case("strides larger than the kernel", (1, 7, 8, 2), (2, 1, 2, 3), (3, 4)),
        case("padding 1×1", (1, 3, 4, 2), (3, 3, 2, 2), (1, 1), (1, 1)),
        case("padding on one axis only", (2, 5, 7, 2), (4, 2, 2, 2), (2, 3), (2, 0)),
        case("float32 stays float32", (2, 4, 4, 1), (2, 2, 1, 2), dtype=np.float32),
    ]


CUT = "dpadded[:, ph : ph + height, pw : pw + width]"
PRODUCTS = "np.tensordot(padded[:, rows, columns], dy,"
SLICES = "slice(p, p + sh * oh, sh), slice(q, q + sw * ow, sw)"

LAB = Lab(
    4,
    "conv2d_backward",
    "the gradients of the convolution",
    {"conv2d_backward": ("dx", "dw", "db")},
    make_cases,
    (
        mistake(
            "The kernel of your dx is turned round: dx gets dy[i, j] · w[p, q] at row i + p and column j + q.",
            ("+= dy @ w[p, q].T", "+= dy @ w[kh - 1 - p, kw - 1 - q].T"),
        ),
        mistake(
            "Your dw is turned round: dw[p, q] gets dy[i, j] · x[i + p, j + q].",
            ("dw[p, q] = np", "dw[kh - 1 - p, kw - 1 - q] = np"),
        ),
        mistake(
            "The kernel of your dx is transposed: p goes down, q goes to the right.",
            ("+= dy @ w[p, q].T", "+= dy @ w[q % kh, p % kw].T"),
        ),
        mistake(
            "The windows overwrite each other in your dx where they overlap: add them, with +=.",
            ("+= dy @ w[p, q].T", "= dy @ w[p, q].T"),
        ),
        mistake(  # the same, going through the windows and not through the kernel
            "The windows overwrite each other in your dx where they overlap: add them, with +=.",
            ("+= dy @ w[p, q].T", "= dy @ w[p, q].T"),
            ("in range(kh)", "in reversed(range(kh))"),
            ("in range(kw)", "in reversed(range(kw))"),
        ),
        mistake(
            "The windows overwrite each other in your dw, and the last one stays: add them, with +=.",
            (PRODUCTS, "np.tensordot(padded[-1:, rows, columns][:, -1:, -1:], dy[-1:, -1:, -1:],"),
        ),
        mistake(  # the same, taking all images at a time
            "The windows overwrite each other in your dw, and the last one stays: add them, with +=.",
            (PRODUCTS, "np.tensordot(padded[:, rows, columns][:, -1:, -1:], dy[:, -1:, -1:],"),
        ),
        mistake(
            "You forgot the strides: output pixel (i, j) belongs to the window at row i·sh and column j·sw.",
            (SLICES, "slice(p, p + oh), slice(q, q + ow)"),
        ),
        mistake(  # it stops where the rows or columns end
            "You swapped the strides: sh is for the rows, sw for the columns.",
            ("(sh, sw), (ph, pw) =", "(sw, sh), (ph, pw) ="),
        ),
        mistake(  # the same, leaving out what lies outside
            "You swapped the strides: sh is for the rows, sw for the columns.",
            ("(sh, sw), (ph, pw) =", "(sw, sh), (ph, pw) ="),
            ("((0, 0), (ph, ph), (pw, pw), (0, 0))", "((0, 0), (ph, ph + 9), (pw, pw + 9), (0, 0))"),
        ),
        mistake(
            "In dx you forgot that the windows of a padded image begin above and left of it: row i·sh + p - ph.",
            (CUT, "dpadded[:, :height, :width]"),
        ),
        mistake("The padding is still on your dx: cut it off at the end.", (CUT, "dpadded")),
        mistake("An axis of dx without padding becomes empty: x[0:-0] is x[0:0].", (CUT, "dpadded[:, ph:-ph, pw:-pw]")),
        mistake(
            "db is the sum over images and pixels; yours is the mean.",
            ("dy.sum(axis=(0, 1, 2))", "dy.mean(axis=(0, 1, 2))"),
        ),
        mistake(
            "db is summed over the wrong axes: one number per filter is left, over images, rows and columns.",
            ("db = dy.sum(axis=(0, 1, 2))", "db = dy.sum(axis=(1, 2, 3))"),
        ),
        mistake(
            "db is summed over the batch only; rows and columns go as well.",
            ("dy.sum(axis=(0, 1, 2))", "dy.sum(axis=0)"),
        ),
        mistake(
            "db is a sum over dy of everything; one number per filter is left.", ("dy.sum(axis=(0, 1, 2))", "dy.sum()")
        ),
        mistake(
            "dw is the sum over the images; yours is the mean. The 1/N of a mean loss is already in dy.",
            ("axes=((0, 1, 2), (0, 1, 2)))", "axes=((0, 1, 2), (0, 1, 2))) / len(x)"),
        ),
        mistake(
            "db is the sum over the images; yours is divided by their number. The 1/N of a mean loss is already in dy.",
            ("dy.sum(axis=(0, 1, 2))", "dy.sum(axis=(0, 1, 2)) / len(x)"),
        ),
        mistake(
            "Your dw holds the last image only: add up all of them.",
            (PRODUCTS, "np.tensordot(padded[-1:, rows, columns], dy[-1:],"),
        ),
        mistake(
            "Channels and filters are swapped in your dw: it is (kh, kw, c, filters), as w is.",
            ("return dx, dw, db", "return dx, dw.swapaxes(2, 3), db"),
        ),
        mistake(
            "In dw you forgot that the windows of a padded image begin above and left of it: row i·sh + p - ph.",
            (
                PRODUCTS,
                "np.tensordot(np.pad(x, ((0, 0), (0, 2 * ph), (0, 2 * pw), (0, 0)))[:, rows, columns], dy,",
            ),
        ),
        mistake(
            "NumPy makes arrays of float64 unless told: np.zeros(shape, x.dtype), or np.zeros_like(x).",
            ("np.zeros_like(padded)", "np.zeros(padded.shape)"),
        ),
    ),
)
