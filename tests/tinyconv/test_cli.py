"""The command line as a user meets it: what it prints, what it leaves behind, its sentences and its exit codes."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from tinyconv import cli, gradcheck, zoo
from tinyconv.cli import picture, session, sources
from tinyconv.cli.app import app
from tinyconv.errors import DataError
from tinyconv.kernels import compiling
from tinyconv.layers import Conv2D
from tinyconv.models import Sequential
from tinyconv.training.run_folder import RunFolder

QUICK = (
    "train", "--model", "fashion_perceptron", "--data", "digits", "--backend", "numpy", "--epochs", "2", "--no-augment",
)
CHECKOUT = Path(cli.__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def run(*arguments):
    """Run a command in this process; returns (exit code, standard output, standard error)."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def succeed(*arguments):
    code, out, err = run(*arguments)
    assert code == 0, out + err
    return out


def refuse(*arguments, code=2):
    """The one sentence of a command that fails."""
    got, _, err = run(*arguments)
    assert got == code, err
    assert err.startswith("tinyconv: ")
    assert "Traceback" not in err
    return err


# -- train ------------------------------------------------------------------------------------------------------------


def test_train_writes_a_run_and_says_where():
    out = succeed(*QUICK)
    folder = Path("runs/fashion_perceptron-digits-1")
    assert str(folder) in out
    accuracy = float(re.search(r"test accuracy (0\.\d{4})", out)[1])
    assert accuracy > 0.5
    results = json.loads((folder / "results.json").read_text())
    assert results["test_accuracy"] == pytest.approx(accuracy, abs=5e-5)
    assert len((folder / "log.jsonl").read_text().splitlines()) == 2
    assert {path.name for path in folder.glob("*.png")} == {
        "learning-curve.png", "confusion-matrix.png", "misclassified.png",
    }
    config = json.loads((folder / "config.json").read_text())
    assert config["model"] == "fashion_perceptron"
    assert config["class_names"] == list("0123456789")
    assert "runs/fashion_perceptron-digits-2" in succeed(*QUICK, "--quiet")


def test_resumed_in_two_parts_is_the_same_as_in_one():
    succeed(*QUICK, "--run", "whole", "--epochs", 3)
    succeed(*QUICK, "--run", "parts", "--epochs", 1)
    assert "goes on after epoch 1" in succeed("train", "--resume", "--run", "parts", "--epochs", 3)
    whole, parts = (sources.find_trained(name).model.get_weights() for name in ("whole", "parts"))
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(Path("parts/log.jsonl").read_text().splitlines()) == 3
    assert "has its 3 epochs already" in refuse("train", "--resume", "--run", "parts", "--epochs", 3)
    assert "--seed" in refuse("train", "--resume", "--run", "parts", "--seed", 2)


def test_interrupted_training_says_how_to_go_on(monkeypatch):
    fit = Sequential.fit

    def one_epoch_then_interrupt(self, *arguments, **options):
        fit(self, *arguments, **options | {"epochs": 1})
        raise KeyboardInterrupt

    monkeypatch.setattr(Sequential, "fit", one_epoch_then_interrupt)
    code, out, err = run(*QUICK, "--run", "mine")
    assert code == 130
    assert "tinyconv train --resume --run mine" in out
    assert err == "tinyconv: Interrupted.\n"
    assert RunFolder("mine").last.exists()


def test_diverged_training_keeps_the_last_good_weights():
    err = refuse(*QUICK, "--run", "mine", "--optimizer", "sgd", "--learning-rate", "1e38", code=1)
    assert "lower learning rate" in err
    kept = sources.find_trained("mine/last-good.safetensors").model.get_weights()
    assert all(np.isfinite(weights).all() for weights in kept)
    assert "images of digits" in succeed("evaluate", "mine")


def test_what_a_run_without_a_finished_epoch_is_good_for(monkeypatch):
    assert "There is no run in runs/ here yet: train one" in refuse("evaluate")

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Sequential, "fit", interrupt)
    assert run(*QUICK)[0] == 130
    assert "No run in runs/ has got to the end of an epoch yet" in refuse("evaluate")
    folder = next(Path("runs").iterdir())
    assert "has no model yet: it did not get to the end of its first epoch" in refuse("evaluate", folder)
    assert "none of its epochs came to an end" in refuse("train", "--resume", "--run", folder)


def test_train_says_what_is_held_out_and_what_comes_next():
    out = succeed(*QUICK, "--validation-split", "0.1", "--epochs", "1")
    assert re.search(r"[0-9,]+ images to learn from, [0-9,]+ held out to validate, [0-9,]+ to test", out)
    assert "\n1 epoch, batches of" in out
    assert "tinyconv predict PICTURE-OF-A-DIGIT" in out
    assert "held out" not in succeed(*QUICK, "--validation-split", "0", "--epochs", "1")


@pytest.mark.parametrize("found", [True, False], ids=["kept", "compiled"])
def test_train_says_that_kernels_are_compiled_when_they_are(found, monkeypatch):
    fit = Sequential.fit

    def compiling_first(*given, **options):
        if not found:
            compiling.begins()
            compiling.begins()
        return fit(*given, **options)

    monkeypatch.setattr(Sequential, "fit", compiling_first)
    told = succeed(*QUICK, "--epochs", "1").count("compiling kernels for this processor")
    assert told == (0 if found else 1)
    assert "compiling" not in succeed(*QUICK, "--epochs", "1", "--quiet")


def test_limit_steps(monkeypatch):
    seen = []
    fit = Sequential.fit

    def count(self, x, y, **options):
        seen.append(len(x))
        return fit(self, x, y, **options)

    monkeypatch.setattr(Sequential, "fit", count)
    succeed(*QUICK, "--batch-size", 10, "--limit-steps", 3)
    assert seen == [30]


def test_what_is_left_out_comes_from_the_lesson():
    lesson = session.plan(zoo.entry("mnist_convnet"), {}, epochs=None, backend=None)
    assert (lesson.data, lesson.epochs, lesson.batch_size, lesson.validation_split) == ("mnist", 5, 64, 0.1)
    given = {"data": "digits", "augment": False, "batch_size": 7}
    mine = session.plan(zoo.entry("mnist_convnet"), given, epochs=2, backend="numpy")
    assert (mine.data, mine.epochs, mine.batch_size, mine.augment, mine.backend) == ("digits", 2, 7, {}, "numpy")


def test_train_on_an_image_folder(tmp_path):
    rng = np.random.default_rng(0)
    for label, level in [("dark", 40), ("light", 200)]:
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(8):
            pixels = rng.integers(level, level + 40, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{number}.png")
    options = ("--backend", "numpy", "--epochs", 1, "--validation-split", 0, "--no-augment")
    succeed("train", "--model", "cats_and_dogs", "--data", "photos", "--run", "mine", *options)
    config = RunFolder("mine").config
    assert config["class_names"] == ["dark", "light"]
    assert "dark" in succeed("evaluate", "mine")
    assert "light" in succeed("predict", "--model", "mine", "photos/light/0.png")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"epochs": "a"}, "--epochs must be a whole number of at least 1, but got 'a'"),
        ({"batch_size": None}, "--batch-size"),
        ({"limit_steps": "a"}, "--limit-steps"),
        ({"model": 3}, "no reference network 3"),
        ({"augment": {"junk": 3}}, "junk"),
        ({"more": 1}, "more"),
    ],
)
def test_a_run_whose_settings_were_changed_is_not_resumed(change, sentence):
    succeed(*QUICK, "--run", "mine", "--epochs", 1)
    settings = json.loads(Path("mine/config.json").read_text())
    Path("mine/config.json").write_text(json.dumps(settings | change))
    assert sentence in refuse("train", "--resume", "--run", "mine", "--epochs", 2)


@pytest.mark.parametrize("text", ["{", "[]", '{"data": 3}', '{"class_names": "abc"}', "\udcff"])
def test_a_run_with_damaged_settings_is_not_evaluated(text):
    RunFolder("mine").create()
    zoo.build("fashion_perceptron", backend="numpy").save("mine/model.safetensors")
    Path("mine/config.json").write_bytes(text.encode(errors="surrogateescape"))
    assert "mine" in refuse("evaluate", "mine", "--data", "digits")


def test_a_folder_with_one_picture_per_class_is_refused_before_training():
    for label in ("dark", "light"):
        Path("photos", label).mkdir(parents=True)
        Image.new("RGB", (20, 24)).save(f"photos/{label}/0.png")
    assert "nothing to test on" in refuse("train", "--model", "cats_and_dogs", "--data", "photos")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--model", "lenet"), "Did you mean 'lenet5'"),
        (("--data", "mnits"), "Did you mean 'mnist'"),
        (("--backend", "nunpy"), "nunpy"),
        (("--optimizer", "adan"), "Did you mean 'adam'"),
        (("--schedule", "one-cycle"), "Did you mean 'one_cycle'"),
        (("--batch-size", 0), "--batch-size"),
        (("--epochs", 0), "--epochs"),
        (("--validation-split", 1.5), "--validation-split"),
        (("--learning-rate", -1), "--learning-rate"),
        (("--limit-steps", 0), "--limit-steps"),
        (("--threads", 100_000), "threads must be 1 to"),
        (("--classes", "0,ten"), "ten"),
        (("--classes", "7"), "one class only, '7'"),
        (("--validation-split", 0.9999), "leaves one of the two parts empty"),
        (("--model", "cats_and_dogs"), "--data"),
        (("--verbose", 5), "verbose"),
        (("--run", "occupied"), "not empty"),
        (("--run", "/proc/nowhere"), "run folder"),
        (("--resume", "--run", "nowhere"), "nowhere"),
        (("--resume",), "There is no run in runs/ here yet"),
    ],
)
def test_bad_options_are_refused_and_leave_nothing(options, sentence):
    Path("occupied").mkdir()
    Path("occupied/file").touch()
    data = () if "--data" in options or "cats_and_dogs" in options else ("--data", "digits")
    assert sentence in refuse("train", *options, *(() if "--resume" in options else data))
    assert not Path("runs").exists()


# -- what was trained -------------------------------------------------------------------------------------------------


def test_evaluate_and_predict_use_the_latest_run():
    refuse("evaluate")
    trained = succeed(*QUICK)
    out = succeed("evaluate")
    assert re.search(r"accuracy (0\.\d{4})", out)[1] == re.search(r"test accuracy (0\.\d{4})", trained)[1]
    assert [line.split()[0] for line in out.splitlines() if re.match(r"\d +[01]\.\d{4}", line)] == list("0123456789")
    draw_digit("seven.png")
    out = succeed("predict", "seven.png")
    shares = [float(share) for share in re.findall(r"([\d.]+)%", out)]
    assert len(shares) == 10
    assert sum(shares) == pytest.approx(100, abs=0.1)


def test_a_model_saved_elsewhere_can_be_evaluated_on_data_that_are_named():
    zoo.build("fashion_perceptron", backend="numpy").save("model.safetensors")
    assert "359 test images" in succeed("evaluate", "model.safetensors", "--data", "digits")
    assert "--data" in refuse("evaluate", "model.safetensors")
    assert "no backend 'nunpy'. Did you mean" in refuse("evaluate", "model.safetensors", "--backend", "nunpy")
    zoo.build("fashion_perceptron", classes=3, backend="numpy").save("three.safetensors")
    assert "tells 3 classes apart, but digits has 10" in refuse("evaluate", "three.safetensors", "--data", "digits")
    Sequential([Conv2D(2, 3, input_shape=(28, 28, 1))], backend="numpy").save("maps.safetensors")
    assert "no class probabilities" in refuse("evaluate", "maps.safetensors", "--data", "digits")
    Path("model.txt").write_text("no model")
    refuse("evaluate", "model.txt", "--data", "digits")
    assert "is not trained yet" in refuse("evaluate", "lenet5")


def test_predict_several_files_and_folders():
    succeed(*QUICK)
    Path("drawn").mkdir()
    for name in ("drawn/a.png", "drawn/b.png", "c.png"):
        draw_digit(name)
    out = succeed("predict", "drawn", "c.png")
    assert [name for name in ("drawn/a.png", "drawn/b.png", "c.png") if name in out] == re.findall(r"\S+\.png", out)
    Path("broken.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    assert "broken.png" in refuse("predict", "broken.png")
    Path("empty").mkdir()
    assert "no pictures" in refuse("predict", "empty")


def draw_digit(path):
    image = Image.new("RGB", (200, 300), (240, 240, 235))
    ImageDraw.Draw(image).line([(60, 60), (150, 60), (90, 250)], fill=(20, 20, 60), width=20, joint="curve")
    image.save(path)


# -- a picture of a digit ---------------------------------------------------------------------------------------------


def test_a_digit_is_cropped_scaled_and_centred_by_mass():
    """A 30×15 bar becomes 20×10 in the middle of 28×28; a heavy lower half pulls the box up."""
    grey = np.full((100, 60), 250, np.uint8)
    grey[20:50, 30:45] = 10
    bar = picture.digit(grey, "bar")
    assert bar.shape == (28, 28)
    assert bar.dtype == np.float32
    expected = np.zeros((28, 28))
    expected[4:24, 9:19] = 1
    np.testing.assert_allclose(bar, expected, atol=1e-6)

    grey[40:50, 15:60] = 10
    rows = np.flatnonzero(picture.digit(grey, "foot").any(axis=1))
    assert rows[0] + (27 - rows[-1]) > 0
    assert rows[0] < 27 - rows[-1]


def test_light_on_dark_and_dark_on_light_are_the_same_digit():
    grey = np.random.default_rng(0).integers(230, 250, (50, 40)).astype(np.uint8)
    grey[10:40, 15:25] = 30
    np.testing.assert_allclose(picture.digit(grey, "a"), picture.digit(255 - grey, "b"), atol=1e-6)


def test_paper_without_ink_is_refused():
    with pytest.raises(DataError, match=r"blank\.png shows nothing"):
        picture.digit(np.full((30, 30), 128, np.uint8), "blank.png")


def test_transparent_paper_is_white():
    image = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle([15, 5, 25, 35], fill=(0, 0, 0, 255))
    image.save("bar.png")
    read = picture.read(Path("bar.png"), (28, 28, 1), find_digit=True)
    assert read.shape == (28, 28, 1)
    assert read[14, 14, 0] == 1
    assert read[0, 0, 0] == 0


def test_pictures_that_are_no_digits_are_stretched():
    Image.new("RGB", (40, 30), (255, 0, 51)).save("red.png")
    read = picture.read(Path("red.png"), (8, 6, 3), find_digit=False)
    np.testing.assert_allclose(read, np.broadcast_to([1, 0, 0.2], (8, 6, 3)), atol=1e-6)


# -- look inside ------------------------------------------------------------------------------------------------------


def test_summary_and_zoo_tell_the_parameters():
    assert "485,514" in succeed("summary", "mnist_convnet")
    out = succeed("zoo")
    assert all(name in out for name in zoo.names())
    assert "485,514" in out
    assert "Did you mean 'lenet5'" in refuse("summary", "lenet")


def test_gradcheck_right_and_wrong(monkeypatch):
    assert "Every gradient is right." in succeed("gradcheck")
    assert "Every gradient is right." in succeed("gradcheck", "Dense", "--backend", "numba")
    assert "Did you mean 'Conv2D'" in refuse("gradcheck", "conv")
    from tinyconv.layers import Flatten

    backward = Flatten.backward
    monkeypatch.setattr(Flatten, "backward", lambda self, dy: 1.1 * backward(self, dy))
    code, out, _ = run("gradcheck", "Flatten")
    assert code == 1
    assert "Wrong gradients: flatten." in out


def test_gradcheck_of_a_network(monkeypatch):
    monkeypatch.setattr(gradcheck, "GROUPS", 5)
    assert "Every gradient is right." in succeed("gradcheck", "fashion_perceptron")


def test_data(monkeypatch, tmp_path):
    monkeypatch.delenv("TINYCONV_DATA", raising=False)
    monkeypatch.setenv("TINYCONV_CACHE", str(tmp_path / "cache"))
    out = succeed("data", "list")
    assert all(name in out for name in ("digits", "mnist", "fashion_mnist", "cifar10"))
    assert "bundled" in succeed("data", "download", "digits")
    assert "mnist: not on this machine" in succeed("data", "verify")
    code, out, _ = run("data", "verify", "mnist")
    assert code == 1
    assert "✗ mnist/train-images" in out
    assert "Did you mean 'mnist'" in refuse("data", "verify", "mnits")


# -- the command itself -----------------------------------------------------------------------------------------------


def command(*arguments):
    """Run the real command in a process of its own."""
    words = [sys.executable, "-m", "tinyconv", *arguments]
    return subprocess.run(words, capture_output=True, text=True, cwd=CHECKOUT)


def test_above_a_checkout_called_tinyconv(tmp_path):
    """Python then finds that folder, a package without an __init__, before an editable installation."""
    (tmp_path / "above").mkdir()
    (tmp_path / "above" / "tinyconv").symlink_to(CHECKOUT)
    finder = """
import importlib.util, sys
from importlib.machinery import PathFinder
class Installed:  # as setuptools' editable installation, behind Python's own finders
    def find_spec(name, path=None, target=None):
        parts = name.split(".")
        if parts[0] == "tinyconv" and len(parts) > 1:
            return PathFinder.find_spec(name, [f"{checkout}/{'/'.join(parts[:-1])}"])
sys.meta_path.append(Installed)
"""
    script = f"checkout = {str(CHECKOUT)!r}\n" + finder + """
import tinyconv
assert tinyconv.__file__ is None
from tinyconv.layers import Dense
from tinyconv.models import Sequential, load_model
model = Sequential([Dense(2, input_shape=(3,))], backend="numpy")
model.save("model.safetensors")
print(load_model("model.safetensors").count_params())
"""
    ended = subprocess.run(
        [sys.executable, "-S", "-c", "import sys; sys.path += sys.argv[1:]; exec(sys.stdin.read())", *_site()],
        input=script, cwd=tmp_path / "above", env={}, capture_output=True, text=True, check=False,
    )
    assert ended.stdout == "8\n", ended.stderr


def _site():
    """Where packages are installed, without what makes an editable installation."""
    return [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]


def test_help_loads_nothing_heavy():
    code = (
        "import sys; sys.argv = ['tinyconv', '--help']; from tinyconv.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted({'numba', 'numpy', 'matplotlib', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=CHECKOUT)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_debug_shows_the_traceback_wherever_it_stands():
    for words in [("--debug", "summary", "lenet"), ("summary", "lenet", "--debug")]:
        done = command(*words)
        assert done.returncode == 2
        assert "Traceback" in done.stderr
        assert "tinyconv: 'lenet' is no network" in done.stderr


def test_a_reader_that_goes_away_is_no_error():
    process = subprocess.Popen(
        [sys.executable, "-m", "tinyconv", "zoo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=CHECKOUT
    )
    process.stdout.close()
    assert b"Broken pipe" not in process.stderr.read()
    process.stderr.close()
    process.wait()


def test_a_killed_training_leaves_whole_files_and_says_how_to_go_on(tmp_path):
    words = [sys.executable, "-m", "tinyconv", *QUICK, "--epochs", "100000", "--run", str(tmp_path / "mine")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=CHECKOUT)
    while not (tmp_path / "mine/checkpoints/last.safetensors").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.terminate()
    out, err = process.communicate()
    assert (process.returncode, err) == (130, "tinyconv: Interrupted.\n")
    assert "tinyconv train --resume --run" in out
    assert not list((tmp_path / "mine").rglob("*.tmp"))
    assert RunFolder(tmp_path / "mine").resume().epoch >= 1


def test_new_runs_get_folders_of_their_own():
    assert [sources.new_run("net", "a/photos").name for _ in range(3)] == [f"net-photos-{n}" for n in (1, 2, 3)]
