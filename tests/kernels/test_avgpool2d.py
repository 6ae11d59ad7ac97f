"""Average pooling: every rung against hand-computed numbers, the definition and PyTorch."""

from itertools import product
from types import ModuleType

import numpy as np
import pytest

from tinyconv.kernels.geometry import check_pool_padding, resolve_padding
from tinyconv.kernels.registry import RUNGS, implementation

SIZES = [(5, 7), (6, 4)]
POOL_SIZES = [(2, 2), (3, 2), (1, 3)]
STRIDES = [(2, 2), (1, 1), (3, 1), (2, 4)]
PADDINGS = ["valid", "same", ((0, 1), (1, 0))]


@pytest.fixture(params=RUNGS["avgpool2d"])
def rung(request: pytest.FixtureRequest) -> ModuleType:
    return implementation("avgpool2d", request.param)


def geometries():
    """Every combination in which the windows fit and the padding is allowed."""
    for size, pool_size, strides, padding in product(SIZES, POOL_SIZES, STRIDES, PADDINGS):
        sides = resolve_padding(padding, size, pool_size, strides)
        try:
            check_pool_padding(pool_size, sides)
        except ValueError:
            continue
        yield size, pool_size, strides, sides


def image(rows: list[list[float]]) -> np.ndarray:
    return np.array(rows, np.float32)[None, :, :, None]


def test_by_hand(rung):
    x = image([[1, 3, 5], [5, 7, 1], [2, 2, 6]])
    np.testing.assert_array_equal(rung.forward(x, (2, 2), strides=(1, 1)), image([[4, 4], [4, 4]]))
    dx = rung.backward(image([[4, 8], [0, 12]]), x.shape, (2, 2), strides=(1, 1))
    np.testing.assert_array_equal(dx, image([[1, 3, 2], [1, 6, 5], [0, 3, 3]]))


def test_padding_does_not_count(rung):
    x = image([[1, 3, 5], [5, 7, 1], [2, 4, 6]])
    same = resolve_padding("same", (3, 3), (2, 2), (2, 2))
    y = rung.forward(x, (2, 2), strides=(2, 2), padding=same)
    np.testing.assert_array_equal(y, image([[4, 3], [3, 6]]))  # corners: means of 4, 2, 2 and 1 pixels
    dx = rung.backward(image([[4, 6], [8, 7]]), x.shape, (2, 2), strides=(2, 2), padding=same)
    np.testing.assert_array_equal(dx, image([[1, 1, 3], [1, 1, 3], [4, 4, 7]]))


def test_global_average(rung):
    x = np.arange(2 * 3 * 5 * 2, dtype=np.float64).reshape(2, 3, 5, 2)
    y = rung.forward(x, (3, 5), strides=(3, 5))
    np.testing.assert_allclose(y[:, 0, 0], x.mean(axis=(1, 2)), rtol=1e-15)


def test_special_values(rung):
    x = image([[np.nan, 1, np.inf, 1], [1, 1, 1, 1]])
    x = np.concatenate([x, image([[np.inf, -np.inf, 1, -np.inf], [1, 1, 1, 1]])], axis=3)
    y = rung.forward(x, (2, 2), strides=(2, 2))
    np.testing.assert_array_equal(y[0, 0], [[np.nan, np.nan], [np.inf, -np.inf]])


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-14)])
@pytest.mark.parametrize(("batch", "channels"), [(1, 1), (3, 5), (2, 32)])
def test_equals_the_definition(dtype, tolerance, batch, channels):
    definition, random = implementation("avgpool2d", "definition"), np.random.default_rng(0)
    for rung in (implementation("avgpool2d", name) for name in RUNGS["avgpool2d"][1:]):
        for (height, width), pool_size, strides, padding in geometries():
            x = random.standard_normal((batch, height, width, channels)).astype(dtype)
            y = rung.forward(x, pool_size, strides=strides, padding=padding)
            expected = definition.forward(x, pool_size, strides=strides, padding=padding)
            np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance)
            assert y.dtype == dtype
            dy = random.standard_normal(y.shape).astype(dtype)
            dx = rung.backward(dy, x.shape, pool_size, strides=strides, padding=padding)
            expected = definition.backward(dy, x.shape, pool_size, strides=strides, padding=padding)
            np.testing.assert_allclose(dx, expected, rtol=0, atol=2 * tolerance)
            assert dx.dtype == dtype


def test_equals_torch(rung):
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(1)
    for (height, width), pool_size, strides, padding in geometries():
        x = random.standard_normal((2, height, width, 3))
        tensor = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
        sides = (*padding[1], *padding[0])
        # PyTorch pads both sides alike; dividing by the mean of a padded image of ones leaves padding out of the count
        total = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(tensor, sides), pool_size, strides)
        real = torch.nn.functional.pad(torch.ones(1, 1, height, width, dtype=torch.float64), sides)
        expected = total / torch.nn.functional.avg_pool2d(real, pool_size, strides)
        y = rung.forward(x, pool_size, strides=strides, padding=padding)
        np.testing.assert_allclose(y, expected.detach().numpy().transpose(0, 2, 3, 1), rtol=1e-12, atol=1e-14)
        dy = random.standard_normal(y.shape)
        expected.backward(torch.tensor(dy.transpose(0, 3, 1, 2)))
        dx = rung.backward(dy, x.shape, pool_size, strides=strides, padding=padding)
        np.testing.assert_allclose(dx, tensor.grad.numpy().transpose(0, 2, 3, 1), rtol=1e-12, atol=1e-14)
        assert np.isclose(dx.sum(), dy.sum())


def test_any_memory_layout(rung, disguise):
    random = np.random.default_rng(2)
    x, dy = random.standard_normal((2, 5, 6, 3)), random.standard_normal((2, 2, 3, 3))
    np.testing.assert_allclose(
        rung.forward(disguise(x), (2, 2), strides=(2, 2)), rung.forward(x, (2, 2), strides=(2, 2)), atol=1e-15
    )
    np.testing.assert_array_equal(
        rung.backward(disguise(dy), x.shape, (2, 2), strides=(2, 2)), rung.backward(dy, x.shape, (2, 2), strides=(2, 2))
    )


def test_writes_into_out_and_parallel_allocates_nothing(rung, peak_bytes):
    x = np.random.default_rng(3).standard_normal((8, 21, 20, 16)).astype(np.float32)
    y, dx = np.full((8, 10, 10, 16), 9, np.float32), np.full_like(x, 9)
    assert rung.forward(x, (2, 2), strides=(2, 2), out=y) is y
    assert rung.backward(y, x.shape, (2, 2), strides=(2, 2), out=dx) is dx
    np.testing.assert_array_equal(y, rung.forward(x, (2, 2), strides=(2, 2)))
    np.testing.assert_array_equal(dx, rung.backward(y, x.shape, (2, 2), strides=(2, 2)))
    assert not dx[:, 20].any()  # no window reaches the last row
    if rung.__name__.endswith("parallel"):
        assert peak_bytes(lambda: rung.forward(x, (2, 2), strides=(2, 2), out=y)) < 8192 < y.nbytes
        assert peak_bytes(lambda: rung.backward(y, x.shape, (2, 2), strides=(2, 2), out=dx)) < 8192


def test_refuses_what_does_not_fit(rung):
    x = np.zeros((1, 4, 4, 1), np.float32)
    with pytest.raises(ValueError, match="larger than the padded image"):
        rung.forward(x, (5, 2), strides=(2, 2))
    with pytest.raises(ValueError, match="more than half of the window"):
        rung.forward(x, (2, 2), strides=(2, 2), padding=((2, 0), (0, 0)))
    with pytest.raises(ValueError, match="dy has shape"):
        rung.backward(x, x.shape, (2, 2), strides=(2, 2))
