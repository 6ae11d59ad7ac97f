"""`tinyconv bench scaling`: how training speed grows with threads and batch size, and falls with the size of images.

Whole steps first, of all contestants; then the kernels of a step one by one, which tells where threads are lost.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from tinyconv import zoo
from tinyconv.errors import ArgumentError

from . import cases, charts, ladder, machine
from .contestants import Contestant, Field
from .measure import Measurement
from .peers import absence_notes
from .process import Worker
from .race import Entry, Rounds, Say, about, race
from .report import Report, Table

NETWORK = "mnist_convnet"
BATCH_SIZES = (1, 4, 16, 64, 256)
IMAGE_SIZES = (28, 56, 112)
KERNELS = ("conv_relu_maxpool", "conv2d", "dense", "dropout", "adam")  # operations that take most of a step
SUMMARY = (
    "Images per second of whole training steps of {network}: with {threads} where threads are not what varies, "
    "batches of {batch} where the batch is not, images of {height}×{width} where the image is not. Medians of "
    "{rounds} rounds in which all took turns of about {seconds:g} s, ± half the distance from the slowest to the "
    "fastest. Then milliseconds of single kernels on the rungs that the numba backend uses, each again and again on "
    "the same arrays."
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
    kernels = measure_kernels(network, sweeps[0].sizes, rounds, about("Kernels", say))
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
        }
        | {"kernels": {name: {str(n): one.as_json() for n, one in found.items()} for name, found in kernels.items()}},
        tables=[
            *(_table(field, sweep, measured[sweep.name]) for sweep in sweeps), _kernel_table(kernels, sweeps[0].sizes)
        ],
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


def measure_kernels(
    network: str, threads: Sequence[int], rounds: Rounds, say: Say
) -> dict[str, dict[int, Measurement]]:
    """Seconds for a batch, by the kernel's operation, shape and function, and by the number of threads."""
    found: dict[str, dict[int, Measurement]] = {}
    for operation in KERNELS:
        try:
            cases.cases(operation, [network])
        except ArgumentError:  # the network has no such layer
            continue
        with ExitStack() as stack:
            workers = {n: stack.enter_context(Worker(threads=n)) for n in threads}
            for worker in workers.values():
                worker.load(ladder.ENGINE)
                worker.create("Ladder", operation=operation, networks=[network])
            described = workers[threads[0]].call("describe")
            for number, case in enumerate(described["cases"]):
                say(f"{operation} of {case['shape']}")
                turns = _kernel_turns(workers, number, case, rounds)
                for function in case["functions"]:
                    found[f"{operation}, {case['shape']}, {function}"] = {
                        n: Measurement(tuple(turns[n, function])) for n in threads
                    }
    return found


def _kernel_turns(
    workers: Mapping[int, Worker], number: int, case: Mapping[str, Any], rounds: Rounds
) -> dict[tuple[int, str], list[float]]:
    """Seconds for a batch of the case, round after round, by (threads, function)."""
    shares = {
        n: case["batch"] / worker.call("get_ready", case=number, rung=case["used"]) for n, worker in workers.items()
    }
    turns: dict[tuple[int, str], list[float]] = {(n, name): [] for n in workers for name in case["functions"]}
    for round_number in range(rounds.rounds):
        order = list(workers)
        for n in order if round_number % 2 == 0 else reversed(order):
            for function in case["functions"]:
                turn = workers[n].call("turn", rung=case["used"], function=function, seconds=rounds.seconds)
                turns[n, function].append(turn["seconds"] * shares[n])
    return turns


def _kernel_table(kernels: Mapping[str, Mapping[int, Measurement]], threads: Sequence[int]) -> Table:
    """A row for each kernel: milliseconds, and how many times as quick it is with the last number of threads."""
    rows = [
        [
            name, *(f"{1000 * one.median:.3g} ms ±{one.spread:.0%}" for one in found.values()),
            f"{found[threads[0]].over(found[threads[-1]]).median:.2f}×",
        ]
        for name, found in kernels.items()
    ]
    return Table(["kernel, threads", *map(str, threads), "first ÷ last"], rows, title="Kernels")


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
