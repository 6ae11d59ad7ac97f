"""What all pictures share: colours, a fresh Figure, panels, images, and writing it so that no half picture is left."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyconv.checks import host_array
from tinyconv.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

Array = np.ndarray[Any, Any]

# Okabe and Ito, "Color Universal Design", 2008.
BLUE, VERMILLION, ORANGE, GREY = "#0072B2", "#D55E00", "#E69F00", "#666666"
SEQUENTIAL, SIGNED, HEAT = "viridis", "RdBu_r", "OrRd"  # colour maps; 0 is white in the second, light in the third

FORMATS = (".png", ".svg", ".pdf")
NARROWEST = 4.5  # inches: a headline of panels has some room even above a single one


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of `width` × `height` inches that arranges its axes by itself."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def new_panels(
    count: int, columns: int, width: float, height: float, margin: float = 0.6
) -> "tuple[Figure, list[Axes]]":
    """A figure of `count` panels without axes, each `width` × `height` inches, and `margin` inches for a headline."""
    columns = max(1, min(count, columns))
    rows = max(1, -(-count // columns))
    figure = new_figure(max(NARROWEST, columns * width), margin + rows * height)
    panels = list(figure.subplots(rows, columns, squeeze=False).reshape(-1))
    for axes in panels:
        axes.set_axis_off()
    return figure, panels[:count]


def headline(figure: "Figure", text: str) -> None:
    """A bold line above all panels, flush left; as many lines as it takes where the figure is narrower."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=12, fontweight="bold", wrap=True)


def remove_frame(axes: "Axes") -> None:
    """Leave only the left and the lower line of the frame."""
    axes.spines[["top", "right"]].set_visible(False)


def bare(axes: "Axes") -> None:
    """No ticks and no frame, but room for labels."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def displayable(image: Array) -> Array:
    """An image for `imshow`: grey without its channel axis, colours as bytes or within 0 … 1 (else stretched).

    Raises ArgumentError unless it is (height, width), or (height, width, channels) with 1 or 3 channels.
    """
    image = host_array(image, "the image")
    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    if image.ndim == 2:
        return image
    if image.ndim != 3 or image.shape[-1] != 3:
        raise ArgumentError(f"A picture is (height, width) or (height, width, 1 or 3), but got {image.shape}.")
    if image.dtype == np.uint8:
        return image
    low, high = float(image.min()), float(image.max())
    return image if low >= 0 and high <= 1 else (image - low) / (high - low or 1.0)


def show(axes: "Axes", image: Array, **options: Any) -> None:
    """Draw an image as it is: grey ones dark on white, as ink, unless `options` say otherwise."""
    axes.imshow(displayable(image), **{"cmap": "gray_r", "interpolation": "nearest", **options})


def show_heat(axes: "Axes", image: Array, heat: Array) -> "AxesImage":
    """Draw an image faintly and over it `heat` (rows, columns ≥ 0, of any size): the hotter, the less transparent."""
    largest = float(heat.max()) or 1.0
    show(axes, image.mean(axis=-1), alpha=0.4, cmap="gray_r" if image.shape[-1] == 1 else "gray")
    return axes.imshow(
        heat, cmap=HEAT, vmin=0, vmax=largest, alpha=np.clip(heat / largest, 0, 1) ** 0.5 * 0.9,
        extent=extent(image), interpolation="nearest",
    )


def extent(image: Array) -> tuple[float, float, float, float]:
    """Where `imshow` draws an image; what is made of it goes to the same place, however many pixels it has."""
    return (-0.5, image.shape[1] - 0.5, image.shape[0] - 0.5, -0.5)


def label(number: int, class_names: Sequence[str] | None) -> str:
    """The name of a class, or its number where classes have none."""
    return str(number) if class_names is None else str(class_names[number])


def save(figure: "Figure", path: str | Path, dpi: int = 150) -> None:
    """Write a figure as .png, .svg or .pdf, as the path says; an old picture stays until the new one is whole.

    Raises ArgumentError for another kind of file, ModelFileError when the file cannot be written.
    """
    from tinyconv.saving.atomic import replacing_file

    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise ArgumentError(f"A picture is saved as {', '.join(FORMATS)}, but got the name {path.name!r}.")
    with replacing_file(path) as temporary:
        figure.savefig(temporary, dpi=dpi, format=path.suffix[1:].lower())
