"""`tinyconv bench startup`: how long after starting Python the first training step is done, with and without caches."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from tinyconv import zoo

from . import charts, machine
from .contestants import Contestant, Field
from .measure import Measurement
from .peers import absence_notes
from .process import ContestantError
from .race import Rounds, Say
from .report import Report, Table

NETWORK = "mnist_convnet"
BATCHES = 4
CACHES = ("NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")  # where compiled code is kept
COMPILING = ("tinyconv", "tinyconv-unfused", "pytorch-compiled")
STAGES = ("import", "build", "first_step")
SUMMARY = (
    "Seconds from starting Python until the framework is imported, the network ({network}) and its data are there, "
    "and the first training step is done: one after the other. Medians of {rounds} starts that took turns, ± half the "
    "distance from the quickest to the slowest, with {threads}, files in the system's cache, and compiled code on "
    "disk. *Cold* is one start without compiled code on disk, for those that compile and keep it. Peers take the "
    "network from tinyconv's zoo, which costs their processes the import of NumPy and of tinyconv's layers."
)


def run(field: Field, rounds: Rounds, *, network: str = NETWORK, say: Say) -> Report:
    """Start all contestants again and again; raises ArgumentError for an unknown network."""
    described = machine.describe()
    failed: dict[str, str] = {}
    warm: dict[str, list[dict[str, float]]] = {}
    cold: dict[str, dict[str, float]] = {}
    runners = list(field.contestants)
    for number in range(-1, rounds.rounds):  # the first start fills caches and is not counted
        for contestant in list(runners):
            say(f"{contestant.label}, " + ("a first start" if number < 0 else f"start {number + 1} of {rounds.rounds}"))
            try:
                times = _start(contestant, rounds, network, described)
            except ContestantError as problem:
                failed[contestant.name] = str(problem)
                runners.remove(contestant)
                warm.pop(contestant.name, None)
                continue
            if number >= 0:
                warm.setdefault(contestant.name, []).append(times)
    for contestant in runners:
        if contestant.name in COMPILING:
            say(f"{contestant.label}, cold")
            with TemporaryDirectory() as empty, suppress(ContestantError):  # it can run: it has done so before
                environment = {name: str(Path(empty) / name) for name in CACHES}
                cold[contestant.name] = _start(contestant, rounds, network, described, environment)
    return _report(field, rounds, network, described, warm, cold, failed)


def _start(
    contestant: Contestant, rounds: Rounds, network: str, described: dict[str, Any],
    environment: dict[str, str] | None = None,
) -> dict[str, float]:
    """Seconds since the start at which each stage was done."""
    begin = perf_counter()
    times = {}
    with contestant.start(rounds.threads, environment) as worker:
        described["versions"] |= worker.load(contestant.engine)
        times["import"] = perf_counter() - begin
        samples = BATCHES * zoo.entry(network).batch_size
        worker.create("Training", **contestant.options, network=network, samples=samples, warm=False)
        times["build"] = perf_counter() - begin
        worker.call("turn", seconds=0)
        times["first_step"] = perf_counter() - begin
    return times


def _report(
    field: Field, rounds: Rounds, network: str, described: dict[str, Any], warm: dict[str, list[dict[str, float]]],
    cold: dict[str, dict[str, float]], failed: dict[str, str],
) -> Report:
    medians = {
        name: {stage: Measurement(tuple(times[stage] for times in starts)) for stage in STAGES}
        for name, starts in warm.items()
    }
    shown = [contestant for contestant in field.contestants if contestant.name in medians]
    rows = [
        [
            contestant.label, *(_seconds(medians[contestant.name][stage]) for stage in STAGES),
            f"{cold[contestant.name]['first_step']:.1f}" if contestant.name in cold else "–",
        ]
        for contestant in shown
    ]
    return Report(
        name="startup", title="Starting up", machine=described,
        summary=SUMMARY.format(network=network, rounds=rounds.rounds, threads=rounds.threads_text),
        settings={**rounds.as_json(), "network": network},
        results={
            "warm": {
                name: {stage: measured.as_json() for stage, measured in stages.items()}
                for name, stages in medians.items()
            },
            "cold": cold, "failed": failed,
        },
        tables=[Table(["seconds until", "imported", "built", "first step", "first step, cold"], rows)],
        notes=absence_notes(field, {one.label: failed[one.name] for one in field.contestants if one.name in failed}),
        figure=charts.bars(
            {
                "warm": _bars(shown, {name: stages["first_step"].median for name, stages in medians.items()}),
                "cold": _bars(shown, {name: times["first_step"] for name, times in cold.items()}),
            },
            quantity=f"seconds from starting Python until the first training step of {network} is done",
            caption=charts.caption(described, rounds.threads),
        ),
    )


def _bars(shown: Sequence[Contestant], seconds: dict[str, float]) -> list[charts.Bar]:
    return [
        charts.Bar(one.label, seconds[one.name], f"{seconds[one.name]:.1f}", charts.FAMILY_COLOURS[one.family])
        for one in shown
        if one.name in seconds
    ]


def _seconds(measured: Measurement) -> str:
    return f"{measured.median:.2f} ±{measured.spread:.0%}"
