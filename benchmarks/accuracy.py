"""`tinyconv bench accuracy`: what the reference networks reach on their test images, as the mean of several seeds.

Each training is the command line's own, in a process of its own with one thread; several run at once.  Threads change
nothing but the time: the same seed gives the same bits.  The run folders can be kept: then a benchmark that was stopped
goes on where it was, without the trainings that are finished.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

from tinyconv.errors import ArgumentError, TinyconvError
from tinyconv.naming import suggestion
from tinyconv.plots.figure import BLUE, VERMILLION, new_figure, remove_frame

from . import machine
from .charts import caption
from .race import Say
from .report import Report, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Recipe:
    """One row: the options of `tinyconv train`, and the accuracy that the network must reach."""

    options: tuple[str, ...]
    goal: float


RESULTS = "results.json"  # what a finished run folder has
_LISTING = ("--epochs", "5", "--batch-size", "64", "--validation-split", "0.1")
RECIPES: dict[str, Recipe] = {
    "mnist_convnet": Recipe(("--model", "mnist_convnet", "--data", "mnist", *_LISTING), 0.988),
    "simple_cnn": Recipe(("--model", "simple_cnn", "--data", "mnist"), 0.982),
    "fashion_items": Recipe(("--model", "fashion_items", "--data", "fashion_mnist"), 0.909),
    "cifar10_cnn": Recipe(("--model", "cifar10_cnn", "--data", "cifar10", "--limit-steps", "500"), 0.51),
    "two_conv_cnn": Recipe(("--data", "mnist"), 0.993),
    "course_cnn": Recipe(("--model", "course_cnn", "--data", "mnist"), 0.991),
    "course_cnn, Fashion": Recipe(("--model", "course_cnn", "--data", "fashion_mnist"), 0.922),
}
SUMMARY = (
    "Share of the test images that are read correctly after the last epoch: mean of {seeds} seeds, nothing chosen on "
    "the test images. The goal is what the network must reach. CIFAR-10 is read from JPEG copies where there are some."
)


def run(
    *, recipes: Sequence[str] = tuple(RECIPES), seeds: int = 3, jobs: int = 2, runs: Path | None = None, say: Say
) -> Report:
    """Train every recipe with seeds 0 … seeds - 1, `jobs` at a time; raises ArgumentError for an unknown recipe.

    `runs` is a folder for the run folders, RECIPE-SEED; what is finished there is not trained again.
    """
    for name in recipes:
        if name not in RECIPES:
            raise ArgumentError(f"There is no accuracy recipe {name!r}. {suggestion(name, RECIPES)}")
    described = machine.describe()
    tasks = [(name, seed) for name in recipes for seed in range(seeds)]
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(jobs) as pool:
        folder = Path(temporary) if runs is None else runs
        accuracies = dict(zip(tasks, pool.map(lambda task: _train(task[0], task[1], folder, say), tasks), strict=True))
    reached = {name: [accuracies[name, seed] for seed in range(seeds)] for name in recipes}
    columns = ("network", "options of `tinyconv train`", "goal", "mean", "standard deviation", "seed by seed")
    rows = [
        [
            name, f"`{' '.join(RECIPES[name].options)}`", f"{RECIPES[name].goal:.3f}", f"{mean(values):.4f}",
            f"{stdev(values):.4f}" if len(values) > 1 else "", ", ".join(f"{value:.4f}" for value in values),
        ]
        for name, values in reached.items()
    ]
    return Report(
        name="accuracy", title="Accuracy on the test images", summary=SUMMARY.format(seeds=seeds), machine=described,
        settings={"seeds": seeds, "recipes": {name: list(RECIPES[name].options) for name in recipes}}, results=reached,
        tables=[Table(columns, rows)], figure=_figure(reached, caption(described, 1)),
    )


def _train(name: str, seed: int, runs: Path, say: Say) -> float:
    """Run one training, unless it is finished, and return the accuracy on the test images that its folder tells."""
    folder = runs / f"{name}-{seed}"
    if not (folder / RESULTS).is_file():
        if folder.exists():
            shutil.rmtree(folder)  # stopped in the middle
        command = [sys.executable, "-m", "tinyconv", "train", *RECIPES[name].options, "--seed", str(seed)]
        done = subprocess.run(
            [*command, "--threads", "1", "--run", str(folder), "--quiet"], capture_output=True, text=True,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            raise TinyconvError(f"{name} with seed {seed} could not be trained: {done.stderr.strip()}")
    accuracy = float(json.loads((folder / RESULTS).read_text())["test_accuracy"])
    say(f"{name}, seed {seed}: {accuracy:.4f}")
    return accuracy


def _figure(reached: Mapping[str, Sequence[float]], foot: str) -> "Figure":
    """A dot per seed and a bar at the goal, in percent of images read wrongly: near 100 % right nothing would show."""
    figure = new_figure(8, 1.3 + 0.42 * len(reached))
    axes = figure.subplots()
    for row, (name, values) in enumerate(reached.items()):
        axes.plot([100 * (1 - value) for value in values], [row] * len(values), "o", color=BLUE, alpha=0.8)
        axes.plot(100 * (1 - RECIPES[name].goal), row, "|", color=VERMILLION, markersize=18, markeredgewidth=2.5)
    axes.set_xscale("log")
    axes.set_yticks(range(len(reached)), list(reached))
    axes.set_ylim(len(reached) - 0.5, -0.5)
    axes.set_xlabel(f"test images read wrongly (%): a dot per seed, the bar is the goal\n{foot}")
    ticks = [0.5, 1, 2, 5, 10, 20, 50]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    remove_frame(axes)
    return figure
