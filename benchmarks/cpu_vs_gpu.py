"""`tinyconv bench cpu-vs-gpu`: the same network, data and seed on the processor and on a GPU, by batch size.

A step on a GPU takes as long as its launches while there is little to compute, whatever the batch size; only then does
it grow with the batch.  On the processor it grows from the first image on.  So there is a batch size from which the GPU
is ahead, and one from which it is busy: the picture shows both.  What it is then busy with, arithmetic or memory, shows
in the table: GFLOP/s and GB/s are to be held against the limits of the machine (`gpu_report` measures a GPU's).
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING

from tinyconv import zoo
from tinyconv.errors import ArgumentError
from tinyconv.layers import Conv2D, Dense, Reshape
from tinyconv.plots.figure import GREY

from . import charts, machine
from .contestants import Field
from .measure import Measurement
from .peers import absence_notes
from .race import Entry, Rounds, Say, race
from .report import Report, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NETWORK = "mnist_convnet"
BATCH_SIZES = (1, 4, 16, 64, 256, 1024)
EPOCH = 60_000  # images: MNIST's
LAUNCH_BOUND = 1.25  # a step that takes at most so many times as long as the smallest one waits for launches
SUMMARY = (
    "Images per second of whole training steps of {network} in float32, for the same weights, images and optimizer on "
    "the processor ({threads}) and on the GPU. Each takes steps for about {seconds:g} s in a turn; on a GPU nobody "
    "waits for it before the turn is over. Medians of {rounds} rounds, ± half the distance from the slowest to the "
    "fastest."
)

Speeds = Mapping[tuple[str, int], Measurement]


def run(
    field: Field, rounds: Rounds, *, network: str = NETWORK, batch_sizes: Sequence[int] = BATCH_SIZES,
    euros_per_hour: Mapping[str, float] | None = None, say: Say,
) -> Report:
    """Measure all contestants at each batch size; `euros_per_hour` is what the "cpu" and the "gpu" cost, if known.

    Raises ArgumentError for an unknown network, or when no batch size is given.
    """
    if not batch_sizes:
        raise ArgumentError("There is nothing to measure without a batch size.")
    zoo.entry(network)
    described = machine.describe() | {"gpu": machine.gpu()}
    entries = {
        (contestant.name, size): Entry(
            contestant, "Training", {**contestant.options, "network": network, "batch_size": size}
        )
        for contestant in field.contestants
        for size in batch_sizes
    }
    outcome = race(entries, lambda worker, _: worker.call("turn", seconds=rounds.seconds), rounds, say)
    described["versions"] |= outcome.versions
    speeds = outcome.measured("samples_per_second")
    caption = charts.caption(described, rounds.threads) + (f"; {described['gpu']}" if described["gpu"] else "")
    euros = dict(euros_per_hour or {})
    failed = {f"{name} with batches of {size}": reason for (name, size), reason in outcome.failed.items()}
    return Report(
        name="cpu_vs_gpu", title="CPU and GPU", machine=described,
        summary=SUMMARY.format(
            network=network, threads=rounds.threads_text, rounds=rounds.rounds, seconds=rounds.seconds
        ),
        settings={
            **rounds.as_json(), "network": network, "batch_sizes": list(batch_sizes), "euros_per_hour": euros,
            "flops_per_image": flops_per_image(network), "bytes_per_image": bytes_per_image(network),
        },
        results={
            contestant.name: {
                str(size): speeds[contestant.name, size].as_json()
                for size in batch_sizes
                if (contestant.name, size) in speeds
            }
            for contestant in field.contestants
        },
        tables=[_speeds(field, batch_sizes, speeds), _epochs(field, batch_sizes, speeds, network, euros)],
        notes=[*findings(field, speeds), *absence_notes(field, _together(field, batch_sizes, failed))],
        figure=_figure(field, batch_sizes, speeds, network, caption),
    )


def flops_per_image(network: str) -> int:
    """Floating-point operations of a training step for one image: forward, and twice that backward."""
    model = zoo.build(network, backend="numpy")
    forward = 0
    for layer in model.layers:
        if isinstance(layer, Conv2D | Dense):
            pixels = prod(layer.output_shape[:2]) if isinstance(layer, Conv2D) else 1
            forward += 2 * layer.kernel.value.size * pixels
    return 3 * forward


def bytes_per_image(network: str) -> int:
    """Bytes of activations that a training step reads and writes for one image, each layer by itself.

    Forward reads x and writes y, backward reads dy and x and writes dx.  Fused kernels and caches need less.
    """
    layers = zoo.build(network, backend="numpy").layers
    return sum(
        4 * (3 * prod(layer.input_shape) + 2 * prod(layer.output_shape))
        for layer in layers
        if not isinstance(layer, Reshape)
    )


def findings(field: Field, speeds: Speeds) -> list[str]:
    """Sentences: from which batch size on the GPU is ahead, and up to which it waits for launches."""
    on_gpu = [one for one in field.contestants if one.gpu and any(name == one.name for name, _ in speeds)]
    if not on_gpu:
        return ["No GPU took part: what is here is the processor's half."]
    sentences = []
    ahead = overtakes(field, speeds)
    if ahead is not None:
        sentences.append(f"From batches of {ahead} on, a GPU is ahead of every contestant on the processor.")
    for contestant in on_gpu:
        sizes = _sizes(contestant.name, speeds)
        bound, first = launch_bound(contestant.name, speeds), min(sizes)
        milliseconds = 1e3 * first / speeds[contestant.name, first].median
        if bound > first:
            sentences.append(
                f"{contestant.label}: up to batches of {bound} a step takes about as long as the smallest one, "
                f"{milliseconds:.2f} ms: it waits for launches, not for arithmetic."
            )
        elif len(sizes) > 1:
            sentences.append(
                f"{contestant.label}: in batches of {first} a step takes {milliseconds:.2f} ms, and in larger ones "
                "longer: it waits for arithmetic or memory, not for launches."
            )
    return sentences


def overtakes(field: Field, speeds: Speeds) -> int | None:
    """The smallest batch size at which somebody on a GPU is faster than all on the processor, if there is one."""
    gpu = {contestant.name: contestant.gpu for contestant in field.contestants}
    for size in sorted({size for _, size in speeds}):
        best = {
            where: max((s.median for (name, at), s in speeds.items() if at == size and gpu[name] == where), default=0.0)
            for where in (False, True)
        }
        if best[True] > best[False] > 0:
            return size
    return None


def launch_bound(name: str, speeds: Speeds) -> int:
    """The largest batch size whose step takes at most `LAUNCH_BOUND` times as long as that of the smallest one."""
    seconds = {size: size / speeds[name, size].median for size in _sizes(name, speeds)}
    first = seconds[min(seconds)]
    bound = min(seconds)
    for size in sorted(seconds):
        if seconds[size] > LAUNCH_BOUND * first:
            break
        bound = size
    return bound


def _sizes(name: str, speeds: Speeds) -> list[int]:
    return [size for other, size in speeds if other == name]


def _together(field: Field, sizes: Sequence[int], failed: Mapping[str, str]) -> dict[str, str]:
    """Reasons by contestant, where it failed at all sizes for the same one."""
    result = dict(failed)
    for contestant in field.contestants:
        keys = [f"{contestant.name} with batches of {size}" for size in sizes]
        reasons = {result.get(key) for key in keys}
        if len(reasons) == 1 and None not in reasons:
            reason = result[keys[0]]
            for key in keys:
                del result[key]
            result[contestant.name] = reason
    return result


def _speeds(field: Field, sizes: Sequence[int], speeds: Speeds) -> Table:
    rows = []
    for contestant in field.contestants:
        cells = [speeds.get((contestant.name, size)) for size in sizes]
        if any(cells):
            numbers = ["–" if cell is None else f"{cell.median:,.0f} ±{cell.spread:.0%}" for cell in cells]
            rows.append([contestant.label, *numbers])
    return Table(["images per step", *map(str, sizes)], rows, title="Images per second")


def _epochs(
    field: Field, sizes: Sequence[int], speeds: Speeds, network: str, euros: Mapping[str, float]
) -> Table:
    """Seconds, GFLOP/s, GB/s and euros at the batch size that is fastest for each."""
    rows, flops, traffic = [], flops_per_image(network), bytes_per_image(network)
    for contestant in field.contestants:
        mine = {size: speeds[contestant.name, size].median for size in sizes if (contestant.name, size) in speeds}
        if not mine:
            continue
        size = max(mine, key=lambda one: mine[one])
        seconds = EPOCH / mine[size]
        price = euros.get("gpu" if contestant.gpu else "cpu")
        cost = [] if not euros else ["–" if price is None else f"{100 * price * seconds / 3600:.4f} ct"]
        rates = [f"{per_image * mine[size] / 1e9:,.0f}" for per_image in (flops, traffic)]
        rows.append([contestant.label, str(size), f"{seconds:.2f} s", *rates, *cost])
    headings = ["images per step", f"{EPOCH:,} images", "GFLOP/s", "GB/s"]
    columns = ["at its best batch size", *headings, *["cost"] * bool(euros)]
    return Table(columns, rows, title="An epoch of MNIST's size")


def _figure(field: Field, sizes: Sequence[int], speeds: Speeds, network: str, caption: str) -> "Figure":
    """Images per second, and milliseconds per step: the flat part is launches."""
    lines, steps = {}, {}
    for contestant in field.contestants:
        line = {size: speeds[contestant.name, size] for size in sizes if (contestant.name, size) in speeds}
        if line:
            lines[contestant.label] = line
            steps[contestant.label] = {
                size: Measurement(tuple(1e3 * size / one for one in speed.rounds)) for size, speed in line.items()
            }
    figure = charts.sweeps(
        [
            charts.Sweep("Images per second", "images per step", lines),
            charts.Sweep("Milliseconds per step", "images per step", steps),
        ],
        y_label=f"training {network}", caption=caption,
    )
    left, right = figure.axes[:2]
    if (legend := right.get_legend()) is not None:
        legend.remove()  # it says what the left one does, over the notes
    for axes, room in ((left, 2), (right, 6)):  # for the notes
        axes.set_ylim(top=axes.get_ylim()[1] * room)
    ahead = overtakes(field, speeds)
    if ahead is not None:
        left.axvline(ahead, color=GREY, linewidth=1, linestyle=":")
        _note(left, "the GPU is ahead", ahead, -12)
    own = next((one for one in field.contestants if one.gpu and one.label in steps), None)
    if own is not None:
        bound, first = launch_bound(own.name, speeds), min(_sizes(own.name, speeds))
        if bound > first:
            right.axvspan(first, bound, color="0.95", zorder=0)
            _note(right, f"{own.label}\nwaits for launches", first, -22)
        if bound < max(sizes):
            _note(right, "… and computes" if bound > first else f"{own.label}\ncomputes", bound, -36)
    return figure


def _note(axes: "Axes", text: str, size: int, below: int) -> None:
    """Write `text` from batches of `size` on, so many points below the top."""
    axes.annotate(
        text, (size, 1), xycoords=("data", "axes fraction"), xytext=(4, below), textcoords="offset points", fontsize=8,
        color=GREY,
    )
