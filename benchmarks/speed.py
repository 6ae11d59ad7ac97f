"""The report of a contest for speed: images per second, and tinyconv against the best peer."""

from collections.abc import Mapping
from typing import Any

from . import charts
from .peers import Contest, ratio_table, ratios_json, value_table, values_json
from .race import Rounds
from .report import Report

HOW = (
    "Medians of {rounds} rounds in which the contestants took turns, ± half the distance from the slowest to the "
    "fastest round. Ratios are medians of the ratios of each round, with the lowest and the highest. *As installed* "
    "is what `pip install` gives; *as an expert tunes it* also counts {expert}."
)


def report(
    contest: Contest, rounds: Rounds, *, name: str, title: str, summary: str, expert: str, what: str,
    subtitles: Mapping[str, str], machine: Mapping[str, Any], settings: Mapping[str, Any], more: Mapping[str, Any],
) -> Report:
    """The report of a contest whose turns gave "samples_per_second".

    `expert` says what only an expert does, `what` what was done, `subtitles` under which conditions on each network;
    `more` are further results.
    """
    speeds = contest.values("samples_per_second")
    installed = contest.ratios("samples_per_second", tuned=False)
    tuned = contest.ratios("samples_per_second", tuned=True)
    described = {**machine, "versions": {**machine["versions"], **contest.versions}}
    return Report(
        name=name, title=title, machine=described,
        summary=f"{summary} {HOW.format(rounds=rounds.rounds, expert=expert)}",
        settings={**rounds.as_json(), **settings},
        results={
            "samples_per_second": values_json(speeds), "over_best_installed": ratios_json(installed),
            "over_best_tuned": ratios_json(tuned), "failed": contest.failed, **more,
        },
        tables=[
            value_table(
                contest.field, speeds, ["images/s", *(f"{network}, {subtitles[network]}" for network in speeds)],
                "{:,.0f}".format,
            ),
            ratio_table("tinyconv ÷ peer", {"best as installed": installed, "best as an expert tunes it": tuned}),
        ],
        notes=contest.notes(),
        figure=charts.bars_per_network(
            contest.field, speeds, subtitles=subtitles, quantity=f"images per second, {what}",
            caption=charts.caption(described, rounds.threads),
        ),
    )
