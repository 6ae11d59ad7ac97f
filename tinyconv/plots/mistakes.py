"""The wrong ones: images that a network takes for another class, the most confident mistakes first."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .figure import new_figure
from .predictions import as_classes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]

COLUMNS = 6


def wrong_predictions(
    x: Array, y_true: Array, probabilities: Array, class_names: Sequence[str] | None = None, count: int = 24
) -> "Figure":
    """Up to `count` misclassified images, titled index / p (predicted) / e (expected).

    x: (n, height, width[, 1 or 3]), in any range; y_true: class numbers or one-hot rows; probabilities: (n, k), or
    (n, 1) for two classes.  Those the network was most sure of come first; the index is the image's place in `x`.
    """
    true, predicted = as_classes(y_true), as_classes(probabilities)
    wrong = np.flatnonzero(true != predicted)
    confidence = _confidence(probabilities, predicted)
    shown = wrong[np.argsort(-confidence[wrong], kind="stable")][:count]
    names = None if class_names is None else [str(name) for name in class_names]
    short = names is None or max(len(name) for name in names) <= 2

    rows = max(1, -(-len(shown) // COLUMNS))
    figure = new_figure(8.4, 0.7 + (1.6 if short else 1.8) * rows)
    figure.suptitle(_headline(len(wrong), len(shown), len(true)), fontsize=11, fontweight="bold")
    panels = figure.subplots(rows, COLUMNS, squeeze=False).reshape(-1)
    for axes in panels:
        axes.set_axis_off()
    for axes, index in zip(panels, shown, strict=False):
        axes.imshow(_displayable(x[index]), cmap="gray_r", interpolation="nearest")
        p, e = (str(c) if names is None else names[c] for c in (predicted[index], true[index]))
        axes.set_title(f"{index} / {p} / {e}" if short else f"{index}\n{p} / {e}", fontsize=9 if short else 8)
    return figure


def _confidence(probabilities: Array, predicted: Array) -> Array:
    """The probability of the predicted class (n,)."""
    probabilities = np.asarray(probabilities)
    if probabilities.ndim == 2 and probabilities.shape[1] > 1:
        return np.take_along_axis(probabilities, predicted[:, None], axis=1)[:, 0]
    p = probabilities.reshape(-1)
    return np.where(predicted == 1, p, 1 - p)


def _headline(wrong: int, shown: int, total: int) -> str:
    if wrong == 0:
        return f"All {total:,} right: nothing to show"
    which = "all of them" if shown == wrong else f"the {shown} most confident ones"
    return f"{wrong:,} of {total:,} wrong; {which}: index / p (predicted) / e (expected)"


def _displayable(image: Array) -> Array:
    """An image for `imshow`: grey without its channel axis, colours as bytes or stretched to 0 … 1."""
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[-1] == 1:
        return image[..., 0]
    if image.ndim == 3 and image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        return (image - low) / (high - low or 1.0)
    return image
