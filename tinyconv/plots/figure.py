"""What all pictures share: colours, a fresh Figure, and writing it so that no half picture is left behind."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito, "Color Universal Design", 2008.
BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#666666"


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of `width` × `height` inches that arranges its axes by itself."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def remove_frame(axes: "Axes") -> None:
    """Leave only the left and the lower line of the frame."""
    axes.spines[["top", "right"]].set_visible(False)


def save(figure: "Figure", path: str | Path, dpi: int = 150) -> None:
    """Write a figure as .png, .svg or .pdf, as the path says; an old picture stays until the new one is whole."""
    from tinyconv.saving.atomic import replacing_file

    path = Path(path)
    with replacing_file(path) as temporary:
        figure.savefig(temporary, dpi=dpi, format=path.suffix.removeprefix(".") or "png")
