"""How many images of each class there are: is the data set balanced, and is the test set like the training set?"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyconv.errors import DataError

from .figure import BLUE, ORANGE, headline, label, new_figure, remove_frame
from .predictions import as_classes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]

_COLOURS, _HATCHES = (BLUE, ORANGE), ("", "///")


def class_counts(labels: Array | Mapping[str, Array], class_names: Sequence[str] | None = None) -> "Figure":
    """A bar per class: its share of the images, with their number behind it.

    labels: class numbers or one-hot rows; or one or two such sets by name, {"training": y, "test": y_test}, which are
    drawn side by side.  Raises DataError when there are none.
    """
    sets = labels if isinstance(labels, Mapping) else {"images": labels}
    known = {name: as_classes(y) for name, y in sets.items()}
    if not known or min(map(len, known.values())) == 0:
        raise DataError("There are no labels to count.")
    classes = len(class_names) if class_names is not None else 1 + max(int(y.max()) for y in known.values())
    figure = new_figure(7.5, 1.2 + 0.42 * classes)
    headline(figure, ", ".join(f"{len(y):,} {name}" for name, y in known.items()))
    axes = figure.subplots()
    thickness = 0.8 / len(known)
    for place, (name, y) in enumerate(known.items()):
        counts = np.bincount(y, minlength=classes)
        at = np.arange(classes) + (place - (len(known) - 1) / 2) * thickness
        bars = axes.barh(
            at, 100 * counts / len(y), thickness, color=_COLOURS[place], hatch=_HATCHES[place], edgecolor="white",
            label=name,
        )
        axes.bar_label(bars, [f"{count:,}" for count in counts], padding=3, fontsize=9 if len(known) == 1 else 8)
    axes.set_yticks(range(classes), [label(number, class_names) for number in range(classes)])
    axes.invert_yaxis()
    axes.set_xlabel("share of the images (%)")
    axes.margins(x=0.12, y=0.01)
    axes.tick_params(axis="y", length=0)
    if len(known) > 1:
        figure.legend(loc="outside lower right", ncols=2, frameon=False)
    remove_frame(axes)
    return figure
