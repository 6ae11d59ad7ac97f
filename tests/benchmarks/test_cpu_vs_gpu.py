"""CPU against GPU: who is ahead when and why, from made-up numbers; the GPU's half of the engine on the host build."""

import json

import pytest

from tinyconv import backends
from tinyconv.benchmarks import contestants, cpu_vs_gpu, race
from tinyconv.benchmarks.engines import tinyconv as own
from tinyconv.benchmarks.measure import Measurement
from tinyconv.benchmarks.race import Outcome, Rounds
from tinyconv.errors import ArgumentError
from tinyconv.kernels.cuda import host

SIZES = (1, 8, 64, 512)
FIELD = contestants.choose(["tinyconv", "tinyconv-gpu", "pytorch-gpu"], tcmalloc=False)


def speeds(**milliseconds):
    """Measured speeds from the milliseconds of a step at each of `SIZES`."""
    return {
        (name.replace("_", "-"), size): Measurement((0.9e3 * size / ms, 1e3 * size / ms, 1.1e3 * size / ms))
        for name, times in milliseconds.items()
        for size, ms in zip(SIZES, times, strict=True)
    }


MEASURED = speeds(tinyconv=(0.1, 0.5, 4, 32), tinyconv_gpu=(0.2, 0.2, 0.24, 1.6), pytorch_gpu=(0.8, 0.8, 0.9, 2))


def test_when_the_gpu_is_ahead_and_up_to_when_it_waits_for_launches():
    assert cpu_vs_gpu.overtakes(FIELD, MEASURED) == 8
    assert cpu_vs_gpu.launch_bound("tinyconv-gpu", MEASURED) == 64
    assert cpu_vs_gpu.launch_bound("tinyconv", MEASURED) == 1
    ahead, own_bound, its_bound = cpu_vs_gpu.findings(FIELD, MEASURED)
    assert ahead.startswith("From batches of 8 on")
    assert own_bound.startswith("tinyconv on the GPU: up to batches of 64 a step takes about as long as the smallest")
    assert "0.20 ms" in own_bound
    assert "PyTorch eager on the GPU: up to batches of 64" in its_bound


def test_a_step_that_never_waits_for_launches():
    busy = MEASURED | speeds(tinyconv_gpu=(0.2, 0.4, 1, 8), pytorch_gpu=(0.8, 1.2, 3, 9))
    own_bound = cpu_vs_gpu.findings(FIELD, busy)[1]
    assert own_bound.startswith("tinyconv on the GPU: in batches of 1 a step takes 0.20 ms, and in larger ones longer")


def test_a_machine_without_a_gpu_has_the_processors_half():
    half = speeds(tinyconv=(0.1, 0.5, 4, 32))
    assert cpu_vs_gpu.overtakes(FIELD, half) is None
    assert cpu_vs_gpu.findings(FIELD, half) == ["No GPU took part: what is here is the processor's half."]


def test_the_operations_of_a_step():
    convolutions = 26 * 26 * 9 * 64 + 11 * 11 * 9 * 64 * 128
    assert cpu_vs_gpu.flops_per_image("mnist_convnet") == 6 * (convolutions + 3200 * 128 + 1280)


def test_the_bytes_of_a_step():
    dense = 3 * 784 + 2 * 10
    assert cpu_vs_gpu.bytes_per_image("fashion_perceptron") == 4 * dense


def test_the_report(monkeypatch, tmp_path):
    def measured(entries, turn, settings, say):
        turns = {key: [{"samples_per_second": one} for one in speed.rounds] for key, speed in MEASURED.items()}
        failed = {("pytorch-gpu", size): "no luck" for size in SIZES}
        assert entries["tinyconv-gpu", 8].job == {"backend": "cupy", "network": "mnist_convnet", "batch_size": 8}
        return Outcome({key: turn for key, turn in turns.items() if key[0] != "pytorch-gpu"}, failed, {"cupy": "14"})

    monkeypatch.setattr(cpu_vs_gpu, "race", measured)
    report = cpu_vs_gpu.run(
        FIELD, Rounds(threads=2), batch_sizes=SIZES, euros_per_hour={"gpu": 7.2}, say=lambda line: None
    )
    paths = report.write(tmp_path)
    document, text = json.loads(paths[0].read_text()), paths[1].read_text()
    assert document["results"]["tinyconv-gpu"]["512"]["median"] == pytest.approx(320_000)
    assert document["settings"]["euros_per_hour"] == {"gpu": 7.2}
    assert "| tinyconv on the GPU | 512 | 0.19 s |" in text
    assert "0.0375 ct" in text  # 0.1875 s of an hour for 7.2 euros
    assert text.count("no luck") == 1
    assert paths[2].stat().st_size > 10_000


def test_a_batch_size_is_needed():
    with pytest.raises(ArgumentError, match="nothing to measure"):
        cpu_vs_gpu.run(FIELD, Rounds(threads=1), batch_sizes=(), say=lambda line: None)


@pytest.mark.skipif(not host.available(), reason="no C++ compiler (g++)")
def test_the_engine_takes_graphed_steps(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with backends.cuda_on_host():
        training = own.Training(backend="cupy", network="fashion_perceptron", batch_size=16, samples=50, warm=False)
        count, seconds, loss = training.steps(7)  # three steps are an epoch
    assert (count, training.model.optimizer.iterations) == (7, 7)
    assert seconds > 0
    assert 1 < loss < 5


def test_contestants_on_a_gpu_take_part_where_they_are_asked_for():
    assert not any(contestant.gpu for contestant in contestants.choose(contestants.NAMES, tcmalloc=False).contestants)
    assert all(one.gpu for one in contestants.choose(contestants.GPU_NAMES).contestants)
    assert race.Rounds(threads=1).threads_text == "1 thread"
