"""Where a training step's time goes on a GPU: each launch of a captured step, timed by repeating it alone.

A launch is captured many times over in a graph of its own, which is run several times in a row, so that the time from
one launch to the next is measured: what the kernel takes, and what starting it takes, with its data in the caches as
far as they fit.  In the step itself they may have been pushed out, so the sum of the launches is near the time of a
step, but not it.
"""

from collections.abc import Sequence
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from tinyconv import zoo
from tinyconv.kernels.cuda import graphs, launcher
from tinyconv.training.steps import GraphedSteps

from .report import Table

ROUNDS, IN_A_ROW = 3, 5  # of the graph that repeats a launch


class TimedLaunch(NamedTuple):
    """One launch of a step.

    Attributes:
        kernel: file and name.
        blocks, threads: of the grid, and of a block.
        seconds: for one of many in a row, the median of a few rounds.
    """

    kernel: str
    blocks: int
    threads: int
    seconds: float


def of_a_step(network: str, batch: int, repeats: int) -> list[TimedLaunch]:
    """The launches of a training step of `network` with `batch` random images, in their order."""
    model = zoo.build(network, backend="cupy")
    device, rng = model.backend.device, np.random.default_rng(0)
    samples = ((1 + ROUNDS * IN_A_ROW) * repeats + 1) * batch  # as the launch that counts the batches is repeated too
    x = rng.random((samples, *model.input_shape[1:]), np.float32)
    y = rng.integers(0, max(2, model.output_shape[-1]), samples)
    steps = GraphedSteps(model, x, y, batch, live=False)
    steps.begin(0, np.arange(samples))
    with launcher.recording() as launches:
        steps.launch(batch)
    like = model.plan.input_buffer((batch, *x.shape[1:]))
    return [_timed(launch, device, like, repeats) for launch in launches]


def table(network: str, batch: int, launches: Sequence[TimedLaunch]) -> Table:
    """A row for each launch, and one for their sum."""
    total = sum(one.seconds for one in launches)
    rows = [
        [one.kernel, f"{one.blocks:,}", f"{one.threads}", f"{1e6 * one.seconds:.1f}", f"{one.seconds / total:.0%}"]
        for one in launches
    ]
    rows.append(["all", "", "", f"{1e6 * total:.1f}", ""])
    columns = ["launch", "blocks", "threads", "µs", "share"]
    return Table(columns, rows, title=f"Launches of a step of {network}, batch {batch}")


def _timed(launch: launcher.Launch, device: Any, like: Any, repeats: int) -> TimedLaunch:
    def many() -> None:
        for _ in range(repeats):
            launch()

    repeat, rounds = graphs.capture(many, like), []
    repeat()
    for _ in range(ROUNDS):
        device.synchronize()
        begin = perf_counter()
        for _ in range(IN_A_ROW):
            repeat()
        device.synchronize()
        rounds.append((perf_counter() - begin) / (IN_A_ROW * repeats))
    kernel = f"{launch.path.stem}, {launch.kernel}"
    return TimedLaunch(kernel, int(np.prod(launch.grid)), int(np.prod(launch.block)), median(rounds))
