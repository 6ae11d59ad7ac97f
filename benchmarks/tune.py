"""`tinyconv bench tune`: the constants of `tinyconv.kernels.costs`, refitted to convolutions timed on this machine."""

from collections.abc import Mapping, Sequence
from math import isfinite

import numpy as np

from tinyconv.errors import ArgumentError
from tinyconv.kernels import costs
from tinyconv.plots.figure import BLUE

from . import cases, charts, machine
from .ladder import ENGINE, Turns, climb
from .measure import Measurement
from .process import Worker
from .race import Rounds, Say
from .report import Report, Table

FUNCTIONS = ("forward", "backward_weights")  # what the model predicts
SUMMARY = (
    "Nanoseconds for forward and weight gradient of one image, measured on the convolutions of {networks} with "
    "{threads}, and by the model of `tinyconv/kernels/costs.py`: with its constants as they are, and as fitted here. "
    "Medians of {rounds} rounds of about {seconds:g} s."
)
Constants = Mapping[str, tuple[float, float]]
Times = Mapping[tuple[int, str], float]  # (case, rung) → nanoseconds per image


def run(rounds: Rounds, *, networks: Sequence[str], say: Say) -> Report:
    """Time all rungs that the model knows; raises ArgumentError when there are too few shapes to fit it."""
    shapes = cases.cases("conv2d", networks)
    described = machine.describe()
    with Worker(threads=rounds.threads) as worker:
        described["versions"] |= worker.load(ENGINE)
        worker.create("Ladder", operation="conv2d", networks=list(networks))
        turns, batches, _ = climb(worker, worker.call("describe"), list(costs.COSTS), rounds, say)
    measured = times(shapes, turns, batches)
    fitted = refit(shapes, measured)
    return Report(
        name="tune", title="The cost model of convolutions", machine=described,
        summary=SUMMARY.format(
            networks=", ".join(networks), threads=rounds.threads_text, rounds=rounds.rounds, seconds=rounds.seconds
        ),
        settings={**rounds.as_json(), "networks": list(networks)},
        results={
            "constants": {"before": costs.COSTS, "fitted": fitted},
            "nanoseconds": [
                {"shape": shapes[number].shape, "rung": rung, "measured": each}
                for (number, rung), each in measured.items()
            ],
        },
        tables=[_shape_table(shapes, measured, fitted), _constant_table(fitted)],
        notes=[f"To use them: COSTS = {fitted} in kernels/costs.py."],
        figure=charts.bars(
            {
                f"{rung}: measured time as a multiple of the fitted model's": [
                    charts.Bar(shapes[number].shape, ratio, f"{ratio:.2f}", BLUE)
                    for (number, its), each in measured.items()
                    if its == rung
                    for ratio in [each / model(fitted, rung, shapes[number])]
                ]
                for rung in fitted
            },
            quantity="measured ÷ predicted", caption=charts.caption(described, rounds.threads),
            limits={"as predicted": 1.0},
        ),
    )


def times(
    shapes: Sequence[cases.Case], turns: Turns, batches: Mapping[tuple[int, str], int]
) -> dict[tuple[int, str], float]:
    """Nanoseconds per image of each shape on each rung that can do it by itself."""
    found = {}
    for number, rung in batches:
        if all(map(isfinite, costs.work(rung, _convolution(shapes[number])))):
            seconds = (
                Measurement(tuple(turn["seconds"] for turn in turns[number, rung, function])).median
                for function in FUNCTIONS
            )
            found[number, rung] = 1e9 * sum(seconds) / batches[number, rung]
    return found


def refit(shapes: Sequence[cases.Case], measured: Times) -> dict[str, tuple[float, float]]:
    """The constants that fit best; raises ArgumentError where a rung has fewer shapes than constants."""
    for rung in costs.COSTS:
        if sum(its == rung for _, its in measured) < 2:
            raise ArgumentError(f"These networks have too few convolutions for {rung}; add others with --network.")
    rows = ((rung, _convolution(shapes[number]), each) for (number, rung), each in measured.items())
    return {rung: (round(first, 4), round(second, 4)) for rung, (first, second) in costs.refit(rows).items()}


def model(constants: Constants, rung: str, shape: cases.Case) -> float:
    """What the model says, in nanoseconds per image."""
    return float(np.dot(constants[rung], costs.work(rung, _convolution(shape))))


def _convolution(shape: cases.Case) -> costs.Convolution:
    assert shape.convolution is not None
    return shape.convolution


def _shape_table(shapes: Sequence[cases.Case], measured: Times, fitted: Constants) -> Table:
    rows = [
        [
            shapes[number].shape, rung, f"{each:,.0f}", f"{costs.nanoseconds(rung, _convolution(shapes[number])):,.0f}",
            f"{model(fitted, rung, shapes[number]):,.0f}",
        ]
        for (number, rung), each in measured.items()
    ]
    return Table(["shape", "rung", "measured", "model as it is", "model fitted"], rows)


def _constant_table(fitted: Constants) -> Table:
    rows = [[rung, *(f"{value:g}" for value in (*costs.COSTS[rung], *fitted[rung]))] for rung in fitted]
    return Table(["ns per", "multiply-add", "extra", "multiply-add, fitted", "extra, fitted"], rows, title="Constants")
