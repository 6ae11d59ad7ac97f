"""A contest of tinyconv and its peers on several networks: who was how good, who was best, and who could not run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .contestants import Contestant, Field
from .measure import Measurement, geometric_mean
from .race import Entry, Outcome, Rounds, Say, Turn, about, race
from .report import Table

Values = Mapping[str, Mapping[str, Measurement]]  # network → contestant → measured


class Ratio(NamedTuple):
    """How many times better than the best of some peers."""

    best: Contestant
    times: Measurement

    def as_json(self) -> dict[str, Any]:
        return {"peer": self.best.name, **self.times.as_json()}


Ratios = Mapping[str, Ratio | None]  # by network


@dataclass(frozen=True)
class Contest:
    """All outcomes of one contest, by network."""

    field: Field
    outcomes: Mapping[str, Outcome[str]]

    @property
    def versions(self) -> dict[str, str]:
        return {name: version for outcome in self.outcomes.values() for name, version in outcome.versions.items()}

    @property
    def failed(self) -> dict[str, dict[str, str]]:
        """Network → contestant → why it did not run."""
        return {network: outcome.failed for network, outcome in self.outcomes.items()}

    def values(self, quantity: str) -> Values:
        """One of the numbers that each turn gave."""
        return {network: outcome.measured(quantity) for network, outcome in self.outcomes.items()}

    def ratios(self, quantity: str, *, tuned: bool, less_is_better: bool = False) -> Ratios:
        """tinyconv against the best peer on each network; see `over_best`."""
        return {
            network: over_best(self.field, measured, tuned=tuned, less_is_better=less_is_better)
            for network, measured in self.values(quantity).items()
        }

    def notes(self) -> list[str]:
        """Who did not run, and why; networks are named where it was not all of them."""
        failed = {}
        for contestant in self.field.contestants:
            reasons: dict[str, list[str]] = {}  # each with the networks where it was met
            for network, outcome in self.outcomes.items():
                if contestant.name in outcome.failed:
                    reasons.setdefault(outcome.failed[contestant.name], []).append(network)
            for reason, networks in reasons.items():
                places = "" if len(networks) == len(self.outcomes) else f" on {', '.join(networks)}"
                failed[contestant.label + places] = reason
        return absence_notes(self.field, failed)


def hold(
    field: Field, rounds: Rounds, networks: Sequence[str], target: str, job: Mapping[str, Any], turn: Turn, say: Say
) -> Contest:
    """Let all contestants of `field` race on each network: their engine's class `target`, given `job`, takes turns."""
    outcomes = {}
    for network in networks:
        entries = {
            contestant.name: Entry(contestant, target, {**contestant.options, **job, "network": network})
            for contestant in field.contestants
        }
        outcomes[network] = race(entries, turn, rounds, about(network, say))
    return Contest(field, outcomes)


def absence_notes(field: Field, failed: Mapping[str, str]) -> list[str]:
    """Who is not there: those that `field` had to leave out, and those in `failed`; one line for each reason."""
    names: dict[str, list[str]] = {}
    for name, reason in {**field.absent, **failed}.items():
        names.setdefault(reason, []).append(name)
    return [f"Not run: {', '.join(who)} ({reason})." for reason, who in names.items()]


def over_best(
    field: Field, measured: Mapping[str, Measurement], *, tuned: bool, less_is_better: bool = False
) -> Ratio | None:
    """tinyconv as installed over the best peer, `tuned` ones included or not; None where one of the two is missing.

    Where less is better, it is the best peer over tinyconv, so that more than 1 always speaks for tinyconv.
    """
    mine = measured.get("tinyconv")
    peers = [
        contestant
        for contestant in field.contestants
        if contestant.family != "tinyconv" and contestant.name in measured and (tuned or not contestant.tuned)
    ]
    if mine is None or not peers:
        return None
    sign = -1 if less_is_better else 1
    best = max(peers, key=lambda contestant: sign * measured[contestant.name].median)
    its = measured[best.name]
    return Ratio(best, its.over(mine) if less_is_better else mine.over(its))


def value_table(field: Field, values: Values, columns: Sequence[str], number: Callable[[float], str]) -> Table:
    """A row for each contestant that ran anywhere, a column for each network; `columns` are all headings."""
    rows = [
        [contestant.label, *(_cell(measured.get(contestant.name), number) for measured in values.values())]
        for contestant in field.contestants
        if any(contestant.name in measured for measured in values.values())
    ]
    return Table(columns, rows)


def ratio_table(heading: str, groups: Mapping[str, Ratios]) -> Table:
    """A row for each network and one for the geometric mean; for each group of peers the ratio and who was the best."""
    networks = list(next(iter(groups.values())))
    rows = [[network, *(_times(group[network]) for group in groups.values())] for network in networks]
    means = ["geometric mean"]
    for group in groups.values():
        medians = [found.times.median for found in group.values() if found]
        means.append(f"{geometric_mean(medians):.2f}×" if len(medians) == len(networks) else "–")
    return Table([heading, *groups], [*rows, means] if len(networks) > 1 else rows)


def values_json(values: Values) -> dict[str, Any]:
    return {
        network: {name: measurement.as_json() for name, measurement in measured.items()}
        for network, measured in values.items()
    }


def ratios_json(ratios: Ratios) -> dict[str, Any]:
    return {network: found and found.as_json() for network, found in ratios.items()}


def _cell(measured: Measurement | None, number: Callable[[float], str]) -> str:
    if measured is None:
        return "–"
    return number(measured.median) + (f" ±{measured.spread:.0%}" if len(measured.rounds) > 1 else "")


def _times(ratio: Ratio | None) -> str:
    if ratio is None:
        return "–"
    span = f" ({ratio.times.low:.2f}–{ratio.times.high:.2f})" if len(ratio.times.rounds) > 1 else ""
    return f"{ratio.times.median:.2f}×{span} {ratio.best.label}"
