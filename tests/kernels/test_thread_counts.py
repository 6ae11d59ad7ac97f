"""Same bits for 1, 2 and 3 threads: convolutions, poolings, activations, losses and batch normalisation."""

import os
import subprocess
import sys

# Runs in a process of its own: Numba fixes the largest number of threads when it is imported.
SCRIPT = """
import hashlib
import numba
import numpy as np
from tinyconv.kernels.registry import implementation

def rung(operation):
    return implementation(operation, "parallel")

random = np.random.default_rng(0)
x, dy = random.standard_normal((2, 5, 23, 17, 24)).astype(np.float32)
gamma, beta = random.standard_normal((2, 24)).astype(np.float32)
logits = random.standard_normal((1000, 13)).astype(np.float32)
labels = random.integers(0, 13, 1000)

image = random.standard_normal((21, 13, 12, 16)).astype(np.float32)
w = random.standard_normal((3, 3, 16, 32)).astype(np.float32)
b = random.standard_normal(32).astype(np.float32)
dz = random.standard_normal((21, 13, 10, 32)).astype(np.float32)
conv = {"strides": (1, 1), "padding": ((1, 1), (0, 0)), "dilation": (1, 1)}
pool = {"pool_strides": (2, 2), "pool_padding": ((0, 0), (0, 0))}

def results():
    for name in ("blocked", "direct", "winograd"):
        conv2d = implementation("conv2d", name)
        yield conv2d.forward(image, w, b, **conv)
        yield conv2d.backward_input(dz, w, image.shape, **conv)
        yield from conv2d.backward_weights(image, dz, w.shape, **conv)
    for name in ("direct", "winograd"):
        block = implementation("conv_relu_maxpool", name)
        y, winners = block.forward(image, w, b, (2, 2), **conv, **pool)
        yield y
        yield winners
        yield from block.backward(np.cos(y), winners, image, w, (2, 2), **conv, **pool)
    yield from (pooled := rung("maxpool2d").forward(x, (3, 2), strides=(1, 2)))
    yield rung("maxpool2d").backward(*pooled, x.shape, (3, 2), strides=(1, 2))
    yield (mean := rung("avgpool2d").forward(x, (3, 2), strides=(1, 2)))
    yield rung("avgpool2d").backward(mean, x.shape, (3, 2), strides=(1, 2))
    for operation in ("relu", "sigmoid", "tanh", "softmax"):
        yield (y := rung(operation).forward(x))
        yield rung(operation).backward(dy, y)
    yield from rung("softmax_cross_entropy").loss_and_gradient(logits, labels)
    yield from rung("softmax_cross_entropy").loss_and_gradient(logits, np.abs(logits))
    yield from rung("sigmoid_cross_entropy").loss_and_gradient(logits, np.abs(logits))
    yield from (moments := rung("batchnorm").forward_training(x, gamma, beta, 1e-3))
    yield from rung("batchnorm").backward(dy, x, gamma, *moments[1:], 1e-3)

for threads in (1, 2, 3):
    numba.set_num_threads(threads)
    print(*(hashlib.sha256(result).hexdigest() for result in results()))
"""


def test_same_bits_for_any_number_of_threads():
    environment = {**os.environ, "NUMBA_NUM_THREADS": "3"}
    run = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    one, two, three = (line.split() for line in run.stdout.splitlines())
    assert len(one) == 25 + 3 * 4 + 2 * 5
    assert len(set(one)) > 40  # hardly two alike
    assert one == two == three
