"""The filters of a convolution layer: the small patterns that it looks for."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tinyconv.errors import StateError
from tinyconv.layers import Conv2D

from .figure import headline, new_figure
from .tiles import GAP, colour_scale, draw_tiles, number_tiles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]

PER_ROW, ROWS = 8, 16


def filters(layer: Conv2D) -> "Figure":
    """The kernel of a Conv2D on one scale: red adds, blue subtracts, white ignores.

    With one input channel, a tile per filter.  With three, the same in colours: grey is 0.  Otherwise a row per filter
    and a column per input channel, of the first 16 each.  Of the former at most the first 128 are drawn; the headline
    tells how many there are.  Raises StateError for a layer without weights.
    """
    if not layer.built:
        raise StateError(f"{layer.name} has no weights yet: build the model or call it on data first.")
    kh, kw, inputs, outputs = layer.kernel.value.shape
    by_channel = inputs not in (1, 3)
    columns = min(inputs, ROWS) if by_channel else min(PER_ROW, outputs)
    shown = min(outputs, ROWS if by_channel else PER_ROW * ROWS)
    some = np.moveaxis(layer.kernel.numpy(), -1, 0)[:shown]  # (filters, kh, kw, channels)
    scale = colour_scale(some, signed=True)
    if inputs == 3:
        tiles, options = 0.5 + some / (2 * scale["vmax"]), {}
    else:
        tiles, options = np.moveaxis(some[..., :columns], -1, 1).reshape(-1, kh, kw), scale

    rows, side = -(-len(tiles) // columns), 0.55 if by_channel else 0.95
    figure = new_figure(max(5.5, columns * side * (1 + GAP) + 1.9), rows * side * (kh / kw + GAP) + 1.0)
    which = f"all {outputs}" if shown == outputs else f"the first {shown} of {outputs}"
    headline(figure, f"{layer.name}: {which} filters of {kh} × {kw} × {inputs}")
    axes = figure.subplots()
    drawn = draw_tiles(axes, tiles, columns, **options)
    if by_channel:
        number_tiles(axes, tiles, columns)
        axes.set_xlabel(f"input channel, of {inputs}")
    else:
        number_tiles(axes, tiles, columns, per_row=columns)
    axes.set_ylabel("filter" if by_channel else "filter (row + column)")
    if inputs == 3:
        axes.set_xlabel("the weights of red, green and blue as a colour; grey is 0")
    else:
        figure.colorbar(drawn, ax=axes, label="weight", shrink=0.9, aspect=25)
    return figure
