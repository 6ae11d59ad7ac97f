"""Keras's HDF5 layout: what is in a file of ours, and files as Keras 2.15 and Keras 3 write them.

The layouts below were copied from files that those two wrote; both load ours and predict the same within 2e-7.
"""

import json
import sys

import numpy as np
import pytest

from tinyconv import saving
from tinyconv.errors import ModelFileError
from tinyconv.layers import BatchNormalization, Conv2D, Dense, Flatten, MaxPooling2D
from tinyconv.models import Sequential, load_model
from tinyconv.optimizers import Adam
from tinyconv.schedules import OneCycle

h5py = pytest.importorskip("h5py")

X = np.random.default_rng(0).random((6, 5, 4, 1), np.float32)
Y = np.array([0, 1, 2, 0, 1, 2])


def make(**arguments):
    model = Sequential(
        [
            Conv2D(2, (3, 2), activation="relu", input_shape=(5, 4, 1), kernel_regularizer="l2", **arguments),
            BatchNormalization(),
            MaxPooling2D((2, 2), padding="same"),
            Flatten(),
            Dense(3, activation="softmax"),
        ],
        backend="numpy",
    )
    model.compile(Adam(0.002), "categorical_crossentropy", ["accuracy"])
    for _ in range(4):
        model.train_on_batch(X, Y)
    return model


def texts(values):
    return [value.decode() if isinstance(value, bytes) else value for value in values]


def test_the_layout_is_keras_s(tmp_path):
    model = make()
    model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        assert {"keras_version", "backend", "model_config", "training_config"} <= set(file.attrs)
        config = json.loads(file.attrs["model_config"])
        assert config["class_name"] == "Sequential"
        rows = config["config"]["layers"]
        assert [row["class_name"] for row in rows] == [
            "InputLayer", "Conv2D", "BatchNormalization", "MaxPooling2D", "Flatten", "Dense"
        ]
        assert rows[0]["config"]["batch_input_shape"] == [None, 5, 4, 1]
        assert rows[1]["config"]["kernel_regularizer"] == {"class_name": "L2", "config": {"l2": 0.01}}
        weights = file["model_weights"]
        assert texts(weights.attrs["layer_names"]) == [
            "conv2d", "batch_normalization", "max_pooling2d", "flatten", "dense"
        ]
        assert texts(weights["conv2d"].attrs["weight_names"]) == ["conv2d/kernel:0", "conv2d/bias:0"]
        assert texts(weights["batch_normalization"].attrs["weight_names"]) == [
            f"batch_normalization/{name}:0" for name in ("gamma", "beta", "moving_mean", "moving_variance")
        ]
        assert len(weights["flatten"].attrs["weight_names"]) == 0
        np.testing.assert_array_equal(weights["conv2d/conv2d/kernel:0"], model.layers[0].kernel.value)
        training = json.loads(file.attrs["training_config"])
        assert training["optimizer_config"]["class_name"] == "Adam"
        assert training["optimizer_config"]["config"]["learning_rate"] == 0.002
        assert training["metrics"] == ["accuracy"]
        states = file["optimizer_weights"]
        names = texts(states.attrs["weight_names"])
        assert names[:4] == [
            "adam/iteration", "adam/learning_rate", "adam/conv2d_kernel_momentum", "adam/conv2d_kernel_velocity"
        ]
        assert int(states["adam/iteration"][()]) == 4
        assert len(names) == 2 + 2 * 6


def test_a_schedule_is_kept_for_us_and_a_number_for_keras(tmp_path):
    model = make()
    model.compile(Adam(OneCycle(0.02, 10)), "categorical_crossentropy")
    model.save(tmp_path / "m.h5")
    assert load_model(tmp_path / "m.h5").optimizer.learning_rate == OneCycle(0.02, 10)
    with h5py.File(tmp_path / "m.h5") as file:
        config = json.loads(file.attrs["training_config"])["optimizer_config"]["config"]
    assert config["learning_rate"] == 0.02


def keras_file(path, model, version, *, change=None):
    """Write `model` as Keras 2.15 or Keras 3 would; `change(layers)` may edit the layers' configurations."""
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": None}
    common = {"trainable": True, "dtype": "float32" if version == 2 else policy}

    def thing(class_name, module="initializers", **config):
        return {"module": f"keras.{module}", "class_name": class_name, "config": config, "registered_name": None}

    glorot, zeros, ones = thing("GlorotUniform", seed=None), thing("Zeros"), thing("Ones")
    weighted = {"use_bias": True, "kernel_initializer": glorot, "bias_initializer": zeros, "bias_regularizer": None,
                "activity_regularizer": None, "kernel_constraint": None, "bias_constraint": None}
    input_key = "batch_input_shape" if version == 2 else "batch_shape"
    rows = [
        {"class_name": "InputLayer", "config": {
            input_key: [None, 5, 4, 1], "dtype": "float32", "sparse": False, "ragged": False, "name": "input_1"}},
        {"class_name": "Conv2D", "config": {
            "name": "conv2d", **common, **weighted, "filters": 2, "kernel_size": [3, 2], "strides": [1, 1],
            "padding": "valid", "data_format": "channels_last", "dilation_rate": [1, 1], "groups": 1,
            "activation": "relu", "kernel_regularizer": thing("L2", "regularizers", l2=0.01)}},
        {"class_name": "BatchNormalization", "config": {
            "name": "batch_normalization", **common, "axis": [3] if version == 2 else -1, "momentum": 0.99,
            "epsilon": 0.001, "center": True, "scale": True, "beta_initializer": zeros, "gamma_initializer": ones,
            "moving_mean_initializer": zeros, "moving_variance_initializer": ones, "beta_regularizer": None}},
        {"class_name": "MaxPooling2D", "config": {
            "name": "max_pooling2d", **common, "pool_size": [2, 2], "padding": "same", "strides": [2, 2],
            "data_format": "channels_last"}},
        {"class_name": "Flatten", "config": {"name": "flatten", **common, "data_format": "channels_last"}},
        {"class_name": "Dense", "config": {
            "name": "dense", **common, **weighted, "units": 3, "activation": "softmax", "kernel_regularizer": None}},
    ]
    if change is not None:
        change(rows)
    optimizer = {"class_name": "Custom>Adam" if version == 2 else "Adam", "config": {
        "name": "Adam", "weight_decay": None, "clipnorm": None, "use_ema": False, "ema_momentum": 0.99,
        "learning_rate": 0.002, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-07, "amsgrad": False}}
    accuracy = [[{"class_name": "MeanMetricWrapper", "config": {"name": "accuracy", "fn": "categorical_accuracy"}}]]
    training = {
        "loss": "categorical_crossentropy", "loss_weights": None, "metrics": accuracy if version == 2 else ["accuracy"],
        "weighted_metrics": None, "optimizer_config": optimizer,
    }
    prefix, ending = ("", ":0") if version == 2 else ("sequential/", "")
    state = model.optimizer.state_tensors()
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "2.15.0" if version == 2 else "3.15.1"
        file.attrs["backend"] = "tensorflow" if version == 2 else "torch"
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {
            "name": "sequential", "layers": rows}})
        file.attrs["training_config"] = json.dumps(training)
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = weights.create_group(layer.name)
            named = {f"{prefix}{one.name}{ending}": one.value for one in layer.weights}
            group.attrs["weight_names"] = [name.encode() for name in named]
            for name, value in named.items():
                group[name] = value
        values = {"iteration:0" if version == 2 else "adam/iteration": np.int64(4)}
        if version == 3:
            values["adam/learning_rate"] = np.float32(0.002)
        for one in (one for one in model.weights if one.trainable):
            for slot, word in (("m", "momentum"), ("v", "velocity")):
                flat = f"adam/sequential_{one.name.replace('/', '_')}_{word}"
                values[f"Adam/{slot}/{one.name}:0" if version == 2 else flat] = state[f"{slot}/{one.name}"]
        states = file.create_group("optimizer_weights")
        states.attrs["weight_names"] = [name.encode() for name in values]
        for name, value in values.items():
            states[name] = value


@pytest.mark.parametrize("version", [2, 3])
def test_a_file_of_keras_loads_and_continues(tmp_path, version):
    model = make()
    keras_file(tmp_path / "keras.h5", model, version)
    again = load_model(tmp_path / "keras.h5", backend="numpy")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.metrics_names == ["loss", "accuracy"]
    assert again.optimizer.iterations == 4
    assert again.train_on_batch(X, Y) == model.train_on_batch(X, Y)
    assert all(np.array_equal(a, b) for a, b in zip(again.get_weights(), model.get_weights(), strict=True))


@pytest.mark.parametrize("version", [2, 3])
def test_weights_of_keras_load_into_a_model_of_ours(tmp_path, version):
    model = make()
    keras_file(tmp_path / "keras.h5", model, version)
    other = make()
    other.set_weights([0 * weight for weight in other.get_weights()])
    other.load_weights(tmp_path / "keras.h5")
    np.testing.assert_array_equal(other.predict(X), model.predict(X))


def test_weights_that_keras_2_saved_alone(tmp_path):
    model = make()
    keras_file(tmp_path / "keras.h5", model, 2)
    with h5py.File(tmp_path / "keras.h5") as source, h5py.File(tmp_path / "alone.h5", "w") as target:
        for name in source["model_weights"]:
            source.copy(source["model_weights"][name], target, name)
        target.attrs["layer_names"] = source["model_weights"].attrs["layer_names"]
    other = make()
    other.set_weights([0 * weight for weight in other.get_weights()])
    other.load_weights(tmp_path / "alone.h5")
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
    with pytest.raises(ModelFileError, match="'model' is missing"):
        load_model(tmp_path / "alone.h5")


@pytest.mark.parametrize(("place", "change", "sentence"), [
    (1, {"groups": 2}, "conv2d has groups=2, which tinyconv does not have"),
    (1, {"data_format": "channels_first"}, "conv2d has data_format='channels_first'"),
    (1, {"activation": "gelu"}, "There is no activation 'gelu'"),
    (2, {"center": False}, "batch_normalization has center=False"),
    (2, {"axis": [1]}, r"batch_normalization has axis=\[1\]"),
    (5, {"kernel_constraint": {"class_name": "MaxNorm", "config": {}}}, "dense has kernel_constraint="),
])
def test_what_tinyconv_does_not_have_is_refused(tmp_path, place, change, sentence):
    keras_file(tmp_path / "keras.h5", make(), 3, change=lambda rows: rows[place]["config"].update(change))
    with pytest.raises(ModelFileError, match=sentence):
        load_model(tmp_path / "keras.h5")


def test_batch_normalization_of_rows_whose_axis_keras_2_counts_from_the_front(tmp_path):
    model = Sequential([Dense(3, input_shape=(4,)), BatchNormalization()], backend="numpy")
    model.compile("adam", "mse")

    def change(rows):
        dense, normalization = rows[5], rows[2]
        normalization["config"]["axis"] = [1]
        dense["config"].update(units=3, activation="linear")
        rows[0]["config"]["batch_input_shape"] = [None, 4]
        rows[1:] = [dense, normalization]

    keras_file(tmp_path / "keras.h5", model, 2, change=change)
    x = np.random.default_rng(0).random((5, 4), np.float32)
    np.testing.assert_array_equal(load_model(tmp_path / "keras.h5").predict(x), model.predict(x))


def test_an_unknown_layer_is_refused(tmp_path):
    keras_file(tmp_path / "keras.h5", make(), 3, change=lambda rows: rows[4].update(class_name="Lambda"))
    with pytest.raises(ModelFileError, match="it has a Lambda layer, and tinyconv has none"):
        load_model(tmp_path / "keras.h5")


def test_padding_that_keras_has_no_word_for_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match="Keras knows only 'valid' and 'same'"):
        make(padding=1).save(tmp_path / "m.h5")
    assert not list(tmp_path.iterdir())


def test_a_dataset_that_claims_more_than_the_file_holds(tmp_path):
    make().save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "a") as file:
        del file["model_weights/dense/dense/bias:0"]
        file.create_dataset("model_weights/dense/dense/bias:0", (10**12,), "float32", chunks=(1000,))
    with pytest.raises(ModelFileError, match="claims 4000000000000 bytes, but only 0 are there"):
        load_model(tmp_path / "m.h5")


def test_a_dataset_in_another_file_is_not_read(tmp_path):
    make().save(tmp_path / "m.h5")
    (tmp_path / "secret").write_bytes(b"0" * 12)
    with h5py.File(tmp_path / "m.h5", "a") as file:
        del file["model_weights/dense/dense/bias:0"]
        file.create_dataset(
            "model_weights/dense/dense/bias:0", (3,), "float32", external=[(str(tmp_path / "secret"), 0, 12)]
        )
    with pytest.raises(ModelFileError):
        load_model(tmp_path / "m.h5")


def test_hdf5_that_is_no_model(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["measurements"] = np.arange(3)
    with pytest.raises(ModelFileError, match="not a model"):
        load_model(tmp_path / "m.h5")
    (tmp_path / "text.h5").write_text("not HDF5 at all")
    with pytest.raises(ModelFileError, match="not a model"):
        load_model(tmp_path / "text.h5")


def test_without_h5py_a_sentence_says_what_to_install(tmp_path, monkeypatch):
    model = make()
    model.save(tmp_path / "m.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ModelFileError, match=r'pip install "tinyconv\[hdf5\]"'):
        load_model(tmp_path / "m.h5")
    with pytest.raises(ModelFileError, match=r'pip install "tinyconv\[hdf5\]"'):
        model.save(tmp_path / "n.h5")


def test_keras_3_s_other_weights_layout_is_named(tmp_path):
    with pytest.raises(ModelFileError, match=r"another layout in files named \.weights\.h5"):
        saving.save_weights(make(), tmp_path / "m.weights.h5")
