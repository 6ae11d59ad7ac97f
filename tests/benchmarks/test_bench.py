"""`tinyconv bench …` from end to end, as small as it can be: what it shows and what it leaves."""

import json
import sys
from contextlib import ExitStack

import pytest
from PIL import Image
from typer.testing import CliRunner

from tinyconv.benchmarks import scaling
from tinyconv.benchmarks.chromium import chromium
from tinyconv.benchmarks.contestants import choose
from tinyconv.benchmarks.race import Rounds
from tinyconv.cli.app import app
from tinyconv.errors import StateError

SMALL = ("--network", "fashion_perceptron", "--rounds", "2", "--threads", "1", "--contestant", "tinyconv-numpy")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def bench(name, *arguments):
    """Run a benchmark; returns its JSON, after checking that the other files and the table are there."""
    result = CliRunner().invoke(app, ["bench", name, *arguments, "--output", "out"])
    assert result.exit_code == 0, result.output
    (path,) = (path for path in map(_path, result.stdout.splitlines()) if path.endswith(".json"))
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    with open(path.replace(".json", ".md"), encoding="utf-8") as file:
        text = file.read()
    assert document["title"] in text
    assert document["machine"]["cpu"] in text
    with open(path.replace(".json", ".png"), "rb") as file:
        assert file.read(4) == b"\x89PNG"
    return document


def _path(line):
    return line.removeprefix("wrote ") if line.startswith("wrote ") else ""


def refuse(*arguments):
    result = CliRunner().invoke(app, ["bench", *arguments])
    assert result.exit_code == 2
    return result.stderr


def test_results_that_the_readme_shows_are_not_replaced_in_silence(monkeypatch, tmp_path):
    class Written:
        name, title, tables, notes = "stub", "A stub", (), ()

        def write(self, folder):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "stub.json").write_text("{}")
            return [folder / "stub.json"]

    monkeypatch.setattr("tinyconv.benchmarks.accuracy.run", lambda **_: Written())
    outputs = [CliRunner().invoke(app, ["bench", "accuracy", *where]).stdout for where in ([], [], ["-o", "other"])]
    assert ["README.md shows" in output for output in outputs] == [False, True, False]


@pytest.mark.slow
def test_lab_page():
    pytest.importorskip("starlette")
    pytest.importorskip("uvicorn")
    with ExitStack() as stack:
        try:
            stack.enter_context(chromium())
        except StateError as problem:
            pytest.skip(str(problem))
    document = bench("lab-page", "--rounds", "1", "--seconds", "1")
    results = document["results"]
    assert 0 < results["open_seconds"]["median"] < 600
    assert set(results["pictures_per_second"]) == set(results["longest_pause_milliseconds"])
    assert len(results["pictures_per_second"]) == 3
    for name, speed in results["pictures_per_second"].items():
        assert 1000 / results["longest_pause_milliseconds"][name] <= speed["low"]
    with Image.open("out/lab_page.png") as picture:
        assert picture.size == (1280, 800)
        assert len(picture.convert("RGB").getcolors(2**20)) > 100  # not an empty page


def test_lab_page_without_playwright(monkeypatch):
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    assert 'pip install "tinyconv[browser]"' in refuse("lab-page")


@pytest.mark.slow
def test_train_throughput_with_a_peer():
    pytest.importorskip("torch")
    document = bench("train-throughput", *SMALL, "--contestant", "pytorch", "--seconds", "0", "--no-tcmalloc")
    speeds = document["results"]["samples_per_second"]["fashion_perceptron"]
    assert set(speeds) == {"tinyconv-numpy", "pytorch"}
    assert all(len(measured["rounds"]) == 2 and measured["low"] > 0 for measured in speeds.values())
    losses = document["results"]["last_loss"]["fashion_perceptron"]
    assert all(1 < measured["median"] < 4 for measured in losses.values())  # log(10) = 2.3 without having learned
    assert document["settings"]["threads"] == 1
    assert document["settings"]["batch_sizes"] == {"fashion_perceptron": 32}
    assert document["machine"]["versions"]["torch"]
    assert document["notes"] == []


def test_who_cannot_run_says_why():
    document = bench(
        "train-throughput", *SMALL, "--contestant", "keras-jax", "--python-keras", "no-such-python", "--seconds", "0",
        "--no-tcmalloc",
    )
    assert document["notes"] == ["Not run: Keras on JAX (no-such-python cannot be started: No such file or directory)."]
    assert document["results"]["over_best_installed"] == {"fashion_perceptron": None}


def test_predict():
    document = bench("predict", *SMALL, "--images", "50", "--no-tcmalloc")
    chunk = document["results"]["chunk"]["fashion_perceptron"]["tinyconv-numpy"]
    assert chunk["median"] in (100, 250, 1000)


def test_memory():
    document = bench("memory", *SMALL, "--seconds", "0")
    peak = document["results"]["peak_mib"]["fashion_perceptron"]["tinyconv-numpy"]
    imported = document["results"]["imported_mib"]["fashion_perceptron"]["tinyconv-numpy"]
    assert 10 < imported["low"] <= peak["low"] < 1000


def test_startup():
    document = bench("startup", *SMALL)
    stages = document["results"]["warm"]["tinyconv-numpy"]
    assert 0 < stages["import"]["median"] < stages["build"]["median"] < stages["first_step"]["median"]
    assert document["results"]["cold"] == {}


def test_scaling():
    report = scaling.run(
        choose(["tinyconv-numpy"], tcmalloc=False), Rounds(threads=1, rounds=1, pause=0), network="fashion_perceptron",
        batch_sizes=(2, 4), image_sizes=(6,), say=lambda line: None,
    )
    kernels = report.results.pop("kernels")
    assert all(seconds["1"]["median"] > 0 for seconds in kernels.values())
    assert {argument: set(found["tinyconv-numpy"]) for argument, found in report.results.items()} == {
        "threads": {"1"}, "batch_size": {"2", "4"}, "image_size": {"6"}
    }


@pytest.mark.slow
def test_scaling_of_kernels():
    found = scaling.measure_kernels(
        "fashion_perceptron", (1, 2), Rounds(threads=2, rounds=2, seconds=0, pause=0), say=lambda line: None
    )
    assert {name.split(",")[0] for name in found} == {"dense", "adam"}
    for threads in found.values():
        assert set(threads) == {1, 2}
        assert all(seconds > 0 for one in threads.values() for seconds in one.rounds)


def test_time_to_accuracy():
    document = bench(
        "time-to-accuracy", "--seeds", "2", "--limit", "64", "--data", "digits", "--goal", "0.05", "--threads", "1",
        "--contestant", "tinyconv-numpy",
    )
    found = document["results"]["tinyconv-numpy"]
    assert len(found["seconds"]["rounds"]) == 2
    assert found["reached"] == sum(value >= 0.05 for value in found["accuracy"]["rounds"])
    assert found["mean_accuracy"] == pytest.approx(sum(found["accuracy"]["rounds"]) / 2)
    assert document["settings"]["recipe"]["batch_size"] == 256


@pytest.mark.slow
def test_ladder():
    """With the compiled rung, in a process of its own."""
    document = bench("ladder", "dense", "-n", "fashion_perceptron", "-r", "1", "-s", "0", "--threads", "1")
    found = document["results"]["cases"]
    assert {(row["function"], row["rung"]) for row in found} == {
        (function, rung)
        for function in ("forward", "backward_input", "backward_weights")
        for rung in ("definition", "parallel")
    }
    assert all(row["gflops"]["median"] > 0 and row["intensity"] > 0 for row in found)
    assert document["results"]["limits"]["gflops"] > 0.1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("memory", "--threads", "10000"), "--threads is 10000, but there are"),
        (("memory", "--network", "lenet6"), "no reference network 'lenet6'"),
        (("predict", "--images", "0"), "--images must be a whole number of at least 1"),
        (("train-throughput", "--rounds", "0"), "number of rounds must be a whole number of at least 1"),
        (("train-throughput", "--contestant", "torch"), "no contestant 'torch'"),
        (("ladder", "conv3d"), "no ladder of 'conv3d'"),
        (("time-to-accuracy", "--recipe", "mine"), "no recipe 'mine'"),
    ],
)
def test_sentences(arguments, sentence):
    assert sentence in refuse(*arguments)
