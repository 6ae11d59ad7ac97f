"""Tapes: kernels are repeated on the memory they were written down with, and only where nothing else can be meant."""

import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tinyconv.kernels import tape, threads
from tinyconv.kernels.contract import PhiloxKey
from tinyconv.kernels.registry import implementation
from tinyconv.kernels.tape import Tape
from tinyconv.kernels.workspace import Workspace


class Layer:
    """y = relu(x · w + b), run by Python `count` times."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.x, self.w = rng.standard_normal((5, 7)), rng.standard_normal((7, 3))
        self.b, self.workspace, self.count = np.ones(3), Workspace(), 0

    def run(self):
        self.count += 1
        y = implementation("dense", "parallel").forward(
            self.x, self.w, self.b, out=self.workspace.array("y", (5, 3), float), workspace=self.workspace
        )
        return implementation("relu", "parallel").forward(y, out=y)

    def check(self, y):
        np.testing.assert_allclose(y, np.maximum(self.x @ self.w + self.b, 0), rtol=1e-12, atol=1e-12)


def test_after_two_equal_runs_only_the_kernels_run():
    layer, repeated = Layer(), Tape()
    for step in range(5):
        layer.x[...] += step
        layer.w[...] *= -1
        layer.check(repeated(layer.run))
    assert repeated.repeats
    assert layer.count == 2


def test_what_is_new_each_time_is_not_repeated():
    relu = implementation("relu", "parallel").forward
    x = np.arange(-3.0, 3)
    tapes = [Tape(), Tape(), Tape()]
    for step in range(9):
        x[...] = np.arange(-3.0, 3) + step
        assert_array_equal(tapes[0](lambda: relu(x)), np.maximum(x, 0))
        assert_array_equal(tapes[1](lambda: relu(x[::2], out=np.empty(3))), np.maximum(x[::2], 0))
        assert_array_equal(tapes[2](lambda: np.maximum(x, 0)), np.maximum(x, 0))  # no kernel at all
    assert not any(one.repeats for one in tapes)


def test_a_number_that_changes_is_not_repeated():
    p, gradient, velocity = np.zeros(4), np.ones(4), np.zeros(4)
    rates = iter(range(1, 10))

    def run():
        implementation("sgd", "parallel").step(
            p, gradient, velocity, learning_rate=next(rates), momentum=0.0, nesterov=False
        )

    step = Tape()
    for _ in range(9):
        step(run)
    assert not step.repeats
    assert_array_equal(p, -np.full(4, 45.0))


def test_a_step_in_memory_is_read_each_time():
    dropout, philox = implementation("dropout", "parallel"), implementation("philox", "parallel")
    step, x, y = np.zeros(1, np.uint32), np.ones(1000), np.empty(1000)
    repeated = Tape()
    for number in (0, 1, 2, 3, 2**32 - 1):
        step[0] = number
        expected = implementation("dropout", "definition").forward(x, 0.5, PhiloxKey(1, 2, number))
        assert_array_equal(repeated(lambda: dropout.forward(x, 0.5, PhiloxKey(1, 2, step), out=y)), expected)
        assert_array_equal(philox.bits(PhiloxKey(1, 2, step), 7), philox.bits(PhiloxKey(1, 2, number), 7))
    assert repeated.repeats


def test_a_run_that_fails_leaves_nothing_behind():
    layer, repeated, times = Layer(), Tape(), iter(range(10))

    def run():
        y = layer.run()
        if next(times) == 1:
            raise KeyboardInterrupt
        return y

    layer.check(repeated(run))
    with pytest.raises(KeyboardInterrupt):
        repeated(run)
    assert tape.own.calls is None
    for _ in range(3):
        layer.x[...] += 1
        layer.check(repeated(run))
    assert repeated.repeats
    assert layer.count == 3


def test_kernels_of_a_signal_handler_are_not_taken_for_the_steps_own():
    layer, other, repeated = Layer(), Layer(), Tape()

    def run():
        if layer.count == 1:  # as if a signal had come in the second run
            other.check(other.run())
        return layer.run()

    for _ in range(5):
        layer.x[...] += 1
        layer.check(repeated(run))
    assert repeated.repeats
    assert other.count == 1
    assert layer.count == 4  # the third run was like none before


def test_other_python_threads_compute_meanwhile():
    layer, other, repeated = Layer(), Layer(), Tape()

    def run():
        thread = threading.Thread(target=lambda: other.check(other.run()))
        thread.start()
        thread.join()
        return layer.run()

    for _ in range(3):
        layer.check(repeated(run))
    assert repeated.repeats
    assert other.count == 2  # what another thread computes is not on the tape


def test_another_number_of_threads_outdates_tapes():
    layer, repeated = Layer(), Tape()
    for _ in range(3):
        repeated(layer.run)
    threads.set_threads(threads.current())
    layer.check(repeated(layer.run))
    assert layer.count == 3
    layer.check(repeated(layer.run))
    layer.check(repeated(layer.run))
    assert layer.count == 4
