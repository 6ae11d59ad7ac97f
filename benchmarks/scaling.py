"""`tinyconv bench scaling`: how training speed grows with threads and batch size, and falls with the size of images."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from tinyconv import zoo

from . import charts, machine
from .contestants import Contestant, Field
from .measure import Measurement
from .peers import absence_notes
from .race import Entry, Rounds, Say, about, race
from .report import Report, Table

NETWORK = "mnist_convnet"
BATCH_SIZES = (1, 4, 16, 64, 256)
IMAGE_SIZES = (28, 56, 112)
SUMMARY = (
    "Images per second of whole training steps of {network}: with {threads} where threads are not what varies, "
    "batches of {batch} where the batch is not, images of {height}×{width} where the image is not. Medians of "
    "{rounds} rounds in which all took turns of about {seconds:g} s, ± half the distance from the slowest to the "
    "fastest."
)


class Sweep(NamedTuple):
    """What varies, and how a size of it becomes arguments."""

    name: str
    x_label: str
    argument: str  # of `engines.job.Job`, or "threads"
    sizes: Sequence[int]


def run(
    field: Field, rounds: Rounds, *, network: str = NETWORK, threads: Sequence[int] | None = None,
    batch_sizes: Sequence[int] = BATCH_SIZES, image_sizes: Sequence[int] = IMAGE_SIZES, say: Say,
) -> Report:
    """Measure all contestants at each size; raises ArgumentError for an unknown network."""
    entry = zoo.entry(network)
    described = machine.describe()
    sweeps = (
        Sweep("Threads", "threads", "threads", threads or _powers_of_two(rounds.threads)),
        Sweep("Batch size", "images per step", "batch_size", batch_sizes),
        Sweep("Image size", "pixels in a row", "image_size", image_sizes),
    )
    measured, failed = {}, {}
    for sweep in sweeps:
        entries = {
            (contestant.name, size): _entry(contestant, network, sweep.argument, size)
            for contestant in field.contestants
            for size in sweep.sizes
        }
        outcome = race(
            entries, lambda worker, _: worker.call("turn", seconds=rounds.seconds), rounds, about(sweep.name, say)
        )
        described["versions"] |= outcome.versions
        measured[sweep.name] = outcome.measured("samples_per_second")
        failed[sweep.name] = outcome.failed
    return Report(
        name="scaling", title="Scaling", machine=described,
        summary=SUMMARY.format(
            network=network, threads=rounds.threads_text, batch=entry.batch_size, height=entry.input_shape[0],
            width=entry.input_shape[1], rounds=rounds.rounds, seconds=rounds.seconds,
        ),
        settings={**rounds.as_json(), "network": network},
        results={
            sweep.argument: {
                contestant.name: {
                    str(size): measured[sweep.name][contestant.name, size].as_json()
                    for size in sweep.sizes
                    if (contestant.name, size) in measured[sweep.name]
                }
                for contestant in field.contestants
            }
            for sweep in sweeps
        },
        tables=[_table(field, sweep, measured[sweep.name]) for sweep in sweeps],
        notes=absence_notes(
            field,
            {
                f"{name} with {size} {sweep.x_label}": reason
                for sweep in sweeps
                for (name, size), reason in failed[sweep.name].items()
            },
        ),
        figure=charts.sweeps(
            [_panel(field, sweep, measured[sweep.name]) for sweep in sweeps],
            y_label=f"images per second, training {network}", caption=charts.caption(described, rounds.threads),
        ),
    )


def _entry(contestant: Contestant, network: str, argument: str, size: int) -> Entry:
    job: dict[str, Any] = {**contestant.options, "network": network}
    if argument == "threads":
        return Entry(contestant, "Training", job, threads=size)
    return Entry(contestant, "Training", {**job, argument: size})


def _table(field: Field, sweep: Sweep, measured: dict[tuple[str, int], Measurement]) -> Table:
    """A row for each contestant, a column for each size, and the last size's speed as a multiple of the first one's."""
    rows = []
    for contestant in field.contestants:
        cells = [measured.get((contestant.name, size)) for size in sweep.sizes]
        speeds = ["–" if cell is None else f"{cell.median:,.0f} ±{cell.spread:.0%}" for cell in cells]
        first, last = cells[0], cells[-1]
        growth = "–" if first is None or last is None else f"{last.over(first).median:.2f}×"
        rows.append([contestant.label, *speeds, growth])
    return Table([sweep.x_label, *map(str, sweep.sizes), "last ÷ first"], rows, title=sweep.name)


def _panel(field: Field, sweep: Sweep, measured: dict[tuple[str, int], Measurement]) -> charts.Sweep:
    lines = {}
    for contestant in field.contestants:
        line = {size: measured[contestant.name, size] for size in sweep.sizes if (contestant.name, size) in measured}
        if line:
            lines[contestant.label] = line
    return charts.Sweep(sweep.name, sweep.x_label, lines)


def _powers_of_two(most: int) -> list[int]:
    """1, 2, 4, … and `most`.

    >>> _powers_of_two(6)
    [1, 2, 4, 6]
    """
    return [*(2**k for k in range(most.bit_length()) if 2**k < most), most]
