"""Contestants take turns in alternating order, and one that fails is left out with its reason."""

import os
import signal
import time
from dataclasses import replace
from threading import Timer

import pytest

from tinyconv.benchmarks import contestants
from tinyconv.benchmarks.contestants import ALL, NAMES, Contestant, Field, choose
from tinyconv.benchmarks.measure import Measurement
from tinyconv.benchmarks.peers import absence_notes, hold, over_best, ratio_table, value_table
from tinyconv.benchmarks.process import ContestantError
from tinyconv.benchmarks.race import Entry, Rounds, race
from tinyconv.errors import ArgumentError

QUICK = Rounds(threads=1, rounds=3, seconds=0.0, pause=0.0)


def silent(line):
    pass


def test_turns_alternate(contestant):
    order = []

    def turn(worker, number):
        answer = worker.call("turn")
        order.append((number, "a" if answer["samples_per_second"] < 10 else "b"))
        return answer

    entries = {name: Entry(contestant, "Training", {"speed": speed}) for name, speed in (("a", 1.0), ("b", 10.0))}
    outcome = race(entries, turn, QUICK, silent)
    assert order == [(0, "a"), (0, "b"), (1, "b"), (1, "a"), (2, "a"), (2, "b")]
    assert outcome.measured("samples_per_second") == {
        "a": Measurement((1.0, 2.0, 3.0)), "b": Measurement((10.0, 20.0, 30.0))
    }
    assert outcome.versions == {"engine": "1.0"}
    assert outcome.failed == {}


def test_failures_are_left_out(contestant):
    jobs = {"good": {}, "never": {"speed": -1}, "not for long": {"fails_in": 2}}
    outcome = race(
        {name: Entry(contestant, "Training", job) for name, job in jobs.items()},
        lambda worker, _: worker.call("turn"), QUICK, silent,
    )
    assert set(outcome.turns) == {"good"}
    assert outcome.failed == {"never": "ValueError: speed is negative", "not for long": "RuntimeError: out of luck"}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal that could be sent for Ctrl-C")
def test_ctrl_c_does_not_wait_for_those_who_get_ready(contestant):
    """One would take five minutes, and another one come after it."""
    began = time.monotonic()
    patient = Entry(contestant, "Training", {"sleeps": 300.0})
    ctrl_c = Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    ctrl_c.start()
    with pytest.raises(KeyboardInterrupt):
        race({"first": patient, "second": patient}, lambda worker, _: {}, QUICK, silent)
    assert time.monotonic() - began < 300


def test_a_contest_says_who_did_not_run_and_where(contestant):
    """The fake engine takes no argument `network`: nobody runs anywhere, for one reason."""
    field = Field((contestant, replace(contestant, name="other", label="Other")), {"a third": "it is ill"})
    contest = hold(field, QUICK, ["here", "there"], "Training", {}, lambda worker, _: worker.call("turn"), silent)
    illness, refusal = contest.notes()
    assert illness == "Not run: a third (it is ill)."
    assert refusal.startswith("Not run: Fake, Other (TypeError: ")
    assert contest.values("samples_per_second") == {"here": {}, "there": {}}
    contest.outcomes["there"].failed.clear()
    assert "Fake on here, Other on here" in contest.notes()[1]


MINE, PEER = Contestant("tinyconv", "tinyconv", "tinyconv"), Contestant("peer", "Peer", "pytorch")
TUNED = Contestant("tuned", "Tuned peer", "pytorch", tuned=True)
FIELD = Field((MINE, PEER, TUNED))
MEASURED = {"tinyconv": Measurement((6.0, 8.0)), "peer": Measurement((3.0, 2.0)), "tuned": Measurement((4.0, 4.0))}


def test_the_best_peer():
    installed = over_best(FIELD, MEASURED, tuned=False)
    assert (installed.best, installed.times.rounds) == (PEER, (2.0, 4.0))
    expert = over_best(FIELD, MEASURED, tuned=True)
    assert (expert.best, expert.times.rounds) == (TUNED, (1.5, 2.0))
    memory = over_best(FIELD, MEASURED, tuned=True, less_is_better=True)
    assert (memory.best, memory.times.rounds) == (PEER, (0.5, 0.25))
    assert over_best(FIELD, {"tinyconv": Measurement((1.0,))}, tuned=True) is None
    assert over_best(FIELD, {"peer": Measurement((1.0,))}, tuned=True) is None


def test_tables():
    values = {"net": MEASURED, "other": {"peer": Measurement((5.0,))}}
    table = value_table(FIELD, values, ["x", "net", "other"], "{:.1f}".format)
    assert table.rows == [["tinyconv", "7.0 ±14%", "–"], ["Peer", "2.5 ±20%", "5.0"], ["Tuned peer", "4.0 ±0%", "–"]]
    ratios = {name: over_best(FIELD, measured, tuned=False) for name, measured in values.items()}
    assert ratio_table("x", {"best": ratios}).rows == [
        ["net", "3.00× (2.00–4.00) Peer"], ["other", "–"], ["geometric mean", "–"]
    ]


def test_a_reason_is_told_once():
    field = Field((), {"a": "gone"})
    assert absence_notes(field, {"b": "gone", "c": "ill"}) == ["Not run: a, b (gone).", "Not run: c (ill)."]


def test_everybody_also_runs_with_tcmalloc(tmp_path):
    library = tmp_path / "libtcmalloc_minimal.so"
    library.touch()
    field = choose(NAMES, library=library)
    partners = [one for one in field.contestants if one.preload]
    assert [one.name for one in partners] == [f"{one.name}+tcmalloc" for one in ALL if one not in contestants.ALONE]
    assert all(one.tuned and one.preload == str(library) for one in partners)
    assert [one for one in field.contestants if not one.preload] == list(ALL)


def test_without_tcmalloc(monkeypatch):
    assert choose(["pytorch"], tcmalloc=False).contestants == (contestants.EAGER,)

    def missing(given):
        raise ContestantError("it is not here")

    monkeypatch.setattr(contestants, "find_tcmalloc", missing)
    field = choose(["tinyconv", "tinyconv", "pytorch"])
    assert [one.name for one in field.contestants] == ["tinyconv", "pytorch"]
    assert field.absent == {"anything with tcmalloc": "it is not here"}


def test_another_python_for_keras():
    field = choose(["keras-jax", "pytorch"], tcmalloc=False, keras_python="python-with-keras")
    assert {one.name: one.python for one in field.contestants} == {"pytorch": None, "keras-jax": "python-with-keras"}


def test_an_unknown_contestant():
    with pytest.raises(ArgumentError, match=r"There is no contestant 'pytorhc'.*pytorch"):
        choose(["pytorhc"])
