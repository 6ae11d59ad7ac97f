"""The run folder: what is in it, what it refuses, and that a resumed run ends in the same bits."""

import json
import os
import shutil

import numpy as np
import pytest

from tinyconv import lock
from tinyconv.callbacks import Callback, EarlyStopping, LearningRateScheduler, ReduceLROnPlateau
from tinyconv.errors import ArgumentError, ModelFileError
from tinyconv.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten
from tinyconv.models import Sequential
from tinyconv.optimizers import Adam
from tinyconv.saving import load_model
from tinyconv.schedules import OneCycle
from tinyconv.training.run_folder import RunFolder

EPOCHS = 5


def make_model(learning_rate=0.02):
    model = Sequential(
        [Conv2D(3, 2, activation="relu"), BatchNormalization(), Dropout(0.3), Flatten(), Dense(3, "softmax")],
        backend="numpy", seed=3,
    )
    model.build((4, 4, 1))
    model.compile(Adam(learning_rate), "sparse_categorical_crossentropy", ["accuracy"])
    return model


def make_data(samples=60):
    generator = np.random.default_rng(0)
    y = generator.integers(0, 3, samples)
    x = generator.integers(0, 100, (samples, 4, 4, 1), np.uint8)
    x[np.arange(samples), y, y] += 100
    return x, y


X, Y = make_data()
OPTIONS = {"batch_size": 16, "validation_split": 0.2, "verbose": 0}


class Kill(Callback):
    """Ends the training in the middle of an epoch, as a power cut would."""

    def __init__(self, epoch):
        self.last = epoch

    def on_epoch_begin(self, epoch):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs):
        if self.epoch == self.last and batch == 1:
            raise KeyboardInterrupt


def bits(model):
    state = {name: np.array(tensor) for name, tensor in model.optimizer.state_tensors().items()}
    return {**{f"weight {i}": weight for i, weight in enumerate(model.get_weights())}, **state}


def assert_same_bits(model, other):
    mine, others = bits(model), bits(other)
    assert mine.keys() == others.keys()
    for name in mine:
        np.testing.assert_array_equal(mine[name], others[name], err_msg=name)


def log_of(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


# -- resuming ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [1, 3])
@pytest.mark.parametrize(
    ("learning_rate", "make_callbacks"),
    [
        (0.02, list),
        (OneCycle(max_learning_rate=0.05), lambda: [EarlyStopping(patience=2, restore_best_weights=True)]),
        (0.02, lambda: [ReduceLROnPlateau("accuracy", patience=1, min_delta=0.1), EarlyStopping(patience=4)]),
        (0.02, lambda: [LearningRateScheduler(lambda epoch, rate: rate * 0.9)]),
    ],
)
def test_a_killed_and_resumed_run_ends_in_the_same_bits(tmp_path, after, learning_rate, make_callbacks):
    whole = RunFolder(tmp_path / "whole").create()
    expected = make_model(learning_rate)
    expected.fit(X, Y, epochs=EPOCHS, callbacks=whole.callbacks(*make_callbacks()), **OPTIONS)

    killed = RunFolder(tmp_path / "killed").create()
    with pytest.raises(KeyboardInterrupt):
        make_model(learning_rate).fit(
            X, Y, epochs=EPOCHS, callbacks=[*killed.callbacks(*make_callbacks()), Kill(after)], **OPTIONS
        )
    model, callbacks, history, epoch = RunFolder(tmp_path / "killed").resume(*make_callbacks())
    assert (epoch, history.epoch) == (after, list(range(after)))
    model.fit(X, Y, epochs=EPOCHS, initial_epoch=epoch, callbacks=callbacks, **OPTIONS)

    assert_same_bits(model, expected)
    assert log_of(tmp_path / "killed") == log_of(tmp_path / "whole")
    ends = [RunFolder(tmp_path / name).resume(*make_callbacks()) for name in ("killed", "whole")]
    assert ends[0].history.history == ends[1].history.history
    assert_same_bits(ends[0].model, ends[1].model)
    best = [load_model(RunFolder(tmp_path / name).best) for name in ("killed", "whole")]
    assert_same_bits(*best)


def test_a_finished_run_can_be_made_longer(tmp_path):
    run, whole = RunFolder(tmp_path / "run").create(), make_model()
    make_model().fit(X, Y, epochs=2, callbacks=run.callbacks(), **OPTIONS)
    resumed = run.resume()
    resumed.model.fit(X, Y, epochs=4, initial_epoch=resumed.epoch, callbacks=resumed.callbacks, **OPTIONS)
    history = whole.fit(X, Y, epochs=4, **OPTIONS)
    assert_same_bits(resumed.model, whole)
    assert [line["loss"] for line in log_of(run.path)] == history.history["loss"]


def test_a_longer_run_gets_a_longer_schedule(tmp_path):
    run = RunFolder(tmp_path / "run").create()
    make_model(OneCycle(max_learning_rate=0.05)).fit(X, Y, epochs=1, callbacks=run.callbacks(), **OPTIONS)
    resumed = run.resume()
    assert resumed.model.optimizer.learning_rate == OneCycle(max_learning_rate=0.05)
    history = resumed.model.fit(X, Y, epochs=2, initial_epoch=1, **OPTIONS)
    assert history.history["learning_rate"] == [OneCycle(max_learning_rate=0.05, total_steps=6)(6)]


def test_the_best_epoch_is_kept(tmp_path):
    run = RunFolder(tmp_path / "run").create()
    history = make_model(0.05).fit(X, Y, epochs=EPOCHS, callbacks=run.callbacks(), **OPTIONS)
    best = load_model(run.best)
    assert best.evaluate(X[48:], Y[48:], verbose=0)[0] == pytest.approx(min(history.history["val_loss"]), rel=1e-5)
    assert best.epochs_seen == 1 + int(np.argmin(history.history["val_loss"]))


def test_resuming_needs_a_checkpoint_and_the_same_callbacks(tmp_path):
    with pytest.raises(ArgumentError, match="no run to resume"):
        RunFolder(tmp_path / "nothing").resume()
    run = RunFolder(tmp_path / "run").create()
    make_model().fit(X, Y, callbacks=run.callbacks(EarlyStopping(patience=3)), **OPTIONS)
    with pytest.raises(ArgumentError, match="had the callbacks EarlyStopping, but is resumed with none"):
        run.resume()
    run.last.write_bytes(run.last.read_bytes()[:200])
    with pytest.raises(ModelFileError):
        run.resume(EarlyStopping(patience=3))


# -- the folder -------------------------------------------------------------------------------------------------------


def test_the_config_comes_back(tmp_path):
    RunFolder(tmp_path / "a" / "b").create({"model": "lenet5", "epochs": 3})
    assert RunFolder(tmp_path / "a" / "b").config == {"model": "lenet5", "epochs": 3}
    with pytest.raises(ArgumentError, match="not the folder of a run"):
        _ = RunFolder(tmp_path).config


def test_an_occupied_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ArgumentError, match="is not empty"):
        RunFolder(tmp_path).create()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(ArgumentError, match="cannot be made"):
            RunFolder(path).create()


def test_a_folder_where_nothing_can_be_written_is_one_sentence(tmp_path, monkeypatch):
    def refuse(source, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(ArgumentError, match=r"config\.json: Permission denied\. Choose another run folder"):
        RunFolder(tmp_path / "run").create()


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "run").create()
    make_model().fit(X, Y, callbacks=run.callbacks(), **OPTIONS)
    before, replace = run.last.read_bytes(), os.replace

    def full(source, target):
        if target == run.last:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    resumed = run.resume()
    with pytest.raises(ModelFileError, match=r"last\.safetensors: No space left on device"):
        resumed.model.fit(X, Y, epochs=2, initial_epoch=1, callbacks=resumed.callbacks, **OPTIONS)
    assert run.last.read_bytes() == before
    assert [path.name for path in run.last.parent.iterdir() if path.suffix == ".tmp"] == []
    assert run.resume().epoch == 1


def test_one_training_at_a_time(tmp_path):
    run = RunFolder(tmp_path / "run").create()
    make_model().fit(X, Y, epochs=2, callbacks=run.callbacks(), **OPTIONS)
    log = (run.path / "log.jsonl").read_text()
    resumed = run.resume()
    with lock.exclusive(run.path), pytest.raises(ArgumentError, match="Another training is running in"):
        resumed.model.fit(X, Y, epochs=3, initial_epoch=1, callbacks=resumed.callbacks, **OPTIONS)
    assert (run.path / "log.jsonl").read_text() == log
    resumed.model.fit(X, Y, epochs=3, initial_epoch=2, callbacks=resumed.callbacks, **OPTIONS)
    assert len(log_of(run.path)) == 3


def test_a_training_that_cannot_begin_leaves_the_folder_free(tmp_path):
    run = RunFolder(tmp_path / "run").create()
    with pytest.raises(ArgumentError, match="EarlyStopping watches") as kept:
        make_model().fit(X, Y, callbacks=run.callbacks(EarlyStopping("nothing")), **OPTIONS)
    make_model().fit(X, Y, callbacks=run.callbacks(), **OPTIONS)
    assert kept.value is not None  # with its traceback, which holds the callbacks


def test_what_a_killed_run_left_half_written_is_removed(tmp_path):
    run = RunFolder(tmp_path / "run").create()
    make_model().fit(X, Y, callbacks=run.callbacks(), **OPTIONS)
    half = run.last.with_name(".last.safetensors.0123456789ab.tmp")
    half.write_bytes(b"half")
    resumed = run.resume()
    resumed.model.fit(X, Y, epochs=2, initial_epoch=1, callbacks=resumed.callbacks, **OPTIONS)
    assert not half.exists()


def test_finish_writes_results_and_pictures(tmp_path):
    run = RunFolder(tmp_path / "run").create({"seed": 3})
    model = make_model()
    history = model.fit(X, Y, epochs=2, callbacks=run.callbacks(), **OPTIONS)
    results = run.finish(model, history, X, Y, ["cat", "dog", "owl"])
    files = [path for path in run.path.rglob("*") if path.is_file() and path.name != lock.LOCK_FILE]
    names = sorted(str(path.relative_to(run.path)) for path in files)
    assert names == [
        "checkpoints/best.safetensors", "checkpoints/last.safetensors", "classification-report.txt", "config.json",
        "confusion-matrix.png", "learning-curve.png", "log.jsonl", "misclassified.png", "model.safetensors",
        "results.json",
    ]
    assert json.loads((run.path / "results.json").read_text()) == results
    loss, accuracy = model.evaluate(X, Y, verbose=0)
    assert (results["test_loss"], results["test_accuracy"]) == (loss, accuracy)
    assert results["wrong"] == round((1 - accuracy) * len(X))
    assert results["report"]["dog"]["support"] == np.count_nonzero(Y == 1)
    assert "owl" in (run.path / "classification-report.txt").read_text()
    assert_same_bits(load_model(run.path / "model.safetensors"), model)


def test_finish_works_without_names_and_with_one_hot_labels(tmp_path):
    run = RunFolder(tmp_path / "run").create()
    model = make_model()
    history = model.fit(X, Y, verbose=0)
    assert run.finish(model, history, X, np.eye(3)[Y])["samples"] == len(X)


def test_a_moved_folder_can_be_resumed(tmp_path):
    run = RunFolder(tmp_path / "here").create()
    make_model().fit(X, Y, callbacks=run.callbacks(), **OPTIONS)
    shutil.move(run.path, tmp_path / "there")
    resumed = RunFolder(tmp_path / "there").resume()
    resumed.model.fit(X, Y, epochs=2, initial_epoch=1, callbacks=resumed.callbacks, **OPTIONS)
    assert len(log_of(tmp_path / "there")) == 2
    assert not (tmp_path / "here").exists()
