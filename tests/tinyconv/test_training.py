"""The training loop: what it computes, what it refuses, and what it leaves behind when it is stopped."""

import pickle
import signal
import threading
import tracemalloc
from copy import deepcopy
from math import ceil

import numpy as np
import pytest

from tinyconv import random
from tinyconv.callbacks import Callback, EarlyStopping, LearningRateScheduler
from tinyconv.errors import ArgumentError, DataError, DivergedError, ShapeError, StateError
from tinyconv.layers import BatchNormalization, Dense, Dropout
from tinyconv.models import Sequential, load_model
from tinyconv.optimizers import SGD, Adam
from tinyconv.schedules import OneCycle
from tinyconv.training import loop
from tinyconv.training.data import Gatherer, split
from tinyconv.training.history import RunningMeans
from tinyconv.training.interrupt import WholeStep
from tinyconv.training.snapshot import STEPS_BETWEEN_SNAPSHOTS


def make_model(optimizer=None, *, layers=None, seed=1, dtype="float32"):
    layers = layers or [Dense(8, activation="relu"), Dense(3, activation="softmax")]
    model = Sequential(layers, backend="numpy", seed=seed, dtype=dtype)
    model.build((4,))
    model.compile(Adam(0.01) if optimizer is None else optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return model


def make_data(samples=103, seed=0):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(samples, 4)).astype(np.float32)
    return x, (x @ generator.normal(size=(4, 3))).argmax(axis=1)


class Recorder(Callback):
    """Notes which hooks were called, and the weights after each step."""

    def __init__(self, stop=lambda epoch, batch: False):
        self.calls, self.weights, self.logs, self.stop = [], [], [], stop

    def on_train_begin(self):
        self.calls.append("train begin")

    def on_train_end(self):
        self.calls.append("train end")

    def on_epoch_begin(self, epoch):
        self.epoch = epoch
        self.calls.append(f"epoch {epoch} begin")

    def on_epoch_end(self, epoch, logs):
        self.calls.append(f"epoch {epoch} end")

    def on_train_batch_begin(self, batch):
        self.calls.append(f"batch {batch} begin")

    def on_train_batch_end(self, batch, logs):
        self.calls.append(f"batch {batch} end")
        self.weights.append(self.model.parameters.values.copy())
        self.logs.append(dict(logs))
        if self.stop(self.epoch, batch):
            raise KeyboardInterrupt


# -- what is computed -------------------------------------------------------------------------------------------------


def test_fit_is_shuffle_slice_step_for_every_epoch():
    x, y = make_data()
    model, by_hand = make_model(), make_model()
    model.fit(x, y, batch_size=32, epochs=2, verbose=0)
    for epoch in range(2):
        order = random.permutation(random.key(1, "shuffle", epoch), 103)
        for start in (0, 32, 64, 96):  # the last batch has 7 samples
            rows = order[start : start + 32]
            by_hand.train_on_batch(x[rows], y[rows])
    np.testing.assert_array_equal(model.parameters.values, by_hand.parameters.values)
    assert model.optimizer.iterations == 8
    assert model.epochs_seen == 2


def test_without_shuffling_batches_are_in_order():
    x, y = make_data(10)
    model, by_hand = make_model(), make_model()
    model.fit(x, y, batch_size=4, verbose=0, shuffle=False)
    for rows in (slice(0, 4), slice(4, 8), slice(8, 10)):
        by_hand.train_on_batch(x[rows], y[rows])
    np.testing.assert_array_equal(model.parameters.values, by_hand.parameters.values)


def test_a_second_fit_shuffles_anew_and_equals_one_long_fit():
    x, y = make_data()
    once, twice = make_model(), make_model()
    once.fit(x, y, epochs=3, verbose=0)
    twice.fit(x, y, epochs=1, verbose=0)
    twice.fit(x, y, epochs=3, initial_epoch=1, verbose=0)
    np.testing.assert_array_equal(once.parameters.values, twice.parameters.values)


def test_bytes_are_converted_to_the_dtype_of_the_model_and_not_scaled():
    x = np.random.default_rng(0).integers(0, 255, (50, 4), np.uint8)
    y = np.arange(50) % 3
    from_bytes, from_floats = make_model(), make_model()
    from_bytes.fit(x, y, verbose=0)
    from_floats.fit(x.astype(np.float64), y, verbose=0)
    np.testing.assert_array_equal(from_bytes.parameters.values, from_floats.parameters.values)


@pytest.mark.parametrize("arrange", [np.asfortranarray, lambda x: x[::-1][::-1], lambda x: np.repeat(x, 2, 0)[::2]])
def test_the_layout_of_the_images_in_memory_does_not_matter(arrange):
    x, y = make_data(50)
    strided = arrange(x)
    strided.flags.writeable = False
    plain, other = make_model(), make_model()
    plain.fit(x, y, verbose=0)
    other.fit(strided, y, verbose=0)
    np.testing.assert_array_equal(plain.parameters.values, other.parameters.values)


def test_one_hot_labels_and_class_numbers_train_alike():
    x, y = make_data()
    numbers, one_hot = make_model(), make_model()
    expected = numbers.fit(x, y, verbose=0, validation_split=0.1).history
    history = one_hot.fit(x, np.eye(3)[y], verbose=0, validation_split=0.1).history
    assert history == {name: pytest.approx(values) for name, values in expected.items()}


def test_validation_is_the_last_part_before_shuffling():
    x, y = make_data(100)
    model, other = make_model(), make_model()
    history = model.fit(x, y, epochs=2, verbose=0, validation_split=0.1)
    same = other.fit(x[:90], y[:90], epochs=2, verbose=0, validation_data=(x[90:], y[90:]))
    assert history.history == same.history
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert history.epoch == [0, 1]
    evaluated = model.evaluate(x[90:], y[90:], verbose=0)
    assert [history.history["val_loss"][-1], history.history["val_accuracy"][-1]] == pytest.approx(evaluated)


def test_running_means_weigh_batches_by_their_size():
    means = RunningMeans(["loss", "accuracy"])
    means.add([1.0, 0.5], 3)
    means.add([5.0, 0.0], 1)
    assert means.logs() == {"loss": 2.0, "accuracy": 0.375}
    means.reset()
    means.add([7.0, 1.0], 2)
    assert means.logs() == {"loss": 7.0, "accuracy": 1.0}


def test_logs_of_an_epoch_are_means_over_its_samples():
    x, y = make_data(10)
    model = make_model(SGD(0.0))  # nothing changes, so every batch sees the same network
    history = model.fit(x, y, batch_size=4, verbose=0)
    loss, accuracy = model.evaluate(x, y, batch_size=10, verbose=0)
    assert history.history["loss"] == [pytest.approx(loss, rel=1e-6)]
    assert history.history["accuracy"] == [pytest.approx(accuracy)]


def test_augment_gets_the_batch_and_a_key_per_step_and_its_result_is_trained_on():
    x, y = make_data(8)
    keys = []

    def double(batch, key):
        keys.append(key)
        assert batch.dtype == np.float32
        return 2.0 * batch.astype(np.float64)

    model, by_hand = make_model(), make_model()
    model.fit(x, y, batch_size=4, epochs=2, verbose=0, augment=double, validation_data=(x, y))
    by_hand.fit(2 * x, y, batch_size=4, epochs=2, verbose=0)
    np.testing.assert_array_equal(model.parameters.values, by_hand.parameters.values)
    assert keys == [random.key(1, "augment", step) for step in range(4)]


def test_a_schedule_lasts_for_the_steps_of_each_fit():
    x, y = make_data(40)
    model = make_model(Adam(OneCycle(max_learning_rate=0.1)))
    model.fit(x, y, batch_size=16, epochs=2, verbose=0)
    assert model.optimizer.learning_rate == OneCycle(max_learning_rate=0.1)  # its own length is open again
    history = model.fit(x, y, batch_size=16, epochs=4, verbose=0)  # after 6 steps, 12 more
    full = OneCycle(max_learning_rate=0.1, total_steps=18)
    assert history.history["learning_rate"] == [full(9), full(12), full(15), full(18)]


def test_the_rate_of_an_epoch_is_that_of_the_step_after_it():
    """What Keras's `optimizer.learning_rate` is at the end of an epoch; after the last step the rate stays."""

    class Rates(Callback):
        def __init__(self):
            self.taken = []

        def on_train_batch_begin(self, batch):
            self.taken.append(self.model.optimizer.current_learning_rate())

    x, y = make_data(16)
    rates, model = Rates(), make_model(SGD(OneCycle(max_learning_rate=0.1)))
    history = model.fit(x, y, batch_size=16, epochs=5, verbose=0, callbacks=[rates])  # of one step each
    assert len(set(rates.taken)) == 5
    assert rates.taken == [OneCycle(max_learning_rate=0.1, total_steps=5)(step) for step in range(5)]
    assert history.history["learning_rate"] == [*rates.taken[1:], rates.taken[-1]]


def test_evaluate_is_exact_for_any_batch_size():
    x, y = make_data()
    model = make_model(dtype="float64")
    whole = model.test_on_batch(x.astype(np.float64), y)
    for batch_size in (1, 7, 103, 500, None):
        assert model.evaluate(x, y, batch_size=batch_size, verbose=0) == pytest.approx(whole, rel=1e-12)
    named = model.evaluate(x, y, verbose=0, return_dict=True)
    assert named == {"loss": pytest.approx(whole[0]), "accuracy": pytest.approx(whole[1])}


def test_evaluate_without_metrics_is_a_number():
    x, y = make_data()
    model = make_model()
    model.compile("adam", "sparse_categorical_crossentropy")
    assert isinstance(model.evaluate(x, y, verbose=0), float)


def test_predict_works_in_chunks():
    x, _ = make_data()
    model = make_model(dtype="float64")
    expected = model.predict_on_batch(x.astype(np.float64)).copy()
    for batch_size in (1, 10, 103, None):
        predictions = model.predict(x, batch_size=batch_size)
        assert predictions.shape == (103, 3)
        np.testing.assert_allclose(predictions, expected, rtol=1e-12)


def test_batches_are_as_large_as_memory_allows():
    model = make_model()  # 8 + 3 (or, with activations apart, a few more) values of 4 bytes per sample
    assert loop.batch_that_fits(model, cap=44 * 100) == 100
    assert loop.batch_that_fits(model, cap=1) == 1
    assert loop.batch_that_fits(model, cap=10**12) == 1024


def test_gathering_reuses_its_memory():
    source = np.random.default_rng(0).integers(0, 255, (2000, 28, 28, 1), np.uint8)
    gatherer = Gatherer(source, 128, np.float32)
    order = np.random.default_rng(1).permutation(2000)
    first = gatherer.gather(order[:128])
    np.testing.assert_array_equal(first, source[order[:128]])
    tracemalloc.start()
    for start in range(128, 2000, 128):
        rows = order[start : start + 128]
        batch = gatherer.gather(rows)
        assert np.shares_memory(batch, first)
        assert np.array_equal(batch[-1], source[rows[-1]])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000  # a batch has 100 kB as bytes, 400 kB as floats


# -- callbacks and being stopped --------------------------------------------------------------------------------------


def test_hooks_are_called_in_order():
    x, y = make_data(8)
    recorder = Recorder()
    make_model().fit(x, y, batch_size=4, epochs=1, verbose=0, callbacks=[recorder])
    assert recorder.calls == [
        "train begin", "epoch 0 begin", "batch 0 begin", "batch 0 end", "batch 1 begin", "batch 1 end", "epoch 0 end",
        "train end",
    ]
    assert recorder.params == {
        "epochs": 1, "initial_epoch": 0, "steps": 2, "batch_size": 4, "samples": 8, "metrics": ["loss", "accuracy"],
    }


def test_stop_training_ends_after_the_epoch():
    class Stop(Callback):
        def on_train_batch_end(self, batch, logs):
            self.model.stop_training = True

    x, y = make_data()
    model = make_model()
    assert model.fit(x, y, epochs=5, verbose=0, callbacks=[Stop()]).epoch == [0]
    assert model.fit(x, y, epochs=2, verbose=0).epoch == [0, 1]  # and the wish is forgotten


def test_zero_epochs_change_nothing():
    x, y = make_data()
    model = make_model()
    before = model.parameters.values.copy()
    assert model.fit(x, y, epochs=0, verbose=0).history == {}
    np.testing.assert_array_equal(model.parameters.values, before)


def test_an_interruption_leaves_whole_steps_and_the_history():
    x, y = make_data()
    recorder = Recorder(stop=lambda epoch, batch: (epoch, batch) == (1, 1))
    model = make_model()
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, epochs=3, verbose=0, callbacks=[recorder])
    assert recorder.calls[-1] == "train end"
    assert model.optimizer.iterations == 4 + 2 == len(recorder.weights)
    np.testing.assert_array_equal(model.parameters.values, recorder.weights[-1])
    assert model.history.epoch == [0]
    assert model.epochs_seen == 1


def test_ctrl_c_within_a_step_waits_for_its_end():
    x, y = make_data()
    model, undisturbed = make_model(), make_model()
    update = model.optimizer.apply_gradients

    def pressed_before_the_second_update():
        if model.optimizer.iterations == 1:
            signal.raise_signal(signal.SIGINT)
        update()

    model.optimizer.apply_gradients = pressed_before_the_second_update
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, verbose=0)
    assert model.optimizer.iterations == 2
    recorder = Recorder()
    undisturbed.fit(x, y, verbose=0, callbacks=[recorder])
    np.testing.assert_array_equal(model.parameters.values, recorder.weights[1])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_takes_effect_at_once():
    reached = []

    def press_twice():
        with WholeStep():
            signal.raise_signal(signal.SIGINT)
            reached.append("after the first")
            signal.raise_signal(signal.SIGINT)
            reached.append("after the second")

    with pytest.raises(KeyboardInterrupt):
        press_twice()
    assert reached == ["after the first"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_training_works_outside_of_the_main_thread():
    x, y = make_data()
    model = make_model()
    thread = threading.Thread(target=lambda: model.fit(x, y, verbose=0))
    thread.start()
    thread.join()
    assert model.optimizer.iterations == 4


def test_divergence_goes_back_to_the_last_good_state():
    batch, steps = 2, STEPS_BETWEEN_SNAPSHOTS + 20
    x, y = make_data(batch * steps)
    kept = {}

    class Sabotage(Callback):
        """Makes the learning rate absurd some steps after the second snapshot."""

        def on_train_batch_begin(self, step):
            optimizer = self.model.optimizer
            if optimizer.iterations == steps + STEPS_BETWEEN_SNAPSHOTS:
                kept["weights"] = self.model.parameters.values.copy()
                kept["state"] = {name: tensor.copy() for name, tensor in optimizer.state_tensors().items()}
            if optimizer.iterations == steps + STEPS_BETWEEN_SNAPSHOTS + 10:
                optimizer.learning_rate = 1e38

    model = make_model(SGD(0.1, momentum=0.9))
    recorder = Recorder()
    with pytest.raises(DivergedError, match=r"step 11[0-9] of epoch 2.*learning rate of 1e\+38.*say 1e\+37"):
        model.fit(x, y, batch_size=batch, epochs=3, verbose=0, callbacks=[Sabotage(), recorder])
    assert recorder.calls[-1] == "train end"
    np.testing.assert_array_equal(model.parameters.values, kept["weights"])
    for name, tensor in model.optimizer.state_tensors().items():
        np.testing.assert_array_equal(tensor, kept["state"][name])
    assert model.optimizer.iterations == steps + STEPS_BETWEEN_SNAPSHOTS
    assert model.history.epoch == [0]


def test_divergence_in_the_very_last_step_is_noticed():
    x, y = make_data(8)
    model = make_model(SGD(1e30, clipvalue=None))
    before = model.parameters.values.copy()
    with pytest.raises(DivergedError, match="lower learning rate"):
        model.fit(1e10 * x, y, batch_size=8, verbose=0)
    np.testing.assert_array_equal(model.parameters.values, before)


def test_divergence_restores_moving_averages_too():
    x, y = make_data(40)
    model = make_model(SGD(1e30), layers=[Dense(8), BatchNormalization(), Dense(3, activation="softmax")])
    model.optimizer.learning_rate = 0.01
    model.fit(x, y, verbose=0)
    before = model.get_weights()
    model.optimizer.learning_rate = 0.0
    first_batch = random.permutation(random.key(1, "shuffle", 1), 40)[:4]
    model.train_on_batch(x[first_batch], y[first_batch])  # the moving averages see it
    expected = model.get_weights()
    model.set_weights(before)
    model.optimizer.learning_rate = 1e38
    with pytest.raises(DivergedError):
        model.fit(x, y, batch_size=4, epochs=2, verbose=0)
    for now, wanted in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(now, wanted)


class Doing(Callback):
    """Does something with the model when `hook` is called for the second time."""

    def __init__(self, hook, action):
        self.count = 0

        def act(*_):
            self.count += 1
            if self.count == 2:
                action(self.model)

        setattr(self, hook, act)


def frozen(model, place=0, *, to=False):
    model.layers[place].trainable = to


def widened(model):
    model.pop()
    model.add(Dense(6))
    model.add(Dense(3, activation="softmax"))


def test_a_model_may_be_changed_between_trainings():
    x, y = make_data()
    model = make_model()
    frozen(model)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, verbose=0)
    kept = model.layers[0].kernel.value.copy()
    frozen(model, to=True)
    model.fit(x, y, verbose=0)
    assert not np.array_equal(model.layers[0].kernel.value, kept)
    widened(model)
    model.fit(x, y, verbose=0)
    assert model.predict(x).shape == (103, 3)
    assert len(model.optimizer.state_tensors()) == 2 * 6 + 1


@pytest.mark.parametrize("copied", [deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_changed_model_can_be_copied_and_saved_without_training_it(copied, tmp_path):
    x, y = make_data()
    model = make_model()
    model.fit(x, y, verbose=0)
    widened(model)
    np.testing.assert_array_equal(copied(model).predict(x), model.predict(x))
    model.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(load_model(tmp_path / "model.safetensors").predict(x), model.predict(x))


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_epoch_end", "on_train_batch_begin", "on_train_batch_end"])
@pytest.mark.parametrize("change", [frozen, lambda model: model.compile("adam", model.loss), widened])
def test_divergence_goes_back_also_when_a_callback_has_changed_the_model(hook, change):
    x, y = make_data()
    model = make_model(SGD(0.1, momentum=0.9))
    fast = LearningRateScheduler(lambda epoch, rate: 1e38 if epoch >= 3 else 0.1)
    before = []
    noting = Doing("on_epoch_begin", lambda model: None)
    noting.on_epoch_begin = lambda epoch: before.append(model.get_weights())
    with pytest.raises(DivergedError, match="training has diverged"):
        model.fit(x, y, epochs=5, batch_size=40, verbose=0, callbacks=[Doing(hook, change), fast, noting])
    for now, wanted in zip(model.get_weights(), before[3], strict=True):
        np.testing.assert_array_equal(now, wanted)


def test_dropout_masks_continue_over_epochs_and_fits():
    x, y = make_data()
    layers = lambda: [Dense(8, activation="relu"), Dropout(0.5), Dense(3, activation="softmax")]  # noqa: E731
    once, twice = make_model(layers=layers()), make_model(layers=layers())
    once.fit(x, y, epochs=2, verbose=0)
    twice.fit(x, y, epochs=1, verbose=0)
    twice.fit(x, y, epochs=2, initial_epoch=1, verbose=0)
    np.testing.assert_array_equal(once.parameters.values, twice.parameters.values)


# -- what is refused --------------------------------------------------------------------------------------------------


def broken(change):
    x, y = make_data(20)
    return change(x.copy(), y.copy())


def with_value(array, index, value):
    array = array.astype(np.float64)
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        (lambda x, y: (x[:0], y[:0]), DataError, r"x has no samples \(shape \(0, 4\)\)"),
        (lambda x, y: (x, y[:19]), ShapeError, "y has 19 labels, but there are 20 images"),
        (lambda x, y: (x, 3), ShapeError, "no length"),
        (lambda x, y: (with_value(x, (7, 2), np.nan), y), DataError, r"x\[7\] contains NaN or infinity"),
        (lambda x, y: (with_value(x, (0, 0), np.inf), y), DataError, r"x\[0\] contains NaN or infinity"),
        (lambda x, y: (x, y / 2), DataError, "whole numbers"),
        (lambda x, y: (x, y + 1), DataError, r"0 … 2.*is 3"),
        (lambda x, y: (x, y - 1), DataError, "is -1"),
        (lambda x, y: (x, with_value(y, 3, np.nan)), DataError, "y contains NaN"),
        (lambda x, y: (x, y.astype(str)), DataError, "Number the classes"),
        (lambda x, y: (x, [[1], [2, 3]] * 10), DataError, "parts differ in shape"),
        (lambda x, y: ([[1.0], [2.0, 3.0]] * 10, y), DataError, "parts differ in shape"),
        (lambda x, y: (x.astype(np.float64) * 1e300, y), DataError, r"x\[0\] has numbers that float32 cannot hold"),
        (lambda x, y: (x, np.eye(4)[y]), DataError, r"\(20, 4\)"),
        (lambda x, y: (x[:, :3], y), ShapeError, r"dense works on inputs of shape \(None, 4\).*x has shape \(\d+, 3\)"),
        (lambda x, y: (np.array(["a"] * 20), y), DataError, "must hold numbers"),
        (lambda x, y: (np.array([x[0], [1.0]] * 10, dtype=object), y), DataError, "different sizes"),
    ],
)
def test_unusable_data_are_refused_with_a_sentence(change, error, sentence):
    x, y = broken(change)
    model = make_model()
    before = model.parameters.values.copy()
    with pytest.raises(error, match=sentence):
        model.fit(x, y, verbose=0)
    with pytest.raises(error, match=sentence):
        model.evaluate(x, y, verbose=0)
    good_x, good_y = make_data(20)
    with pytest.raises(error, match=f"validation {sentence}" if sentence[0] in "xy" else sentence):
        model.fit(good_x, good_y, verbose=0, validation_data=(x, y))
    np.testing.assert_array_equal(model.parameters.values, before)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"batch_size": 2.5}, "batch_size"),
        ({"epochs": -1}, "epochs must be a whole number of at least 0"),
        ({"initial_epoch": -1}, "initial_epoch"),
        ({"validation_split": 1.0}, "validation_split must be a number of at least 0 and below 1"),
        ({"validation_split": -0.1}, "validation_split"),
        ({"validation_split": 0.99}, "leaves one of the two parts empty"),
        ({"verbose": 3}, "verbose must be"),
        ({"validation_data": np.ones((20, 4))}, "must be a pair"),
        ({"validation_data": (1, 2, 3)}, "must be a pair"),
        ({"callbacks": [EarlyStopping]}, "objects like EarlyStopping"),
        ({"callbacks": 3}, "objects like EarlyStopping"),
        ({"augment": 3}, "must be a function"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, sentence):
    x, y = make_data(20)
    with pytest.raises(ArgumentError, match=sentence):
        make_model().fit(x, y, **{"verbose": 0, **arguments})


def test_a_tiny_split_of_few_samples_is_refused_rather_than_empty():
    x, y = make_data(5)
    (kept, _), held_out = split(x, y, 0.25)
    assert (len(kept), len(held_out[0])) == (3, 2)  # floor of 3.75, as Keras
    assert split(x, y, 0)[1] is None


def test_training_needs_a_compiled_model():
    x, y = make_data()
    model = Sequential([Dense(3)], backend="numpy")
    with pytest.raises(StateError, match="call compile"):
        model.fit(x, y, verbose=0)


def test_an_unbuilt_model_is_built_for_the_data():
    x, y = make_data()
    model = Sequential([Dense(3, activation="softmax")], backend="numpy")
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    assert model.fit(x, y, verbose=0).history["loss"][0] > 0
    assert model.input_shape == (None, 4)


def test_learning_rates_set_by_a_callback_stay():
    x, y = make_data()
    model = make_model()
    history = model.fit(x, y, epochs=2, verbose=0, callbacks=[LearningRateScheduler(lambda epoch, rate: rate / 2)])
    assert history.history["learning_rate"] == [0.005, 0.0025]
    assert model.optimizer.learning_rate == 0.0025


def test_steps_count_the_last_partial_batch():
    x, y = make_data(103)
    recorder = Recorder()
    make_model().fit(x, y, batch_size=10, verbose=0, callbacks=[recorder])
    assert recorder.params["steps"] == ceil(103 / 10) == len(recorder.weights)


def test_one_callback_needs_no_list_and_no_batch_size_means_keras_32():
    x, y = make_data()
    recorder = Recorder()
    make_model().fit(x, y, batch_size=None, callbacks=recorder, verbose=0)
    assert recorder.params["batch_size"] == 32
    assert "epoch 0 end" in recorder.calls


def test_an_augmentation_must_keep_the_shape():
    x, y = make_data()
    with pytest.raises(ShapeError, match=r"augment made \(31, 4\) of a batch of shape \(32, 4\)"):
        make_model().fit(x, y, augment=lambda batch, key: batch[1:], verbose=0)


def test_a_training_can_be_stopped_after_a_step():
    class Stop(Callback):
        def on_train_batch_end(self, batch, logs):
            self.model.stop_training = batch == 1

    x, y = make_data()
    model = make_model()
    history = model.fit(x, y, epochs=3, callbacks=Stop(), verbose=0, validation_split=0.2)
    assert model.optimizer.iterations == 2
    assert history.epoch == [0]
    assert "val_loss" in history.history
