"""A profile: where the time of a training step goes, layer by layer, and how well it is used."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinyconv.errors import DataError

from .figure import BLUE, ORANGE, headline, new_figure, remove_frame
from .measure import Cost, LayerCost
from .numbers import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def profile(costs: Sequence[LayerCost], title: str = "Profile") -> "Figure":
    """Three panels with a row per layer, forward and backward: milliseconds, GFLOP/s, MiB read and written.

    costs: from `measure_layers`.  Only convolution and dense layers have GFLOP/s.  Raises DataError for no layers.
    """
    if not costs:
        raise DataError("There is nothing to draw: the model has no layers.")
    seconds = sum(cost.forward.seconds + cost.backward.seconds for cost in costs)
    figure = new_figure(12.0, 1.4 + 0.5 * len(costs))
    headline(figure, f"{title}: {1000 * seconds:.3g} ms per step, layer by layer")
    panels = figure.subplots(1, 3, sharey=True)
    _bars(panels[0], costs, "time (ms)", lambda cost: 1000 * cost.seconds)
    _bars(panels[1], costs, "arithmetic (GFLOP/s)", lambda cost: cost.gflops_per_second)
    _bars(panels[2], costs, "memory (MiB read and written)", lambda cost: cost.nbytes / 2**20)
    panels[0].set_yticks(range(len(costs)), [cost.name for cost in costs])
    panels[0].invert_yaxis()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def _bars(axes: "Axes", costs: Sequence[LayerCost], title: str, value: Callable[[Cost], float]) -> None:
    rows = np.arange(len(costs))
    for offset, name, colour, hatch in ((-0.2, "forward", BLUE, ""), (0.2, "backward", ORANGE, "///")):
        values = [value(getattr(cost, name)) for cost in costs]
        bars = axes.barh(rows + offset, values, 0.4, color=colour, hatch=hatch, edgecolor="white", label=name)
        axes.bar_label(bars, [_two_digits(v) for v in values], padding=3, fontsize=9)
    axes.set_title(title, loc="left", fontweight="bold", fontsize=11)
    axes.margins(x=0.15)
    axes.set_xlim(left=0)
    axes.tick_params(axis="y", length=0)
    remove_frame(axes)


def _two_digits(value: float) -> str:
    return "" if value == 0 else "< 0.01" if value < 0.01 else short(float(f"{value:.2g}"))
