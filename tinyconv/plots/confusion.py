"""The confusion matrix: which classes are taken for which."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .figure import new_figure
from .predictions import as_classes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]


def confusion_matrix(y_true: Array, y_pred: Array, class_names: Sequence[str] | None = None) -> "Figure":
    """Counts of true class (rows) against predicted class (columns); the shade is the share of the row.

    Labels are class numbers or one-hot rows, predictions class numbers or probabilities.  The shade grows with the
    square root of the share, so that a class mistaken once in a hundred times is still seen.
    """
    from matplotlib.colors import PowerNorm
    from sklearn.metrics import confusion_matrix as count

    true, predicted = as_classes(y_true), as_classes(y_pred)
    classes = len(class_names) if class_names is not None else int(max(true.max(), predicted.max())) + 1
    names = [str(name) for name in class_names] if class_names is not None else [str(i) for i in range(classes)]
    counts = count(true, predicted, labels=np.arange(classes))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    side = 2.2 + 0.56 * classes
    figure = new_figure(side + 1.2, side)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))
    if classes <= 25:  # beyond that, the numbers would cover each other
        for i, j in np.argwhere(counts):
            axes.text(
                j, i, f"{counts[i, j]}", ha="center", va="center", fontsize=8 if counts.max() < 10_000 else 7,
                color="white" if shares[i, j] > 0.4 else "black", fontweight="bold" if i == j else "normal",
            )
    long = max(len(name) for name in names) > 2
    axes.set_xticks(range(classes), names, rotation=45 if long else 0, ha="right" if long else "center",
                    rotation_mode="anchor" if long else "default")
    axes.set_yticks(range(classes), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    right = int(np.trace(counts))
    axes.set_title(f"{right:,} of {len(true):,} right ({100 * right / len(true):.2f} %)", loc="left", fontweight="bold")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class", ticks=[0, 0.01, 0.1, 0.5, 1])
    bar.ax.set_yticklabels(["0", "1 %", "10 %", "50 %", "100 %"])
    bar.outline.set_visible(False)
    return figure
