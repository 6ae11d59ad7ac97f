"""The one thread control: how many, two Python threads at once, forked and spawned processes, and the layers below.

Almost all of it happens in processes of their own: Numba fixes the layer and the largest number of threads once.
"""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import tinyconv
from tinyconv.kernels import threads

LAYERS = ("omp", "tbb", "workqueue")


def run(program, **variables):
    """What became of `program`, a file or a text, in a new process with these environment variables."""
    unset = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "NUMBA_THREADING_LAYER"}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {"NUMBA_NUM_THREADS": "3", "PYTHONPATH": str(Path(tinyconv.__file__).parents[1]), **variables}
    command = [sys.executable, program] if isinstance(program, Path) else [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


def on_layer(layer, program):
    """The JSON that `program` prints with that threading layer; skips the test where there is none."""
    done = run(program, NUMBA_THREADING_LAYER=layer)
    if "No threading layer could be loaded" in done.stderr:
        pytest.skip(f"Numba finds no {layer} on this machine")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


TWO_AT_ONCE = """
import hashlib, json, threading
import numba
import numpy as np
from tinyconv.kernels import threads
from tinyconv.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from tinyconv.models import Sequential

rng = np.random.default_rng(0)
x, y = rng.standard_normal((16, 9, 8, 2), np.float32), rng.integers(0, 4, 16)

def train(seed, start=None):
    model = Sequential([Conv2D(5, 3, activation="relu", padding="same", input_shape=x.shape[1:]), MaxPooling2D(),
                        BatchNormalization(), Dropout(0.2), Flatten(), Dense(4, activation="softmax")], seed=seed)
    model.compile("adam", "sparse_categorical_crossentropy")
    if start is not None:
        start.wait()
    for _ in range(60):
        model.train_on_batch(x, y)
    return hashlib.sha256(model.parameters.values).hexdigest()

def at_once(function, count):
    results = [None] * count
    def work(i):
        results[i] = function(i)
    both = [threading.Thread(target=work, args=(i,)) for i in range(count)]
    for thread in both: thread.start()
    for thread in both: thread.join()
    return results

def loop(ids):
    for i in numba.prange(len(ids)):
        ids[i] = numba.get_thread_id()

compiled = threads.guarded(numba.njit(parallel=True, nogil=True)(loop))

def largest_id(_):
    ids = np.full(1000, -1)
    largest = 0
    for _ in range(200):
        compiled(ids)
        largest = max(largest, *ids)
    return int(largest)

start = threading.Barrier(2)
facts = {
    "layer": threads.layer(),
    "after": [train(0), train(1)],
    "at_once": at_once(lambda seed: train(seed, start), 2),
    "ids": [largest_id(0), *at_once(largest_id, 2)],
    "all": [threads.current(), *at_once(lambda _: numba.get_num_threads(), 1)],
}
threads.set_threads(2)
facts["two"] = [threads.current(), *at_once(lambda _: threads.current(), 2)]
facts["ids_of_two"] = [largest_id(0), *at_once(largest_id, 2)]
print(json.dumps(facts))
"""


@pytest.mark.parametrize("layer", LAYERS)
def test_two_python_threads_train_two_models_at_once(layer):
    facts = on_layer(layer, TWO_AT_ONCE)
    assert facts["layer"] == layer
    assert facts["at_once"] == facts["after"]
    assert len(set(facts["after"])) == 2
    assert facts["all"] == [3, 3]
    assert facts["two"] == [2, 2, 2]  # a number for all Python threads, those to come as well
    assert max(facts["ids"]) <= 2
    assert max(facts["ids_of_two"]) <= 1


FORKS = """
import json, os
import numpy as np
from tinyconv.kernels.relu import parallel

x = np.linspace(-1, 1, 100_000)

def works():
    return np.array_equal(parallel.forward(x), np.maximum(x, 0))

def child():
    receiver, sender = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            answer = str(works())
        except RuntimeError as problem:
            answer = str(problem)
        os.write(sender, answer.encode())
        os._exit(0)
    os.close(sender)
    os.waitpid(pid, 0)
    return os.read(receiver, 1000).decode()

early = child()
print(json.dumps({"early": early, "here": works(), "late": child(), "still": works()}))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("layer", LAYERS)
def test_a_forked_process_computes_or_says_why_not(layer):
    answers = on_layer(layer, FORKS)
    assert answers["early"] == "True"
    assert answers["here"]
    if layer == "omp" and sys.platform == "linux":
        assert "forked" in answers["late"]
        assert 'get_context("spawn")' in answers["late"]
    else:
        assert answers["late"] == "True"
    assert answers["still"]


SPAWNS = """
import hashlib, multiprocessing
from tinyconv import zoo
from tinyconv.datasets import digits

def train(seed):
    (x, y), _ = digits.load_data()
    model = zoo.build("simple_cnn", seed=seed)
    model.fit(x[:128].reshape(-1, 28, 28, 1) / 255, y[:128], batch_size=32, epochs=1, verbose=0)
    return hashlib.sha256(model.parameters.values).hexdigest()

if __name__ == "__main__":
    here = train(0)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        print(*(digest == here for digest in pool.map(train, [0, 1, 0])))
"""


def test_spawned_processes_train(tmp_path):
    script = tmp_path / "spawns.py"
    script.write_text(SPAWNS)
    done = run(script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "False", "True"]


BLAS = """
import json, os
import threadpoolctl
from tinyconv.kernels import threads

def blas():
    libraries = threadpoolctl.threadpool_info()
    return sorted({library["num_threads"] for library in libraries if library["user_api"] == "blas"})

facts = []
for count in (1, 2):
    threads.set_threads(count)
    facts.append([threads.current(), *blas()])
for count in (0, 4):
    try:
        threads.set_threads(count)
    except ValueError as problem:
        facts.append(str(problem))
facts.append(os.environ.get("GOMP_SPINCOUNT"))
print(json.dumps(facts))
"""


def test_one_number_for_numba_and_blas():
    one, two, none, four, spins = json.loads(run(BLAS, OPENBLAS_NUM_THREADS="2", OMP_NUM_THREADS="2").stdout)
    assert one == [1, 1]
    assert two == [2, 2]
    assert none == "There can be 1 to 3 threads here, but got 0."
    assert four == "There can be 1 to 3 threads here, but got 4."
    assert spins is None  # what was set for GNU OpenMP is gone again


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="this is for GNU OpenMP on x86"
)
@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, str(threads.SPINS)), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "PASSIVE"}, "0")],
)
def test_openmp_threads_wait_as_told(given, spins):
    program = "from tinyconv.kernels import threads; threads.layer()"
    done = run(program, NUMBA_THREADING_LAYER="omp", OMP_DISPLAY_ENV="VERBOSE", **given)
    assert f"GOMP_SPINCOUNT = '{spins}'" in done.stderr, done.stderr


ZOO = """
import hashlib
import numpy as np
from tinyconv import zoo

for name, n in [("simple_cnn", 32), ("lenet5", 20), ("course_cnn", 18), ("cifar10_cnn", 17), ("cats_and_dogs", 3)]:
    model = zoo.build(name)
    model.compile("adam", model.loss)
    rng = np.random.default_rng(0)
    x, y = rng.random((n, *model.input_shape[1:]), np.float32), rng.integers(0, max(2, model.output_shape[1]), n)
    for _ in range(2):
        model.train_on_batch(x, y)
    print(name, hashlib.sha256(model.parameters.values).hexdigest())
"""


@pytest.mark.slow
def test_whole_training_steps_have_the_same_bits_for_any_number_of_threads():
    one, two, three = (run(ZOO, NUMBA_NUM_THREADS=str(count)) for count in (1, 2, 3))
    assert one.returncode == two.returncode == three.returncode == 0, one.stderr + two.stderr + three.stderr
    assert len(one.stdout.splitlines()) == 5
    assert one.stdout == two.stdout == three.stdout
