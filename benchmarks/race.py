"""A race: contestants get ready, then take turns, round after round.

A turn is short and there are several rounds, so that a disturbance of some seconds hits all contestants; odd rounds go
backwards, so that nobody always runs after the same neighbour.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from threading import Event
from typing import Any, Generic, TypeVar

from .contestants import Contestant
from .measure import Measurement
from .process import ContestantError, Worker

K = TypeVar("K")
Say = Callable[[str], None]  # shows one line of progress
Turn = Callable[[Worker, int], Mapping[str, float]]  # asks a worker for its numbers in a round


@dataclass(frozen=True)
class Rounds:
    """How long to measure.

    Attributes:
        threads: that each contestant may use.
        rounds: turns of each contestant.
        seconds: that a turn takes, about.
        pause: seconds before each turn, in which threads of the last one that still wait for work fall asleep.
    """

    threads: int
    rounds: int = 5
    seconds: float = 0.5
    pause: float = 0.1

    @property
    def threads_text(self) -> str:
        return "1 thread" if self.threads == 1 else f"{self.threads} threads"

    def as_json(self) -> dict[str, float]:
        return asdict(self)


@dataclass(frozen=True)
class Entry:
    """A contestant and what it is to do: `target` is a class of its engine, `job` that class's arguments."""

    contestant: Contestant
    target: str
    job: Mapping[str, Any]
    threads: int | None = None  # where it is not the number of the race


@dataclass
class Outcome(Generic[K]):
    """What came of it: an entry is in `turns` or, with the reason, in `failed`."""

    turns: dict[K, list[Mapping[str, float]]] = field(default_factory=dict)
    failed: dict[K, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def measured(self, quantity: str) -> dict[K, Measurement]:
        """One of the numbers that each turn gave."""
        return {key: Measurement(tuple(turn[quantity] for turn in turns)) for key, turns in self.turns.items()}


def about(topic: str, say: Say) -> Say:
    """`say`, with the topic in front."""
    return lambda line: say(f"{topic}: {line}")


def race(entries: Mapping[K, Entry], turn: Turn, settings: Rounds, say: Say) -> Outcome[K]:
    """Let all entries run, round after round."""
    outcome: Outcome[K] = Outcome()
    turns: dict[K, list[Mapping[str, float]]] = {}
    with ExitStack() as stack:
        workers = _get_ready(entries, settings, outcome, stack, say)
        for number in range(settings.rounds):
            say(f"round {number + 1} of {settings.rounds}")
            for key in list(workers) if number % 2 == 0 else list(reversed(workers)):
                time.sleep(settings.pause)
                try:
                    turns.setdefault(key, []).append(turn(workers[key], number))
                except ContestantError as problem:
                    outcome.failed[key] = str(problem)
                    del workers[key], turns[key]
    outcome.turns = {key: turns[key] for key in entries if key in turns}
    return outcome


def _get_ready(
    entries: Mapping[K, Entry], settings: Rounds, outcome: Outcome[K], stack: ExitStack, say: Say
) -> dict[K, Worker]:
    """Start all processes and let them build, compile and warm up.

    One family at a time in each: what the first of a family compiles, the next ones find in its cache.
    """
    families: dict[str, list[K]] = {}
    for key, entry in entries.items():
        families.setdefault(entry.contestant.family, []).append(key)
    ready: dict[K, Worker] = {}
    stopping = Event()

    def prepare(keys: Sequence[K]) -> None:
        for key in keys:
            if stopping.is_set():
                return
            entry = entries[key]
            say(f"{entry.contestant.label} gets ready")
            try:
                worker = stack.enter_context(entry.contestant.start(entry.threads or settings.threads))
                outcome.versions |= worker.load(entry.contestant.engine)
                worker.create(entry.target, **entry.job)
                ready[key] = worker
            except ContestantError as problem:
                outcome.failed[key] = str(problem)

    with ThreadPoolExecutor(len(families) or 1) as pool:
        try:
            list(pool.map(prepare, families.values()))
        except BaseException:  # Ctrl-C does not wait for whoever still compiles
            stopping.set()
            stack.close()
            raise
    return {key: ready[key] for key in entries if key in ready}
