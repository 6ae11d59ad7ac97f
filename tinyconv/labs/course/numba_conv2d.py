"""Lab 11, a Numba kernel."""

from tinyconv.labs.course.conv2d_forward import convolutions
from tinyconv.labs.lab import Case, Lab, mistake


def make_cases(seed: int) -> list[Case]:
    """The convolutions of lab 3."""
    return convolutions("conv2d", seed)


INSIDE = "if 0 <= row < height and 0 <= column < width:"

LAB = Lab(
    11,
    "numba_conv2d",
    "a Numba kernel: the convolution compiled",
    {"conv2d": ("y",)},
    make_cases,
    (
        mistake("You forgot the bias: total starts with b[f].", ("total = b[f]", "total = x.dtype.type(0)")),
        mistake(
            "Your kernel is turned round, as in a mathematician's convolution: w[p, q] belongs to x[i + p, j + q].",
            ("* w[p, q, c, f]", "* w[kh - 1 - p, kw - 1 - q, c, f]"),
        ),
        mistake(
            "Your kernel is transposed: p goes down, q goes to the right.",
            ("i * sh + p - ph, j * sw + q - pw", "i * sh + q - ph, j * sw + p - pw"),
        ),
        mistake(
            "You forgot the strides: the window of y[i, j] begins at row i·sh and column j·sw.",
            ("i * sh + p - ph, j * sw + q - pw", "i + p - ph, j + q - pw"),
        ),
        mistake(
            "You swapped the strides: sh is for the rows, sw for the columns.", ("sh, sw = strides", "sw, sh = strides")
        ),
        mistake(
            "You swapped the padding: ph is for the rows, pw for the columns.", ("ph, pw = padding", "pw, ph = padding")
        ),
        mistake(
            "You forgot the padding: the first window begins at row -ph and column -pw.",
            ("i * sh + p - ph, j * sw + q - pw", "i * sh + p, j * sw + q"),
        ),
        mistake(
            "A negative index is not an error, it counts from the end: skip pixels with row < 0 or column < 0.",
            (INSIDE, "if row < height and column < width:"),
        ),
        mistake(
            "The pixels of the border are left out: skip what is outside of the image only, 0 <= row < height.",
            (INSIDE, "if 0 < row < height and 0 < column < width:"),
        ),
        mistake(
            "The sum starts anew for every place of the kernel: set total before the loops over p and q.",
            (
                "                        if 0",
                "                        total = b[f] if q + p == 0 else x.dtype.type(0)\n                        if 0",
            ),
        ),
        mistake("You keep the last product only: total += …, not total = ….", ("total += x", "total = b[f] + x")),
        mistake("You use one channel only; the sum runs over all of them.", ("in range(channels)", "in range(1)")),
    ),
    imports=("numpy", "numba"),
    seconds=60,
    compiled=True,
)
