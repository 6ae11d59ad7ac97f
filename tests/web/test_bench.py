"""The bench: what trains, pauses, is edited, forgets, changes the backend; and what is kept."""

import numpy as np
import pytest

from tinyconv import saving
from tinyconv.errors import ArgumentError, ModelFileError, StateError
from tinyconv.layers import Conv2D, Dense, Flatten, Input
from tinyconv.models import Sequential
from tinyconv.web import network
from tinyconv.web.bench import Bench
from tinyconv.web.view import View


def do(bench, function, *arguments):
    return bench.submit(function, *arguments).result(60)


def weights(bench):
    return do(bench, bench.model.get_weights)


def differ(first, second):
    return any((a != b).any() for a, b in zip(first, second, strict=True))


def test_the_first_start_teaches_the_network_and_keeps_it(few_digits, cache, monkeypatch, until):
    monkeypatch.setattr(network, "FIRST_EPOCHS", 2)
    bench = Bench()
    assert bench.source == "random"
    until(lambda: bench.source == "trained")
    assert bench.model.epochs_seen == 2
    learnt = weights(bench)
    assert bench.close() is None  # nothing that is not kept already
    again = Bench()
    assert again.source == "trained"
    assert not differ(weights(again), learnt)
    again.close()


def test_training_makes_points_and_changes_weights(bench, until):
    before = weights(bench)
    do(bench, bench.train, 3, 0.01)
    until(lambda: bench.status == "idle")
    assert bench.model.epochs_seen == 3
    assert bench.model.optimizer.learning_rate == 0.01
    assert differ(weights(bench), before)
    tests = [point for point in bench.curves.points if "val_loss" in point]
    assert [point["epoch"] for point in tests] == [1, 2, 3]
    steps = [point["epoch"] for point in bench.curves.points if "loss" in point]
    assert steps == sorted(steps)
    assert steps[-1] == 3
    assert bench.curves.wrong == sum(1 for _ in bench.curves.mistakes)


def test_points_are_the_means_of_what_lies_between_them(bench, until, monkeypatch):
    """All points of an epoch together, each times its samples, are the epoch's mean, which `fit` returns."""
    monkeypatch.setattr(network, "BATCH_SIZE", 5)  # 24 images: the last batch has 4
    do(bench, bench.train, 1, 0.01)
    until(lambda: bench.status == "idle")
    points = [point for point in bench.curves.points if "loss" in point]
    shares = np.diff([0, *(point["epoch"] for point in points)])
    np.testing.assert_allclose(shares * 24, [5, 5, 5, 5, 4])
    mean = sum(share * point["loss"] for share, point in zip(shares, points, strict=True))
    assert mean == pytest.approx(bench.model.history.history["loss"][0], rel=1e-5)


def test_pause_go_on_end(bench, until):
    do(bench, bench.train, 1000, 0.001)
    until(lambda: bench.training is not None and bench.model.epochs_seen > 0)
    do(bench, bench.pause, True)
    assert bench.status == "paused"
    resting = weights(bench)
    assert not differ(weights(bench), resting)
    do(bench, bench.set_learning_rate, 0.05)
    epochs = bench.model.epochs_seen
    do(bench, bench.pause, False)
    until(lambda: bench.model.epochs_seen > epochs)
    assert differ(weights(bench), resting)
    assert bench.model.optimizer.learning_rate == 0.05
    do(bench, bench.end_training)
    until(lambda: bench.status == "idle")
    with pytest.raises(StateError, match="no training"):
        do(bench, bench.pause, True)


def test_a_paused_training_can_be_ended(bench, until):
    do(bench, bench.train, 1000, 0.001)
    do(bench, bench.pause, True)
    do(bench, bench.end_training)
    until(lambda: bench.status == "idle")


def test_what_a_training_forbids(bench, until):
    do(bench, bench.train, 1000, 0.001)
    for forbidden in (bench.restore, bench.forget, lambda: bench.train(1, 0.1)):
        with pytest.raises(StateError, match="training"):
            do(bench, forbidden)
    do(bench, bench.end_training)
    until(lambda: bench.status == "idle")


def test_divergence_is_told_and_the_weights_are_good(bench, until, monkeypatch):
    before = weights(bench)
    steps = []

    def loss(x, y):
        steps.append(len(x))
        return [float("nan"), 0.0]

    monkeypatch.setattr(bench.model, "loss_and_gradients", loss)
    do(bench, bench.train, 3, 1.0)
    until(lambda: bench.status == "idle")
    assert len(steps) == 1
    assert "diverged at a learning rate of 1" in bench.notice[1]
    assert not differ(weights(bench), before)


def test_a_mistake_of_ours_ends_the_training_and_is_told(bench, until, monkeypatch):
    monkeypatch.setattr(bench.model, "loss_and_gradients", lambda x, y: 1 / 0)
    do(bench, bench.train, 3, 0.1)
    until(lambda: bench.status == "idle")
    assert "division by zero" in bench.notice[1]
    do(bench, bench.forget)  # and the bench still works


def test_edit_and_undo(bench, until):
    before = weights(bench)
    values = np.arange(25.0).reshape(5, 5) / 10
    do(bench, bench.edit, 0, 0, 3, values.tolist())
    assert bench.edited
    kernel = bench.model.layers[0].kernel.value
    np.testing.assert_allclose(kernel[:, :, 0, 3], values, rtol=1e-6)
    np.testing.assert_array_equal(np.delete(kernel, 3, axis=3), np.delete(before[0], 3, axis=3))
    tests = bench.curves.tests
    until(lambda: bench.curves.tests > tests)  # the mistakes are found again
    do(bench, bench.restore)
    assert not bench.edited
    assert not differ(weights(bench), before)


@pytest.mark.parametrize(
    "values",
    [None, "kernel", [], [[1.0] * 5] * 4, [[1.0] * 4] * 5, [["a"] * 5] * 5, [[None] * 5] * 5, [[True] * 5] * 5,
     [[float("nan")] * 5] * 5, [[float("inf")] * 5] * 5, [[1e9] * 5] * 5, [[10**400] * 5] * 5, [1, 2, 3, 4, 5]],
)
def test_a_kernel_that_is_none_changes_nothing(bench, values):
    before = weights(bench)
    with pytest.raises(ArgumentError, match="5 rows of 5 numbers"):
        do(bench, bench.edit, 0, 0, 0, values)
    assert not differ(weights(bench), before)
    assert not bench.edited


@pytest.mark.parametrize("where", [(1, 0, 0), (-1, 0, 0), (99, 0, 0), (0, 1, 0), (0, 0, 6), (0, -1, 0)])
def test_there_is_no_such_kernel(bench, where):
    with pytest.raises(ArgumentError):
        do(bench, bench.edit, *where, [[0.0] * 5] * 5)


def test_forget_begins_anew_each_time_differently(bench):
    before = weights(bench)
    do(bench, bench.forget)
    first = weights(bench)
    do(bench, bench.forget)
    assert differ(before, first)
    assert differ(weights(bench), first)
    assert (bench.source, bench.curves.points, bench.model.epochs_seen) == ("random", [], 0)


def test_backends_agree_and_the_optimizer_goes_along(bench, until):
    do(bench, bench.train, 2, 0.01)
    until(lambda: bench.status == "idle")
    view = View(bench)
    image = np.random.default_rng(0).random(network.IMAGE).astype(np.float32)
    view.drawing = (image, 1)
    before, probabilities = weights(bench), do(bench, bench.model.forward, image[None])
    do(bench, bench.use_backend, "numba")
    until(lambda: bench.model.backend.name == "numba")
    assert not differ(weights(bench), before)
    assert bench.model.optimizer.iterations == 2
    np.testing.assert_allclose(do(bench, bench.model.forward, image[None]), probabilities, atol=1e-6)
    do(bench, bench.use_backend, "numpy")
    assert bench.model.backend.name == "numpy"
    with pytest.raises(ArgumentError, match="cuda"):
        do(bench, bench.use_backend, "cuda")


def test_a_training_changes_the_backend_when_its_epoch_ends(bench, until):
    do(bench, bench.use_backend, "numba")
    until(lambda: bench.model.backend.name == "numba")
    do(bench, bench.train, 1000, 0.001)
    do(bench, bench.use_backend, "numpy")
    until(lambda: bench.model.backend.name == "numpy")
    assert bench.status == "running"


def test_closing_in_the_middle_of_a_training_keeps_the_network(few_digits, trained, until):
    bench = Bench()
    until(lambda: bench.data is not None)
    do(bench, bench.train, 1000, 0.001)
    until(lambda: bench.model.epochs_seen > 1)
    path = bench.close()
    again = Bench(model_file=path)
    assert again.source == "yours"
    assert again.model.epochs_seen >= 2
    assert not differ(weights(again), bench.model.get_weights())
    assert again.close() is None


def test_each_epoch_is_kept_for_a_crash(bench, until):
    assert not network.last_file().exists()
    do(bench, bench.train, 1000, 0.001)
    until(lambda: bench.model.epochs_seen > 1)
    kept = saving.load_model(network.last_file())
    assert kept.epochs_seen >= 1
    assert differ(kept.get_weights(), saving.load_model(network.trained_file()).get_weights())


def test_a_learning_rate_that_changes_nothing_is_refused(bench):
    do(bench, bench.set_learning_rate, 1e-6)
    for rate in (0.0, 9e-7, 1e-320, 1.1):
        with pytest.raises(ArgumentError, match="learning rate must be a number of at least 1e-06"):
            do(bench, bench.set_learning_rate, rate)
    assert bench.model.optimizer.learning_rate == 1e-6


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ([Input((8, 8, 1)), Flatten(), Dense(10, activation="softmax")], "takes inputs of shape"),
        ([Input((28, 28, 1)), Flatten(), Dense(3, activation="softmax")], "gives"),
        ([Input((28, 28, 1)), Conv2D(2, 3), Flatten(), Dense(10)], "softmax"),
    ],
)
def test_a_model_that_the_page_cannot_show(tmp_path, trained, layers, reason):
    saving.save(Sequential(layers), tmp_path / "model.safetensors")
    with pytest.raises(ModelFileError, match=reason):
        Bench(model_file=tmp_path / "model.safetensors")
    with pytest.raises(ModelFileError, match="no model"):
        Bench(model_file=tmp_path / "nothing.safetensors")


def test_digits_that_cannot_be_loaded_are_told(trained, monkeypatch, until):
    def fails():
        raise OSError("the disk is gone")

    monkeypatch.setattr(network, "load_data", fails)
    bench = Bench()
    until(lambda: bench.notice[0])
    assert "the disk is gone" in bench.notice[1]
    assert bench.busy == {}
    with pytest.raises(StateError, match="loaded"):
        do(bench, bench.train, 1, 0.1)
    bench.close()


def test_the_labs_own_data_are_real_and_drawn_digits():
    data = network.load_data()
    assert data.x_train.shape == (2 * 1438 + network.DRAWN, 28, 28, 1)
    assert data.x_train.dtype == np.float32
    assert 0 <= data.x_train.min() < 0.5 < data.x_train.max() <= 1
    assert len(data.x_test) == len(data.y_test) == 359
