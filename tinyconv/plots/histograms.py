"""Histograms over time: how activations, gradients and updates of each layer spread while a network learns."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tinyconv.errors import DataError

from .figure import SEQUENTIAL, VERMILLION, headline, new_figure
from .recorder import LayerRecorder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]

BINS = 40
COLUMNS = (("activations", "activation"), ("gradients", "| gradient |"), ("updates", "| update |"))


def layer_histograms(recorder: LayerRecorder) -> "Figure":
    """A row per layer with weights: its activations, and on logarithmic scales the sizes of its gradients and updates.

    In each panel time runs to the right, a column of colours is the histogram of one step (bright where many numbers
    lie), the line is the median.  Zeros have no logarithm: they are left out there, and their share is in the corner.
    Gradients of all layers have one scale, and so have updates: vanishing ones are seen.  The panels below each other
    have one scale of colours.  Raises DataError without a record.
    """
    from matplotlib.colors import PowerNorm
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import withStroke
    from matplotlib.ticker import MaxNLocator

    if not recorder.steps:
        raise DataError("There is nothing to draw: the recorder has seen no training step.")
    names = list(recorder.records["activations"])
    figure = new_figure(12.0, 1.5 + 1.75 * len(names))
    headline(figure, f"Each layer from step {recorder.steps[0]:,} to {recorder.steps[-1]:,} of training")
    grid = figure.subplots(len(names), len(COLUMNS), squeeze=False, sharex=True)
    for column, (kind, title) in enumerate(COLUMNS):
        records = {name: recorder.records[kind][name] for name in names}
        logarithmic = kind != "activations"
        common = _limits([values for kept in records.values() for values in kept], logarithmic)
        drawn = []
        for axes, (name, kept) in zip(grid[:, column], records.items(), strict=True):
            limits = common if logarithmic else _limits(kept, logarithmic)
            drawn.append(_draw(axes, recorder.steps, kept, limits, logarithmic))
            if column == 0:
                axes.set_ylabel(name, fontweight="bold")
        grid[0, column].set_title(title)
        grid[-1, column].set_xlabel("training step")
        grid[-1, column].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        largest = max(mesh.get_clim()[1] for mesh in drawn) or 1.0
        norm = PowerNorm(0.5, vmin=0, vmax=largest)
        for mesh in drawn:
            mesh.set_norm(norm)
        bar = figure.colorbar(drawn[0], ax=list(grid[:, column]), location="bottom", aspect=30, shrink=0.8, pad=0.02)
        ticks = _round_ticks(100 * largest)
        bar.set_ticks([tick / 100 for tick in ticks], labels=[f"{tick:g} %" for tick in ticks])
        bar.set_label("share of the values")
    name = "median; of gradients and updates without zeros"
    line = Line2D([], [], color=VERMILLION, linewidth=1.4, path_effects=[withStroke(linewidth=2.6, foreground="0.8")])
    figure.legend([line], [name], loc="upper right", frameon=False, fontsize=10)
    return figure


def _round_ticks(largest: float) -> list[float]:
    """From 0 to at most `largest`: 1, 2 or 5 times a power of ten, on a root's scale not too close to each other.

    >>> _round_ticks(100), _round_ticks(75), _round_ticks(1.2)
    ([0, 5.0, 20.0, 50.0, 100.0], [0, 5.0, 20.0, 50.0], [0, 0.05, 0.2, 0.5, 1.0])
    """
    power = int(np.floor(np.log10(largest)))
    choices = [float(f"{digit}e{power - i}") for i in range(3) for digit in (5, 2, 1)]  # largest first
    ticks: list[float] = []
    for choice in choices:
        gaps = np.abs(np.sqrt(choice) - np.sqrt([0, *ticks]))
        if choice <= largest * (1 + 1e-9) and gaps.min() > 0.18 * np.sqrt(largest):
            ticks.append(choice)
    return [0, *reversed(ticks)]


def _limits(samples: list[Array], logarithmic: bool) -> tuple[float, float]:
    """Where all but the outermost numbers of all samples lie."""
    values = np.concatenate(samples)
    if logarithmic:
        values = np.abs(values[values != 0])
    if not values.size:
        return (1e-8, 1.0) if logarithmic else (0.0, 1.0)
    low, high = np.quantile(values, (0.005, 0.999))
    if low == high:
        return (low / 2, high * 2) if logarithmic else (low - 0.5, high + 0.5)
    return float(low), float(high)


def _draw(
    axes: "Axes", steps: list[int], samples: list[Array], limits: tuple[float, float], logarithmic: bool
) -> "QuadMesh":
    """One panel: a histogram per step as a column of colours, which is returned, and the median as a line."""
    edges = np.geomspace(*limits, BINS + 1) if logarithmic else np.linspace(*limits, BINS + 1)
    shares, medians = np.zeros((BINS, len(steps))), np.full(len(steps), np.nan)
    for step, values in enumerate(samples):
        seen = np.abs(values[values != 0]) if logarithmic else values
        if seen.size:
            shares[:, step] = np.histogram(seen, edges)[0] / values.size
            medians[step] = np.median(seen)
    mesh = axes.pcolormesh(_boundaries(steps), edges, shares, cmap=SEQUENTIAL, rasterized=True)
    axes.plot(steps, medians, color="white", linewidth=2.6)
    axes.plot(steps, medians, color=VERMILLION, linewidth=1.4)
    axes.set(yscale="log" if logarithmic else "linear", ylim=limits)
    zeros = float(np.mean(samples[-1] == 0))
    if zeros >= 0.005:
        corner = (0.02, 0.05, "left", "bottom") if logarithmic else (0.98, 0.95, "right", "top")  # the emptier one
        axes.text(
            *corner[:2], f"{100 * zeros:.0f} % are 0 at the end", ha=corner[2], va=corner[3], transform=axes.transAxes,
            fontsize=9, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 2},
        )
    return mesh


def _boundaries(steps: list[int]) -> Array:
    """Where the columns of colours begin and end: halfway between steps."""
    at = np.asarray(steps, float)
    if len(at) == 1:
        return np.array([at[0] - 0.5, at[0] + 0.5])
    middles = (at[1:] + at[:-1]) / 2
    return np.concatenate([[2 * at[0] - middles[0]], middles, [2 * at[-1] - middles[-1]]])
