"""The accuracy benchmark: trains what is not finished, keeps what is, and says who failed."""

import json

import pytest

from tinyconv.benchmarks import accuracy
from tinyconv.errors import ArgumentError, TinyconvError


def finish(runs, name, *accuracies):
    for seed, value in enumerate(accuracies):
        (runs / f"{name}-{seed}").mkdir(parents=True)
        (runs / f"{name}-{seed}" / accuracy.RESULTS).write_text(json.dumps({"test_accuracy": value}))


def test_finished_runs_are_averaged_and_not_trained_again(tmp_path):
    finish(tmp_path, "simple_cnn", 0.98, 0.99)
    finish(tmp_path, "course_cnn", 0.97, 0.97)
    lines = []
    report = accuracy.run(recipes=("simple_cnn", "course_cnn"), seeds=2, runs=tmp_path, say=lines.append)
    assert report.results == {"simple_cnn": [0.98, 0.99], "course_cnn": [0.97, 0.97]}
    assert [(row[0], row[3], row[5]) for row in report.tables[0].rows] == [
        ("simple_cnn", "0.9850", "0.9800, 0.9900"), ("course_cnn", "0.9700", "0.9700, 0.9700")
    ]
    assert "simple_cnn, seed 1: 0.9900" in lines
    points = [line.get_xdata() for line in report.figure.axes[0].lines]
    assert points[0] == pytest.approx([2.0, 1.0])  # percent read wrongly
    assert points[1] == pytest.approx([1.8])  # the goal


def test_what_is_not_finished_is_trained(tmp_path, monkeypatch):
    options = ("--model", "fashion_perceptron", "--data", "digits", "--epochs", "1", "--backend", "numpy")
    monkeypatch.setitem(accuracy.RECIPES, "tiny", accuracy.Recipe(options, 0.5))
    (tmp_path / "tiny-0").mkdir()  # stopped in the middle
    (tmp_path / "tiny-0" / "config.json").write_text("{")
    report = accuracy.run(recipes=("tiny",), seeds=1, runs=tmp_path, say=lambda line: None)
    assert 0.2 < report.results["tiny"][0] <= 1


def test_a_training_that_fails_says_why(tmp_path, monkeypatch):
    monkeypatch.setitem(accuracy.RECIPES, "broken", accuracy.Recipe(("--epochs", "many"), 0.5))
    with pytest.raises(TinyconvError, match="broken with seed 0 could not be trained"):
        accuracy.run(recipes=("broken",), seeds=1, runs=tmp_path, say=lambda line: None)
    with pytest.raises(ArgumentError, match="simple_cnn"):
        accuracy.run(recipes=("simple_cn",), say=lambda line: None)
