"""Every rung of conv2d against hand-computed integers, the loops, PyTorch, and itself on other thread counts."""

from itertools import pairwise, product
from types import ModuleType

import numba
import numpy as np
import pytest

from tinyconv.kernels import registry
from tinyconv.kernels.conv2d import direct
from tinyconv.kernels.conv2d import im2col as im2col_module
from tinyconv.kernels.conv2d.im2col import col2im, im2col
from tinyconv.kernels.geometry import output_sizes
from tinyconv.kernels.workspace import Workspace

RUNGS = registry.RUNGS["conv2d"]
NO = ((0, 0), (0, 0))

# (image h × w, kernel, strides, padding, dilation): non-square everything, stride > kernel, asymmetric padding
GEOMETRIES = [
    ((5, 7), (3, 3), (1, 1), NO, (1, 1)),
    ((6, 5), (2, 3), (2, 1), ((1, 0), (0, 2)), (1, 1)),
    ((9, 4), (1, 2), (3, 3), NO, (1, 1)),
    ((4, 9), (4, 1), (1, 2), ((2, 1), (0, 0)), (1, 1)),
    ((7, 8), (3, 2), (2, 1), ((1, 2), (0, 1)), (2, 3)),
    ((3, 3), (3, 3), (1, 1), NO, (1, 1)),
    ((1, 1), (1, 1), (1, 1), NO, (1, 1)),
    ((1, 6), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
]
CHANNELS = [(1, 1), (1, 5), (3, 17), (20, 2)]  # (in, out): around and between whole vectors


@pytest.fixture(params=RUNGS)
def rung(request: pytest.FixtureRequest) -> ModuleType:
    return registry.implementation("conv2d", request.param)


def arguments(geometry, channels, batch, dtype, seed=0):
    """Random x, w, b and dy, and the keyword arguments, of one case."""
    (h, width), (kh, kw), strides, padding, dilation = geometry
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, h, width, channels[0])).astype(dtype)
    w = rng.standard_normal((kh, kw, *channels)).astype(dtype)
    b = rng.standard_normal(channels[1]).astype(dtype)
    geometry = {"strides": strides, "padding": padding, "dilation": dilation}
    dy = rng.standard_normal(registry.implementation("conv2d", "im2col").forward(x, w, b, **geometry).shape)
    return x, w, b, dy.astype(dtype), geometry


def test_a_convolution_computed_by_hand(rung):
    x = np.arange(1.0, 13.0).reshape(1, 3, 4, 1)  # rows 1 2 3 4 / 5 6 7 8 / 9 10 11 12
    w = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(2, 2, 1, 1)
    y = rung.forward(x, w, np.array([0.5]))
    assert y[0, ..., 0].tolist() == [[44.5, 54.5, 64.5], [84.5, 94.5, 104.5]]
    dy = np.zeros((1, 2, 3, 1))
    dy[0, 1, 2] = 1.0
    assert rung.backward_input(dy, w, x.shape)[0, ..., 0].tolist() == [[0, 0, 0, 0], [0, 0, 1, 2], [0, 0, 3, 4]]
    dw, db = rung.backward_weights(x, dy, w.shape)
    assert dw[..., 0, 0].tolist() == [[7, 8], [11, 12]]
    assert db.tolist() == [1]


def test_same_padding_of_the_course(rung):
    rows = ["11100", "01110", "00111", "00110", "01100"]
    x = np.array([[float(c) for c in row] for row in rows]).reshape(1, 5, 5, 1)
    w = np.array([[1.0, 0, 1], [0, 1, 0], [1, 0, 1]]).reshape(3, 3, 1, 1)
    y = rung.forward(x, w, padding=((1, 1), (1, 1)))[0, ..., 0].astype(int)
    assert ["".join(map(str, row)) for row in y] == ["22311", "14341", "12433", "12341", "02211"]


def test_channels_are_summed_and_filters_are_not(rung):
    x = np.stack([np.full((2, 2), 1.0), np.full((2, 2), 10.0), np.full((2, 2), 100.0)], axis=-1)[None]
    w = np.zeros((1, 1, 3, 2))
    w[0, 0] = [[1, 2], [1, 0], [1, 3]]
    assert rung.forward(x, w)[0, 0, 0].tolist() == [111, 302]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", [name for name in RUNGS if name != "naive"])
def test_rungs_equal_the_loops_over_the_cross_product(name, dtype):
    rung, naive = registry.implementation("conv2d", name), registry.implementation("conv2d", "naive")
    tolerance = {"rtol": 1e-12, "atol": 1e-12} if dtype == np.float64 else {"rtol": 1e-4, "atol": 1e-4}
    for geometry, channels, batch in product(GEOMETRIES, CHANNELS, (1, 3)):
        x, w, b, dy, keywords = arguments(geometry, channels, batch, dtype)
        got = [
            rung.forward(x, w, b, **keywords), rung.forward(x, w, **keywords),
            rung.backward_input(dy, w, x.shape, **keywords), *rung.backward_weights(x, dy, w.shape, **keywords),
        ]
        expected = [
            naive.forward(x, w, b, **keywords), naive.forward(x, w, **keywords),
            naive.backward_input(dy, w, x.shape, **keywords), *naive.backward_weights(x, dy, w.shape, **keywords),
        ]
        for mine, theirs in zip(got, expected, strict=True):
            assert mine.dtype == dtype
            np.testing.assert_allclose(mine, theirs, **tolerance, err_msg=f"{geometry} {channels} {batch}")


def test_equals_pytorch(rung):
    torch = pytest.importorskip("torch")
    for geometry, channels in product(GEOMETRIES, CHANNELS):
        x, w, b, dy, keywords = arguments(geometry, channels, 2, np.float64, seed=1)
        (top, bottom), (left, right) = keywords["padding"]
        leaves = [torch.tensor(a, requires_grad=True) for a in (x.transpose(0, 3, 1, 2), w.transpose(3, 2, 0, 1), b)]
        padded = torch.nn.functional.pad(leaves[0], (left, right, top, bottom))
        y = torch.nn.functional.conv2d(
            padded, leaves[1], leaves[2], stride=keywords["strides"], dilation=keywords["dilation"]
        )
        y.backward(torch.tensor(dy.transpose(0, 3, 1, 2)))
        dw, db = rung.backward_weights(x, dy, w.shape, **keywords)
        for mine, theirs, order in (
            (rung.forward(x, w, b, **keywords), y.detach(), (0, 2, 3, 1)),
            (rung.backward_input(dy, w, x.shape, **keywords), leaves[0].grad, (0, 2, 3, 1)),
            (dw, leaves[1].grad, (2, 3, 1, 0)),
            (db, leaves[2].grad, (0,)),
        ):
            np.testing.assert_allclose(mine, theirs.numpy().transpose(order), rtol=1e-11, atol=1e-11)


def test_wide_layers_use_several_panels_and_parts(rung):
    x, w, b, dy, keywords = arguments(((4, 5), (3, 2), (1, 1), ((1, 0), (1, 0)), (1, 1)), (70, 150), 19, np.float64)
    reference = im2col_module
    dx = rung.backward_input(dy, w, x.shape, **keywords)
    np.testing.assert_allclose(rung.forward(x, w, b, **keywords), reference.forward(x, w, b, **keywords), atol=1e-10)
    np.testing.assert_allclose(dx, reference.backward_input(dy, w, x.shape, **keywords), atol=1e-10)
    for mine, theirs in zip(
        rung.backward_weights(x, dy, w.shape, **keywords), reference.backward_weights(x, dy, w.shape, **keywords),
        strict=True,
    ):
        np.testing.assert_allclose(mine, theirs, atol=1e-10)


@pytest.mark.parametrize("strides", [(1, 1), (2, 1), (1, 2), (3, 5)])
@pytest.mark.parametrize("channels", [1, 3, 6, 20, 33])
def test_input_gradient_of_channels_that_do_not_fill_vectors(rung, channels, strides):
    geometry = ((13, 17), (2, 4), strides, ((1, 0), (0, 2)), (1, 1))
    _, w, _, dy, keywords = arguments(geometry, (channels, 18), 2, np.float64)
    shape = (2, 13, 17, channels)
    expected = im2col_module.backward_input(dy, w, shape, **keywords)
    np.testing.assert_allclose(rung.backward_input(dy, w, shape, **keywords), expected, atol=1e-12)


@pytest.mark.parametrize("strides", [(1, 1), (2, 1), (1, 2), (3, 5)])
def test_in_one_turn_no_window_overlaps_another(strides):
    shape, kernel_size, padding = (1, 9, 14, 3), (2, 4), ((0, 0), (1, 2))
    g = direct.input_gradient_tables(shape, kernel_size, strides, padding, (1, 1), np.dtype(np.float32), 7)
    assert (g.at_once, g.elements) == (4, 12)
    seen = set()
    for first, last in pairwise(g.turns):
        starts = np.sort(g.windows[first:last])
        assert (np.diff(starts) >= g.elements).all()
        seen |= set(g.dy_rows[first:last].tolist())
    oh, ow = output_sizes((9, 14), kernel_size, strides, padding)
    assert seen == {7 * pixel for pixel in range(oh * ow)}


def test_strided_and_read_only_inputs(rung):
    x, w, b, dy, keywords = arguments(GEOMETRIES[1], (3, 17), 2, np.float64)
    expected = [rung.forward(x, w, b, **keywords), *rung.backward_weights(x, dy, w.shape, **keywords)]
    read_only = x.copy()
    read_only.setflags(write=False)
    for same in (np.asfortranarray(x), x[::-1].copy()[::-1], np.repeat(x, 2, axis=2)[:, :, ::2], read_only):
        got = [
            rung.forward(same, np.asfortranarray(w), b, **keywords),
            *rung.backward_weights(same, np.asfortranarray(dy), w.shape, **keywords),
        ]
        for mine, theirs in zip(got, expected, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-12)
    np.testing.assert_allclose(
        rung.backward_input(np.asfortranarray(dy), np.asfortranarray(w), x.shape, **keywords),
        rung.backward_input(dy, w, x.shape, **keywords), atol=1e-12,
    )


def test_results_go_where_out_says_and_the_workspace_is_reused(rung):
    x, w, b, dy, keywords = arguments(GEOMETRIES[4], (3, 17), 2, np.float32)
    workspace = Workspace()
    for _ in range(2):  # the second time round nothing new is needed, and stale scratch memory must not show
        y, dx, dw, db = (np.full_like(a, np.nan) for a in (dy, x, w, b))
        assert rung.forward(x, w, b, out=y, workspace=workspace, **keywords) is y
        assert rung.backward_input(dy, w, x.shape, out=dx, workspace=workspace, **keywords) is dx
        assert rung.backward_weights(x, dy, w.shape, out=(dw, db), workspace=workspace, **keywords) == (dw, db)
        for mine, theirs in (
            (y, rung.forward(x, w, b, **keywords)),
            (dx, rung.backward_input(dy, w, x.shape, **keywords)),
            (dw, rung.backward_weights(x, dy, w.shape, **keywords)[0]),
        ):
            np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(ValueError, match="out has shape"):
        rung.forward(x, w, b, out=np.empty((1, 1, 1, 1), np.float32), **keywords)


def test_nan_and_infinity_go_where_the_windows_take_them(rung):
    x = np.zeros((1, 4, 5, 2))
    x[0, 1, 1, 0], x[0, 3, 4, 1] = np.nan, np.inf
    y = rung.forward(x, np.ones((2, 2, 2, 3)))[0, ..., 0]
    assert np.isnan(y).tolist() == [[True, True, False, False]] * 2 + [[False] * 4]
    assert y[2, 3] == np.inf


def test_kernel_larger_than_the_padded_image(rung):
    with pytest.raises(ValueError, match="5 pixels is larger than the padded image of 4"):
        rung.forward(np.zeros((1, 3, 9, 1)), np.zeros((5, 5, 1, 1)), padding=((1, 0), (0, 0)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["blocked", "direct", "winograd"])
def test_same_bits_for_any_number_of_threads(name, dtype):
    rung, filters = registry.implementation("conv2d", name), 32 if name == "winograd" else 33
    x, w, b, dy, keywords = arguments(((9, 8), (3, 3), (1, 1), ((1, 1), (0, 1)), (1, 1)), (16, filters), 21, dtype)
    results, available = [], numba.get_num_threads()
    try:
        for threads in range(1, available + 1):
            numba.set_num_threads(threads)
            results.append(
                [
                    rung.forward(x, w, b, **keywords), rung.backward_input(dy, w, x.shape, **keywords),
                    *rung.backward_weights(x, dy, w.shape, **keywords),
                ]
            )  # fmt: skip
    finally:
        numba.set_num_threads(available)
    for other in results[1:]:
        for mine, theirs in zip(results[0], other, strict=True):
            assert mine.tobytes() == theirs.tobytes()


def test_im2col_writes_each_window_into_a_row():
    x = np.arange(12.0).reshape(1, 3, 4, 1)
    assert im2col(x, (2, 2)).astype(int).tolist() == [
        [0, 1, 4, 5], [1, 2, 5, 6], [2, 3, 6, 7], [4, 5, 8, 9], [5, 6, 9, 10], [6, 7, 10, 11],
    ]
    counts = col2im(np.ones((6, 4)), (1, 3, 4, 1), (2, 2))[0, ..., 0]
    assert counts.tolist() == [[1, 2, 2, 1], [2, 4, 4, 2], [1, 2, 2, 1]]  # in how many windows each pixel lies


def test_im2col_stays_within_the_cap():
    x, w, b, dy, keywords = arguments(GEOMETRIES[0], (3, 4), 9, np.float64)
    small = Workspace(cap=3 * 15 * 27 * 8)  # cols of three images
    pieces = im2col_module.forward(x, w, b, workspace=small, **keywords)
    assert small.nbytes <= small.cap
    np.testing.assert_allclose(pieces, im2col_module.forward(x, w, b, **keywords), atol=1e-13)
    dw, _ = im2col_module.backward_weights(x, dy, w.shape, workspace=small, **keywords)
    np.testing.assert_allclose(dw, im2col_module.backward_weights(x, dy, w.shape, **keywords)[0], atol=1e-12)
    assert small.nbytes <= small.cap
