"""The whole network at once: one image on its way through all layers, from pixels to probabilities."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyconv.layers import Dropout, Flatten, Reshape

from .figure import BLUE, bare, headline, label, new_figure, remove_frame, show
from .forward_pass import ForwardPass
from .numbers import short
from .tiles import colour_scale, draw_tiles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tinyconv.models import Sequential

Array = np.ndarray[Any, Any]

HEIGHT = 5.6  # inches of the tallest column
NARROWEST = 6.0  # inches: the headline over few layers has room in two lines


def all_layers(model: "Sequential", image: Array, class_names: Sequence[str] | None = None) -> "Figure":
    """Every map and every number of every layer, from left to right, and the probability of each class.

    image: (height, width[, channels]), scaled as the model takes it.  Layers that pass their input on unchanged
    (Flatten, Reshape, and Dropout outside of training) are left out.
    """
    seen = ForwardPass(model, image)
    stages = [stage for stage in seen.outputs[:-1] if not isinstance(stage[0], Flatten | Reshape | Dropout)]
    columns = [_columns(output) for _, output in stages]
    names = [label(i, class_names) for i in range(len(seen.probabilities))]
    bars = 1.9 + 0.09 * max(0, max(map(len, names)) - 2)  # long names need room beside them
    widths = [1.5, *(_width(output, n) for (_, output), n in zip(stages, columns, strict=True)), bars]
    figure = new_figure(max(NARROWEST, sum(widths) + 0.35 * len(widths)), HEIGHT + 1.2)
    headline(figure, f"One image in all layers of {model.name}: {seen.verdict(class_names)}")
    panels = figure.subplots(1, len(widths), width_ratios=widths)
    show(panels[0], seen.image)
    bare(panels[0])
    panels[0].set_title(f"image\n{_sizes(seen.image)}", fontsize=12)
    for axes, (layer, output), n in zip(panels[1:-1], stages, columns, strict=True):
        tiles = np.moveaxis(output, -1, 0) if output.ndim == 3 else output.reshape(-1, 1, 1)
        draw_tiles(axes, tiles, n, **colour_scale(output))
        axes.set_title(f"{layer.name}\n{_sizes(output)}", fontsize=12)
        axes.set_xlabel(f"up to {short(output.max())}", fontsize=11, color="0.35")
    _draw_probabilities(panels[-1], seen, names)
    panels[-1].set_title(f"{model.layers[-1].name}\n{len(seen.probabilities)} classes", fontsize=12)
    return figure


def _columns(output: Array) -> int:
    """Tiles per row, a power of two, so that the column of tiles is at least twice as high as wide."""
    return int(2 ** max(0, np.floor(np.log2(np.sqrt(output.shape[-1] / 2)))))


def _width(output: Array, columns: int) -> float:
    """Inches that a column of tiles takes when it is `HEIGHT` inches high."""
    rows = -(-output.shape[-1] // columns)
    shape = output.shape[0] / output.shape[1] if output.ndim == 3 else 1.0
    return min(3.2, max(0.9, HEIGHT * columns / (rows * shape)))


def _sizes(output: Array) -> str:
    return " × ".join(map(str, output.shape))


def _draw_probabilities(axes: "Axes", seen: ForwardPass, names: Sequence[str]) -> None:
    values = seen.probabilities
    chosen = seen.choose(None)
    bars = axes.barh(range(len(values)), values, color=["0.7" if i != chosen else BLUE for i in range(len(values))])
    if seen.are_shares:
        axes.bar_label(bars, ["" if value < 0.005 else f"{100 * value:.0f} %" for value in values], padding=3)
    else:
        axes.bar_label(bars, [short(round(float(value), 1)) for value in values], padding=3)
    axes.set_yticks(range(len(values)), names)
    axes.set_xticks([])
    axes.margins(x=0.35)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    remove_frame(axes)
    axes.spines["bottom"].set_visible(False)
