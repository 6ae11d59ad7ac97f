"""The wrong ones: images that a network takes for another class, the most confident mistakes first."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyconv.checks import host_array

from .figure import headline, label, new_panels, show
from .predictions import as_classes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]

COLUMNS = 6


def wrong_predictions(
    x: Array, y_true: Array, probabilities: Array, class_names: Sequence[str] | None = None, count: int = 24
) -> "Figure":
    """Up to `count` misclassified images, with index, p (predicted), e (expected), and how sure the network was.

    x: (n, height, width[, 1 or 3]), in any range; y_true: class numbers or one-hot rows; probabilities: (n, k), or
    (n, 1) for two classes.  Those the network was most sure of come first; the index is the image's place in `x`, the
    share the probability of the predicted class.  The headline tells the order, which is another one where the classes
    have names: those need a line of their own.
    """
    true, predicted = as_classes(y_true), as_classes(probabilities)
    wrong = np.flatnonzero(true != predicted)
    confidence = _confidence(probabilities, predicted)
    shown = wrong[np.argsort(-confidence[wrong], kind="stable")][:count]
    short = class_names is None or max(len(str(name)) for name in class_names) <= 2

    figure, panels = new_panels(len(shown), COLUMNS, 1.6, 1.9)
    if len(shown) < COLUMNS:  # the headline needs its width
        figure.set_figwidth(1.6 * COLUMNS)
    p_e = "p (predicted) / e (expected)"
    order = f"index / {p_e}, how sure" if short else f"index, how sure, {p_e}"
    headline(figure, _headline(len(wrong), len(shown), len(true), order))
    for axes, index in zip(panels, shown, strict=True):
        show(axes, x[index])
        p, e = label(predicted[index], class_names), label(true[index], class_names)
        sure = f"{100 * confidence[index]:.0f} %"
        axes.set_title(f"{index} / {p} / {e}\n{sure}" if short else f"{index}, {sure}\n{p} / {e}", fontsize=9)
    return figure


def _confidence(probabilities: Array, predicted: Array) -> Array:
    """The probability of the predicted class (n,)."""
    probabilities = host_array(probabilities, "y_pred")
    if probabilities.ndim == 2 and probabilities.shape[1] > 1:
        return np.take_along_axis(probabilities, predicted[:, None], axis=1)[:, 0]
    p = probabilities.reshape(-1)
    return np.where(predicted == 1, p, 1 - p)


def _headline(wrong: int, shown: int, total: int, order: str) -> str:
    if wrong == 0:
        return f"All {total:,} right: nothing to show"
    which = "all of them" if shown == wrong else f"the {shown} most confident ones"
    return f"{wrong:,} of {total:,} wrong; {which}: {order}"
