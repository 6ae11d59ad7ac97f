"""Learning curves: loss and metrics per epoch, training against validation, with the crossover marked."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinyconv.errors import DataError
from tinyconv.training.history import History

from .figure import BLUE, GREY, VERMILLION, new_figure, remove_frame

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def learning_curves(history: History | Mapping[str, Sequence[float]]) -> "Figure":
    """One panel per number of the history (loss, accuracy, …), with its validation curve where there is one.

    A dotted line marks the crossover: from there on the network does better on what it has seen than on what it has
    not (see `crossover`).  Raises DataError for a history without epochs.
    """
    from matplotlib.ticker import MaxNLocator

    numbers = history.history if isinstance(history, History) else history
    names = [name for name in numbers if not name.startswith("val_") and name != "learning_rate"]
    if not names or not len(numbers[names[0]]):
        raise DataError("There are no learning curves to draw: the history has no epochs yet; call fit first.")
    figure = new_figure(5.2 * len(names), 4.3)
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        training, validation = numbers[name], numbers.get(f"val_{name}")
        epochs = np.arange(1, len(training) + 1)
        axes.plot(epochs, training, "o-", color=BLUE, markersize=4, label="training")
        if validation is not None:
            axes.plot(epochs, validation, "s--", color=VERMILLION, markersize=4, label="validation")
            place = crossover(training, validation, larger_is_better=name != "loss")
            if place is not None:
                axes.axvline(place, color=GREY, linestyle=":", label=f"training overtakes, epoch {place:.1f}")
        axes.set_xlabel("epoch")
        axes.set_title(name, loc="left", fontweight="bold")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(axis="y", color="0.9")
        axes.legend(  # below, where it hides no line and no line crosses the words
            loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=3, frameon=False, fontsize=9, columnspacing=1.2,
        )
        remove_frame(axes)
    return figure


def crossover(training: Sequence[float], validation: Sequence[float], *, larger_is_better: bool) -> float | None:
    """The epoch (the first is 1) from which training stays better than validation, or None if it never comes to that.

    It is where the two curves, drawn with straight lines, cross for the last time; training must have been no better
    before and be better at the end.

    >>> crossover([0.8, 0.9, 1.0], [0.9, 0.92, 0.92], larger_is_better=True)
    2.2
    """
    lead = np.asarray(training, float) - np.asarray(validation, float)
    if not larger_is_better:
        lead = -lead
    behind = np.flatnonzero(~(lead > 0))
    if behind.size == 0 or behind[-1] == len(lead) - 1:
        return None
    last = int(behind[-1])
    if not np.isfinite(lead[last : last + 2]).all():
        return None
    return round(last + 1 - float(lead[last] / (lead[last + 1] - lead[last])), 6)
