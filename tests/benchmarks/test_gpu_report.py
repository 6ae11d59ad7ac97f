"""The report about a GPU, on the host build and with sizes for it: that all of it runs and says what it should."""

import json

import numpy as np
import pytest

from tinyconv import backends, gpu
from tinyconv.benchmarks import gpu_kernels, gpu_launches, gpu_report
from tinyconv.benchmarks.measure import Measurement
from tinyconv.benchmarks.race import Rounds
from tinyconv.datasets import dataset
from tinyconv.errors import BackendError, DataError
from tinyconv.kernels.cuda import host

KERNELS = gpu_kernels.KernelSizes(
    image=(1, 6, 6, 8), matrix=32, copied=100, peak_blocks=2, peak_count=40, launches=2
)
SMALL = gpu_report.Sizes(networks=(), kernels=KERNELS, repeats=2, steps=2, epochs=1, seeds=2, against="numpy")
SPEED = {"tinyconv-gpu": Measurement((300.0, 330.0)), "pytorch-gpu": Measurement((100.0, 100.0))}


@pytest.fixture
def on_host():
    if not host.available():
        pytest.skip("no C++ compiler (g++)")
    with backends.cuda_on_host():
        yield


@pytest.mark.usefixtures("on_host")
def test_the_report(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_report.datasets, "load", lambda name: name)
    monkeypatch.setattr(gpu_report, "course", lambda data, sizes, say: 1.5)
    trainings = gpu_report.Trainings([0.2, 0.3], [0.99, 0.992])
    monkeypatch.setattr(gpu_report, "fastest_recipe", lambda sizes, say: trainings)
    monkeypatch.setattr(gpu_report.machine, "gpu", lambda: "NVIDIA H200, 580.159.03, 143771 MiB")
    said = []
    paths = gpu_report.run(Rounds(threads=1, rounds=2), SMALL, say=said.append).write(tmp_path)
    assert [path.name for path in paths] == [f"gpu-nvidia-h200.{suffix}" for suffix in ("json", "md", "png")]
    document, text = json.loads(paths[0].read_text()), paths[1].read_text()
    assert document["machine"]["gpu"].startswith("NVIDIA H200")
    assert document["results"]["checks"]["two runs have the same bits"] is True
    assert document["results"]["checks"]["largest difference of the losses"] < 1e-4
    assert all(len(kernel["rounds"]) == 2 for kernel in document["results"]["kernels"].values())
    assert "| 1 epochs of course_cnn on MNIST | ≤ 2 s | 1.50 s | yes |" in text
    assert "| training to 99.0 % of MNIST, mean of 2 seeds | ≤ 0.3 s | 0.250 s, 99.10% | yes |" in text
    assert "| matrix product |" in text
    assert "Not run: cuDNN" in text
    assert "tinyconv float32, forward" in said


def test_goals_are_reached_by_the_weakest_part():
    rates = {"multiply-adds": 100, "cuDNN bf16, forward": 100, "cuDNN bf16, input gradient": 100,
             "cuDNN bf16, weight gradient": 100}  # fmt: skip
    for product, float32, bf16 in zip(gpu_kernels.PRODUCTS, (90, 80, 69), (60, 51, 50), strict=True):
        rates |= {f"tinyconv float32, {product}": float32, f"tinyconv bf16, {product}": bf16}
    kernels = {name: Measurement((float(rate),)) for name, rate in rates.items()}
    same = {"largest difference of the losses": 2e-3, "two runs have the same bits": True}
    goals = gpu_report.goals({"course_cnn": SPEED}, kernels, same, None, None, SMALL)
    assert [(goal.reached, goal.ok) for goal in goals] == [
        ("3.15×", True), ("", False), ("", False), ("", False), ("90.0% / 80.0% / 69.0%", False),
        ("60.0% / 51.0% / 50.0%", True), ("2.0e-03", False), ("the same bits", True),
    ]  # fmt: skip
    without = {name: rate for name, rate in kernels.items() if "cuDNN" not in name}
    assert gpu_report.goals({}, without, same, 2.5, None, SMALL)[3].reached == ""
    assert not gpu_report.goals({}, without, same, 2.5, None, SMALL)[0].ok


@pytest.mark.usefixtures("on_host")
def test_every_launch_of_a_step_is_timed(monkeypatch):
    ran = []
    launch = host.launch
    monkeypatch.setattr(host, "launch", lambda path, kernel, *rest: ran.append(kernel) or launch(path, kernel, *rest))
    launches = gpu_launches.of_a_step("fashion_perceptron", batch=3, repeats=2)
    in_all = 2 * (1 + gpu_launches.ROUNDS * gpu_launches.IN_A_ROW)
    assert ran.count("finish") == 1 + in_all  # one was the first step, not captured
    names = [one.kernel for one in launches]
    assert "adam, step" in names
    assert names[-1] == "step, finish"
    assert all(one.seconds > 0 and one.threads > 0 and one.blocks > 0 for one in launches)
    rows = gpu_launches.table("fashion_perceptron", 3, launches).rows
    assert len(rows) == len(launches) + 1
    assert float(rows[-1][3]) == pytest.approx(sum(1e6 * one.seconds for one in launches), abs=0.1)


@pytest.mark.usefixtures("on_host")
def test_the_multiply_adds_are_done():
    ends = np.full(512, np.nan, np.float32)
    gpu_kernels._MULTIPLY_ADDS.launch(
        "multiply_adds", 2, 256, ends, np.int32(100), np.float32(0.5), np.float32(1), defines={"CHAINS": 3}
    )
    np.testing.assert_allclose(ends, 3 * 2.0)  # x · 0.5 + 1 ends at 2


def test_cudnns_convolution_is_the_same_one():
    """By PyTorch on the processor, as there is no cuDNN: the same sizes, and each product by itself."""
    torch = pytest.importorskip("torch")
    cases = gpu_kernels.cudnns(KERNELS, device="cpu")
    for precision, dtype in (("float32", torch.float32), ("tf32", torch.float32), ("bf16", torch.bfloat16)):
        results = [
            cases[gpu_kernels.convolution("cuDNN", precision, product)].launch() for product in gpu_kernels.PRODUCTS
        ]
        y, (dx, no_dw, _), (no_dx, dw, _) = results
        assert (y.shape, dx.shape, dw.shape) == ((1, 8, 6, 6), (1, 8, 6, 6), (8, 8, 3, 3))
        assert {y.dtype, dx.dtype, dw.dtype} == {dtype}
        assert no_dw is None
        assert no_dx is None
    assert all(case.work == 2 * 36 * 9 * 64 for case in cases.values())


@pytest.mark.usefixtures("on_host")
def test_trainings_are_timed_where_mnist_is(monkeypatch):
    def load(name):
        rng = np.random.default_rng(0)
        images, labels = rng.integers(0, 256, (200, 28, 28, 1)).astype(np.uint8), rng.integers(0, 10, 200)
        few = images[:4], labels[:4]
        return dataset.Dataset("mnist", *(few if name == "few" else (images, labels)), *few, ("0",) * 10, "")

    monkeypatch.setattr(gpu_report.datasets, "load", load)
    assert gpu_report.course(load("few"), SMALL, lambda line: None) > 0
    trainings = gpu_report.fastest_recipe(gpu_report.Sizes(seeds=1), lambda line: None)
    assert len(trainings.seconds) == len(trainings.accuracy) == 1
    assert trainings.seconds[0] > 0


@pytest.mark.usefixtures("on_host")
def test_what_cannot_be_run_is_told(monkeypatch):
    def missing(name):
        raise DataError("mnist is not here.")

    def out_of_memory():
        raise RuntimeError("no memory\nat all")

    monkeypatch.setattr(gpu_report.datasets, "load", missing)
    ours = gpu_kernels.ours
    broken = {"tinyconv bf16, forward": gpu_kernels.Case(1, out_of_memory, lambda: None)}
    monkeypatch.setattr(gpu_kernels, "ours", lambda *given: ours(*given) | broken)
    text = gpu_report.run(Rounds(threads=1, rounds=1), SMALL, say=lambda line: None).markdown()
    assert "- Not run: tinyconv bf16, forward (no memory at all)." in text
    assert "- Not run: course_cnn and the fastest recipe on MNIST (mnist is not here.)" in text
    assert text.count("not measured") == 3


def test_rates_are_shown_without_the_limit_where_that_is_missing():
    rates = {gpu_kernels.MATRIX: Measurement((40_000.0,)), gpu_kernels.PEAK: Measurement((50_000.0,))}
    assert gpu_report._kernel_table(rates).rows[0] == [gpu_kernels.MATRIX, "40.0 TFLOP/s ±0%", "80%"]
    del rates[gpu_kernels.PEAK]
    assert gpu_report._kernel_table(rates).rows == [[gpu_kernels.MATRIX, "40.0 TFLOP/s ±0%", "–"]]


def test_a_machine_without_a_gpu_says_so(monkeypatch):
    monkeypatch.setattr(gpu, "find_problem", lambda: "There is no GPU.")
    monkeypatch.setattr("sys.argv", ["gpu_report"])
    with pytest.raises(SystemExit, match="There is no GPU"):
        gpu_report.main()
    backends._get.cache_clear()
    with pytest.raises(BackendError, match="There is no GPU"):
        gpu_report.run(Rounds(threads=1), SMALL)
