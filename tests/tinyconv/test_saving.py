"""Saving: everything comes back, training continues with the same bits, and what is no model is refused."""

import json
import os
import struct

import numpy as np
import pytest
import safetensors.numpy

from tinyconv import saving
from tinyconv.callbacks import Callback
from tinyconv.errors import ModelFileError, StateError
from tinyconv.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from tinyconv.models import Sequential, load_model
from tinyconv.optimizers import SGD, Adam, AdamW
from tinyconv.saving import atomic, native
from tinyconv.schedules import OneCycle

NAMES = ["model.safetensors", "model.tinyconv", "model", "model.h5"]
X = np.random.default_rng(0).random((24, 8, 7, 1), np.float32)
Y = np.random.default_rng(1).integers(0, 4, 24)


def make(optimizer="adam", filters=3, **arguments):
    model = Sequential(
        [
            Conv2D(filters, (3, 2), activation="relu", input_shape=(8, 7, 1), kernel_regularizer="l2"),
            BatchNormalization(),
            MaxPooling2D(2, padding="same"),
            Dropout(0.25),
            Flatten(),
            Dense(4, activation="softmax", name="classes"),
        ],
        backend="numpy", seed=5, **arguments,
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return model


def bits(model):
    state = model.optimizer.state_tensors().items()
    return [weight.tobytes() for weight in model.get_weights()] + [(name, one.tobytes()) for name, one in state]


def fit(model, epochs, **arguments):
    return model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0, **arguments)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("optimizer", [
    lambda: Adam(0.01), lambda: AdamW(OneCycle(0.02, 12)), lambda: SGD(0.05, momentum=0.9, nesterov=True, clipnorm=1.0),
])
def test_training_continues_with_the_same_bits(tmp_path, name, optimizer):
    straight, stopped = make(optimizer()), make(optimizer())
    fit(straight, 4)
    fit(stopped, 2)
    stopped.save(tmp_path / name)
    resumed = load_model(tmp_path / name)
    assert resumed.epochs_seen == 2
    assert resumed.optimizer.iterations == 6
    assert bits(resumed) == bits(stopped) != bits(straight)
    fit(resumed, 4, initial_epoch=2)
    assert bits(resumed) == bits(straight)


@pytest.mark.parametrize("name", NAMES)
def test_everything_about_a_model_comes_back(tmp_path, name):
    model = make(AdamW(OneCycle(0.02, 12), weight_decay=0.1), dtype="float64", fuse=False, name="mine")
    model.save(tmp_path / name)
    again = load_model(tmp_path / name)
    assert again.get_config() == model.get_config()
    assert again.optimizer.get_config() == model.optimizer.get_config()
    assert type(again.loss) is type(model.loss)
    assert again.loss.get_config() == model.loss.get_config()
    assert again.metrics_names == ["loss", "accuracy"]
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.predict(X).dtype == np.float64


@pytest.mark.parametrize("name", NAMES)
def test_extra_comes_back_with_its_arrays(tmp_path, name):
    best = np.arange(6, dtype=np.float32).reshape(2, 3)[:, ::-1]
    extra = {"history": {"loss": [0.5, np.float32(0.25)]}, "best": [None, {"weights": best}], "epoch": np.int64(3)}
    saving.save(make(), tmp_path / name, extra=extra)
    _, again = saving.load(tmp_path / name)
    assert again["history"] == {"loss": [0.5, 0.25]}
    assert again["epoch"] == 3
    assert again["best"][0] is None
    assert again["best"][1]["weights"].tolist() == [[2, 1, 0], [5, 4, 3]]


def test_a_single_file_is_safetensors_and_a_folder_has_json_to_read(tmp_path):
    model = make()
    model.save(tmp_path / "one.safetensors")
    model.save(tmp_path / "two")
    for path in (tmp_path / "one.safetensors", tmp_path / "two" / "weights.safetensors"):
        tensors = safetensors.numpy.load_file(path)
        np.testing.assert_array_equal(tensors["weights/classes/kernel"], model.layers[-1].kernel.value)
    document = json.loads((tmp_path / "two" / "model.json").read_text())
    assert document["version"] == 1
    assert [layer["class_name"] for layer in document["model"]["layers"]][:2] == ["Conv2D", "BatchNormalization"]
    assert sorted(os.listdir(tmp_path / "two")) == ["model.json", "weights.safetensors"]


def test_arrays_that_are_not_contiguous_are_saved_right(tmp_path):
    array = np.arange(12.0).reshape(3, 4)
    tensors = {"transposed": array.T, "strided": array[::2, ::-1], "scalar": np.array(7)}
    native.write(tmp_path / "x.safetensors", {"format": "tinyconv"}, tensors)
    _, again = native.read(tmp_path / "x.safetensors")
    assert again["transposed"].tolist() == array.T.tolist()
    assert again["strided"].tolist() == [[3, 2, 1, 0], [11, 10, 9, 8]]
    assert again["scalar"].shape == ()


def test_a_model_that_is_not_compiled_and_one_without_weights(tmp_path):
    model = Sequential([Dense(2, input_shape=(3,))])
    model.save(tmp_path / "m.safetensors")
    assert not load_model(tmp_path / "m.safetensors").compiled
    with pytest.raises(StateError):
        Sequential([Dense(2)]).save(tmp_path / "unbuilt.safetensors")
    assert not (tmp_path / "unbuilt.safetensors").exists()


def test_a_metric_of_the_users_own_is_left_out(tmp_path):
    model = make()
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy", lambda y_true, y_pred: 1.0])
    model.save(tmp_path / "m.safetensors")
    assert load_model(tmp_path / "m.safetensors").metrics_names == ["loss", "accuracy"]


def test_another_backend_can_be_asked_for(tmp_path):
    make().save(tmp_path / "m.safetensors")
    assert load_model(tmp_path / "m.safetensors").backend.name == "numpy"
    assert load_model(tmp_path / "m.safetensors", backend="numba").backend.name == "numba"


@pytest.mark.parametrize("name", NAMES)
def test_weights_alone(tmp_path, name):
    trained, other = make(), make(name="other")
    fit(trained, 1)
    trained.save_weights(tmp_path / name)
    other.load_weights(tmp_path / name)
    assert [a.tobytes() for a in other.get_weights()] == [a.tobytes() for a in trained.get_weights()]
    assert not load_model(tmp_path / name).compiled


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_another_model_are_refused_and_change_nothing(tmp_path, name):
    make(filters=5).save_weights(tmp_path / name)
    model = make()
    before = model.get_weights()
    with pytest.raises(ModelFileError, match=r"conv2d/kernel has shape \(3, 2, 1, 3\) here, .* shape \(3, 2, 1, 5\)"):
        model.load_weights(tmp_path / name)
    shorter = Sequential([Conv2D(5, (3, 2), input_shape=(8, 7, 1), name="conv2d")])
    with pytest.raises(ModelFileError, match="it has 8 weights, and sequential 2"):
        shorter.load_weights(tmp_path / name)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


# -- replacing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_failure_while_saving_leaves_the_old_model_and_no_litter(tmp_path, name, monkeypatch):
    old = make()
    old.save(tmp_path / name)
    before = sorted(os.listdir(tmp_path))

    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "_flush", full)
    with pytest.raises(ModelFileError, match="No space left on device"):
        make(filters=5).save(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == before
    np.testing.assert_array_equal(load_model(tmp_path / name).predict(X), old.predict(X))


@pytest.mark.parametrize("name", NAMES)
def test_saving_again_replaces_the_model(tmp_path, name):
    make().save(tmp_path / name)
    new = make(filters=5)
    new.save(tmp_path / name)
    np.testing.assert_array_equal(load_model(tmp_path / name).predict(X), new.predict(X))
    assert os.listdir(tmp_path) == [name]


def test_a_failed_swap_puts_the_old_folder_back(tmp_path, monkeypatch):
    old = make()
    old.save(tmp_path / "model")
    rename, calls = os.rename, []

    def second_fails(source, target):
        calls.append(source)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(ModelFileError, match="Input/output error"):
        make(filters=5).save(tmp_path / "model")
    assert os.listdir(tmp_path) == ["model"]
    np.testing.assert_array_equal(load_model(tmp_path / "model").predict(X), old.predict(X))


def test_a_folder_with_other_files_is_not_replaced(tmp_path):
    (tmp_path / "thesis.tex").write_text("ten years of work")
    with pytest.raises(ModelFileError, match=r"other files, which saving would delete: thesis\.tex"):
        make().save(tmp_path)
    (tmp_path / "notes").write_text("a file")
    with pytest.raises(ModelFileError, match="is a file"):
        make().save(tmp_path / "notes")
    assert (tmp_path / "thesis.tex").read_text() == "ten years of work"


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    for name in ("m.safetensors", "m", "m.h5"):
        with pytest.raises(ModelFileError, match="Cannot write"):
            make().save(tmp_path / "file" / name)


def test_missing_folders_are_made(tmp_path):
    make().save(tmp_path / "runs" / "1" / "m.safetensors")
    assert load_model(tmp_path / "runs" / "1" / "m.safetensors").built


# -- what is refused --------------------------------------------------------------------------------------------------


def refused(path, sentence):
    with pytest.raises(ModelFileError, match=sentence) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def edited(tmp_path, change):
    """A saved folder whose JSON `change` has edited."""
    make().save(tmp_path / "model")
    document = json.loads((tmp_path / "model" / "model.json").read_text())
    change(document)
    (tmp_path / "model" / "model.json").write_text(json.dumps(document))
    return tmp_path / "model"


def test_what_is_no_model(tmp_path):
    refused(tmp_path / "nothing.safetensors", "no model")
    (tmp_path / "text.safetensors").write_text("Dear reader, this is a letter and not a model at all.")
    refused(tmp_path / "text.safetensors", "is not a model, or is damaged")
    (tmp_path / "empty.safetensors").write_bytes(b"")
    refused(tmp_path / "empty.safetensors", "is not a model, or is damaged")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", "not a saved model")
    safetensors.numpy.save_file({"w": np.ones(3)}, tmp_path / "foreign.safetensors")
    refused(tmp_path / "foreign.safetensors", "was not saved by tinyconv")
    safetensors.numpy.save_file({"w": np.ones(3, np.int8)}, tmp_path / "int8.safetensors")
    refused(tmp_path / "int8.safetensors", "w has dtype I8")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("part", [0.0, 0.02, 0.3, 0.7, 0.999])
def test_a_truncated_file(tmp_path, name, part):
    make().save(tmp_path / name)
    path = tmp_path / name / "weights.safetensors" if name == "model" else tmp_path / name
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    refused(tmp_path / name, "damaged|not a model|not saved by tinyconv")


def test_a_header_that_declares_a_huge_size_takes_no_memory(tmp_path):
    (tmp_path / "length.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")
    refused(tmp_path / "length.safetensors", "is not a model, or is damaged")
    header = json.dumps({"w": {"dtype": "F64", "shape": [2**40], "data_offsets": [0, 2**43]}}).encode()
    (tmp_path / "shape.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 64)
    refused(tmp_path / "shape.safetensors", "is not a model, or is damaged")


@pytest.mark.parametrize("units", [10**9, 10**15])
def test_a_document_that_declares_huge_layers_takes_no_memory(tmp_path, units):
    def change(document):
        document["model"]["layers"][-1]["config"]["units"] = units

    refused(edited(tmp_path, change), r"classes/bias should have shape .* has \(4,\)|too large|too big")


def test_a_newer_version(tmp_path):
    path = edited(tmp_path, lambda document: document.update(version=2, tinyconv="9.0"))
    refused(path, r"saved by tinyconv 9\.0 in format 2; .* Upgrade")
    with pytest.raises(ModelFileError, match="Upgrade"):
        make().load_weights(path)


def _rename_layer(document):
    document["model"]["layers"][0]["class_name"] = "os.system"


def _odd_argument(document):
    document["model"]["layers"][0]["config"]["command"] = "rm"


def _other_units(document):
    document["model"]["layers"][-1]["config"]["units"] = 7


def _unknown_optimizer(document):
    document["compile"]["optimizer"]["class_name"] = "Lion"


def _other_optimizer(document):
    document["compile"]["optimizer"] = {"class_name": "SGD", "config": {}}


@pytest.mark.parametrize(("change", "sentence"), [
    (_rename_layer, r"There is no layer 'os\.system'"),
    (_odd_argument, "Conv2D cannot be made from the config"),
    (_other_units, r"classes/bias should have shape \(7,\) and has \(4,\)"),
    (_unknown_optimizer, "There is no optimizer 'Lion'"),
    (_other_optimizer, "not the state of this SGD"),
    (lambda document: document.pop("model"), "'model' is missing"),
    (lambda document: document.update(format="cake"), "was not saved by tinyconv"),
    (lambda document: document.update(version="new"), "it has no version"),
    (lambda document: document.update(model=[1, 2]), "not a model"),
    (lambda document: document["model"]["layers"].append(3), "not a model"),
    (lambda document: document["model"]["layers"].pop(), "classes/bias should have shape none at all"),
    (lambda document: document["model"].update(input_shape=[8, -7, 1]), "not a model"),
])
def test_a_document_that_is_wrong(tmp_path, change, sentence):
    refused(edited(tmp_path, change), sentence)


def test_a_document_that_is_not_json(tmp_path):
    make().save(tmp_path / "model")
    (tmp_path / "model" / "model.json").write_text('{"format": "tinyconv", ')
    refused(tmp_path / "model", "not JSON")
    (tmp_path / "model" / "model.json").write_text("[" * 100_000)
    refused(tmp_path / "model", "not JSON")
    (tmp_path / "model" / "model.json").unlink()
    refused(tmp_path / "model", r"without a readable model\.json")


def test_suffixes_that_mean_nothing(tmp_path):
    with pytest.raises(ModelFileError, match=r"\.keras archives; use \.h5"):
        make().save(tmp_path / "m.keras")
    with pytest.raises(ModelFileError, match=r"\.pkl is no format for models"):
        make().save(tmp_path / "m.pkl")
    (tmp_path / "theirs.keras").write_bytes(b"PK\x03\x04")
    refused(tmp_path / "theirs.keras", r"\.keras archives; use \.h5")
    assert sorted(os.listdir(tmp_path)) == ["theirs.keras"]


def test_a_value_json_does_not_know_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match="Callback cannot be saved"):
        saving.save(make(), tmp_path / "m.safetensors", extra={"callback": Callback()})
    assert not os.listdir(tmp_path)
