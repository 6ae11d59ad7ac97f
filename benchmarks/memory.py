"""`tinyconv bench memory`: the most memory that a process which trains ever holds."""

from collections.abc import Mapping, Sequence

from tinyconv import zoo

from . import charts, machine
from .contestants import Field
from .measure import Measurement
from .peers import Contest, ratio_table, ratios_json, value_table, values_json
from .process import ContestantError
from .race import Outcome, Rounds, Say
from .report import Report
from .train_throughput import NETWORKS as NETWORKS

BATCHES = 8  # of images in memory: little beside what is measured
SUMMARY = (
    "Peak resident memory (MiB) of a process that imports the framework and trains for about {seconds:g} s, {batches} "
    "batches of images included, with {threads} for all. The lowest of {rounds} starts: the first one may have to "
    "compile, which takes memory of its own. Below is how many times more the most economical peer takes."
)


def run(field: Field, rounds: Rounds, *, networks: Sequence[str] = NETWORKS, say: Say) -> Report:
    """Start every contestant on every network `rounds.rounds` times; raises ArgumentError for an unknown network."""
    described = machine.describe()
    contest = Contest(field, {network: _measure(field, network, rounds, say) for network in networks})
    described["versions"] |= contest.versions
    peaks = {
        network: {name: Measurement((measured.low,)) for name, measured in values.items()}
        for network, values in contest.values("peak_mib").items()
    }
    ratios = contest.ratios("peak_mib", tuned=False, less_is_better=True)
    batches = {network: f"batch {zoo.entry(network).batch_size}" for network in networks}
    return Report(
        name="memory", title="Memory", machine=described,
        summary=SUMMARY.format(
            seconds=rounds.seconds, batches=BATCHES, threads=rounds.threads_text, rounds=rounds.rounds
        ),
        settings={**rounds.as_json(), "batches_in_memory": BATCHES},
        results={
            "peak_mib": values_json(contest.values("peak_mib")),
            "imported_mib": values_json(contest.values("imported_mib")),
            "best_peer_over_tinyconv": ratios_json(ratios), "failed": contest.failed,
        },
        tables=[
            value_table(
                field, peaks, ["MiB", *(f"{name}, {batch}" for name, batch in batches.items())], "{:,.0f}".format
            ),
            ratio_table("peer ÷ tinyconv", {"most economical peer": ratios}),
        ],
        notes=contest.notes(),
        figure=charts.bars_per_network(
            field, peaks, subtitles=batches, quantity="peak resident memory of a training process, MiB",
            caption=charts.caption(described, rounds.threads),
        ),
    )


def _measure(field: Field, network: str, rounds: Rounds, say: Say) -> Outcome[str]:
    """Peak memory after importing and after training, in a new process each time."""
    outcome: Outcome[str] = Outcome()
    for contestant in field.contestants:
        job = {**contestant.options, "network": network, "samples": BATCHES * zoo.entry(network).batch_size}
        turns: list[Mapping[str, float]] = []
        try:
            for number in range(rounds.rounds):
                say(f"{network}: {contestant.label}, start {number + 1} of {rounds.rounds}")
                with contestant.start(rounds.threads) as worker:
                    outcome.versions |= worker.load(contestant.engine)
                    imported = worker.peak_bytes()
                    worker.create("Training", **job)
                    worker.call("turn", seconds=rounds.seconds)
                    turns.append({"imported_mib": imported / 2**20, "peak_mib": worker.peak_bytes() / 2**20})
            outcome.turns[contestant.name] = turns
        except ContestantError as problem:
            outcome.failed[contestant.name] = str(problem)
    return outcome
