"""One thread, one job after the other; a long job lets others in where it says so."""

import threading

import pytest

from tinyconv.web.worker import Worker


@pytest.fixture
def worker():
    worker = Worker()
    yield worker
    assert worker.close(timeout=10)


def test_jobs_run_in_order_in_one_thread(worker):
    seen = []
    jobs = [worker.submit(lambda k=k: seen.append((k, threading.get_ident()))) for k in range(20)]
    jobs[-1].result(10)
    assert [k for k, _ in seen] == list(range(20))
    assert len({thread for _, thread in seen}) == 1
    assert seen[0][1] != threading.get_ident()


def test_a_problem_belongs_to_who_asked(worker):
    with pytest.raises(ZeroDivisionError):
        worker.submit(lambda: 1 / 0).result(10)
    assert worker.submit(lambda: 7).result(10) == 7


def test_a_long_job_lets_others_in(worker):
    seen, started, stop = [], threading.Event(), []

    def long():
        started.set()
        while not stop:
            seen.append("step")
            worker.serve(wait=0.01)

    job = worker.submit(long)
    started.wait(10)
    assert worker.submit(lambda: seen.append("visitor")).result(10) is None
    assert not job.done()
    worker.submit(stop.append, True)
    job.result(10)
    at = seen.index("visitor")
    assert seen[at - 1] == seen[at + 1] == "step"


def test_closing_does_what_was_asked_before():
    worker = Worker()
    jobs = [worker.submit(lambda k=k: k) for k in range(5)]
    assert worker.close(timeout=10)
    assert [job.result(0) for job in jobs] == [0, 1, 2, 3, 4]
