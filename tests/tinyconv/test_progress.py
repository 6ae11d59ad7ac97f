"""What a training says while it runs."""

import io
import sys
from types import ModuleType

import numpy as np
import pytest
from rich.console import Console

from tinyconv.errors import ArgumentError
from tinyconv.layers import Dense
from tinyconv.models import Sequential
from tinyconv.training import progress
from tinyconv.training.progress import EpochLines, ProgressBar, clock, numbers, reporter, verbosity


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def model():
    model = Sequential([Dense(3, activation="softmax")], backend="numpy")
    model.build((4,))
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


X, Y = np.random.default_rng(0).normal(size=(64, 4)), np.arange(64) % 3


def test_auto_is_a_bar_on_a_terminal_and_lines_elsewhere(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert verbosity("auto") == 2
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert verbosity("auto") == 1
    assert isinstance(reporter("auto"), ProgressBar)


def test_auto_is_a_bar_in_a_notebook_and_not_wherever_jupyter_is_imported(monkeypatch):
    class ZMQInteractiveShell:
        pass

    monkeypatch.setattr(sys, "stdout", io.StringIO())
    for shell, expected in ((None, 2), (ZMQInteractiveShell(), 1)):
        ipython = ModuleType("IPython")
        ipython.get_ipython = lambda shell=shell: shell
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
        assert verbosity("auto") == expected


@pytest.mark.parametrize("verbose", [3, -1, "loud", None])
def test_other_verbosities_are_refused(verbose):
    with pytest.raises(ArgumentError, match="verbose must be 0, 1, 2"):
        verbosity(verbose)


def test_silent_is_silent(model, capsys):
    model.fit(X, Y, verbose=0, validation_split=0.25)
    model.evaluate(X, Y, verbose=0)
    model.predict(X)
    assert capsys.readouterr() == ("", "")


def test_one_line_per_epoch(model, capsys):
    history = model.fit(X, Y, epochs=2, verbose=2, validation_split=0.25)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("epoch 1/2  ")
    assert second.startswith("epoch 2/2  ")
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert f"{name} {history.history[name][1]:.4f}" in second


def test_evaluate_says_one_line_where_it_is_asked_to(model, capsys):
    loss, _ = model.evaluate(X, Y, verbose=1)
    assert f"loss {loss:.4f}" in capsys.readouterr().out
    model.evaluate(X, Y)  # "auto", not on a terminal
    assert capsys.readouterr().out == ""


@pytest.fixture
def bar():
    bar = ProgressBar()
    bar.params = {"epochs": 12, "steps": 844}
    bar._epoch, bar._began = 2, progress.time.perf_counter() - 5
    return bar


def drawn(renderable, width):
    screen = io.StringIO()
    Console(file=screen, width=width).print(renderable)
    return screen.getvalue().rstrip("\n")


def test_the_bar_shows_steps_time_and_time_left(bar):
    line = drawn(bar._line(422, {"loss": 0.123, "accuracy": 0.97}), 80)
    assert line.startswith(" 3/12 ")
    for part in ("422/844", "0:05, 0:05 left", "loss 0.1230", "acc 0.9700", "━━━"):
        assert part in line


def test_a_finished_epoch_with_validation_fits_80_columns(bar):
    logs = {"loss": 0.1234, "accuracy": 0.9712, "val_loss": 0.0543, "val_accuracy": 0.9832}
    line = drawn(bar._line(844, logs, finished=True), 80)
    assert "\n" not in line
    assert "left" not in line
    for part in (" 3/12", "844/844", "0:05", "loss 0.1234", "acc 0.9712", "val_loss 0.0543", "val_acc 0.9832"):
        assert part in line


def test_the_bar_leaves_a_line_per_epoch_behind(model, capsys):
    history = model.fit(X, Y, epochs=3, batch_size=16, verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["1/3", "2/3", "3/3"]
    assert f"loss {history.history['loss'][2]:.4f}" in lines[2]


def test_the_bar_gives_the_terminal_back_after_an_error(model):
    bar = ProgressBar()
    bar.params = {"epochs": 1, "steps": 2}
    bar.on_epoch_begin(0)
    live = bar._live
    assert live.is_started
    bar.on_train_end()
    assert not live.is_started


def test_numbers_and_times_are_readable():
    assert numbers({"loss": 0.5, "learning_rate": 0.00025}) == "loss 0.5000  learning_rate 2.5e-04"
    assert numbers({"loss": 0.0}) == "loss 0.0000"
    assert [clock(seconds) for seconds in (0.4, 59.6, 3599.4, 3600)] == ["0:00", "1:00", "59:59", "1:00:00"]


def test_reporters_by_number():
    assert type(reporter(2)) is EpochLines
    assert type(reporter(1)) is ProgressBar
