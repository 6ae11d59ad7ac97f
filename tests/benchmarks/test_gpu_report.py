"""The report about a GPU, on the host build and with sizes for it: that all of it runs and says what it should."""

import json

import numpy as np
import pytest

from tinyconv import backends, gpu
from tinyconv.benchmarks import gpu_report
from tinyconv.benchmarks.race import Rounds
from tinyconv.datasets import dataset
from tinyconv.errors import BackendError, DataError
from tinyconv.kernels.cuda import host

SMALL = gpu_report.Sizes(
    networks=(), image=(1, 6, 6, 8), matrix=32, copied=100, launches=2, steps=2, epochs=1, against="numpy"
)


@pytest.fixture
def on_host():
    if not host.available():
        pytest.skip("no C++ compiler (g++)")
    with backends.cuda_on_host():
        yield


@pytest.mark.usefixtures("on_host")
def test_the_report(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_report, "course", lambda sizes, say: 1.5)
    monkeypatch.setattr(gpu_report.machine, "gpu", lambda: "NVIDIA H200, 580.159.03, 143771 MiB")
    said = []
    paths = gpu_report.run(Rounds(threads=1, rounds=2), SMALL, say=said.append).write(tmp_path)
    assert [path.name for path in paths] == [f"gpu-nvidia-h200.{suffix}" for suffix in ("json", "md", "png")]
    document, text = json.loads(paths[0].read_text()), paths[1].read_text()
    assert document["machine"]["gpu"].startswith("NVIDIA H200")
    assert document["results"]["checks"]["two runs have the same bits"] is True
    assert document["results"]["checks"]["largest difference of the losses to numpy's in 2 steps"] < 1e-4
    assert all(len(kernel["rounds"]) == 2 for kernel in document["results"]["kernels"].values())
    assert "1 epochs of course_cnn on MNIST: 1.50 s of training." in text
    assert "| matrix product |" in text
    assert said[0] == "convolution forward"


@pytest.mark.usefixtures("on_host")
def test_the_course_is_timed_where_its_data_are(monkeypatch):
    def load(name):
        images = np.zeros((4, 28, 28, 1), np.uint8)
        return dataset.Dataset("mnist", images, np.arange(4, dtype=np.uint8), images, np.arange(4), ("0",) * 10, "")

    monkeypatch.setattr(gpu_report.datasets, "load", load)
    assert gpu_report.course(SMALL, lambda line: None) > 0

    def missing(name):
        raise DataError("not here")

    monkeypatch.setattr(gpu_report.datasets, "load", missing)
    assert gpu_report.course(SMALL, lambda line: None) is None


def test_a_machine_without_a_gpu_says_so(monkeypatch):
    monkeypatch.setattr(gpu, "find_problem", lambda: "There is no GPU.")
    monkeypatch.setattr("sys.argv", ["gpu_report"])
    with pytest.raises(SystemExit, match="There is no GPU"):
        gpu_report.main()
    backends._get.cache_clear()
    with pytest.raises(BackendError, match="There is no GPU"):
        gpu_report.run(Rounds(threads=1), SMALL)
