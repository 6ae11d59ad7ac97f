"""`tinyconv convdemo`: what convolution does to a photo, with well-known kernels or those that the user types."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np

    from tinyconv.kernels.geometry import PaddingLike, Pair

    Array = np.ndarray[Any, Any]

LONGEST = 800  # pixels of a side; larger photos are shrunk, for the pictures would not show more
NEXT = 'next: tinyconv convdemo --colour, or your own kernel: --kernel "-1 0 1  -2 0 2  -1 0 1"'


def convdemo(
    image: Annotated[Path | None, typer.Argument(help="A picture (PNG, JPEG, …); a bundled photo by default.")] = None,
    kernel: Annotated[
        list[str] | None,
        typer.Option("--kernel", "-k", help='9 or 25 numbers, row by row: "0 -1 0  -1 5 -1  0 -1 0". Repeatable.'),
    ] = None,
    colour: Annotated[
        bool,
        typer.Option(
            "--colour", "--color",
            help="Red, green and blue, each with its own slice, added up; --kernel once for all three or three times.",
        ),
    ] = False,
    stride: Annotated[str, typer.Option(help="Pixels from one window to the next: 2, or 2,1.")] = "1",
    padding: Annotated[str, typer.Option(help="same, valid, or pixels: 1, or 1,2.")] = "same",
    output: Annotated[Path, typer.Option("--output", "-o", help="The picture to write.")] = Path("convdemo.png"),
) -> None:
    """Show a photo before and after convolution: blurred, brighter, its edges; or with kernels of your own."""
    from tinyconv import plots
    from tinyconv.cli import numbers

    kernels = [numbers.kernel(text) for text in kernel or ()]
    strides, pads = numbers.pair(stride, "--stride"), numbers.padding(padding)
    draw, photo = _in_colour if colour else _in_grey, _photo(image)
    _check_size("--stride", strides, photo)
    if not isinstance(pads, str):
        _check_size("--padding", pads, photo)
    figure = draw(photo, kernels, strides, pads)
    plots.save(figure, output)
    typer.echo(f"saved {output}")
    if not kernels and not colour:
        typer.echo(NEXT)


def _check_size(option: str, pixels: "Pair", photo: "Array") -> None:
    """Raise ArgumentError for more pixels than the photo has, of which the picture would be nothing but padding."""
    from tinyconv.errors import ArgumentError

    height, width = photo.shape[:2]
    if pixels[0] > height or pixels[1] > width:
        raise ArgumentError(
            f"{option} is at most the size of the photo, here {height} rows and {width} columns, "
            f"but got {pixels[0]} and {pixels[1]}."
        )


def _photo(path: Path | None) -> "Array":
    """The photo (height, width, 3), 0 … 1, of a size that a picture can show."""
    import numpy as np

    from tinyconv.datasets import images

    if path is None:
        from sklearn.datasets import load_sample_image

        pixels = load_sample_image("china.jpg")
    else:
        pixels = images.read(path)
    height, width = pixels.shape[:2]
    shrink = LONGEST / max(height, width)
    if shrink < 1:
        pixels = images.resize(pixels[np.newaxis], (max(1, round(height * shrink)), max(1, round(width * shrink))))[0]
    return np.asarray(pixels, np.float32) / 255


def _in_grey(photo: "Array", kernels: "list[Array]", strides: "Pair", padding: "PaddingLike") -> Any:
    """Before and after, with the known kernels or the typed ones."""
    import numpy as np

    from tinyconv import plots

    grey = photo @ np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's grey
    options: dict[str, Any] = {"strides": strides, "padding": padding}
    if not kernels:
        return plots.before_and_after(grey, **options)
    typed = {f"your kernel {i}" if len(kernels) > 1 else "your kernel": k for i, k in enumerate(kernels, 1)}
    return plots.before_and_after(grey, typed, **options)


def _in_colour(photo: "Array", kernels: "list[Array]", strides: "Pair", padding: "PaddingLike") -> Any:
    """The three channels and their sum, with the known slices or the typed ones."""
    import numpy as np

    from tinyconv import plots
    from tinyconv.errors import ArgumentError

    options: dict[str, Any] = {"strides": strides, "padding": padding}
    if not kernels:
        return plots.colour_convolution(photo, **options)
    slices = kernels * 3 if len(kernels) == 1 else kernels
    if len(slices) != 3 or len({k.shape for k in slices}) > 1:
        raise ArgumentError(
            f"In colour a kernel has three slices of one size: give --kernel once for all of them, or three times for "
            f"red, green and blue; got {', '.join('×'.join(map(str, k.shape)) for k in kernels)}."
        )
    return plots.colour_convolution(photo, np.stack(slices, axis=-1), **options)
