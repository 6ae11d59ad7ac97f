"""Samples: a grid of random images with their labels, the first thing to look at."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyconv import random
from tinyconv.checks import host_array
from tinyconv.errors import DataError

from .figure import headline, label, new_panels, show
from .predictions import as_classes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]


def sample_grid(
    x: Array, y: Array | None = None, class_names: Sequence[str] | None = None, *, count: int = 24, columns: int = 6,
    seed: int = 0,
) -> "Figure":
    """`count` images drawn at random, titled with their class and, smaller, their place in `x`.

    x: (n, height, width[, 1 or 3]), in any range; y: class numbers or one-hot rows.  Another `seed` draws others.
    Raises DataError when there are no images.
    """
    x = host_array(x, "x")
    if not len(x):
        raise DataError("There are no images to show.")
    drawn = random.permutation(random.key(seed, "samples"), len(x))[:count]
    classes = None if y is None else as_classes(y)
    figure, panels = new_panels(len(drawn), columns, 1.4, 1.65)
    headline(figure, f"{len(drawn)} of {len(x):,} images, {' × '.join(map(str, x.shape[1:]))}, {x.dtype}")
    for axes, index in zip(panels, drawn, strict=True):
        show(axes, x[index])
        axes.set_title(f"#{index}", loc="right", fontsize=7, color="0.45")
        if classes is not None:
            axes.set_title(label(classes[index], class_names), loc="left", fontsize=9, fontweight="bold")
    return figure
