"""Products on tensor cores: what the operands are rounded to, and that nothing else is lost."""

import numpy as np
import pytest

from tinyconv.kernels import registry
from tinyconv.kernels.cuda import gemm, host

pytestmark = pytest.mark.skipif(not host.available(), reason="no C++ compiler (g++)")

CONV, DENSE, FUSED = (registry.implementation(name, "cuda") for name in ("conv2d", "dense", "conv_relu_maxpool"))
IM2COL = registry.implementation("conv2d", "im2col")
THREE = registry.implementation("conv_relu_maxpool", "definition")

every_precision = pytest.mark.parametrize("precision", ["tf32", "bf16"])


def rounded(x, precision):
    """The float32 numbers nearest to x of which the last 13 or 16 bits are 0; of two, the one with an even last bit."""
    dropped = {"tf32": 13, "bf16": 16}[precision]
    unit = 2.0 ** (dropped - 23)
    fraction, exponent = np.frexp(x.astype(np.float64))
    return np.ldexp(np.round(fraction * 2 / unit) * unit / 2, exponent).astype(np.float32)


def test_rounding_by_hand():
    x = np.array([1, 1 + 2**-10, 1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-11 + 2**-20, -1 - 3 * 2**-11, 0, 3], np.float32)
    expected = [1, 1 + 2**-10, 1, 1 + 2**-9, 1 + 2**-10, -1 - 2**-9, 0, 3]
    assert rounded(x, "tf32").tolist() == expected
    one = np.ones((1, 1), np.float32)
    assert DENSE.forward(x[:, None], one, precision="tf32").ravel().tolist() == expected
    x = np.array([1, 1 + 2**-7, 1 + 2**-8, 1 + 3 * 2**-8, -255.5], np.float32)
    expected = [1, 1 + 2**-7, 1, 1 + 2**-6, -256]
    assert rounded(x, "bf16").tolist() == expected
    assert DENSE.forward(x[:, None], one, precision="bf16").ravel().tolist() == expected


@every_precision
def test_special_values(precision):
    x = np.array([[np.nan], [np.inf], [-np.inf], [3.4e38], [1e-40]], np.float32)
    x.view(np.uint32)[0, 0] = 0x7FFFFFFF  # a NaN of which rounding up would make -0
    y = DENSE.forward(x, np.ones((1, 1), np.float32), precision=precision).ravel()
    assert np.isnan(y[0])
    assert y[1:3].tolist() == [np.inf, -np.inf]
    assert y[3] == (np.inf if precision == "bf16" else rounded(x, precision)[3, 0])
    assert y[4] == pytest.approx(1e-40, rel=0.2)


@every_precision
@pytest.mark.parametrize("tile", gemm.TENSOR_TILES, ids=lambda tile: "x".join(map(str, tile)))
def test_every_tile(precision, tile, monkeypatch):
    """Equal to sums of the rounded operands, in each of the three products, with the last tiles partly outside."""
    monkeypatch.setattr(gemm, "plan", lambda m, n, k, *_, **__: gemm.Plan(tile, -(-k // 64), 64))
    rng = np.random.default_rng(0)
    for channels, filters in ((28, 132), (3, 5)):
        x, w, b = (
            rng.standard_normal(shape).astype(np.float32)
            for shape in ((2, 9, 8, channels), (3, 2, channels, filters), (filters,))
        )
        windows = {"padding": ((1, 1), (0, 1)), "strides": (1, 1), "dilation": (1, 1)}
        y = IM2COL.forward(rounded(x, precision), rounded(w, precision), b, **windows)
        dy = rng.standard_normal(y.shape).astype(np.float32)
        expected = [
            y, IM2COL.backward_input(rounded(dy, precision), rounded(w, precision), x.shape, **windows),
            *IM2COL.backward_weights(rounded(x, precision), rounded(dy, precision), w.shape, **windows),
        ]  # fmt: skip
        got = [
            CONV.forward(x, w, b, precision=precision, **windows),
            CONV.backward_input(dy, w, x.shape, precision=precision, **windows),
            *CONV.backward_weights(x, dy, w.shape, precision=precision, **windows),
        ]
        for mine, theirs in zip(got, expected, strict=True):
            assert np.linalg.norm(mine - theirs) <= 1e-6 * np.linalg.norm(theirs)


@every_precision
def test_dense(precision):
    rng = np.random.default_rng(0)
    x, w, dy = (rng.standard_normal(s).astype(np.float32) for s in ((33, 70), (70, 40), (33, 40)))
    r, v, e = (rounded(one, precision).astype(np.float64) for one in (x, w, dy))
    np.testing.assert_allclose(DENSE.forward(x, w, precision=precision), r @ v, atol=1e-4)
    np.testing.assert_allclose(DENSE.backward_input(dy, w, precision=precision), e @ v.T, atol=1e-4)
    dw, db = DENSE.backward_weights(x, dy, precision=precision)
    np.testing.assert_allclose(dw, r.T @ e, atol=1e-4)
    np.testing.assert_allclose(db, e.sum(0), atol=1e-4)


@every_precision
def test_convolution_and_pool(precision):
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(s).astype(np.float32) for s in ((2, 9, 8, 4), (3, 3, 4, 12), (12,)))
    windows = {"strides": (1, 1), "padding": ((0, 0), (1, 0)), "dilation": (1, 1)}
    windows |= {"pool_strides": (2, 2), "pool_padding": ((0, 0), (0, 0))}
    y, winners = FUSED.forward(x, w, b, (2, 2), precision=precision, **windows)
    r, v = rounded(x, precision), rounded(w, precision)
    expected, expected_winners = THREE.forward(r, v, b, (2, 2), **windows)
    np.testing.assert_allclose(y, expected, atol=1e-4)
    np.testing.assert_array_equal(winners, expected_winners)
    dy = rounded(rng.standard_normal(y.shape).astype(np.float32), precision)  # so that dz is not rounded any more
    got = FUSED.backward(dy, winners, x, w, (2, 2), precision=precision, **windows)
    for mine, theirs in zip(got, THREE.backward(dy, winners, r, v, (2, 2), **windows), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-4)


def test_sentences():
    x = np.ones((2, 2), np.float32)
    with pytest.raises(ValueError, match=r'precision must be "float32", "tf32" or "bf16", but got \'half\''):
        DENSE.forward(x, x, precision="half")
    with pytest.raises(ValueError, match='precision="tf32" is for float32 arrays; with float64, leave it out'):
        DENSE.forward(x.astype(np.float64), x.astype(np.float64), precision="tf32")
