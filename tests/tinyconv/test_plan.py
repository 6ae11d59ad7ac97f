"""The plan: what it fuses, that fusing changes no number, and that a step allocates nothing."""

import gc
import tracemalloc
import weakref

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tinyconv import losses
from tinyconv.devices import Compiled
from tinyconv.errors import DataError, DivergedError, StateError
from tinyconv.kernels.threads import current as current_threads
from tinyconv.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Layer,
    MaxPooling2D,
    ReLU,
    Rescaling,
    Softmax,
    activations,
)
from tinyconv.models import Sequential
from tinyconv.plan import ConvReluMaxPool
from tinyconv.utils import readable, set_threads

SHAPE = (9, 11, 2)


def images(n=6, shape=SHAPE, dtype="float32"):
    return np.random.default_rng(0).normal(size=(n, *shape)).astype(dtype)


def build(rows, *, fuse=True, backend="numpy", dtype="float64", loss="categorical_crossentropy"):
    model = Sequential(rows, backend=backend, dtype=dtype, fuse=fuse, seed=1)
    model.build((None, *SHAPE))
    model.compile("sgd", loss, metrics=["accuracy"])
    return model


def conv_net():
    return [
        Conv2D(4, 3, activation="relu"), MaxPooling2D(), Dropout(0.25), Flatten(), Dense(8, activation="relu"),
        Dropout(0.5), Dense(3, activation="softmax"),
    ]


MODELS = {
    "conv-net": (conv_net, "categorical_crossentropy"),
    "separate-activations": (
        lambda: [
            Conv2D(3, (2, 3), padding="same", strides=(1, 2)), ReLU(), MaxPooling2D((3, 2), strides=2, padding="same"),
            Conv2D(4, 2, use_bias=False), Activation("relu"), MaxPooling2D(), Flatten(), Dense(3), Softmax(),
        ],
        "sparse_categorical_crossentropy",
    ),
    "whole-vectors": (
        lambda: [
            Conv2D(16, 3, activation="relu"), Conv2D(32, 3, padding="same"), ReLU(), Dropout(0.3),
            Conv2D(16, (1, 2), activation="relu", use_bias=False), Flatten(), Dense(3, activation="softmax"),
        ],
        "categorical_crossentropy",
    ),
    "two-convs-before-the-pool": (
        lambda: [
            Conv2D(3, 3, activation="relu"), Conv2D(3, 3, activation="relu", dilation_rate=2), MaxPooling2D(),
            GlobalAveragePooling2D(), Dense(3), Activation("softmax"),
        ],
        "categorical_crossentropy",
    ),
    "normalised": (
        lambda: [
            Rescaling(0.5), Conv2D(3, 3), BatchNormalization(), ReLU(), MaxPooling2D(), Dropout(0.2), Flatten(),
            Dense(3, activation="tanh"), Dense(3, activation="softmax"),
        ],
        "categorical_crossentropy",
    ),
    "relu-before-softmax": (
        lambda: [Flatten(), Dense(3, activation="relu"), Softmax()],
        losses.CategoricalCrossentropy(label_smoothing=0.1),
    ),
    "logits": (lambda: [Flatten(), Dense(3)], losses.CategoricalCrossentropy(from_logits=True)),
    "penalties": (
        lambda: [Conv2D(2, 3, activation="relu", kernel_regularizer="l2"), MaxPooling2D(), Flatten(),
                 Dense(3, activation="softmax", kernel_regularizer="l1")],
        "categorical_crossentropy",
    ),
}


# -- fusing changes no number -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("name", MODELS)
def test_fused_and_unfused_agree(name, backend):
    make, loss = MODELS[name]
    fused, plain = (build(make(), fuse=fuse, backend=backend, loss=loss) for fuse in (True, False))
    x, y = images(dtype="float64"), np.array([0, 1, 2, 2, 1, 0])
    assert_allclose(fused.loss_and_gradients(x, y), plain.loss_and_gradients(x, y), rtol=1e-10)
    assert_allclose(fused.parameters.gradients, plain.parameters.gradients, rtol=1e-8, atol=1e-12)
    assert np.abs(fused.parameters.gradients).max() > 1e-3
    for model in (fused, plain):
        model.train_on_batch(x, y)
    assert_allclose(fused.test_on_batch(x[:4], y[:4]), plain.test_on_batch(x[:4], y[:4]), rtol=1e-9)
    assert_allclose(fused.predict_on_batch(x), plain.predict_on_batch(x), rtol=1e-9)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_binary_fused_and_unfused_agree(backend):
    def rows():
        return [Flatten(), Dense(4, activation="tanh"), Dense(1, activation="sigmoid")]

    fused, plain = (build(rows(), fuse=fuse, backend=backend, loss="binary_crossentropy") for fuse in (True, False))
    x, y = images(dtype="float64"), np.array([0, 1, 1, 0, 1, 0])
    assert_allclose(fused.loss_and_gradients(x, y), plain.loss_and_gradients(x, y), rtol=1e-10)
    assert_allclose(fused.parameters.gradients, plain.parameters.gradients, rtol=1e-8, atol=1e-12)


def test_backward_from_predictions_agrees():
    fused, plain = build(conv_net()), build(conv_net(), fuse=False)
    x, dy = images(dtype="float64"), np.random.default_rng(1).normal(size=(6, 3))
    kept = dy.copy()
    for model in (fused, plain):
        model.forward(x, training=True)
    assert fused.backward(dy) is None
    assert plain.backward(dy).shape == x.shape
    assert_array_equal(dy, kept)
    assert_allclose(fused.parameters.gradients, plain.parameters.gradients, rtol=1e-8, atol=1e-12)


def test_a_fused_step_leaves_the_data_alone():
    model = build([ReLU(), Dropout(0.5), Flatten(), Dense(3, activation="softmax")])
    x = images(dtype="float64")
    x.flags.writeable = False
    model.train_on_batch(x, np.zeros(6, int))


@pytest.mark.parametrize("fuse", [True, False])
def test_a_models_layers_can_be_called_alone(fuse):
    model = build([Conv2D(2, 3), ReLU(), Dropout(0.5), Flatten(), Dense(3, activation="softmax")], fuse=fuse)
    x = images(dtype="float64")
    predictions = model.predict_on_batch(x)
    outputs = [x]
    for layer in model.layers:
        kept = outputs[-1].copy()
        outputs.append(layer(outputs[-1]))
        assert_array_equal(outputs[-2], kept)
    assert_allclose(outputs[-1], predictions)
    dy = np.ones_like(predictions)
    for layer in reversed(model.layers):
        kept = dy.copy()
        dx = layer.backward(dy)
        assert_array_equal(dy, kept)
        dy = dx
    assert dy.shape == x.shape


def test_certain_and_wrong_has_a_gradient_when_fused():
    for fuse, expected in ((True, 100.0), (False, -np.log(1e-7))):
        model = build([Flatten(), Dense(3, activation="softmax")], fuse=fuse)
        model.layers[1].bias.value[0] += 100
        model.layers[1].kernel.value[...] = 0
        (value, _) = model.loss_and_gradients(images(1), [1])
        assert value == pytest.approx(expected)
        assert abs(model.layers[1].bias.gradient[1]) == pytest.approx(1 if fuse else 0)


# -- what is fused ----------------------------------------------------------------------------------------------------


def kinds(rows, **options):
    return [type(step).__name__ for step in build(rows, **options).plan.steps]


def test_conv_relu_maxpool_are_one_step_where_the_backend_can():
    assert kinds(conv_net(), backend="numba")[:2] == ["ConvReluMaxPool", "Dropout"]
    assert kinds(conv_net(), backend="numpy")[:2] == ["Conv2D", "MaxPooling2D"]
    assert kinds(conv_net(), backend="numba", fuse=False)[:2] == ["Conv2D", "MaxPooling2D"]
    rest = [GlobalAveragePooling2D(), Dense(3)]
    assert kinds([Conv2D(2, 3), ReLU(), MaxPooling2D(), *rest], backend="numba")[0] == "ConvReluMaxPool"
    whole = [Conv2D(16, 3, activation="relu"), Conv2D(32, 3), ReLU(), GlobalAveragePooling2D(), Dense(3)]
    assert kinds(whole, backend="numba")[:2] == ["ConvReluMaxPool", "ConvReluMaxPool"]


@pytest.mark.parametrize(
    "rows",
    [
        lambda: [Conv2D(2, 3), MaxPooling2D()],
        lambda: [Conv2D(2, 3, activation="tanh"), MaxPooling2D()],
        lambda: [Conv2D(2, 3, activation="tanh"), ReLU(), MaxPooling2D()],
        lambda: [Conv2D(2, 3, activation="relu"), Dropout(0.1), MaxPooling2D()],
        lambda: [Conv2D(2, 3, activation="relu"), Conv2D(2, 3)],
    ],
)
def test_other_neighbours_are_not(rows):
    assert "ConvReluMaxPool" not in kinds([*rows(), GlobalAveragePooling2D(), Dense(3)], backend="numba")


def test_a_plan_is_made_again_for_study_mode():
    model = build(conv_net(), backend="numba")
    assert isinstance(model.plan.steps[0], ConvReluMaxPool)
    assert model.plan is model.plan
    model.fuse = False
    assert model.plan.steps == model.layers
    assert model.plan.nbytes == 0


def in_place(*rows):
    return build([*rows, GlobalAveragePooling2D(), Dense(3)]).plan.in_place[: len(rows)]


def test_in_place_only_where_nobody_reads_the_input_again():
    assert in_place(Conv2D(2, 3), ReLU()) == [False, True]
    assert in_place(Conv2D(2, 3), BatchNormalization(), ReLU(), Dropout(0.1)) == [False, False, True, False]
    assert in_place(Conv2D(2, 3, activation="tanh"), ReLU()) == [False, False]
    assert in_place(Conv2D(2, 3, activation="relu"), MaxPooling2D(), Dropout(0.1)) == [False, False, True]
    assert in_place(Conv2D(2, 3, activation="relu"), Dropout(0.1), ReLU()) == [False, False, False]
    assert in_place(Conv2D(2, 3), Dropout(0.1), ReLU()) == [False, True, True]
    assert in_place(ReLU(), Dropout(0.1)) == [False, False]  # x belongs to the user; y of ReLU is read again
    assert in_place(Dropout(0.1), ReLU()) == [False, False]  # dropout may return the user's x


def test_no_gradient_below_the_first_weights():
    model = build([Rescaling(2.0), Conv2D(2, 3), MaxPooling2D(), Flatten(), Dense(3)], loss="mse")
    assert model.plan.needs_input_gradient == [False, False, True, True, True]
    model.fuse = False
    assert all(model.plan.needs_input_gradient)


def test_study_mode_keeps_every_output():
    model = build(conv_net(), fuse=False)
    x = images(dtype="float64")
    y = model.forward(x)
    assert [layer.output.shape[1:] for layer in model.layers] == [layer.output_shape for layer in model.layers]
    assert_array_equal(model.layers[-1].output, y)
    first = model.layers[0].output.copy()
    assert first.min() >= 0
    assert_array_equal(model.layers[1].forward(first), model.layers[1].output)
    model.fuse = True
    model.forward(x)
    assert model.layers[0].output is None


# -- tapes ------------------------------------------------------------------------------------------------------------


def trained(monkeypatch, make, loss, *, tapes, dtype="float32", one_hot=False):
    """Losses, metrics, gradients and weights of steps with several batch sizes, and whether they came from tapes."""
    monkeypatch.setattr(Compiled, "tapes", tapes)
    model = build(make(), backend="numba", loss=loss, dtype=dtype)
    model.compile("adam", loss, metrics=["accuracy", "mae"] if one_hot else ["accuracy"])
    rng = np.random.default_rng(3)
    seen = []
    for step, n in enumerate((6, 6, 6, 3, 6, 3, 3, 6, 9, 9, 6, 9, 6, 6)):
        x = rng.normal(size=(n, *SHAPE)).astype(dtype)
        y = rng.integers(0, 3, n)
        seen.append(model.train_on_batch(x, np.eye(3)[y] if one_hot else y))
        seen.append(model.test_on_batch(x, np.eye(3)[y] if one_hot else y))  # takes the same memory
        seen.append([parameter.gradient.copy() for parameter in model.weights])
        if step == 5:
            model.set_weights([weight * 0.9 for weight in model.get_weights()])
    return seen, model.get_weights(), any(tape.repeats for tape in model.plan._tapes.values())


@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_step_from_a_tape_has_the_same_bits(name, dtype, one_hot, monkeypatch):
    if one_hot and MODELS[name][1] == "sparse_categorical_crossentropy":
        pytest.skip("this loss takes numbers")
    repeated = trained(monkeypatch, *MODELS[name], tapes=True, dtype=dtype, one_hot=one_hot)
    run = trained(monkeypatch, *MODELS[name], tapes=False, dtype=dtype, one_hot=one_hot)
    for one, other in zip(repeated[0] + repeated[1], run[0] + run[1], strict=True):
        for number, same in zip(one, other, strict=True):
            assert_array_equal(number, same)
    assert repeated[2]
    assert not run[2]


def test_a_tape_notices_what_someone_changes():
    """A rate, a momentum, frozen layers, a larger batch, another loss: the next step follows."""
    results = []
    for tapes in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Compiled, "tapes", tapes)
            model = build(MODELS["normalised"][0](), backend="numba", dtype="float32")
            rescaling, normalisation, dropout = model.layers[0], model.layers[2], model.layers[5]

            def freeze(model=model):
                model.layers[1].trainable = False

            changes = {
                3: lambda layer=dropout: setattr(layer, "rate", 0.6),
                6: lambda layer=normalisation: setattr(layer, "momentum", 0.5),
                9: lambda layer=rescaling: setattr(layer, "scale", 2.0),
                12: freeze,
                15: lambda model=model: model.compile("sgd", losses.CategoricalCrossentropy(label_smoothing=0.3)),
            }
            values = []
            for step in range(18):
                changes.get(step, lambda: None)()
                n = 4 if step < 8 else 8
                values.append(model.train_on_batch(images(8)[:n] + step, np.arange(n) % 3)[0])
            results.append((values, model.get_weights()))
    assert results[0][0] == results[1][0]
    for one, other in zip(results[0][1], results[1][1], strict=True):
        assert_array_equal(one, other)


class Shifted(Conv2D):
    """A convolution and 1."""

    def forward_logits(self, x):
        z = super().forward_logits(x)
        z += 1
        return z


class Swish(activations.ActivationFunction):
    """x · sigmoid(x), in NumPy."""

    def __init__(self):
        super().__init__("swish")

    def forward(self, x, out=None, *, backend=None):
        self.x, self.sigmoid = x.copy(), 1 / (1 + np.exp(-x))
        return np.multiply(x, self.sigmoid, out=out)

    def backward(self, dy, y, out=None, *, backend=None):
        return np.multiply(dy, self.sigmoid + self.x * self.sigmoid * (1 - self.sigmoid), out=out)


class Plus:
    """Mixed in: adds 1 in NumPy."""

    def forward(self, x, training=False):
        y = super().forward(x, training)
        y += 1
        return y


class Noisy(Plus, Dropout):
    """Changes the result of its base."""


class Fading(Dropout):
    """Its rate falls from step to step."""

    @property
    def rate(self):
        return 0.5 / (1 + int(np.ravel(self.step)[0]))

    @rate.setter
    def rate(self, value):
        pass


class Doubled(losses.CategoricalCrossentropy):
    """Twice the loss, in NumPy."""

    def on_logits(self, *arguments, **options):
        value, dlogits = super().on_logits(*arguments, **options)
        dlogits *= 2
        return 2 * value, dlogits


class Halved(losses.CategoricalCrossentropy):
    """Half of the loss, between two kernels."""

    def launch(self, *arguments, **options):
        values, dlogits = super().launch(*arguments, **options)
        values *= 0.5
        dlogits *= 0.5
        return values, dlogits


class Squared(losses.Loss):
    """Knows no targets, and no `launch`."""

    from_logits = True

    def on_logits(self, y_true, logits, *, backend=None, out=None):
        difference = logits - np.eye(3)[y_true]
        return float((difference**2).mean()), 2 * difference / difference.size


class Wavering(losses.CategoricalCrossentropy):
    """Its targets are of another dtype each time."""

    only_launches = True
    count = 0

    def targets(self, y_true, shape, dtype):
        self.count += 1
        return np.eye(3, dtype=("float32", "float64")[self.count % 2])[y_true]


def hooked(layer):
    """Replace a method of one object, as people do who want to look."""
    forward = layer.forward_logits
    layer.forward_logits = lambda x: forward(x) * 2


OTHERS = {  # name: layer in the middle, loss, what happens to the model before the fifth step
    "activation": (lambda: Dense(4, Swish()), None, None),
    "mixin": (lambda: Noisy(0.5), None, None),
    "property": (lambda: Fading(0.5), None, None),
    "on-logits": (lambda: Dense(4), Doubled(), None),
    "launch": (lambda: Dense(4), Halved(), None),
    "own-loss": (lambda: Dense(4), Squared(), None),
    "wavering": (lambda: Dense(4), Wavering(), None),
    "hooked": (lambda: Dense(4), None, lambda model: hooked(model.layers[1])),
    "tanh": (
        lambda: Dense(4, "relu"), None, lambda model: setattr(model.layers[1], "activation", activations.get("tanh"))
    ),
    "other-mask": (lambda: Dropout(0.5), None, lambda model: setattr(model.layers[1], "seed", 7)),
    "array-rate": (lambda: Dropout(0.5), None, lambda model: setattr(model.layers[1], "rate", np.array(0.2))),
    "frozen-for-a-moment": (
        lambda: Dense(4), None, lambda model: [setattr(model.layers[1], "trainable", value) for value in (False, True)]
    ),
    "threads": (lambda: Dense(4), None, lambda model: set_threads(1)),
}


@pytest.mark.parametrize("pools", [True, False])
def test_a_convolution_of_ones_own_is_not_fused(pools):
    predictions = []
    for fuse in (True, False):
        rows = [Shifted(16, 3, activation="relu"), *[MaxPooling2D()] * pools, Flatten(), Dense(3, activation="softmax")]
        predictions.append(build(rows, backend="numba", fuse=fuse).predict_on_batch(images(dtype="float64")))
    assert_allclose(predictions[0], predictions[1], rtol=1e-12)


@pytest.mark.parametrize("name", OTHERS)
def test_what_no_tape_can_know_is_computed(name, monkeypatch):
    make, loss, change = OTHERS[name]
    results, threads = [], current_threads()
    for tapes in (True, False):
        monkeypatch.setattr(Compiled, "tapes", tapes)
        last = Dense(3) if name == "own-loss" else Dense(3, activation="softmax")
        model = build([Flatten(), make(), last], backend="numba", loss=loss or "categorical_crossentropy")
        values = []
        for step in range(9):
            if change is not None and step == 5:
                change(model)
            x = 0.1 * (images(dtype="float64") + step)
            values.append(model.train_on_batch(x, np.arange(6) % 3)[0])
        set_threads(threads)
        results.append((values, model.get_weights()))
    assert results[0][0] == results[1][0]
    for one, other in zip(results[0][1], results[1][1], strict=True):
        assert_array_equal(one, other)


def test_a_subclass_says_itself_what_only_launches():
    class Renamed(Dense):
        """Changes no arithmetic, but who knows."""

    class Said(Dense):
        only_launches = True

    assert [kind.only_launches for kind in (Dense, Renamed, Said, Noisy, Swish, Doubled)] == [
        True, False, True, False, False, False
    ]


def test_gradients_that_are_views_are_scaled_all_the_same():
    class Permuted(Layer):
        def compute_output_shape(self, input_shape):
            return input_shape[::-1]

        def forward(self, x, training=False):
            return np.ascontiguousarray(x.transpose(0, 3, 2, 1))

        def backward(self, dy):
            return dy.transpose(0, 3, 2, 1)

    gradients = []
    for backend in ("numpy", "numba"):
        rows = [Conv2D(2, 3), Rescaling(2.0), ReLU(), Dropout(0.2), Permuted(), Flatten(), Dense(3, "softmax")]
        model = build(rows, backend=backend)
        model.loss_and_gradients(images(dtype="float64"), np.arange(6) % 3)
        gradients.append(model.layers[0].kernel.gradient.copy())
    assert_allclose(gradients[0], gradients[1], rtol=1e-9)


def test_a_batch_that_augmenting_looks_at_stays_what_it_is(monkeypatch):
    results = []
    for tapes in (True, False):
        monkeypatch.setattr(Compiled, "tapes", tapes)
        model = build(conv_net(), backend="numba", dtype="float32")

        def augment(batch, key, model=model):
            model.predict_on_batch(np.full(batch.shape, 7, "u1"))  # is converted in the memory for inputs
            return batch

        history = model.fit(images(12), np.arange(12) % 3, batch_size=4, epochs=3, augment=augment, verbose=0)
        results.append(history.history)
    assert results[0] == results[1]


def test_a_model_that_is_dropped_is_gone_at_once():
    model = build(conv_net(), backend="numba")
    for _ in range(4):
        model.train_on_batch(images(dtype="float64"), np.arange(6) % 3)
    assert all(tape.repeats for tape in model.plan._tapes.values())
    plan = weakref.ref(model.plan)
    gc.disable()
    try:
        del model
        assert plan() is None
    finally:
        gc.enable()


def test_tapes_of_what_was_changed_are_dropped():
    model = build(conv_net(), backend="numba")
    for step in range(30):
        model.layers[2].rate = 0.01 * step
        model.train_on_batch(images(dtype="float64"), np.arange(6) % 3)
        assert len(model.plan._tapes) == 1


def test_after_a_step_from_a_tape_there_is_nothing_to_go_back_from():
    model = build(conv_net(), backend="numba")
    x, y = images(dtype="float64"), np.arange(6) % 3
    for _ in range(4):
        predictions = model.forward(x)
        model.train_on_batch(x, y)
        with pytest.raises(StateError, match="nothing to go back from"):
            model.backward(np.ones_like(predictions))


def test_memory_that_is_given_back_is_not_kept_by_tapes():
    model = build(conv_net(), backend="numba")
    x, y = images(dtype="float64"), np.arange(6) % 3
    first = [model.train_on_batch(x, y)[0] for _ in range(4)]
    memory = [weakref.ref(array) for array in model.plan.workspace.memory()]
    model.plan.release()
    gc.collect()
    kept = [one for one in memory if one() is not None]
    assert len(kept) < len(memory) / 2  # layers still have the last batch's
    assert model.train_on_batch(x, y)[0] < first[-1]


def test_labels_are_checked_before_a_step_from_a_tape():
    model = build(conv_net(), backend="numba")
    x, y = images(dtype="float64"), np.arange(6) % 3
    for _ in range(3):
        model.train_on_batch(x, y)
    weights = model.get_weights()
    with pytest.raises(DataError, match="label 2 is 7"):
        model.train_on_batch(x, [0, 1, 7, 0, 1, 2])
    with pytest.raises(DivergedError, match="changed"):
        model.train_on_batch(np.full_like(x, np.nan), y)
    for one, other in zip(weights, model.get_weights(), strict=True):
        assert_array_equal(one, other)
    assert np.isfinite(model.train_on_batch(x, y)[0])


# -- memory -----------------------------------------------------------------------------------------------------------


def biggest_allocation(action):
    """Peak bytes of Python and NumPy memory above the start, while `action` runs."""
    tracemalloc.start()
    try:
        start = tracemalloc.get_traced_memory()[0]
        action()
        return tracemalloc.get_traced_memory()[1] - start
    finally:
        tracemalloc.stop()


def test_a_step_allocates_no_arrays_once_its_batch_size_is_known():
    model = Sequential(
        [
            Conv2D(8, 3, activation="relu", input_shape=(20, 20, 1)), MaxPooling2D(), Conv2D(8, 3),
            BatchNormalization(), ReLU(), Dropout(0.25), Flatten(), Dense(32, activation="relu"), Dropout(0.5),
            Dense(10, activation="softmax"),
        ],
        backend="numba",
    )
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    x = images(64, (20, 20, 1))
    y = (np.arange(64) % 10).astype(np.int64)
    def epoch():
        model.train_on_batch(x, y)
        model.train_on_batch(x[:24], y[:24])  # a last batch that is not full
        model.test_on_batch(x[:24], y[:24])

    for _ in range(3):  # the first time the memory is made, then the step's kernels are written down
        epoch()
    held = model.plan.nbytes
    assert biggest_allocation(lambda: np.empty(5000, np.float32)) >= 20_000  # arrays are counted
    assert biggest_allocation(epoch) < 10_000  # views, labels and numbers; the smallest picture is 38,400 bytes
    assert model.plan.nbytes == held


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_batches_of_every_size_agree(backend):
    model = build(conv_net(), backend=backend)
    x = images(7, dtype="float64")
    whole = model.predict_on_batch(x)
    parts = [model.predict_on_batch(x[i : i + 3]) for i in (0, 3, 6)]  # kept while the plan's memory is used again
    assert_allclose(np.concatenate(parts), whole, rtol=1e-12)


def test_a_layer_may_be_called_like_a_kernel():
    """The plan keeps the memory of layers and the scratch memory of kernels by name, in one place."""
    models = []
    for name in ("conv_relu_maxpool", "other"):
        rows = [
            Conv2D(4, 3, activation="relu"), MaxPooling2D(), Conv2D(4, 3, padding="same", activation="relu", name=name),
            MaxPooling2D(), Flatten(), Dense(3, activation="softmax"),
        ]
        models.append(build(rows, backend="numba", dtype="float32"))
    models[1].set_weights(models[0].get_weights())
    for model in models:
        model.train_on_batch(images(), np.eye(3)[[0, 1, 2, 0, 1, 2]])
    for mine, other in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        assert_array_equal(mine, other)


def test_the_plan_tells_its_memory_and_im2cols_part():
    model = build(conv_net())
    model.forward(images())
    columns = 6 * 7 * 9 * (3 * 3 * 2) * 8  # images, output pixels, taps of the larger convolution, bytes
    share = f"{readable(columns)} of it for im2col (capped at 64.00 MiB)"
    assert model.plan.memory() == f"{readable(model.plan.nbytes)} for batches, {share}"
    assert "study mode" in build(conv_net(), fuse=False).plan.memory()
