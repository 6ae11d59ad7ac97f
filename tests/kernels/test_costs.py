"""The choice of a rung by shape: what it picks, that it is stable, and that its model can be fitted again."""

import subprocess
import sys

import numpy as np
import pytest

from tinyconv.kernels import costs, registry

PLAIN = {"strides": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "dtype": np.dtype(np.float32)}


def shape(h, w, kernel, channels, filters, **changes):
    return costs.Convolution((h, w, channels), (*kernel, channels, filters), **PLAIN | changes)


@pytest.mark.parametrize("operation", ["conv2d", "conv_relu_maxpool"])
@pytest.mark.parametrize(
    ("convolution", "rung"),
    [
        (shape(13, 13, (3, 3), 64, 128), "winograd"),
        (shape(26, 26, (3, 3), 32, 64), "winograd"),
        (shape(28, 28, (3, 3), 128, 128, dtype=np.dtype(np.float64)), "winograd"),
        (shape(28, 28, (3, 3), 1, 64), "direct"),
        (shape(13, 13, (3, 3), 64, 100), "direct"),
        (shape(13, 13, (3, 3), 64, 128, strides=(2, 2)), "direct"),
        (shape(13, 13, (3, 3), 64, 128, dilation=(1, 2)), "direct"),
        (shape(16, 16, (4, 4), 32, 64), "winograd"),
        (shape(16, 16, (7, 7), 32, 64), "direct"),
        (shape(16, 16, (4, 3), 32, 64), "direct"),
        (shape(3, 3, (3, 3), 64, 64), "direct"),  # one output: a tile would compute fifteen for nothing
    ],
)
def test_what_is_chosen(operation, convolution, rung):
    assert registry.default_rung(operation, "numba", convolution) == rung
    assert registry.choose(operation, "numba", convolution).__name__.endswith(f"{operation}.{rung}")


def test_only_numba_has_a_choice():
    convolution = shape(13, 13, (3, 3), 64, 128)
    assert registry.default_rung("conv2d", "numpy", convolution) == "im2col"
    assert registry.default_rung("conv_relu_maxpool", "numpy", convolution) == "definition"
    assert registry.default_rung("conv2d", "numba") == "direct"


def test_the_choice_on_numpy_does_not_load_numba():
    program = (
        "import sys, numpy as np; from tinyconv.kernels import costs, registry\n"
        "s = costs.Convolution((9, 9, 16), (3, 3, 16, 16), (1, 1), ((0, 0), (0, 0)), (1, 1), np.dtype('f4'))\n"
        "registry.choose('conv2d', 'numpy', s); assert 'numba' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_work_counts_multiply_adds():
    lanes = costs.work("direct", shape(5, 6, (3, 2), 4, 1))[0] / (3 * 5 * 6 * 4)  # one filter takes a whole vector
    assert lanes in (4, 8, 16)
    assert costs.work("winograd", shape(9, 10, (3, 3), 32, 16)) == (36 * 4 * 32 * 16, 36 * 4 * 48)  # 7 × 8: 2 × 2 tiles
    assert costs.work("winograd", shape(9, 10, (3, 3), 3, 16)) == (float("inf"), float("inf"))


def test_refit_finds_the_costs_that_the_times_were_made_with():
    made = {"direct": (0.05, 0.2), "winograd": (0.04, 0.9)}
    shapes = [shape(h, h, (3, 3), c, f) for h, c, f in ((13, 64, 128), (26, 32, 64), (8, 16, 16), (30, 16, 32))]
    measurements = [(rung, s, float(np.dot(made[rung], costs.work(rung, s)))) for rung in made for s in shapes]
    fitted = costs.refit(measurements)
    assert fitted.keys() == made.keys()
    for rung, values in made.items():
        np.testing.assert_allclose(fitted[rung], values, rtol=1e-9)
