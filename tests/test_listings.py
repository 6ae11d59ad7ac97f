"""Two complete listings, written for Keras with only the import lines changed, run as they are.

The text of a listing is never touched.  To be quick, its world is made small around it: `load_data` gives the first
images only, and `fit` stops after two epochs whatever the listing asks for.  Where TINYCONV_DATA is not set, bundled
digits stand in for the real images, and only the accuracy is not looked at.
"""

import os
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from tinyconv import datasets
from tinyconv.models import Sequential

LISTINGS = Path(__file__).parent / "listings"
TRAINING, TEST, EPOCHS = 2000, 500, 2


@pytest.fixture
def small_world(monkeypatch, tmp_path):
    """Small data and few epochs, in an empty folder; returns whether the data is real."""
    real = bool(os.environ.get("TINYCONV_DATA"))
    for module in (datasets.mnist, datasets.fashion_mnist):
        (x, y), (x_test, y_test) = (module if real else datasets.digits).load_data()
        small = (x[:TRAINING], y[:TRAINING]), (x_test[:TEST], y_test[:TEST])
        monkeypatch.setattr(module, "load_data", lambda small=small: small)

    fit = Sequential.fit

    def few_epochs(self, *arguments, epochs=1, **options):
        return fit(self, *arguments, epochs=min(epochs, EPOCHS), **options)

    monkeypatch.setattr(Sequential, "fit", few_epochs)
    monkeypatch.chdir(tmp_path)
    return real


def test_mnist_convnet(small_world, capsys):
    result = runpy.run_path(str(LISTINGS / "mnist_convnet.py"))
    printed = capsys.readouterr().out

    assert result["cnn"].count_params() == 485_514
    assert "485,514" in printed
    assert "(None, 26, 26, 64)" in printed
    history = result["history"].history
    assert list(map(len, history.values())) == [EPOCHS] * len(history)
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(history)
    assert_is_hdf5(Path("mnist_cnn.h5"))
    np.testing.assert_array_equal(result["same_cnn"].predict(result["X_test"]), result["predictions"])
    wrong = len(result["wrong"]) / len(result["expected"])
    assert result["accuracy"] == pytest.approx(1 - wrong, abs=1e-6)
    if small_world:
        assert result["accuracy"] > 0.8


def test_fashion_items(small_world, capsys):
    result = runpy.run_path(str(LISTINGS / "fashion_items.py"))
    printed = capsys.readouterr().out

    assert result["model"].count_params() == 411_242
    assert "411,242" in printed
    assert "(None, 14, 14, 32)" in printed
    assert re.search(r"epoch 2: test accuracy 0\.\d{4}", printed)
    assert_is_hdf5(Path("fashion_cnn.h5"))
    assert result["score"][1] == pytest.approx(1 - len(result["wrong"]) / len(result["test_labels"]), abs=1e-6)
    if small_world:
        assert result["score"][1] > 0.55


def test_listings_differ_from_keras_in_their_imports_only():
    for listing in LISTINGS.glob("*.py"):
        code = listing.read_text().split('"""', 2)[2]
        assert not [line for line in code.splitlines() if "tinyconv" in line and not line.startswith("from tinyconv.")]


def assert_is_hdf5(path):
    assert path.read_bytes()[:8] == b"\x89HDF\r\n\x1a\n"
