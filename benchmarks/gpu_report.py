"""What a GPU makes of tinyconv, in one run: `python -m tinyconv.benchmarks.gpu_report`.

Writes benchmarks/results/gpu-NAME.json, .md and .png with
- images per second of whole training steps, against PyTorch eager and compiled (where it is installed, with CUDA);
- the convolution's arithmetic rate on a large batch, against that of a large matrix product, and the copy bandwidth;
- how far the losses of the first steps are from those of the processor, and whether two runs have the same bits;
- seconds for the twelve epochs of `course_cnn` on MNIST, where its data are at hand.
"""

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyconv import backends, datasets, gpu, zoo
from tinyconv.backends import Backend
from tinyconv.errors import BackendError, TinyconvError
from tinyconv.kernels.costs import Convolution
from tinyconv.plots.figure import BLUE, GREY

from . import charts, contestants, machine
from .measure import Measurement
from .peers import Contest, hold, values_json
from .race import Rounds, Say
from .report import Report, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS = Path("benchmarks") / "results"
SUMMARY = (
    "Training steps: medians of {rounds} rounds in which the contestants took turns of about {seconds:g} s. Kernels: "
    "medians of {rounds} rounds of launches one after the other, waited for at the end. All in float32."
)


@dataclass(frozen=True)
class Sizes:
    """How much is measured; small ones are for tests."""

    networks: Sequence[str] = ("mnist_convnet", "course_cnn")
    image: tuple[int, int, int, int] = (256, 56, 56, 64)  # of the convolution: 3×3 kernels, as many filters as channels
    matrix: int = 4096
    copied: int = 2**28  # numbers
    launches: int = 20
    steps: int = 100
    epochs: int = 12
    against: str = "numba"  # the backend on the processor whose losses are compared


EVERYTHING = Sizes()


def run(rounds: Rounds, sizes: Sizes = EVERYTHING, *, say: Say = print) -> Report:
    """Measure everything; raises BackendError where the cupy backend cannot be used."""
    backend = backends.get("cupy")
    name = machine.gpu() or "no GPU"
    described = machine.describe() | {"gpu": name}
    steps = training_steps(rounds, sizes, say) if sizes.networks else None
    kernels = kernel_rates(backend, rounds, sizes, say)
    same = agreement(sizes, say)
    seconds = course(sizes, say)
    described["versions"] |= steps.versions if steps else {}
    tables = [_kernel_table(kernels), Table(["check", "result"], [[key, str(value)] for key, value in same.items()])]
    results: dict[str, Any] = {
        "kernels": {key: one.as_json() for key, one in kernels.items()}, "checks": same, "course_cnn_seconds": seconds,
    }
    if steps:
        speeds = steps.values("samples_per_second")
        tables.insert(0, _step_table(steps))
        results["samples_per_second"] = values_json(speeds)
    notes = list(steps.notes()) if steps else []
    if seconds is not None:
        notes.insert(0, f"{sizes.epochs} epochs of course_cnn on MNIST: {seconds:.2f} s of training.")
    return Report(
        name=f"gpu-{slug(name)}", title=f"tinyconv on {name.split(',')[0]}", machine=described,
        summary=SUMMARY.format(rounds=rounds.rounds, seconds=rounds.seconds), settings=rounds.as_json(),
        results=results, tables=tables, notes=notes,
        figure=_figure(kernels, f"{name}; {charts.caption(described, rounds.threads)}"),
    )


def training_steps(rounds: Rounds, sizes: Sizes, say: Say) -> Contest:
    """Whole training steps of the networks, tinyconv and PyTorch on the GPU in turns."""
    field = contestants.choose(contestants.GPU_NAMES, tcmalloc=False)
    return hold(
        field, rounds, sizes.networks, "Training", {},
        lambda worker, _: worker.call("turn", seconds=rounds.seconds), say,
    )


def kernel_rates(backend: Backend, rounds: Rounds, sizes: Sizes, say: Say) -> dict[str, Measurement]:
    """GFLOP/s of the convolution, forward and both ways back, and of a matrix product; GB/s of a copy."""
    device, rng = backend.device, np.random.default_rng(0)

    def random(*shape: int) -> Any:
        return device.asarray(rng.random(shape, np.float32))

    n, height, width, channels = sizes.image
    x, w = random(*sizes.image), random(3, 3, channels, channels)
    windows: dict[str, Any] = {"strides": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1)}
    conv = backend.choose("conv2d", Convolution((height, width, channels), w.shape, dtype=np.dtype("f4"), **windows))
    y, workspace = device.empty(sizes.image, np.float32), device.workspace()
    dx, dw, db = device.empty(x.shape, x.dtype), device.empty(w.shape, w.dtype), device.empty((channels,), x.dtype)
    a, b = random(sizes.matrix, sizes.matrix), random(sizes.matrix, sizes.matrix)
    c, copied = device.empty(a.shape, a.dtype), device.zeros(sizes.copied, np.float32)
    target = device.zeros(sizes.copied, np.float32)
    flops = 2 * n * height * width * 9 * channels**2

    def copy() -> None:
        target[...] = copied

    cases: dict[str, tuple[float, Callable[[], Any]]] = {
        "convolution forward": (flops, lambda: conv.forward(x, w, None, **windows, out=y, workspace=workspace)),
        "convolution, input gradient": (
            flops, lambda: conv.backward_input(y, w, x.shape, **windows, out=dx, workspace=workspace)
        ),
        "convolution, weight gradient": (
            flops, lambda: conv.backward_weights(x, y, w.shape, **windows, out=(dw, db), workspace=workspace)
        ),
        "matrix product": (2 * sizes.matrix**3, lambda: backend.dense.forward(a, b, out=c, workspace=workspace)),
        "copy (GB/s, read and written)": (8 * sizes.copied, copy),
    }
    measured = {}
    for key, (work, launch) in cases.items():
        say(key)
        launch()
        rates = []
        for _ in range(rounds.rounds):
            device.synchronize()
            begin = perf_counter()
            for _ in range(sizes.launches):
                launch()
            device.synchronize()
            rates.append(work * sizes.launches / (perf_counter() - begin) / 1e9)
        measured[key] = Measurement(tuple(rates))
    return measured


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
        f"largest difference of the losses to {sizes.against}'s in {sizes.steps} steps": float(
            np.abs(np.subtract(losses[0], losses[1])).max()
        ),
        "two runs have the same bits": same and losses[1] == losses[2],
    }


def course(sizes: Sizes, say: Say) -> float | None:
    """Seconds for the epochs of `course_cnn` on MNIST; None where its data are not at hand."""
    try:
        data = datasets.load("mnist")
    except TinyconvError:
        return None
    say("course_cnn on MNIST")
    entry = zoo.entry("course_cnn")
    images = data.x_train.astype(np.float32) / 255
    model = zoo.build("course_cnn", backend="cupy")
    model.fit(images[: 2 * entry.batch_size], data.y_train[: 2 * entry.batch_size], entry.batch_size, verbose=0)
    begin = perf_counter()
    model.fit(images, data.y_train, entry.batch_size, epochs=sizes.epochs, verbose=0)
    return perf_counter() - begin


def slug(name: str) -> str:
    """A GPU's name as part of a file's.

    >>> slug("NVIDIA H200, 580.159.03, 143771 MiB")
    'nvidia-h200'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.split(",")[0].lower()).strip("-")


def _figure(kernels: Mapping[str, Measurement], caption: str) -> "Figure":
    bars = [
        charts.Bar(key, one.median, f"{one.median:,.0f}", BLUE if key.startswith("conv") else GREY)
        for key, one in kernels.items()
        if "GB/s" not in key
    ]
    return charts.bars({"Arithmetic of large batches": bars}, quantity="GFLOP/s in float32", caption=caption)


def _kernel_table(kernels: Mapping[str, Measurement]) -> Table:
    product = kernels["matrix product"]
    rows = [
        [key, f"{one.median:,.0f} ±{one.spread:.0%}", "–" if "GB/s" in key else f"{one.over(product).median:.0%}"]
        for key, one in kernels.items()
    ]
    return Table(["kernel", "GFLOP/s", "of the matrix product"], rows, title="Kernels")


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
