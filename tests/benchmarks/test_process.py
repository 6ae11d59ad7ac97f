"""A contestant's process: it has the threads and libraries it should, and tells why when something goes wrong."""

import os
import sys

import pytest

from tinyconv.benchmarks import process
from tinyconv.benchmarks import worker as worker_side
from tinyconv.benchmarks.process import ContestantError, Worker, find_tcmalloc
from tinyconv.errors import ArgumentError


@pytest.fixture(scope="module")
def worker(engine_path):
    """One process for all tests that do it no harm."""
    with start(engine_path) as started:
        yield started


def start(engine_path):
    started = Worker(threads=1, environment={"PYTHONPATH": str(engine_path)})
    assert started.load("fake.engine") == {"engine": "1.0"}
    return started


def test_answers(worker):
    worker.create("Training", speed=2.0)
    assert worker.call("turn", seconds=0.1) == {"samples_per_second": 2.0, "loss": 1.0}
    assert 2**20 < worker.peak_bytes() < 2**32


@pytest.mark.parametrize("name", process.THREAD_VARIABLES)
def test_variables_say_the_threads(worker, name):
    worker.create("Training")
    assert worker.call("environment", name=name) == "1"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot hold a process to processors")
def test_processors(worker):
    worker.create("Training")
    assert worker.call("processors") == 1


def test_processors_that_share_a_core_come_last(monkeypatch):
    held = []
    monkeypatch.setattr(worker_side.os, "sched_getaffinity", lambda _: {0, 1, 2, 3, 7}, raising=False)
    monkeypatch.setattr(worker_side.os, "sched_setaffinity", lambda _, those: held.append(those), raising=False)
    monkeypatch.setattr(worker_side, "core", lambda processor: str(processor // 2))
    for count in (1, 2, 3, 4):
        worker_side.hold_to_processors(count)
    assert held == [[0], [0, 2], [0, 2, 7], [0, 2, 7, 1]]


def test_an_exception_is_a_reason_and_not_the_end(worker):
    with pytest.raises(ContestantError, match=r"^ValueError: speed is negative$"):
        worker.create("Training", speed=-1)
    worker.create("Training", speed=3.0)
    assert worker.call("turn")["samples_per_second"] == 3.0


def test_a_missing_framework_is_a_reason(worker):
    with pytest.raises(ContestantError, match="No module named 'framework_that_is_not_there'"):
        worker.load("framework_that_is_not_there")
    assert worker.load("fake.engine") == {"engine": "1.0"}


def test_a_process_that_ends_leaves_its_last_words(engine_path):
    with start(engine_path) as worker:
        worker.create("Training")
        with pytest.raises(ContestantError, match=r"^the last words$"):
            worker.call("leave")
        with pytest.raises(ContestantError):
            worker.call("turn")


def test_a_process_that_never_answers_is_ended(engine_path, monkeypatch):
    with start(engine_path) as worker:
        worker.create("Training")
        monkeypatch.setattr(process, "PATIENCE", 0.1)
        with pytest.raises(ContestantError, match="ended by signal 9"):
            worker.call("sleep")


def test_an_interpreter_that_is_not_there():
    with pytest.raises(ContestantError, match="no-such-python cannot be started"):
        Worker(threads=1, python="/no/such/folder/no-such-python")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="libraries are preloaded on Linux only")
def test_a_library_that_was_not_preloaded(tmp_path):
    library = tmp_path / "libtcmalloc_minimal.so.4"
    library.write_text("this is no library: the loader warns and goes on")
    with Worker(threads=1, preload=str(library)) as started, pytest.raises(ContestantError, match="was not preloaded"):
        started.load("json")


def test_where_tcmalloc_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(process.sys, "platform", "linux")
    library = tmp_path / "libtcmalloc_minimal.so.4"
    library.touch()
    assert find_tcmalloc(library) == str(library)
    with pytest.raises(ArgumentError, match="There is no file"):
        find_tcmalloc(tmp_path / "elsewhere.so")
    monkeypatch.setattr(process, "find_library", lambda name: None)
    with pytest.raises(ContestantError, match="apt install libtcmalloc-minimal4"):
        find_tcmalloc()
    monkeypatch.setattr(process, "find_library", lambda name: f"lib{name}.so.4")
    assert find_tcmalloc() == "libtcmalloc_minimal.so.4"
