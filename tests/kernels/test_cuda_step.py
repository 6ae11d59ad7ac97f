"""What a step of training does on a GPU besides the operations: gathering, counting, the clock."""

from typing import Any

import numpy as np
import pytest

from tinyconv.kernels.cuda import graphs, step
from tinyconv.regularizers import L1L2

Array = np.ndarray[Any, Any]


def clock(order: Any, table: Any = ((0.0,),), done: int = 0, steps: int = 0, ever: int = 0) -> step.Clock:
    table = np.array(table, np.float64)
    return step.Clock(
        np.array([done, steps, ever]), np.array(order, np.int32), table, np.zeros(table.shape[1]),
        np.zeros(1, np.uint32), np.zeros(2),
    )


def test_the_numbers_of_this_step() -> None:
    now = clock([0], [[1, 2], [3, 4], [5, 6]], steps=1, ever=2**32 + 7)
    step.begin(now, *(np.zeros((1, 1)) for _ in range(4)))
    np.testing.assert_array_equal(now.numbers, [3, 4])
    assert now.step[0] == 7


@pytest.mark.parametrize("dtype", ["uint8", "bool", "int64", "float32", "float64"])
@pytest.mark.parametrize("shape", [(4, 3, 2), (5, 3), (), (300,), (2053,), (36, 64)])
def test_the_batch_of_this_step(dtype: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2 if dtype == "bool" else 100, (20, *shape)).astype(dtype)
    targets, order = rng.random((20, 700)).astype(np.float32), rng.permutation(20)
    batch, targets_batch = np.full((6, *shape), np.nan, np.float32), np.full((6, 700), np.nan, np.float32)
    step.begin(clock(order, done=9), x, batch, targets, targets_batch)
    np.testing.assert_array_equal(batch, x[order[9:15]].astype(np.float32))
    np.testing.assert_array_equal(targets_batch, targets[order[9:15]])


def test_labels_are_gathered_as_they_are_and_data_may_start_anywhere() -> None:
    labels, batch = np.arange(10) + 2**40, np.zeros(3, np.int64)
    bytes_ = np.arange(41, dtype=np.uint8)
    x, x_batch = bytes_[1:].reshape(10, 4), np.zeros((3, 4), np.float32)
    step.begin(clock([9, 8, 7, 6], done=1), x, x_batch, labels, batch)
    np.testing.assert_array_equal(batch, labels[[8, 7, 6]])
    np.testing.assert_array_equal(x_batch, x[[8, 7, 6]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 31, 256, 700])
def test_losses_and_right_predictions_are_added_up(n: int, dtype: type) -> None:
    rng = np.random.default_rng(n)
    losses, logits = rng.random(n).astype(dtype), rng.integers(0, 4, (n, 5)).astype(dtype)  # with many ties
    order, classes = rng.permutation(n + 3), rng.integers(0, 5, n + 3).astype(np.int32)
    now = clock(order, done=2, steps=4, ever=10)
    now.totals[:] = 100, 200
    step.finish(losses, logits, classes, now)
    right = (logits.argmax(axis=1) == classes[order[2 : n + 2]]).sum()
    np.testing.assert_allclose(now.totals, [100 + losses.sum(dtype=np.float64), 200 + right], rtol=1e-12)
    np.testing.assert_array_equal(now.clock, [n + 2, 5, 11])


def test_predictions_with_nan_are_numpys() -> None:
    logits = np.array([[1, np.nan, 2], [np.nan, np.inf, np.nan], [np.inf, np.inf, 0], [-np.inf] * 3])
    predicted = logits.argmax(axis=1)
    for wrong in range(3):
        now = clock(range(4))
        step.finish(np.zeros(4), logits, np.where(predicted == wrong, predicted, -1).astype(np.int32), now)
        assert now.totals[1] == (predicted == wrong).sum()


def test_one_output_is_a_yes_when_positive() -> None:
    now = clock(range(4))
    step.finish(np.ones(4), np.array([[1.0], [0.0], [-1.0], [3.0]]), np.array([1, 1, 0, 0], np.int32), now)
    np.testing.assert_array_equal(now.totals, [4, 2])


def test_nobody_needs_to_count() -> None:
    now = clock(range(2))
    step.finish(np.ones(2), np.ones((2, 3)), None, now)
    np.testing.assert_array_equal(now.totals, [2, 0])


def test_arithmetic_of_layers() -> None:
    x = np.arange(1000, dtype=np.float32).reshape(10, 100)
    y = step.affine(x, 0.5, -1.0, out=np.empty_like(x))
    np.testing.assert_array_equal(y, x * 0.5 - 1)
    assert step.affine(x, 2.0, 0.0, out=x) is x
    average = np.full(3, 10.0)
    step.follow(average, np.array([0.0, 10, 20]), 0.75)
    np.testing.assert_array_equal(average, [7.5, 10, 12.5])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 5000, 600_000])
def test_penalties_and_their_gradients(size: int, dtype: type) -> None:
    rng = np.random.default_rng(0)
    w, dw = rng.standard_normal((2, size)).astype(dtype)
    w[0] = 0
    expected, regularizer = dw.copy(), L1L2(0.1, 0.2)
    regularizer.add_gradient(w, expected)
    parts = np.full(step.parts_of(w), np.nan)
    step.penalise(w, dw, 0.1, 0.2, parts)
    np.testing.assert_allclose(dw, expected, atol=1e-6 if dtype == np.float32 else 1e-14)  # terms of about 1
    np.testing.assert_allclose(parts.sum(), regularizer.penalty(w), rtol=1e-12)
    now, losses, logits = clock([0, 1, 2]), np.arange(3.0).astype(dtype), np.zeros((3, 2), dtype)
    step.finish(losses, logits, None, now, parts)
    np.testing.assert_allclose(now.totals, [3 + 3 * parts.sum(), 0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 5000, 600_000])
def test_clipping(size: int, dtype: type) -> None:
    x = np.random.default_rng(0).standard_normal(size).astype(dtype)
    clipped, parts = x.copy(), np.full(step.parts_of(x), np.nan)
    step.clip(clipped, 0.5)
    np.testing.assert_array_equal(clipped, np.clip(x, -0.5, 0.5))
    length = float(np.linalg.norm(x.astype(np.float64)))
    for norm in (0.5 * length, 2 * length):
        shortened = x.copy()
        step.shorten(shortened, norm, parts)
        np.testing.assert_allclose(shortened, x * min(norm / length, 1), rtol=1e-6 if dtype == np.float32 else 1e-14)
    x[-1] = np.nan
    for call in (step.clip, lambda x, norm: step.shorten(x, norm, parts)):
        call(x, 1.0)
        assert np.isnan(x[-1])


def test_a_graph_repeats_launches_and_reads_memory_anew() -> None:
    x, y = np.ones(3), np.zeros(3)

    def run() -> None:
        step.follow(y, x, 0.5)
        step.affine(x, 2.0, 0.0, out=x)

    repeat = graphs.capture(run, like=x)
    assert (y == 0).all()  # written down, not run
    for _ in range(3):
        repeat()
    np.testing.assert_array_equal(x, [8] * 3)
    np.testing.assert_array_equal(y, [0.125 + 0.5 + 2] * 3)


def test_a_capture_that_fails_leaves_nothing_behind() -> None:
    x = np.ones(3)

    def fail() -> None:
        step.affine(x, 2.0, 0.0, out=x)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        graphs.capture(fail, like=x)
    step.affine(x, 2.0, 0.0, out=x)
    np.testing.assert_array_equal(x, [2] * 3)
