"""Feature maps: what every convolution and pooling layer sees in one image, as a strip per layer."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tinyconv.errors import ArgumentError

from .figure import headline, new_figure, show
from .forward_pass import ForwardPass
from .tiles import colour_scale, draw_tiles, number_tiles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tinyconv.models import Sequential

Array = np.ndarray[Any, Any]


def feature_maps(model: "Sequential", image: Array, *, maps: int = 12) -> "Figure":
    """The first `maps` channels of every layer whose output is an image, on one scale of colours per layer.

    image: (height, width[, channels]), scaled as the model takes it.  Maps that stay dark found nothing.  Raises
    ArgumentError for a model without such layers.
    """
    seen = ForwardPass(model, image)
    images = [(layer, output) for layer, output in seen.outputs if output.ndim == 3]
    if not images:
        raise ArgumentError(f"{model.name} has no layer whose output is an image, so there are no feature maps.")
    figure = new_figure(2.6 + 0.86 * (maps + 1), 0.9 + 0.95 * len(images))
    headline(figure, f"What {model.name} sees: the first {maps} maps of each layer, each layer on its own scale")
    grid = figure.subplots(len(images), 2, squeeze=False, width_ratios=(1, maps))
    for (picture, strip), (layer, output) in zip(grid, images, strict=True):
        picture.set_axis_off()
        tiles = np.moveaxis(output[..., :maps], -1, 0)
        drawn = draw_tiles(strip, tiles, maps, **colour_scale(output))
        if layer is images[0][0]:
            number_tiles(strip, tiles, maps, top="map")
            strip.set_yticks([])
        sizes = " × ".join(map(str, output.shape))
        strip.set_ylabel(f"{layer.name}\n{sizes}", rotation=0, ha="right", va="center", fontsize=10)
        figure.colorbar(drawn, ax=strip, aspect=8, pad=0.01, shrink=0.95).ax.tick_params(labelsize=8)
    show(grid[0, 0], seen.image)
    grid[0, 0].set_title("the image", fontsize=9)
    return figure
