"""Every contestant trains the same network: the same predictions, losses and gradients from the same weights."""

import numpy as np
import pytest

from tinyconv import layers, zoo
from tinyconv.benchmarks.engines import tinyconv as own
from tinyconv.benchmarks.engines.job import Job, Passes, Steps
from tinyconv.benchmarks.recipes import RECIPES, recipe
from tinyconv.errors import ArgumentError
from tinyconv.models import Sequential

# Padding on one side, odd sizes, no convolution, dropout, two classes, colour.
NETWORKS = (
    "mnist_convnet", "fashion_items", "fashion_perceptron", "course_cnn", "lenet5", "cats_and_dogs", "cifar10_cnn"
)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """What a contestant's process is told by whoever starts it."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def batch(network, count=3):
    job = Job(network, samples=count)
    model = job.model()
    return model, *job.data(model.input_shape[1:])


# -- jobs -------------------------------------------------------------------------------------------------------------


def test_a_job_is_the_network_of_the_zoo():
    model = Job("mnist_convnet").model()
    assert model.input_shape == (None, 28, 28, 1)
    assert model.count_params() == 485_514
    assert model.metrics_names == ["loss"]
    assert (Job("mnist_convnet").batch, Job("mnist_convnet", batch_size=7).batch) == (64, 7)


def test_images_of_another_size():
    assert Job("mnist_convnet", image_size=40).model().input_shape == (None, 40, 40, 1)


def test_data():
    x, y = Job("cifar10_cnn", samples=50).data((32, 32, 3))
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((50, 32, 32, 3), np.float32, (50,), np.int64)
    assert 0 <= x.min() < 0.01
    assert 0.99 < x.max() < 1
    assert set(y) == set(range(10))
    assert len(Job("flowers", batch_size=100).data((150, 150, 3))[0]) == 400  # a few batches, where they are big


class _Counted(Steps):
    """Steps that take a tenth of a second, or so they say."""

    batch = 20
    loss = 1.0

    def __init__(self):
        self.counts = []

    def steps(self, count):
        self.counts.append(count)
        return count, 0.1 * count, self.loss


def test_turns_take_about_the_time_they_should():
    steps = _Counted()
    steps.warm_up()
    assert steps.counts == [1, 1, 4]
    assert steps.turn(0.72) == {"samples_per_second": pytest.approx(200.0), "loss": 1.0}
    assert steps.counts[-1] == 7
    steps.turn(0.0)
    assert steps.counts[-1] == 1


def test_a_loss_that_is_no_number_is_a_failure():
    steps = _Counted()
    steps.loss = float("nan")
    with pytest.raises(ArithmeticError, match="the loss became nan"):
        steps.turn(0)


class _Chunked(Passes):
    def __init__(self, clock):
        self.clock, self.chunks = clock, []

    def predict(self, chunk):
        self.chunks.append(chunk)
        self.clock.now += {1: 3.0, 2: 1.0, 3: 2.0}[chunk]
        return np.zeros(10)


def test_the_fastest_chunk_is_chosen(monkeypatch):
    class Clock:
        now = 0.0

    monkeypatch.setattr("tinyconv.benchmarks.engines.job.perf_counter", lambda: Clock.now)
    passes = _Chunked(Clock)
    assert passes.choose_chunk([1, 2, 3]) == 2
    assert passes.turn() == {"samples_per_second": 10.0, "chunk": 2}


# -- tinyconv ---------------------------------------------------------------------------------------------------------


def test_tinyconv_trains():
    training = own.Training(network="fashion_perceptron", backend="numpy", batch_size=8, samples=20, warm=False)
    before = training.model.get_weights()[0]
    timed, seconds, loss = training.steps(3)
    assert (timed, training.model.optimizer.iterations) == (3, 3)
    assert seconds > 0
    assert 0 < loss < 10
    assert not np.array_equal(before, training.model.get_weights()[0])


def test_batches_are_full_and_cover_an_epoch():
    training = own.Training(network="fashion_perceptron", backend="numpy", batch_size=8, samples=20, warm=False)
    first, second, third = (next(training._rows).tolist() for _ in range(3))
    assert {len(first), len(second), len(third)} == {8}
    assert len({*first, *second}) == 16  # then a new order begins
    assert [*first, *second] != list(range(16))


def test_tinyconv_predicts():
    prediction = own.Prediction(network="fashion_perceptron", backend="numpy", samples=20, chunks=[7])
    np.testing.assert_allclose(prediction.predict(7).sum(axis=1), 1, rtol=1e-5)
    assert prediction.predict(7).shape == (20, 10)


# -- PyTorch ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("network", NETWORKS)
def test_pytorch_predicts_the_same(network, channels_last):
    pytest.importorskip("torch")
    from tinyconv.benchmarks.engines import pytorch

    model, x, _ = batch(network)
    prediction = pytorch.Prediction(network=network, samples=3, chunks=[2], channels_last=channels_last)
    np.testing.assert_allclose(prediction.predict(2), model.predict(x), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("network", ["mnist_convnet", "fashion_items", "cats_and_dogs"])
def test_pytorch_has_the_same_loss_and_gradients(network):
    pytest.importorskip("torch")
    from tinyconv.benchmarks.engines import pytorch

    model, x, y = batch(network)
    (expected,) = model.loss_and_gradients(x, y)
    training = pytorch.Training(network=network, samples=3, batch_size=3, warm=False)
    loss = training.loss(training.x[:], training.y)
    loss.backward()
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    kernel = model.layers[0].kernel.gradient  # (kh, kw, channels, filters)
    np.testing.assert_allclose(
        training.network[0 if network != "fashion_items" else 1].weight.grad, kernel.transpose(3, 2, 0, 1),
        rtol=1e-3, atol=1e-6,
    )


@pytest.mark.parametrize("options", [{}, {"channels_last": True}, {"fused_adam": True}])
def test_pytorch_takes_the_same_step(options):
    """Adam moves each weight by about the learning rate in the first step, whatever the size of its gradient."""
    pytest.importorskip("torch")
    from tinyconv.benchmarks.engines import pytorch

    training = pytorch.Training(network="fashion_items", batch_size=4, samples=8, warm=False, **options)
    before = training.network[1].weight.detach().clone()
    timed, _, loss = training.steps(1)
    moved = (training.network[1].weight.detach() - before).abs().max().item()
    assert timed == 1
    assert 0 < loss < 10
    assert moved == pytest.approx(0.001, rel=0.01)
    assert next(training.network.modules()).training


def test_pytorch_keeps_images_as_asked():
    pytest.importorskip("torch")
    from tinyconv.benchmarks.engines import pytorch

    x = np.arange(2 * 4 * 5 * 3, dtype=np.float32).reshape(2, 4, 5, 3)
    for channels_last in (False, True):
        images = pytorch.Images(x, channels_last)
        np.testing.assert_array_equal(images[[1]][0, 2], x[1, :, :, 2])
        assert images[[0, 1]].stride()[1] == (1 if channels_last else 4 * 5)


def test_a_layer_without_counterpart_is_named():
    pytest.importorskip("torch")
    from tinyconv.benchmarks.engines.twin import twin

    model = Sequential([layers.Input((4, 4, 1)), layers.GlobalAveragePooling2D()], backend="numpy")
    with pytest.raises(ValueError, match="GlobalAveragePooling2D"):
        twin(model)


# -- Keras ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS)
def test_keras_predicts_the_same(network):
    pytest.importorskip("keras")
    from tinyconv.benchmarks.engines import keras

    model, x, _ = batch(network)
    np.testing.assert_allclose(
        keras.Prediction(network=network, samples=3, chunks=[2]).predict(2), model.predict(x), rtol=1e-4, atol=1e-6
    )


def test_keras_trains():
    pytest.importorskip("keras")
    from tinyconv.benchmarks.engines import keras

    training = keras.Training(network="fashion_items", batch_size=4, samples=16, warm=False)
    timed, seconds, loss = training.steps(2)
    assert (timed, int(training.network.optimizer.iterations)) == (2, 3)  # the first step is not timed
    assert seconds > 0
    model, x, y = batch("fashion_items", 16)
    assert abs(loss - model.test_on_batch(x, y)[0]) < 1


# -- recipes ----------------------------------------------------------------------------------------------------------


def test_the_published_recipe():
    published = recipe("published")
    model = published.model((28, 28, 1), seed=1)
    shapes = [layer.output_shape for layer in model.layers if layer.parameters]
    assert shapes == [(24, 24, 24), (10, 10, 32), (256,), (10,)]
    assert model.count_params() == 624 + 6_944 + (5 * 5 * 32 + 1) * 256 + 2_570
    adam = model.optimizer.get_config()
    assert (adam["beta_1"], adam["beta_2"]) == (0.7, 0.9)
    rates = published.rates(60_000)
    assert len(rates) == 235
    assert 0.0099 < max(rates) <= 0.01
    assert rates[0] == pytest.approx(0.0004)
    assert rates[-1] < 1e-7


def test_seeds_differ_and_repeat():
    first, same, other = (recipe("published").model((28, 28, 1), seed=seed).get_weights()[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_train_on_mnist_shapes(name):
    model = recipe(name).model((28, 28, 1), seed=0)
    rng = np.random.default_rng(0)
    history = model.fit(rng.random((8, 28, 28, 1), np.float32), rng.integers(0, 10, 8), batch_size=8, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_an_unknown_recipe():
    with pytest.raises(ArgumentError, match="published"):
        recipe("publshed")


def test_pixels_are_normalised_and_the_test_set_is_whole():
    trial = own.Record(backend="numpy", recipe=tiny_recipe().as_json(), data="digits", limit=40)
    assert len(trial.x) == 40
    from tinyconv import datasets

    digits = datasets.load("digits")
    assert len(trial.x_test) == len(digits.x_test)
    expected = (digits.x_test[3].astype(np.float64) / 255 - 0.5) / 2
    np.testing.assert_allclose(trial.x_test[3], expected, atol=1e-6)
    assert set(trial.times()) == {"data_seconds", "warm_up_seconds"}


def test_both_learn_a_recipe():
    """A dense layer reads most of the digits after some epochs, in either framework."""
    found = {"tinyconv": own.Record(backend="numpy", recipe=tiny_recipe().as_json(), data="digits")}
    if pytest.importorskip("torch"):
        from tinyconv.benchmarks.engines import pytorch

        found["torch"] = pytorch.Record(recipe=tiny_recipe().as_json(), data="digits")
    for trial in found.values():
        turn = trial.turn(seed=1)
        assert turn["seconds"] > 0
        assert 0.8 < turn["accuracy"] <= 1


def tiny_recipe():
    from dataclasses import replace

    dense = {"class_name": "Dense", "config": {"units": 10, "activation": "softmax"}}
    return replace(
        recipe("published"), name="tiny", layers=({"class_name": "Flatten", "config": {}}, dense), batch_size=64,
        epochs=8, mean=0.5, deviation=2.0,
    )


def test_the_default_networks_are_in_the_zoo():
    from tinyconv.benchmarks import predict, train_throughput

    assert set(train_throughput.NETWORKS) <= set(zoo.names())
    assert {zoo.entry(name).input_shape for name in predict.NETWORKS} == {(28, 28, 1)}
