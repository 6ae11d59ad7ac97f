"""The pictures of the benchmarks: bars per network, lines over a size, and kernels under the roofs of a machine.

Colours are those of Okabe and Ito, which colour-blind people can tell apart; besides, every bar is labelled, and no two
lines or marks differ by colour alone.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinyconv.plots.figure import BLUE, GREY, VERMILLION, new_figure, remove_frame

from .contestants import Contestant, Field
from .measure import Measurement

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

GREEN, ORANGE, PURPLE, SKY = "#009E73", "#E69F00", "#CC79A7", "#56B4E9"
FAMILY_COLOURS = {"tinyconv": BLUE, "pytorch": VERMILLION, "keras": GREEN}
SERIES = (  # colour, mark and line of the first, second, … series
    (BLUE, "o", "-"), (VERMILLION, "s", "--"), (GREEN, "^", "-."), (ORANGE, "D", ":"), (PURPLE, "v", "-"),
    (SKY, "P", "--"),
)


DEPTH = 2000  # how far below the multiply-add limit a roofline picture goes
LETTER, MARK = 7.0, 6.0  # points: how wide a letter with a space and a mark of a roofline picture are
PANEL = 236.0  # points between the lowest and the highest intensity of a roofline picture, about


class Point(NamedTuple):
    """A kernel in a roofline picture: floating-point operations per byte, GFLOP/s, and a short name of its shape."""

    intensity: float
    gflops: float
    key: str


def caption(machine: Mapping[str, Any], threads: int) -> str:
    """Where it was measured, for the foot of a picture."""
    return f"{machine['cpu']}, {threads} {'thread' if threads == 1 else 'threads'}, {machine['date'][:10]}"


def bars_per_network(
    field: Field, measured: Mapping[str, Mapping[str, Measurement]], *, subtitles: Mapping[str, str], quantity: str,
    caption: str,
) -> "Figure":
    """One panel per network, one bar per contestant that ran anywhere, thin lines from the lowest to the highest."""
    shown = [one for one in field.contestants if any(one.name in values for values in measured.values())]
    columns = min(3, len(measured))
    rows = -(-len(measured) // columns)
    figure = new_figure(3.2 + 3.4 * columns, rows * (0.9 + 0.26 * max(len(shown), 4)))
    grid = figure.subplots(rows, columns, squeeze=False)
    for index, axes in enumerate(grid.flat):
        if index >= len(measured):
            axes.remove()
            continue
        network = list(measured)[index]
        _bars(axes, shown, measured[network])
        axes.set_title(f"{network}, {subtitles[network]}", loc="left", fontsize=10, fontweight="bold")
        axes.tick_params(axis="y", labelleft=index % columns == 0)
    hatched = "; hatched: as an expert tunes it" if any(contestant.tuned for contestant in shown) else ""
    _caption(figure, quantity + hatched, caption)
    return figure


def _bars(axes: "Axes", shown: Sequence[Contestant], values: Mapping[str, Measurement]) -> None:
    largest = max((value.high for value in values.values()), default=1.0)
    for place, contestant in enumerate(shown):
        value = values.get(contestant.name)
        if value is None:
            axes.text(0, place, " did not run", va="center", fontsize=8, color=GREY)
            continue
        colour = FAMILY_COLOURS[contestant.family]
        axes.barh(
            place, value.median, height=0.72, color="white" if contestant.tuned else colour, edgecolor=colour,
            hatch="////" if contestant.tuned else None,
        )
        axes.plot([value.low, value.high], [place, place], color="black", linewidth=1)
        axes.text(value.high + 0.02 * largest, place, f"{value.median:,.0f}", va="center", fontsize=8)
    axes.set_xlim(0, 1.22 * largest)
    axes.set_yticks(range(len(shown)), [contestant.label for contestant in shown], fontsize=8)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", length=0)
    remove_frame(axes)


class Sweep(NamedTuple):
    """How something grows: a panel of lines over a size."""

    title: str
    x_label: str
    lines: Mapping[str, Mapping[int, Measurement]]  # label → size → measured


def sweeps(panels: Sequence[Sweep], *, y_label: str, caption: str) -> "Figure":
    """A panel for each sweep, logarithmic both ways, bands from the lowest to the highest round."""
    figure = new_figure(4.2 * len(panels), 4.2)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for (label, line), (colour, mark, dash) in zip(panel.lines.items(), SERIES, strict=False):
            sizes = list(line)
            axes.plot(
                sizes, [line[size].median for size in sizes], dash, marker=mark, color=colour, label=label, markersize=5
            )
            axes.fill_between(
                sizes, [line[size].low for size in sizes], [line[size].high for size in sizes], color=colour, alpha=0.2
            )
        sizes = sorted({size for line in panel.lines.values() for size in line})
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        _decimal_ticks(axes.yaxis)
        axes.set_xlabel(panel.x_label)
        axes.set_title(panel.title, loc="left", fontsize=10, fontweight="bold")
        axes.grid(color="0.92")
        axes.legend(frameon=False, fontsize=8)
        remove_frame(axes)
    figure.axes[0].set_ylabel(y_label)
    _caption(figure, "", caption)
    return figure


def roofline(
    panels: Mapping[str, Mapping[str, Sequence[Point]]], *, peak: float, bandwidths: Mapping[str, float], caption: str
) -> "Figure":
    """A panel for each function of an operation, a mark for each rung and shape, and the machine's limits.

    `peak` in GFLOP/s; `bandwidths` in GB/s, by what they are of.  What lies too deep is drawn on the lower edge.
    """
    figure = new_figure(2.2 + 4.3 * len(panels), 4.8)
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    everywhere = [point.intensity for rungs in panels.values() for points in rungs.values() for point in points]
    left, right = min([*everywhere, 1.0]) / 2, max([*everywhere, 10.0]) * 2
    x = np.geomspace(left, right, 200)
    top = max([peak, *(point.gflops for rungs in panels.values() for points in rungs.values() for point in points)])
    decade = PANEL / np.log10(right / left)
    for axes, (function, rungs) in zip(grid, panels.items(), strict=True):
        for (what, bandwidth), dash in zip(bandwidths.items(), ("-", "--"), strict=False):
            roof = np.minimum(peak, bandwidth * x)
            axes.plot(x, roof, dash, color=GREY, linewidth=1.4, label=f"{what}, {bandwidth:.0f} GB/s")
        axes.axhline(peak, color="black", linewidth=1.4, label=f"multiply-add limit, {peak:.0f} GFLOP/s")
        for (rung, points), (colour, mark, _) in zip(rungs.items(), SERIES, strict=False):
            axes.plot(
                [point.intensity for point in points], [max(point.gflops, peak / DEPTH) for point in points], mark,
                color=colour, label=rung, markersize=MARK, markeredgecolor="white", markeredgewidth=0.6, clip_on=False,
            )
        for intensity, keys in _columns(rungs, decade).items():  # above the marks: Winograd's may pass the limit
            height = max(peak, _highest(rungs, intensity, keys, decade))
            axes.annotate(
                keys, (intensity, height), (0, MARK - 1), textcoords="offset points", ha="center", va="bottom",
                fontsize=7,
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(peak / DEPTH, 2 * top)  # with room for the letters
        for axis in (axes.xaxis, axes.yaxis):
            _decimal_ticks(axis)
        axes.tick_params(axis="x", labelsize=8)  # 500 and 1,000 are close
        axes.set_xlabel("floating-point operations per byte")
        axes.set_title(function, loc="left", fontsize=10, fontweight="bold")
        axes.grid(color="0.92")
        remove_frame(axes)
    grid[0].set_ylabel("GFLOP/s")
    figure.legend(*grid[0].get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside right upper")
    _caption(figure, "letters: the shapes in the table; on the lower edge: what is slower still", caption)
    return figure


def _columns(rungs: Mapping[str, Sequence[Point]], decade: float) -> dict[float, str]:
    """The keys of the shapes by intensity, side by side where they would cover each other; a decade has so many points.

    A rung's smaller batch has an intensity of its own, so that of a shape is its highest.
    """
    highest: dict[str, float] = {}
    for points in rungs.values():
        for point in points:
            highest[point.key] = max(highest.get(point.key, 0.0), point.intensity)
    columns: list[list[str]] = []

    def middle(keys: list[str]) -> float:
        return float(np.sqrt(highest[keys[0]] * highest[keys[-1]]))

    for key in sorted(highest, key=lambda key: highest[key]):
        columns.append([key])
        while len(columns) > 1:
            left, right = columns[-2:]
            if decade * np.log10(middle(right) / middle(left)) > LETTER * (len(left) + len(right)) / 2:
                break
            columns[-2:] = [left + right]
    return {middle(keys): " ".join(keys) for keys in columns}


def _highest(rungs: Mapping[str, Sequence[Point]], intensity: float, keys: str, decade: float) -> float:
    """GFLOP/s of the highest mark that `keys` at `intensity` could cover."""
    reach = 10 ** ((LETTER * len(keys.split()) / 2 + MARK / 2) / decade)
    points = (point for points in rungs.values() for point in points)
    return max((point.gflops for point in points if 1 / reach < point.intensity / intensity < reach), default=0.0)


def scatter(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, x_label: str, y_label: str, line: float,
    caption: str,
) -> "Figure":
    """Points (x, y) of each series, with a horizontal line at the goal."""
    figure = new_figure(7.0, 4.4)
    axes = figure.subplots()
    for (label, (x, y)), (colour, mark, _) in zip(series.items(), SERIES, strict=False):
        axes.plot(x, y, mark, color=colour, alpha=0.8, markersize=6, markeredgecolor="white", label=label)
    axes.axhline(line, color=GREY, linestyle=":", linewidth=1.2, label=f"goal, {line:g}")
    axes.set_xlim(left=0)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(color="0.92")
    axes.legend(frameon=False, fontsize=8)
    remove_frame(axes)
    _caption(figure, "", caption)
    return figure


class Bar(NamedTuple):
    """One bar with its label, and what is written behind it."""

    label: str
    value: float
    text: str
    colour: str
    hatched: bool = False


def bars(
    panels: Mapping[str, Sequence[Bar]], *, quantity: str, caption: str, limits: Mapping[str, float] | None = None
) -> "Figure":
    """A panel of bars for each title, with vertical lines at `limits`."""
    panels = {title: panel for title, panel in panels.items() if panel}
    figure = new_figure(8.0, sum(0.8 + 0.3 * len(panel) for panel in panels.values()) + 0.4)
    grid = figure.subplots(
        len(panels), 1, squeeze=False, sharex=True, height_ratios=[1 + len(panel) for panel in panels.values()]
    )[:, 0]
    for axes, (title, panel) in zip(grid, panels.items(), strict=True):
        for place, bar in enumerate(panel):
            axes.barh(
                place, bar.value, height=0.72, color="white" if bar.hatched else bar.colour, edgecolor=bar.colour,
                hatch="////" if bar.hatched else None,
            )
            axes.text(bar.value, place, f" {bar.text}", va="center", fontsize=8)
        axes.set_yticks(range(len(panel)), [bar.label for bar in panel], fontsize=8)
        axes.set_ylim(len(panel) - 0.4, -0.6)
        axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
        axes.tick_params(axis="y", length=0)
        for (what, limit), dash in zip((limits or {}).items(), ("-", "--"), strict=False):
            axes.axvline(limit, color=GREY, linestyle=dash, linewidth=1.2, label=f"{what}, {limit:.0f}")
        remove_frame(axes)
    grid[0].set_xlim(0, 1.18 * max(bar.value for panel in panels.values() for bar in panel))
    if limits:
        figure.legend(*grid[0].get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside upper right")
    _caption(figure, quantity, caption)
    return figure


def _decimal_ticks(axis: "Axis") -> None:
    """1,000 in place of 10³, and 2 and 5 between 1 and 10."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _caption(figure: "Figure", quantity: str, caption: str) -> None:
    figure.supxlabel(f"{quantity}\n{caption}" if quantity else caption, fontsize=8, color=GREY)
