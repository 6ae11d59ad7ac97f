"""What a GPU makes of tinyconv, in one run: `python -m tinyconv.benchmarks.gpu_report`.

Writes benchmarks/results/gpu-NAME.json, .md and .png with
- what was aimed at and what was reached;
- images per second of whole training steps, against PyTorch eager and compiled (where it is installed, with CUDA), and
  how long each launch of such a step takes;
- the convolution's arithmetic rate on a large batch in every precision, beside cuDNN's and the GPU's limits;
- how far the losses of the first steps are from those of the processor, and whether two runs have the same bits;
- seconds for the twelve epochs of `course_cnn` on MNIST, and seconds and accuracy of the fastest recipe, where MNIST is
  at hand.
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinyconv import backends, datasets, gpu, zoo
from tinyconv.datasets.dataset import Dataset
from tinyconv.errors import BackendError, DataError
from tinyconv.plots.figure import BLUE, GREY

from . import charts, contestants, gpu_kernels, gpu_launches, machine, recipes
from .engines.tinyconv import Record
from .gpu_kernels import KernelSizes
from .measure import Measurement
from .peers import Contest, hold, values_json
from .race import Rounds, Say
from .report import Report, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS = Path("benchmarks") / "results"
SUMMARY = (
    "Training steps: medians of {rounds} rounds in which the contestants took turns of about {seconds:g} s, all in "
    "float32. Launches: each of a step repeated alone. Kernels: medians of {rounds} rounds of launches one after the "
    "other, waited for at the end; tinyconv keeps numbers as float32 in memory whatever the precision, cuDNN keeps "
    "bf16 as bf16."
)


@dataclass(frozen=True)
class Sizes:
    """How much is measured; small ones are for tests."""

    networks: Sequence[str] = ("mnist_convnet", "course_cnn")
    kernels: KernelSizes = field(default_factory=KernelSizes)
    repeats: int = 20  # of each launch of a step
    steps: int = 100
    epochs: int = 12
    seeds: int = 30
    against: str = "numba"  # the backend on the processor whose losses are compared


EVERYTHING = Sizes()


class Goal(NamedTuple):
    """Something aimed at.

    Attributes:
        what: a phrase.
        aim: for people.
        reached: what was measured, for people; empty if it was not.
        ok: whether that is enough.
    """

    what: str
    aim: str
    reached: str
    ok: bool

    @property
    def verdict(self) -> str:
        """In a word, where there is something to judge."""
        return "" if not self.reached else "yes" if self.ok else "no"


class Trainings(NamedTuple):
    """Seconds of training, and accuracy on the test set, of each seed."""

    seconds: list[float]
    accuracy: list[float]


def run(rounds: Rounds, sizes: Sizes = EVERYTHING, *, say: Say = print) -> Report:
    """Measure everything; raises BackendError where the cupy backend cannot be used."""
    backend = backends.get("cupy")
    name = machine.gpu() or "no GPU"
    described = machine.describe() | {"gpu": name}
    steps = training_steps(rounds, sizes, say)
    say("the launches of a step")
    batches = {network: zoo.entry(network).batch_size for network in sizes.networks}
    launches = {one: gpu_launches.of_a_step(one, batch, sizes.repeats) for one, batch in batches.items()}
    cases, notes = gpu_kernels.ours(backend, sizes.kernels), steps.notes()
    try:
        cases |= gpu_kernels.cudnns(sizes.kernels)
    except (ImportError, RuntimeError) as problem:
        notes.append(f"Not run: cuDNN ({problem}).")
    kernels, failed = gpu_kernels.rates(cases, rounds, sizes.kernels.launches, say)
    notes += [f"Not run: {name} ({problem})." for name, problem in failed.items()]
    del cases  # and their memory
    same, seconds, record = agreement(sizes, say), None, None
    try:
        data = datasets.load("mnist")
        seconds, record = course(data, sizes, say), fastest_recipe(sizes, say)
    except DataError as problem:
        notes.append(f"Not run: course_cnn and the fastest recipe on MNIST ({problem})")
    described["versions"] |= steps.versions
    speeds = steps.values("samples_per_second")
    reached = goals(speeds, kernels, same, seconds, record, sizes)
    return Report(
        name=f"gpu-{slug(name)}", title=f"tinyconv on {name.split(',')[0]}", machine=described,
        summary=SUMMARY.format(rounds=rounds.rounds, seconds=rounds.seconds), settings=rounds.as_json(),
        results={
            "goals": [goal._asdict() for goal in reached], "samples_per_second": values_json(speeds),
            "launches": {network: [one._asdict() for one in many] for network, many in launches.items()},
            "kernels": {key: one.as_json() for key, one in kernels.items()}, "checks": same,
            "course_cnn_seconds": seconds, "fastest_recipe": record and record._asdict(),
        },
        tables=[
            Table(
                ["goal", "aim", "reached", ""],
                [[one.what, one.aim, one.reached or "not measured", one.verdict] for one in reached],
            ),
            *([_step_table(steps)] if speeds else []),
            *(gpu_launches.table(one, batches[one], many) for one, many in launches.items()), _kernel_table(kernels),
        ],
        notes=notes, figure=_figure(kernels, f"{name}; {charts.caption(described, rounds.threads)}"),
    )  # fmt: skip


def training_steps(rounds: Rounds, sizes: Sizes, say: Say) -> Contest:
    """Whole training steps of the networks, tinyconv and PyTorch on the GPU in turns."""
    field = contestants.choose(contestants.GPU_NAMES, tcmalloc=False)
    return hold(
        field, rounds, sizes.networks, "Training", {},
        lambda worker, _: worker.call("turn", seconds=rounds.seconds), say,
    )


def goals(
    speeds: Mapping[str, Mapping[str, Measurement]], kernels: Mapping[str, Measurement], same: Mapping[str, Any],
    seconds: float | None, record: Trainings | None, sizes: Sizes,
) -> list[Goal]:
    """What is aimed at, and what of it was reached."""
    found = []
    for network, measured in speeds.items():
        for peer, aim in ((contestants.EAGER_GPU, 3.0), (contestants.COMPILED_GPU, 1.0)):
            both = {contestants.CUPY.name, peer.name} <= set(measured)
            times = measured[contestants.CUPY.name].over(measured[peer.name]).median if both else 0.0
            what = f"steps of {network}, batch {zoo.entry(network).batch_size}, against {peer.label}"
            found.append(Goal(what, f"≥ {aim:g}×", f"{times:.2f}×" if both else "", times >= aim))
    what = f"{sizes.epochs} epochs of course_cnn on MNIST"
    reached = "" if seconds is None else f"{seconds:.2f} s"
    found.append(Goal(what, "≤ 2 s", reached, seconds is not None and seconds <= 2))
    what = f"training to 99.0 % of MNIST, mean of {sizes.seeds} seeds"
    if record is None:
        found.append(Goal(what, "≤ 0.3 s", "", False))
    else:
        time, accuracy = fmean(record.seconds), fmean(record.accuracy)
        found.append(Goal(what, "≤ 0.3 s", f"{time:.3f} s, {accuracy:.2%}", time <= 0.3 and accuracy >= 0.99))
    for precision, aim, limit, whole in (
        ("float32", 0.7, "the multiply-adds this GPU can do", lambda product: gpu_kernels.PEAK),
        ("bf16", 0.5, "cuDNN's", lambda product: gpu_kernels.convolution("cuDNN", "bf16", product)),
    ):
        parts = gpu_kernels.parts_of(kernels, "tinyconv", precision, whole)
        what = f"{precision} convolution, forward / input / weight gradient, of {limit}"
        reached = " / ".join(f"{part:.1%}" for part in parts)
        found.append(Goal(what, f"≥ {aim:.0%}", reached, bool(parts) and min(parts) >= aim))
    largest = same["largest difference of the losses"]
    what = f"losses of {sizes.steps} steps, against {sizes.against}'s"
    found.append(Goal(what, "within 0.001", f"{largest:.1e}", largest <= 1e-3))
    twice = same["two runs have the same bits"]
    return [*found, Goal("two runs", "the same bits", "the same bits" if twice else "other bits", twice)]


def agreement(sizes: Sizes, say: Say) -> dict[str, Any]:
    """How far the losses of the first steps are from the processor's, and whether a second run has the same bits."""
    say("comparing losses")
    losses: list[list[float]] = []
    weights = []
    for name in (sizes.against, "cupy", "cupy"):
        model = zoo.build("simple_cnn_dropout", backend=name)
        height, width, channels = model.input_shape[1:]
        rng = np.random.default_rng(0)
        x = rng.random((sizes.steps * 32, height, width, channels), np.float32)
        y = x.reshape(len(x), -1)[:, :70].reshape(len(x), 10, 7).sum(axis=2).argmax(axis=1)  # something to learn
        rows = [slice(32 * step, 32 * step + 32) for step in range(sizes.steps)]
        losses.append([model.train_on_batch(x[part], y[part])[0] for part in rows])
        weights.append(model.get_weights())
    same = all(np.array_equal(one, other) for one, other in zip(*weights[1:], strict=True))
    return {
        "largest difference of the losses": float(np.abs(np.subtract(losses[0], losses[1])).max()),
        "two runs have the same bits": same and losses[1] == losses[2],
    }


def course(data: Dataset, sizes: Sizes, say: Say) -> float:
    """Seconds for the epochs of `course_cnn` on MNIST, when all its kernels are compiled."""
    say("course_cnn on MNIST")
    batch = zoo.entry("course_cnn").batch_size
    images = data.x_train.astype(np.float32) / 255
    model = zoo.build("course_cnn", backend="cupy")
    some = batch + len(images) % batch  # a whole batch, and one as small as the last
    model.fit(images[:some], data.y_train[:some], batch, verbose=0)
    begin = perf_counter()
    model.fit(images, data.y_train, batch, epochs=sizes.epochs, verbose=0)
    return perf_counter() - begin


def fastest_recipe(sizes: Sizes, say: Say) -> Trainings:
    """Train the recipe of time-to-accuracy on MNIST with many seeds."""
    say("the fastest recipe on MNIST")
    trial = Record(backend="cupy", recipe=recipes.recipe("tinyconv").as_json(), data="mnist")
    turns = [trial.turn(seed) for seed in range(sizes.seeds)]
    return Trainings([one["seconds"] for one in turns], [one["accuracy"] for one in turns])


def slug(name: str) -> str:
    """A GPU's name as part of a file's.

    >>> slug("NVIDIA H200, 580.159.03, 143771 MiB")
    'nvidia-h200'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.split(",")[0].lower()).strip("-")


def _figure(kernels: Mapping[str, Measurement], caption: str) -> "Figure":
    bars = [
        charts.Bar(key, one.median / 1000, f"{one.median / 1000:,.1f}", BLUE if key.startswith("tinyconv") else GREY)
        for key, one in kernels.items()
        if key != gpu_kernels.COPY
    ]
    return charts.bars(
        {"One large convolution, by precision and product, and what the GPU can do": bars}, quantity="TFLOP/s",
        caption=caption,
    )


def _kernel_table(kernels: Mapping[str, Measurement]) -> Table:
    peak = kernels.get(gpu_kernels.PEAK)
    rows = []
    for key, one in kernels.items():
        amount = f"{one.median:,.0f} GB/s" if key == gpu_kernels.COPY else f"{one.median / 1000:,.1f} TFLOP/s"
        part = "–" if peak is None or key == gpu_kernels.COPY else f"{one.over(peak).median:.0%}"
        rows.append([key, f"{amount} ±{one.spread:.0%}", part])
    return Table(["kernel", "rate", "of the multiply-adds"], rows, title="Kernels")


def _step_table(steps: Contest) -> Table:
    speeds = steps.values("samples_per_second")
    rows = [
        [one.label, *(f"{speeds[net][one.name].median:,.0f}" if one.name in speeds[net] else "–" for net in speeds)]
        for one in steps.field.contestants
    ]
    for peer in steps.field.contestants[1:]:
        ratios = [
            f"{speeds[net][contestants.CUPY.name].over(speeds[net][peer.name]).median:.2f}×"
            if {contestants.CUPY.name, peer.name} <= set(speeds[net]) else "–"
            for net in speeds
        ]
        rows.append([f"tinyconv ÷ {peer.label}", *ratios])
    columns = ["images/s", *(f"{network}, batch {zoo.entry(network).batch_size}" for network in speeds)]
    return Table(columns, rows, title="Training steps")


def main() -> None:
    """Measure, write the files, and say where they are."""
    parser = argparse.ArgumentParser(description="Measure tinyconv on this machine's GPU.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="how long a turn of training takes, about")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    problem = gpu.find_problem()
    if problem is not None:
        raise SystemExit(str(BackendError(problem)))
    report = run(Rounds(machine.usable_threads(), given.rounds, given.seconds))
    print(report.markdown())
    for path in report.write(given.output):
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
