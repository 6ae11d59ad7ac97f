"""Tapes: kernels are repeated on the memory they were written down with, and only where nothing else can be meant."""

import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tinyconv.kernels import tape
from tinyconv.kernels.registry import implementation
from tinyconv.kernels.tape import Tape
from tinyconv.kernels.workspace import Workspace


class Doubled:
    """y = x · w + b and its ReLU, run by Python `count` times."""

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

    def expected(self):
        return np.maximum(self.x @ self.w + self.b, 0)


def test_from_the_third_call_on_only_the_kernels_run():
    layer = Doubled()
    repeated = Tape(layer.run)
    for step in range(5):
        layer.x[...] += step
        layer.w[...] *= -1
        y = repeated()
        np.testing.assert_allclose(y, layer.expected(), rtol=1e-13, atol=1e-13)
    assert repeated.repeats
    assert layer.count == 3  # once to compile, twice to write it down


def test_what_is_new_each_time_is_not_repeated():
    relu = implementation("relu", "parallel").forward
    x = np.arange(-3.0, 3)
    new_result = Tape(lambda: relu(x))
    copied = Tape(lambda: relu(x[::2], out=np.empty(3)))
    for step in range(5):
        x[...] = np.arange(-3.0, 3) + step
        assert_array_equal(new_result(), np.maximum(x, 0))
        assert_array_equal(copied(), np.maximum(x[::2], 0))
    assert not new_result.repeats
    assert not copied.repeats


def test_a_number_that_changes_is_not_repeated():
    p, gradient, velocity = np.zeros(4), np.ones(4), np.zeros(4)
    rates = iter([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])

    def run():
        implementation("sgd", "parallel").step(
            p, gradient, velocity, learning_rate=next(rates), momentum=0.0, nesterov=False
        )

    step = Tape(run)
    step()
    step()  # the rates 2 and 3 were only written down
    step()
    assert not step.repeats
    assert_array_equal(p, -np.full(4, 1.0 + 4.0 + 5.0))


def test_a_step_in_memory_is_read_each_time():
    dropout, key = implementation("dropout", "parallel"), implementation("philox", "parallel")
    from tinyconv.kernels.contract import PhiloxKey

    step, x, y = np.zeros(1, np.uint32), np.ones(1000), np.empty(1000)
    repeated = Tape(lambda: dropout.forward(x, 0.5, PhiloxKey(1, 2, step), out=y))
    for number in (0, 1, 2, 3, 2**32 - 1):
        step[0] = number
        expected = implementation("dropout", "definition").forward(x, 0.5, PhiloxKey(1, 2, number))
        assert_array_equal(repeated(), expected)
        assert_array_equal(key.bits(PhiloxKey(1, 2, step), 7), key.bits(PhiloxKey(1, 2, number), 7))
    assert repeated.repeats


def test_a_failure_while_it_is_written_leaves_nothing_behind():
    layer = Doubled()
    times = iter(range(10))

    def run():
        y = layer.run()
        if next(times) == 2:
            raise KeyboardInterrupt
        return y

    repeated = Tape(run)
    repeated()
    with pytest.raises(KeyboardInterrupt):
        repeated()
    np.testing.assert_allclose(layer.run(), layer.expected(), rtol=1e-13)  # not written down: computed
    for _ in range(3):
        np.testing.assert_allclose(repeated(), layer.expected(), rtol=1e-13)
    assert repeated.repeats


def test_other_python_threads_compute_meanwhile():
    layer, results = Doubled(), []
    with tape.recording() as calls:
        other = threading.Thread(target=lambda: results.append(layer.run().copy()))
        other.start()
        other.join()
    assert calls == []
    np.testing.assert_allclose(results[0], layer.expected(), rtol=1e-13)
