"""Max-pooling: every rung against hand-computed numbers, the definition and PyTorch."""

from itertools import product
from types import ModuleType

import numpy as np
import pytest

from tinyconv.kernels.contract import winner_dtype
from tinyconv.kernels.geometry import NO_PADDING, check_pool_padding, resolve_padding
from tinyconv.kernels.registry import RUNGS, implementation

SIZES = [(5, 7), (6, 4)]
POOL_SIZES = [(2, 2), (3, 2), (1, 3)]
STRIDES = [(2, 2), (1, 1), (3, 1), (2, 4)]
PADDINGS = ["valid", "same", ((0, 1), (1, 0))]


@pytest.fixture(params=RUNGS["maxpool2d"])
def rung(request: pytest.FixtureRequest) -> ModuleType:
    return implementation("maxpool2d", request.param)


def geometries():
    """Every combination in which the windows fit and the padding is allowed."""
    for size, pool_size, strides, padding in product(SIZES, POOL_SIZES, STRIDES, PADDINGS):
        sides = resolve_padding(padding, size, pool_size, strides)
        try:
            check_pool_padding(pool_size, sides)
        except ValueError:
            continue
        yield size, pool_size, strides, sides


def image(rows: list[str], dtype: type = np.float32) -> np.ndarray:
    return np.array([[int(digit) for digit in row] for row in rows], dtype)[None, :, :, None]


PICTURE = ["47316", "33792", "64589", "01437", "25783"]


def test_valid_by_hand(rung):
    y, winners = rung.forward(image(PICTURE), (2, 2), strides=(2, 2))
    np.testing.assert_array_equal(y, image(["79", "68"]))
    np.testing.assert_array_equal(winners, image(["13", "01"], np.uint8))  # places 0 1 / 2 3; 6 is at 0, 8 at 1
    assert winners.dtype == np.uint8
    dx = rung.backward(image(["12", "34"]), winners, (1, 5, 5, 1), (2, 2), strides=(2, 2))
    np.testing.assert_array_equal(dx, image(["01000", "00020", "30040", "00000", "00000"]))


def test_same_by_hand(rung):
    padding = resolve_padding("same", (5, 5), (2, 2), (2, 2))
    y, _ = rung.forward(image(PICTURE), (2, 2), strides=(2, 2), padding=padding)
    np.testing.assert_array_equal(y, image(["796", "689", "583"]))


def test_overlapping_windows_add_their_gradients(rung):
    x = image(["151", "111"])
    y, winners = rung.forward(x, (2, 2), strides=(1, 1))
    np.testing.assert_array_equal(y, image(["55"]))
    np.testing.assert_array_equal(winners, image(["10"], np.uint8))
    dx = rung.backward(image(["23"]), winners, x.shape, (2, 2), strides=(1, 1))
    np.testing.assert_array_equal(dx, image(["050", "000"]))


def test_the_first_of_equals_wins(rung):
    y, winners = rung.forward(np.zeros((1, 4, 4, 3), np.float32), (2, 2), strides=(2, 2))
    assert not winners.any()
    dx = rung.backward(np.ones_like(y), winners, (1, 4, 4, 3), (2, 2), strides=(2, 2))
    np.testing.assert_array_equal(dx[0, :, :, 0], [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize("padding", [NO_PADDING, ((1, 0), (1, 0))])
@pytest.mark.parametrize("strides", [(2, 2), (1, 2)])
def test_special_values(rung, strides, padding):
    x = np.full((1, 4, 4, 2), -np.inf, np.float32)
    x[0, 1, 1, 0] = np.nan
    x[0, 0, 1, 0] = np.inf
    x[0, 1, 0, 0] = np.nan
    y, winners = rung.forward(x, (2, 2), strides=strides, padding=padding)
    if padding == NO_PADDING:
        assert np.isnan(y[0, 0, 0, 0])
        assert winners[0, 0, 0, 0] == 2  # the first NaN, although infinity stands before it
        assert y[0, 0, 0, 1] == -np.inf
        assert winners[0, 0, 0, 1] == 0
    else:  # the only real pixel of the first window is its last place: padding never wins, even against -infinity
        assert winners[0, 0, 0].tolist() == [3, 3]
        assert y[0, 0, 0].tolist() == [-np.inf, -np.inf]


def test_integers(rung):
    y, _ = rung.forward(-image(PICTURE, np.int32), (2, 2), strides=(2, 2), padding=((0, 1), (0, 1)))
    assert y.dtype == np.int32
    np.testing.assert_array_equal(y, -image(["312", "037", "273"], np.int32))  # never 0 from the padding


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("batch", "channels"), [(1, 1), (3, 5), (2, 32)])
def test_equals_the_definition(dtype, batch, channels):
    definition, random = implementation("maxpool2d", "definition"), np.random.default_rng(0)
    for rung in (implementation("maxpool2d", name) for name in RUNGS["maxpool2d"][1:]):
        for (height, width), pool_size, strides, padding in geometries():
            x = random.integers(-3, 3, (batch, height, width, channels)).astype(dtype)  # many ties
            x.flat[:: 11] = np.nan
            x.flat[:: 7] = -np.inf
            y, winners = rung.forward(x, pool_size, strides=strides, padding=padding)
            expected, expected_winners = definition.forward(x, pool_size, strides=strides, padding=padding)
            np.testing.assert_array_equal(y, expected)
            np.testing.assert_array_equal(winners, expected_winners)
            assert y.dtype == dtype
            dy = random.integers(-9, 9, y.shape).astype(dtype)  # integers: sums are exact in any order
            dx = rung.backward(dy, winners, x.shape, pool_size, strides=strides, padding=padding)
            expected = definition.backward(dy, winners, x.shape, pool_size, strides=strides, padding=padding)
            np.testing.assert_array_equal(dx, expected)
            assert dx.dtype == dtype


def test_equals_torch(rung):
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(1)
    for (height, width), pool_size, strides, padding in geometries():
        shape = (2, height, width, 3)
        x = random.permutation(np.prod(shape)).reshape(shape).astype(np.float64) - 100.0  # no ties
        tensor = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
        padded = torch.nn.functional.pad(tensor, (*padding[1], *padding[0]), value=-torch.inf)
        expected = torch.nn.functional.max_pool2d(padded, pool_size, strides)
        y, winners = rung.forward(x, pool_size, strides=strides, padding=padding)
        np.testing.assert_array_equal(y, expected.detach().numpy().transpose(0, 2, 3, 1))
        dy = random.integers(-9, 9, y.shape).astype(np.float64)
        expected.backward(torch.tensor(dy.transpose(0, 3, 1, 2)))
        dx = rung.backward(dy, winners, x.shape, pool_size, strides=strides, padding=padding)
        np.testing.assert_array_equal(dx, tensor.grad.numpy().transpose(0, 2, 3, 1))
        assert dx.sum() == dy.sum()


def test_windows_of_more_than_256_places(rung):
    x = np.zeros((1, 20, 15, 1), np.float32)
    x[0, 19, 14] = 1
    _, winners = rung.forward(x, (20, 15), strides=(20, 15))
    assert winners.dtype == winner_dtype((20, 15)) == np.uint32
    assert winners.item() == 299


def test_any_memory_layout(rung, disguise):
    random = np.random.default_rng(2)
    x, dy = random.standard_normal((2, 5, 6, 3)), random.standard_normal((2, 2, 3, 3))
    y, winners = rung.forward(x, (2, 2), strides=(2, 2))
    again, winners_again = rung.forward(disguise(x), (2, 2), strides=(2, 2))
    np.testing.assert_array_equal(again, y)
    np.testing.assert_array_equal(winners_again, winners)
    np.testing.assert_array_equal(
        rung.backward(disguise(dy), disguise(winners), x.shape, (2, 2), strides=(2, 2)),
        rung.backward(dy, winners, x.shape, (2, 2), strides=(2, 2)),
    )


def test_writes_into_out(rung):
    random = np.random.default_rng(3)
    x = random.standard_normal((2, 5, 6, 3)).astype(np.float32)
    expected, expected_winners = rung.forward(x, (2, 2), strides=(2, 2))
    out, winners_out = np.full_like(expected, 9), np.full_like(expected_winners, 9)
    y, winners = rung.forward(x, (2, 2), strides=(2, 2), out=out, winners=winners_out)
    assert y is out
    assert winners is winners_out
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(winners, expected_winners)
    dx_out = np.full_like(x, 9)
    dx = rung.backward(y, winners, x.shape, (2, 2), strides=(2, 2), out=dx_out)
    assert dx is dx_out
    np.testing.assert_array_equal(dx, rung.backward(y, winners, x.shape, (2, 2), strides=(2, 2)))
    assert not dx[:, 4].any()  # no window reaches the last row


def test_parallel_allocates_nothing_for_given_outputs(peak_bytes):
    rung = implementation("maxpool2d", "parallel")
    x = np.random.default_rng(4).standard_normal((8, 20, 20, 16)).astype(np.float32)
    y, winners = rung.forward(x, (2, 2), strides=(2, 2))
    dx = np.empty_like(x)
    assert peak_bytes(lambda: rung.forward(x, (2, 2), strides=(2, 2), out=y, winners=winners)) < 8192 < winners.nbytes
    assert peak_bytes(lambda: rung.backward(y, winners, x.shape, (2, 2), strides=(2, 2), out=dx)) < 8192


def test_refuses_what_does_not_fit(rung):
    x = np.zeros((1, 4, 4, 1), np.float32)
    y, winners = rung.forward(x, (2, 2), strides=(2, 2))
    with pytest.raises(ValueError, match="larger than the padded image"):
        rung.forward(x, (5, 2), strides=(2, 2))
    with pytest.raises(ValueError, match="more than half of the window"):
        rung.forward(x, (2, 2), strides=(2, 2), padding=((2, 0), (0, 0)))
    with pytest.raises(ValueError, match="images of shape"):
        rung.forward(x[0], (2, 2), strides=(2, 2))
    with pytest.raises(ValueError, match="out has shape"):
        rung.forward(x, (2, 2), strides=(2, 2), out=np.empty((1, 2, 3, 1), np.float32))
    with pytest.raises(ValueError, match="C-contiguous"):
        rung.forward(x, (2, 2), strides=(2, 2), out=np.empty((1, 2, 2, 2), np.float32)[..., :1])
    with pytest.raises(ValueError, match="dy has shape"):
        rung.backward(y[:, :1], winners, x.shape, (2, 2), strides=(2, 2))
    with pytest.raises(ValueError, match="winners has shape"):
        rung.backward(y, winners[:, :1], x.shape, (2, 2), strides=(2, 2))
