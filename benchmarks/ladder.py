"""`tinyconv bench ladder OPERATION`: every rung of an operation on the zoo's shapes, against the machine's limits."""

from collections.abc import Mapping, Sequence
from string import ascii_lowercase
from typing import Any

from . import cases, charts, machine
from .measure import Measurement
from .process import ContestantError, Worker
from .race import Rounds, Say
from .report import Report, Table
from .train_throughput import NETWORKS as NETWORKS

ENGINE = "tinyconv.benchmarks.engines.ladder"
LIMIT_SECONDS = 0.3
FEWER = "†"
SUMMARY = (
    "Each rung of `{operation}` on the shapes that it gets in the zoo, in one process with {threads}, float32: "
    "{numbers}. Medians of {rounds} rounds of about {seconds:g} s, in which the rungs took turns. Bytes are those of "
    "every array that has to be read or written, once; what fits a cache can be quicker than main memory. Bold is the "
    "rung that the numba backend uses."
)
WITH_FLOPS = "billions of floating-point operations per second (per cent of the limit), and gigabytes per second"
WITHOUT_FLOPS = "gigabytes per second"
Turns = Mapping[tuple[int, str, str], list[dict[str, float]]]  # (case, rung, function) → rounds


def run(operation: str, rounds: Rounds, *, networks: Sequence[str] = NETWORKS, say: Say) -> Report:
    """Measure all rungs; raises ArgumentError for an operation that there is no ladder of, or that no network has."""
    cases.cases(operation, networks)  # raises here, not in the other process
    described = machine.describe()
    with Worker(threads=rounds.threads) as worker:
        described["versions"] |= worker.load(ENGINE)
        worker.create("Ladder", operation=operation, networks=list(networks))
        say("measuring what the machine can do")
        limits = worker.call("limits", seconds=LIMIT_SECONDS)
        ladder = worker.call("describe")
        turns, batches, failed = climb(worker, ladder, ladder["rungs"], rounds, say)
        say("measuring again what the machine can do")  # something may have disturbed it the first time
        again = worker.call("limits", seconds=LIMIT_SECONDS)
        limits = {name: max(limit, again[name]) for name, limit in limits.items()}
    has_flops = any(turn["gflops"] for rows in turns.values() for turn in rows)
    caption = charts.caption(described, rounds.threads)
    return Report(
        name=f"ladder_{operation}", title=f"The ladder of {operation}", machine=described,
        summary=SUMMARY.format(
            operation=operation, threads=rounds.threads_text, rounds=rounds.rounds, seconds=rounds.seconds,
            numbers=WITH_FLOPS if has_flops else WITHOUT_FLOPS,
        ),
        settings={**rounds.as_json(), "networks": list(networks)},
        results={"limits": limits, "failed": failed, "cases": _results(ladder, turns, batches)},
        tables=[_table(ladder, turns, batches, limits, has_flops)],
        notes=_notes(ladder, limits, batches, failed),
        figure=_roofline(ladder, turns, limits, caption) if has_flops else _bars(ladder, turns, limits, caption),
    )


def climb(
    worker: Worker, ladder: Mapping[str, Any], rungs: Sequence[str], rounds: Rounds, say: Say
) -> tuple[Turns, dict[tuple[int, str], int], dict[str, str]]:
    """All turns of `rungs`; the batch that each could do, by (case, rung); and why some were left out."""
    turns: dict[tuple[int, str, str], list[dict[str, float]]] = {}
    batches: dict[tuple[int, str], int] = {}
    failed: dict[str, str] = {}
    for number, case in enumerate(ladder["cases"]):
        say(f"{case['where']}: {case['shape']}")
        for rung in rungs:
            if rung in failed:
                continue
            try:
                batches[number, rung] = worker.call("get_ready", case=number, rung=rung)
            except ContestantError as problem:
                failed[rung] = str(problem)
        for _ in range(rounds.rounds):
            for function in case["functions"]:
                for rung in rungs:
                    if (number, rung) in batches:
                        turn = worker.call("turn", rung=rung, function=function, seconds=rounds.seconds)
                        turns.setdefault((number, rung, function), []).append(turn)
    return turns, batches, failed


def _median(rows: Sequence[Mapping[str, float]], quantity: str) -> float:
    return Measurement(tuple(row[quantity] for row in rows)).median


def _key(number: int) -> str:
    """a, b, …, z, a1, b1, …: short names of the shapes."""
    return ascii_lowercase[number % 26] + (str(number // 26) if number >= 26 else "")


def _results(ladder: Mapping[str, Any], turns: Turns, batches: Mapping[tuple[int, str], int]) -> list[dict[str, Any]]:
    return [
        {
            **{key: case[key] for key in ("where", "shape", "batch")},
            "key": _key(number), "function": function, "rung": rung, "used": rung == case["used"],
            "batch_measured": batches[number, rung],
            **{
                quantity: Measurement(tuple(row[quantity] for row in turns[number, rung, function])).as_json()
                for quantity in ("seconds", "gflops", "gbs")
            },
            "intensity": turns[number, rung, function][0]["intensity"],
        }
        for number, case in enumerate(ladder["cases"])
        for function in case["functions"]
        for rung in ladder["rungs"]
        if (number, rung, function) in turns
    ]


def _table(
    ladder: Mapping[str, Any], turns: Turns, batches: Mapping[tuple[int, str], int], limits: Mapping[str, float],
    has_flops: bool,
) -> Table:
    """A row for each shape and function, a column for each rung."""
    rows = []
    for number, case in enumerate(ladder["cases"]):
        for function in case["functions"]:
            cells = []
            for rung in ladder["rungs"]:
                measured = turns.get((number, rung, function))
                if measured is None:
                    cells.append("–")
                    continue
                gflops, gbs = _median(measured, "gflops"), _median(measured, "gbs")
                text = _short(gbs)
                if has_flops:
                    text = f"{_short(gflops)} ({gflops / limits['gflops']:.0%}), {text}"
                text += FEWER if batches[number, rung] < case["batch"] else ""
                cells.append(f"**{text}**" if rung == case["used"] else text)
            rows.append([f"{_key(number)}. {case['shape']}", function, *cells])
    return Table(["shape", "function", *ladder["rungs"]], rows)


def _short(value: float) -> str:
    """Three digits, and no more than two of them behind the point.

    >>> _short(123.4), _short(1.234), _short(0.001)
    ('123', '1.23', '< 0.01')
    """
    if value < 0.01:
        return "< 0.01"
    return f"{value:.0f}" if value >= 99.5 else f"{value:.3g}" if value >= 1 else f"{value:.2f}"


def _notes(
    ladder: Mapping[str, Any], limits: Mapping[str, float], batches: Mapping[tuple[int, str], int],
    failed: Mapping[str, str],
) -> list[str]:
    names = [f"{_key(number)} {case['where']}" for number, case in enumerate(ladder["cases"])]
    cache = f", {limits['cache_gbs']:.0f} GB/s from the last-level cache" if "cache_gbs" in limits else ""
    notes = [
        f"Shapes: {', '.join(names)}.",
        f"Limits measured: {limits['gflops']:.0f} GFLOP/s from registers, {limits['memory_gbs']:.1f} GB/s from main "
        f"memory{cache}.",
    ]
    if any(batches[number, rung] < ladder["cases"][number]["batch"] for number, rung in batches):
        notes.append(f"{FEWER} with fewer images than the batch has: all of them would take too long.")
    return notes + [f"Not run: {rung} ({reason})." for rung, reason in failed.items()]


def _bandwidths(limits: Mapping[str, float]) -> dict[str, float]:
    names = {"memory_gbs": "main memory", "cache_gbs": "last-level cache"}
    return {name: limits[key] for key, name in names.items() if key in limits}


def _functions(ladder: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(function for case in ladder["cases"] for function in case["functions"]))


def _roofline(ladder: Mapping[str, Any], turns: Turns, limits: Mapping[str, float], caption: str) -> Any:
    panels: dict[str, dict[str, list[charts.Point]]] = {}
    for function in _functions(ladder):
        panels[function] = {
            rung: [
                charts.Point(rows[0]["intensity"], _median(rows, "gflops"), _key(number))
                for (number, its, name), rows in turns.items()
                if its == rung and name == function
            ]
            for rung in ladder["rungs"]
        }
    return charts.roofline(panels, peak=limits["gflops"], bandwidths=_bandwidths(limits), caption=caption)


def _bars(ladder: Mapping[str, Any], turns: Turns, limits: Mapping[str, float], caption: str) -> Any:
    panels: dict[str, list[charts.Bar]] = {}
    colours = {rung: colour for rung, (colour, _, _) in zip(ladder["rungs"], charts.SERIES, strict=False)}
    for function in _functions(ladder):
        panels[function] = [
            charts.Bar(
                f"{case['shape']}, {rung}", gbs, f"{gbs:.3g}", colours[rung], hatched=rung != case["used"]
            )
            for number, case in enumerate(ladder["cases"])
            for rung in ladder["rungs"]
            if (number, rung, function) in turns
            for gbs in [_median(turns[number, rung, function], "gbs")]
        ]
    return charts.bars(
        panels, quantity="GB/s; filled: the rung that the numba backend uses", caption=caption,
        limits=_bandwidths(limits),
    )


