"""What kernels do to a photo: before, and after each of them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyconv.errors import ShapeError
from tinyconv.kernels.geometry import PaddingLike

from .convolve import Convolution
from .figure import extent, headline, new_figure, show
from .matrix import pale_scale
from .numbers import alike, from_to, write_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]

COLUMNS = 3
CELL = 0.08  # of the photo's width, for one number of a kernel
COVERED = (0.5, 0.35)  # of the photo's height and width: a larger kernel is drawn beside what it makes of it


def _kernel(text: str) -> Array:
    return np.array([[float(number) for number in row.split()] for row in text.split("/")])


KERNELS: Mapping[str, Array] = {
    "blur: the sum of 9 pixels, a tenth of each": np.full((3, 3), 0.1),
    "the original": _kernel("0 0 0 / 0 1 0 / 0 0 0"),
    "brighter: twice each pixel": _kernel("0 0 0 / 0 2 0 / 0 0 0"),
    "minus the pixel above": _kernel("0 -1 0 / 0 1 0 / 0 0 0"),
    "minus a tenth of the 8 around": _kernel("-0.1 -0.1 -0.1 / -0.1 1 -0.1 / -0.1 -0.1 -0.1"),
}


def before_and_after(
    image: Array, kernels: Mapping[str, Array] = KERNELS, *, strides: int | Sequence[int] = 1,
    padding: PaddingLike = "same",
) -> "Figure":
    """The grey photo, and what each kernel makes of it, with the kernel in the corner, or beside it when large.

    image: (height, width) or (height, width, 1), 0 (black) … 1 (white).  Results below 0 are drawn black, those above 1
    white; the line below tells how far they go.  kernels: title → (kh, kw).  Raises ShapeError when they do not fit.
    """
    grey = np.asarray(image)
    grey = grey[..., 0] if grey.ndim == 3 and grey.shape[2] == 1 else grey
    if grey.ndim != 2:
        raise ShapeError(f"A grey photo has shape (height, width), but got {grey.shape}.")
    after = [Convolution(grey, kernel, strides=strides, padding=padding).output() for kernel in kernels.values()]
    columns = min(COLUMNS, 1 + len(kernels))
    rows = -(-(1 + len(kernels)) // columns)
    shape = grey.shape[0] / grey.shape[1]
    high, wide = 4.2 * min(1.3, shape), 4.2 * min(1, 1.3 / shape)  # inches of a photo
    kh, kw = (max((kernel.shape[axis] for kernel in kernels.values()), default=0) for axis in (0, 1))
    beside = CELL * kh > COVERED[0] * shape or CELL * kw > COVERED[1]
    more = CELL * wide * kw + 0.1 if beside else 0
    figure = new_figure((4.4 + more) * columns, 0.5 + rows * (0.75 + high))
    headline(figure, f"Before and after convolution; stride {words(strides)}, padding {words(padding)}")
    panels = list(figure.subplots(rows, columns, squeeze=False).reshape(-1))
    for axes in panels[1 + len(kernels) :]:
        axes.set_axis_off()
    show_grey(panels[0], grey, "before", like=grey)
    for axes, result, (title, kernel) in zip(panels[1:], after, kernels.items(), strict=False):
        show_grey(axes, result, title, like=grey)
        size = CELL * kernel.shape[1], CELL * kernel.shape[0] / shape
        inset = axes.inset_axes((1.02 if beside else 0.015, 0 if beside else 0.02, *size))
        show_kernel(inset, kernel, like=kernel, room=72 * CELL * wide, aspect="auto")
    return figure


def show_grey(axes: "Axes", image: Array, title: str, like: Array) -> None:
    """Draw an image from 0 (black) to 1 (white), as large as the image `like`, its size and its range below it."""
    show(axes, image, cmap="gray", vmin=0, vmax=1, interpolation=None, extent=extent(like))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("0.8")
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel(f"{image.shape[0]} × {image.shape[1]} pixels, {from_to(image)}", fontsize=9, color="0.35")


def show_kernel(axes: "Axes", kernel: Array, like: Array, room: float, **options: Any) -> None:
    """Draw a kernel (kh, kw) with its numbers, on the scale of colours of `like`: red adds, blue subtracts.

    A number has `room` points to the right.
    """
    drawn = axes.imshow(kernel, **pale_scale(like), **options)
    write_numbers(axes, kernel, drawn, fontsize=8, write=alike(kernel), room=room)
    axes.set(xticks=[], yticks=[])


def words(value: Any) -> str:
    """Strides or padding for a headline: same, 2, or 2 × 1."""
    if not isinstance(value, tuple | list):
        return str(value)
    return str(value[0]) if value[0] == value[-1] else " × ".join(map(str, value))
