"""Callbacks, told hand-made numbers: when they stop, reduce and save, and that their memory can be handed on."""

import json
import math

import numpy as np
import pytest

from tinyconv.callbacks import (
    Callback,
    EarlyStopping,
    JSONLogger,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
)
from tinyconv.errors import ArgumentError, ModelFileError
from tinyconv.optimizers import SGD
from tinyconv.schedules import CosineDecay

METRICS = ["loss", "accuracy", "val_loss", "val_accuracy"]


class FakeModel:
    """A model whose only weight is the number of the epoch, and which notes where it was saved."""

    def __init__(self, learning_rate=1.0):
        self.optimizer = SGD(learning_rate)
        self.stop_training = False
        self.weight = np.zeros(1)
        self.saved = []

    def get_weights(self):
        return [self.weight.copy()]

    def set_weights(self, weights):
        self.weight[...] = weights[0]

    def save(self, path):
        self.saved.append(path.name)

    def save_weights(self, path):
        self.saved.append(f"weights of {path.name}")


def begin(callback, initial_epoch=0, model=None):
    callback.model = model or FakeModel()
    callback.params = {"epochs": 100, "initial_epoch": initial_epoch, "metrics": METRICS}
    callback.on_train_begin()
    return callback


def run(callback, values, name="val_loss", first=0):
    """Tell `callback` one value per epoch, until it stops the training; return the learning rate after each epoch."""
    rates = []
    for epoch, value in enumerate(values, first):
        callback.on_epoch_begin(epoch)
        callback.model.weight[...] = epoch
        callback.on_epoch_end(epoch, {**dict.fromkeys(METRICS, 0.5), name: value})
        rates.append(callback.model.optimizer.current_learning_rate())
        if callback.model.stop_training:
            break
    return rates


def test_every_hook_of_the_base_may_be_left_out():
    callback = Callback()
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    callback.on_train_batch_begin(0)
    callback.on_train_batch_end(0, {})
    callback.on_epoch_end(0, {})
    callback.on_train_end()
    assert callback.get_state() == {}


# -- EarlyStopping ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "values", "epochs"),
    [
        ({"patience": 2}, [5, 4, 4.5, 4.2, 3, 2], 4),  # two epochs without a new best: stop, though better would come
        ({"patience": 3}, [5, 4, 4.5, 4.2, 3, 2], 6),
        ({"patience": 0}, [5, 4, 4, 3], 3),
        ({"patience": 1, "min_delta": 0.5}, [5, 4.6, 4.3], 2),
        ({"patience": 1, "min_delta": -0.5}, [5, 4.4, 4.0], 3),  # the sign does not matter, as in Keras
        ({"patience": 2}, [math.nan, math.nan, 1], 2),  # NaN is never better
        ({"patience": 1, "start_from_epoch": 3}, [1, 2, 3, 9, 8, 8.5], 6),
        ({"patience": 2, "baseline": 3}, [5, 4, 4.5], 3),  # better, but not than the baseline: the wait goes on
        ({"patience": 2, "baseline": 3}, [5, 4, 2, 2.5, 2.5, 1], 5),
        ({"patience": 1, "monitor": "val_accuracy"}, [0.1, 0.2, 0.3, 0.3], 4),
        ({"patience": 1, "monitor": "val_accuracy", "mode": "min"}, [0.1, 0.2, 0.3], 2),
    ],
)
def test_early_stopping_waits_for_patience_epochs(arguments, values, epochs):
    stopping = begin(EarlyStopping(**arguments))
    assert len(run(stopping, values, stopping.monitor)) == epochs


def test_early_stopping_brings_the_best_weights_back():
    stopping = begin(EarlyStopping(patience=2, restore_best_weights=True))
    run(stopping, [3, 1, 2, 2, 2])
    assert stopping.model.weight == 3
    stopping.on_train_end()
    assert stopping.model.weight == 1
    assert (stopping.best, stopping.best_epoch, stopping.stopped_epoch) == (1, 1, 3)


def test_callbacks_say_what_they_do_when_asked(capsys, tmp_path):
    run(begin(EarlyStopping(patience=1, verbose=1)), [3, 4])
    run(begin(ReduceLROnPlateau(patience=1, factor=0.5, verbose=1)), [3, 4])
    run(begin(ModelCheckpoint(tmp_path / "best.h5", save_best_only=True, verbose=1)), [3, 4])
    run(begin(EarlyStopping(patience=1)), [3, 4])
    assert capsys.readouterr().out.splitlines() == [
        "epoch 2: val_loss has not become better than 3.0000: stopping",
        "epoch 2: the learning rate is now 0.5",
        f"epoch 1: saved {tmp_path / 'best.h5'}",
    ]


def test_early_stopping_without_restoring_leaves_the_weights():
    stopping = begin(EarlyStopping(patience=2))
    run(stopping, [3, 1, 2, 2, 2])
    stopping.on_train_end()
    assert stopping.model.weight == 3


def test_a_new_training_begins_afresh_and_a_continued_one_remembers():
    stopping = begin(EarlyStopping(patience=2))
    run(stopping, [1, 2])
    assert len(run(begin(stopping, initial_epoch=2), [2, 2], first=2)) == 1  # the second without improvement
    assert len(run(begin(stopping), [2, 2, 2])) == 3


@pytest.mark.parametrize(
    ("make", "values"),
    [
        (lambda: EarlyStopping(patience=3, restore_best_weights=True), [4, 3, 3.5, 2, 2.5, 2.4, 2.3, 2.2]),
        (lambda: ReduceLROnPlateau(patience=2, cooldown=2, factor=0.5), [4, 3, 3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2]),
    ],
)
def test_state_survives_being_written_down_after_any_epoch(make, values):
    whole = begin(make())
    expected = run(whole, values)
    for cut in range(1, len(expected)):
        first = begin(make())
        run(first, values[:cut])
        second = make()
        second.set_state(first.get_state())
        begin(second, initial_epoch=cut, model=first.model)
        assert run(second, values[cut:], first=cut) == expected[cut:]
        assert second.model.stop_training == whole.model.stop_training
        second.on_train_end()
        assert second.get_state()["best"] == whole.get_state()["best"]


# -- learning rates ---------------------------------------------------------------------------------------------------


def test_the_rate_falls_on_a_plateau():
    callback = begin(ReduceLROnPlateau(factor=0.5, patience=2))
    assert run(callback, [3, 2, 2, 2, 2, 2, 1, 1]) == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_a_cooldown_delays_the_next_reduction():
    callback = begin(ReduceLROnPlateau(factor=0.5, patience=1, cooldown=2))
    # reduced after the 2nd epoch, then two epochs cool, of which the last already counts as waiting, as in Keras
    assert run(callback, [1, 1, 1, 1, 1]) == [1, 0.5, 0.5, 0.25, 0.25]


def test_the_rate_stays_above_its_minimum():
    callback = begin(ReduceLROnPlateau(factor=0.1, patience=1, min_lr=0.05))
    assert run(callback, [1, 1, 1, 1]) == [1, 0.1, 0.05, 0.05]


def test_small_improvements_do_not_count():
    callback = begin(ReduceLROnPlateau(factor=0.5, patience=1, min_delta=0.1))
    assert run(callback, [1, 0.95, 0.8]) == [1, 0.5, 0.5]


def test_the_rate_is_logged_as_it_was_in_the_epoch():
    callback = begin(ReduceLROnPlateau(factor=0.5, patience=1))
    logs = [{"val_loss": 1.0} for _ in range(3)]
    for epoch in range(3):
        callback.on_epoch_end(epoch, logs[epoch])
    assert [log["learning_rate"] for log in logs] == [1, 1, 0.5]


def test_a_scheduler_sets_the_rate_before_each_epoch():
    seen = []

    def schedule(epoch, rate):
        seen.append((epoch, rate))
        return rate / 2 if epoch else rate

    assert run(begin(LearningRateScheduler(schedule)), [0, 0, 0]) == [1, 0.5, 0.25]
    assert seen == [(0, 1), (1, 1), (2, 0.5)]


@pytest.mark.parametrize("callback", [ReduceLROnPlateau(), LearningRateScheduler(lambda epoch, rate: rate)])
def test_two_cannot_steer_the_rate(callback):
    with pytest.raises(ArgumentError, match="already follows CosineDecay"):
        begin(callback, model=FakeModel(CosineDecay(initial_learning_rate=0.1, total_steps=10)))


@pytest.mark.parametrize("rate", [-1, math.nan, "fast", None])
def test_a_scheduler_must_return_a_rate(rate):
    with pytest.raises(ArgumentError, match="learning rate of LearningRateScheduler"):
        begin(LearningRateScheduler(lambda epoch, old: rate)).on_epoch_begin(0)


# -- ModelCheckpoint --------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_named_after_epoch_and_numbers(tmp_path):
    callback = begin(ModelCheckpoint(tmp_path / "{epoch:02d}-{val_loss:.2f}.safetensors"))
    run(callback, [0.123, 0.456])
    assert callback.model.saved == ["01-0.12.safetensors", "02-0.46.safetensors"]


def test_only_better_epochs_are_saved(tmp_path):
    callback = begin(ModelCheckpoint(tmp_path / "{epoch}.h5", save_best_only=True, save_weights_only=True))
    run(callback, [3, 4, 2, 2, 1])
    assert callback.model.saved == ["weights of 1.h5", "weights of 3.h5", "weights of 5.h5"]
    again = ModelCheckpoint(tmp_path / "{epoch}.h5", save_best_only=True)
    again.set_state(callback.get_state())
    run(begin(again, initial_epoch=5), [1.5, 0.5], first=5)
    assert again.model.saved == ["7.h5"]


def test_an_unknown_field_is_told_of_before_training(tmp_path):
    with pytest.raises(ArgumentError, match="fields may be epoch, loss"):
        begin(ModelCheckpoint(tmp_path / "{val_auc}.h5"))


# -- all that watch a number ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("callback", [EarlyStopping("val_f1"), ReduceLROnPlateau("val_f1")])
def test_a_number_that_is_not_logged_is_told_of_before_training(callback):
    with pytest.raises(ArgumentError, match=r"watches 'val_f1'.*logs only loss, accuracy.*validation_split"):
        begin(callback)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: EarlyStopping(patience=-1), "patience"),
        (lambda: EarlyStopping(mode="best"), 'mode must be "auto"'),
        (lambda: ReduceLROnPlateau(factor=1.0), "factor must be a number above 0 and below 1"),
        (lambda: ReduceLROnPlateau(cooldown=-1), "cooldown"),
    ],
)
def test_arguments_out_of_range_are_refused(make, sentence):
    with pytest.raises(ArgumentError, match=sentence):
        make()


# -- JSONLogger -------------------------------------------------------------------------------------------------------


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def log(path, values, first=0, **arguments):
    logger = begin(JSONLogger(path, **arguments), initial_epoch=first)
    for epoch, value in enumerate(values, first):
        logger.on_epoch_begin(epoch)
        logger.on_epoch_end(epoch, {"loss": value})
        assert lines_of(path)[-1]["loss"] == (value if math.isfinite(value) else None)  # there already, while running


def test_the_log_has_one_line_per_epoch(tmp_path):
    path = tmp_path / "new" / "log.jsonl"
    log(path, [0.5, math.inf, math.nan])
    assert [(line["epoch"], line["loss"]) for line in lines_of(path)] == [(1, 0.5), (2, None), (3, None)]
    assert all(line["seconds"] >= 0 for line in lines_of(path))


def test_a_resumed_log_goes_on_behind_the_epochs_that_count(tmp_path):
    path = tmp_path / "log.jsonl"
    log(path, [3.0, 2.0, 1.0])
    with path.open("a") as file:
        file.write('{"epoch": 4, "lo')  # killed while writing
    log(path, [7.0], first=2)
    assert [(line["epoch"], line["loss"]) for line in lines_of(path)] == [(1, 3.0), (2, 2.0), (3, 7.0)]


def test_a_new_training_starts_the_log_anew_unless_told_to_append(tmp_path):
    path = tmp_path / "log.jsonl"
    log(path, [3.0])
    log(path, [2.0])
    assert len(lines_of(path)) == 1
    log(path, [1.0], append=True)
    assert [line["loss"] for line in lines_of(path)] == [2.0, 1.0]


def test_an_unwritable_log_is_told_of_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelFileError, match="Cannot write"):
        begin(JSONLogger(tmp_path / "file" / "log.jsonl"))
