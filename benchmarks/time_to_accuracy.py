"""`tinyconv bench time-to-accuracy`: seconds of training until a network reads MNIST's test digits as well as wanted.

Many seeds, the accuracy after the last epoch, and nothing is chosen on the test set.
"""

from collections.abc import Mapping
from math import sqrt
from statistics import fmean, stdev

from . import charts, machine
from .contestants import Field
from .measure import Measurement
from .peers import absence_notes
from .process import Worker
from .race import Entry, Rounds, Say, race
from .recipes import Recipe
from .report import Report, Table

SUMMARY = (
    "The recipe *{recipe}* ({source}) on {data}: {epochs}, batches of {batch}, the same initial weights, learning "
    "rates and {threads} for all. *Training* is the time from the first batch to the last update. Before it, and told "
    "apart, come *data*, reading and preparing them in memory, and *warm-up*, compiling and first steps. *Accuracy* is "
    "that on all test images after the last epoch: nothing is chosen on the test set. Means over {seeds} seeds, ± the "
    "standard error of the mean."
)


def run(
    field: Field, recipe: Recipe, rounds: Rounds, *, data: str, goal: float, limit: int | None, say: Say
) -> Report:
    """Let all contestants train with seeds 0 … rounds.rounds - 1, in turns; `limit` takes fewer training images."""
    described = machine.describe()
    job = {"recipe": recipe.as_json(), "data": data, "limit": limit}
    entries = {one.name: Entry(one, "Record", {**one.options, **job}) for one in field.contestants}

    def turn(worker: Worker, seed: int) -> Mapping[str, float]:
        return {**worker.call("times"), **worker.call("turn", seed=seed)}

    outcome = race(entries, turn, rounds, say)
    described["versions"] |= outcome.versions
    seconds, accuracy = outcome.measured("seconds"), outcome.measured("accuracy")
    rows, results = [], {}
    for contestant in field.contestants:
        name = contestant.name
        if name not in seconds:
            continue
        before = {key: outcome.turns[name][0][key] for key in ("data_seconds", "warm_up_seconds")}
        reached = sum(value >= goal for value in accuracy[name].rounds)
        rows.append([
            contestant.label, _mean(seconds[name], 1), _mean(accuracy[name], 100),
            f"{reached} of {rounds.rounds}", f"{before['data_seconds']:.2f}", f"{before['warm_up_seconds']:.1f}",
        ])
        results[name] = {
            "seconds": seconds[name].as_json(), "accuracy": accuracy[name].as_json(),
            "mean_seconds": fmean(seconds[name].rounds), "mean_accuracy": fmean(accuracy[name].rounds),
            "reached": reached, **before,
        }
    return Report(
        name="time_to_accuracy", title="Time to accuracy", machine=described,
        summary=SUMMARY.format(
            recipe=recipe.name, source=recipe.source, data=data if limit is None else f"{limit} images of {data}",
            epochs="1 epoch" if recipe.epochs == 1 else f"{recipe.epochs} epochs", batch=recipe.batch_size,
            threads=rounds.threads_text, seeds=rounds.rounds,
        ),
        settings={
            "threads": rounds.threads, "seeds": rounds.rounds, "data": data, "limit": limit, "goal": goal,
            "recipe": recipe.as_json(),
        },
        results={**results, "failed": outcome.failed},
        tables=[
            Table(["", "training, s", "accuracy, %", f"≥ {100 * goal:g} %", "data, s", "warm-up, s"], rows)
        ],
        notes=absence_notes(
            field, {one.label: outcome.failed[one.name] for one in field.contestants if one.name in outcome.failed}
        ),
        figure=charts.scatter(
            {
                one.label: (seconds[one.name].rounds, [100 * value for value in accuracy[one.name].rounds])
                for one in field.contestants
                if one.name in seconds
            },
            x_label="seconds of training", y_label="test accuracy, %", line=100 * goal,
            caption=charts.caption(described, rounds.threads),
        ),
    )


def _mean(measured: Measurement, factor: float) -> str:
    """The mean over the seeds ± its standard error."""
    count = len(measured.rounds)
    error = stdev(measured.rounds) / sqrt(count) if count > 1 else 0.0
    return f"{factor * fmean(measured.rounds):.2f} ±{factor * error:.2f}"
