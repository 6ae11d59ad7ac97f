"""Winograd's convolution where it does not hand over to the direct rung: matrices, blocks, error, zeros and NaN."""

import os
import subprocess
import sys
from itertools import product

import numpy as np
import pytest

from tinyconv.kernels import registry, threads
from tinyconv.kernels.conv2d import direct, im2col, winograd
from tinyconv.kernels.winograd_transforms import POINTS, butterflies, matrices
from tinyconv.kernels.workspace import Workspace

NO, SAME = ((0, 0), (0, 0)), ((1, 1), (1, 1))
ONE_SIDED = ((2, 0), (1, 3))
GEOMETRY = {"strides": (1, 1), "dilation": (1, 1)}


def case(h, width, channels, filters, padding=NO, batch=3, dtype=np.float64, seed=0, r=3):
    """Random x, w, b and dy."""
    rng = np.random.default_rng(seed)
    oh, ow = h + sum(padding[0]) - r + 1, width + sum(padding[1]) - r + 1
    shapes = (batch, h, width, channels), (r, r, channels, filters), (filters,), (batch, oh, ow, filters)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def results(rung, x, w, b, dy, padding=NO, **keywords):
    """y, dx, dw and db."""
    return [
        rung.forward(x, w, b, padding=padding, **keywords),
        rung.backward_input(dy, w, x.shape, padding=padding, **keywords),
        *rung.backward_weights(x, dy, w.shape, padding=padding, **keywords),
    ]


# -- the matrices -----------------------------------------------------------------------------------------------------


def test_lavins_and_grays_matrices_for_m_2():
    a, g, b = matrices(POINTS[4], 3)
    assert a.T.tolist() == [[1, 1, 1, 0], [0, 1, -1, 1]]
    # Rows of G and of Bᵀ are theirs up to a sign, which cancels in the product.
    assert g.tolist() == [[-1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]
    assert b.T.tolist() == [[-1, 0, 1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]]


@pytest.mark.parametrize("r", winograd.KERNELS)
@pytest.mark.parametrize("n", POINTS)
def test_the_matrices_convolve(n, r):
    if r > n:
        return
    a, g, b = matrices(POINTS[n], r)
    rng = np.random.default_rng(0)
    x, w = rng.integers(-9, 9, n), rng.integers(-9, 9, r)
    np.testing.assert_allclose(a.T @ ((g @ w) * (b.T @ x)), np.correlate(x, w), atol=1e-12)


@pytest.mark.parametrize("n", POINTS)
def test_butterflies_factor_the_matrices_and_need_fewer_multiplications(n):
    a, g, b = matrices(POINTS[n], 3)
    for matrix in (a, g, b.T):
        first, second = butterflies(matrix)
        np.testing.assert_allclose(first @ second, matrix, atol=1e-15)
        assert (abs(first) <= 1).all()
        assert np.count_nonzero(second) < np.count_nonzero(matrix)


# -- equality ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tile", "r"), [(4, 2), (4, 3), (6, 2), (6, 3), (6, 4), (6, 5)])
@pytest.mark.parametrize("padding", [NO, SAME, ONE_SIDED])
def test_equals_im2col_for_all_sizes_of_the_last_tile(tile, r, padding):
    workspace = Workspace()
    for h, width in ((5, 5), (5, 8), (6, 7), (7, 10), (9, 6)):
        x, w, b, dy = case(h, width, 16, 24, padding, r=r)
        mine = results(winograd, x, w, b, dy, padding, tile=tile, workspace=workspace)
        for got, expected in zip(mine, results(im2col, x, w, b, dy, padding), strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-11, err_msg=f"{h} × {width}")


@pytest.mark.parametrize("channels", [(8, 8), (136, 8), (8, 136), (40, 72)])
def test_all_panels_and_pieces_of_channels_and_filters(channels):
    """136 channels are more than one piece of the sum, 136 filters several panels with an incomplete one."""
    x, w, b, dy = case(7, 9, *channels, SAME)
    for got, expected in zip(
        results(winograd, x, w, b, dy, SAME), results(im2col, x, w, b, dy, SAME), strict=True
    ):
        np.testing.assert_allclose(got, expected, atol=1e-10)


def test_one_image_in_several_blocks_and_several_images_in_one():
    for size, batch in ((50, 2), (5, 70)):
        t = winograd.tiling((batch, size, size, 8), (3, 3, 8, 8), NO, 6)
        assert (t.rows < t.th) if size == 50 else (t.images > 1)
        x, w, b, dy = case(size, size, 8, 8, batch=batch)
        for got, expected in zip(results(winograd, x, w, b, dy), results(im2col, x, w, b, dy), strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-10)


@pytest.mark.parametrize("fused", [False, True])
def test_the_weight_gradient_in_chunks(fused, monkeypatch):
    x, w, b, dy = case(9, 9, 8, 16, batch=7)
    whole = winograd.backward_weights(x, dy, w.shape)
    monkeypatch.setattr(winograd, "BLOCK_TILES", 4)  # one image, which has 2 × 2 tiles
    monkeypatch.setattr(winograd, "CHUNK_BYTES", 36 * 4 * 24 * 8)  # of one image for each thread
    uncached = winograd.tiling.__wrapped__
    for module in (winograd, registry.implementation("conv_relu_maxpool", "winograd")):
        monkeypatch.setattr(module, "tiling", uncached)  # forgets what was cut before
    sums = winograd.weight_sums(winograd.tiling(x.shape, w.shape, NO, 6), 7, x.dtype, Workspace())
    assert sums.images == min(7, threads.current())
    if not fused:
        workspace = Workspace()
        for _ in range(2):  # the second time round the scratch memory is not empty
            got = winograd.backward_weights(x, dy, w.shape, workspace=workspace)
            for mine, expected in zip(got, whole, strict=True):
                np.testing.assert_array_equal(mine, expected)
        return
    block, definition = (registry.implementation("conv_relu_maxpool", name) for name in ("winograd", "definition"))
    windows = {**GEOMETRY, "padding": NO, "pool_strides": (2, 2), "pool_padding": NO}
    y, winners = definition.forward(x, w, b, (2, 2), **windows)
    gradient = np.random.default_rng(1).standard_normal(y.shape)
    for got, expected in zip(
        block.backward(gradient, winners, x, w, (2, 2), **windows),
        definition.backward(gradient, winners, x, w, (2, 2), **windows),
        strict=True,
    ):
        np.testing.assert_allclose(got, expected, atol=1e-11)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_it_hands_over(dtype):
    for size in winograd.KERNELS:
        assert winograd.supports((size, size, 16, 32), (1, 1), (1, 1), dtype)
    for w_shape, strides, dilation in (
        ((3, 2, 16, 32), (1, 1), (1, 1)), ((3, 3, 16, 32), (1, 2), (1, 1)), ((3, 3, 16, 32), (1, 1), (2, 1)),
        ((3, 3, 3, 32), (1, 1), (1, 1)), ((3, 3, 16, 33), (1, 1), (1, 1)),
        ((1, 1, 16, 32), (1, 1), (1, 1)), ((7, 7, 16, 32), (1, 1), (1, 1)),
    ):  # fmt: skip
        assert not winograd.supports(w_shape, strides, dilation, dtype)


# -- error ------------------------------------------------------------------------------------------------------------

# Root mean square and largest error of y, dx and dw, relative to the root mean square, by tile and kernel: those of the
# module's docstring, and some room for other random numbers.
STATED = {
    (4, 3): [(4e-7, 3e-6), (4e-7, 3e-6), (2e-6, 1.2e-5)],
    (6, 2): [(1e-6, 1.5e-5), (1e-6, 1.5e-5), (2.5e-6, 1.5e-5)],
    (6, 3): [(1e-6, 1.2e-5), (1e-6, 1.2e-5), (2.5e-6, 2.5e-5)],
    (6, 4): [(1e-6, 1.2e-5), (1e-6, 1.2e-5), (3e-6, 4e-5)],
    (6, 5): [(1.2e-6, 1.2e-5), (1.2e-6, 1.2e-5), (5e-6, 6e-5)],
}


@pytest.mark.parametrize(("tile", "r"), STATED)
def test_the_error_is_as_stated(tile, r):
    x, w, b, dy = case(28, 28, 64, 64, SAME, batch=8, dtype=np.float32, r=r)
    exact = results(direct, *(array.astype(np.float64) for array in (x, w, 0 * b, dy)), SAME)
    for got, expected, (mean, largest) in zip(
        results(winograd, x, w, None, dy, SAME, tile=tile)[:3], exact[:3], STATED[tile, r], strict=True
    ):
        scale = np.sqrt((expected**2).mean())
        assert 1e-8 < np.sqrt(((got - expected) ** 2).mean()) / scale < mean
        assert abs(got - expected).max() / scale < largest


# -- zeros and NaN ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tile", "r"), [(4, 3), (6, 2), (6, 3), (6, 4), (6, 5)])
@pytest.mark.parametrize("padding", [NO, SAME])
def test_a_window_of_zeros_gives_the_bias_exactly(tile, r, padding):
    x, w, b, _ = case(13, 14, 16, 32, padding, dtype=np.float32, r=r)
    x[np.random.default_rng(1).random(x.shape[:3]) < 0.9] = 0  # most pixels, with all their channels
    y = winograd.forward(x, w, b, padding=padding, tile=tile)
    empty = im2col.forward((x != 0).astype(np.float32), np.ones_like(w), padding=padding)[..., 0] == 0
    assert 0.01 < empty.mean() < 0.9
    assert (y[empty] == b).all()
    assert (y[~empty] != b).all(axis=-1).mean() > 0.9


def test_no_gradient_passes_the_relu_where_windows_are_empty():
    """With a bias of 0 the ReLU is at 0 there: what rounding puts above it would add dy to db."""
    x, w, _, _ = case(12, 12, 16, 32, dtype=np.float32)
    x[:, 5:] = 0
    windows = {**GEOMETRY, "padding": NO, "pool_strides": (2, 2), "pool_padding": NO}
    gradients = []
    for name in ("definition", "winograd"):
        block = registry.implementation("conv_relu_maxpool", name)
        y, winners = block.forward(x, w, np.zeros(32, np.float32), (2, 2), **windows)
        gradients.append(block.backward(np.ones_like(y), winners, x, w, (2, 2), **windows)[2])
    np.testing.assert_allclose(gradients[1], gradients[0], atol=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_reaches_what_it_must_and_no_other_tile(value):
    x, w, b, _ = case(14, 14, 16, 16, batch=2)
    x[0, 5, 5, 3] = value
    spoiled = ~np.isfinite(winograd.forward(x, w, b)).all(axis=-1)
    assert spoiled[0, 3:6, 3:6].all()
    assert not spoiled[0, 8:].any()
    assert not spoiled[0, :, 8:].any()
    assert not spoiled[1].any()


def test_a_call_allocates_next_to_nothing(peak_bytes):
    x, w, b, dy = case(13, 13, 16, 32, batch=64, dtype=np.float32)
    workspace, out = Workspace(), [np.empty_like(array) for array in (dy, x, w, b)]

    def step():
        winograd.forward(x, w, b, out=out[0], workspace=workspace)
        winograd.backward_input(dy, w, x.shape, out=out[1], workspace=workspace)
        winograd.backward_weights(x, dy, w.shape, out=(out[2], out[3]), workspace=workspace)

    assert peak_bytes(step) < 20_000


def test_products_of_both_sides_agree():
    """⟨conv(x, w), dy⟩ = ⟨x, dx⟩ = ⟨w, dw⟩: the three passes are one bilinear form."""
    for (tile, r), padding in product(((4, 3), (6, 2), (6, 3), (6, 4), (6, 5)), (NO, ONE_SIDED)):
        x, w, _, dy = case(10, 9, 8, 16, padding, r=r)
        y, dx, dw, _ = results(winograd, x, w, None, dy, padding, tile=tile)
        np.testing.assert_allclose([(x * dx).sum(), (w * dw).sum()], (y * dy).sum(), rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("cpu", ["generic", "haswell"])
def test_another_cpu(cpu, tmp_path):
    """Vectors of other widths, fewer registers, panels of other sizes; in a process of its own."""
    if cpu != "generic" and "x86" not in os.uname().machine:
        pytest.skip(f"{cpu} code runs on x86-64 only")
    program = """
import numpy as np
from tinyconv.kernels.conv2d import im2col, winograd
x, w = np.random.default_rng(0).standard_normal((2, 9, 8, 8)), np.random.default_rng(1).standard_normal((3, 3, 8, 24))
y = im2col.forward(x, w)
assert winograd.supports(w.shape, (1, 1), (1, 1), x.dtype)
assert abs(winograd.forward(x, w) - y).max() < 1e-11
assert abs(winograd.backward_input(y, w, x.shape) - im2col.backward_input(y, w, x.shape)).max() < 1e-9
assert abs(winograd.backward_weights(x, y, w.shape)[0] - im2col.backward_weights(x, y, w.shape)[0]).max() < 1e-9
"""
    environment = os.environ | {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
