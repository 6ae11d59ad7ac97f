"""What the CUDA kernels share: numbers in device memory, arrays that start anywhere, many images, rows of any width."""

from typing import Any

import numpy as np
import pytest

from tinyconv.kernels.contract import PhiloxKey
from tinyconv.kernels.cuda import host, launches
from tinyconv.kernels.registry import implementation

pytestmark = pytest.mark.skipif(not host.available(), reason="no C++ compiler (g++)")

Array = np.ndarray[Any, Any]

KEY = PhiloxKey(0xDEADBEEFCAFEBABE, 0x12345678, 7)
BETAS = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}


def cuda(operation: str) -> Any:
    return implementation(operation, "cuda")


def numbers(*shape: int, dtype: Any = np.float32) -> Array:
    return np.random.default_rng(shape).standard_normal(shape).astype(dtype)


def unaligned(x: Array) -> Array:
    """The same values, starting one element after a multiple of 16 bytes."""
    memory = np.empty(x.size + 16, x.dtype)
    start = -memory.ctypes.data % 16 // x.itemsize + 1
    view = memory[start : start + x.size].reshape(x.shape)
    assert view.ctypes.data % 16 == x.itemsize
    view[...] = x
    return view


# -- numbers that change ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adam_finds_its_numbers_in_memory(dtype: Any) -> None:
    given, found = (np.abs(numbers(4, 1003, dtype=dtype)) for _ in range(2))
    step_size, decay = np.array(0.0), np.array([0.0])
    for number in (0.3, 0.01):
        cuda("adam").step(*given, step_size=number, decay=number / 10, **BETAS)
        step_size[...], decay[...] = number, number / 10
        cuda("adam").step(*found, step_size=step_size, decay=decay, **BETAS)
    np.testing.assert_array_equal(found, given)
    cuda("adam").step(*given, step_size=0.3, **BETAS)
    cuda("adam").step(*found, step_size=np.array(0.3), **BETAS)
    np.testing.assert_array_equal(found, given)


def test_sgd_finds_its_numbers_in_memory() -> None:
    given, found = (numbers(3, 1003) for _ in range(2))
    cuda("sgd").step(*given, learning_rate=0.3, momentum=0.9, nesterov=True, decay=0.1)
    cuda("sgd").step(*found, learning_rate=np.array(0.3), momentum=0.9, nesterov=True, decay=np.array([0.1]))
    np.testing.assert_array_equal(found, given)


def test_dropout_and_philox_find_their_step_in_memory() -> None:
    x, step = numbers(1003), np.zeros(1, np.uint32)
    for number in (0, 7, 2**32 - 1):
        step[0] = number
        known, found = KEY._replace(step=number), KEY._replace(step=step)
        np.testing.assert_array_equal(cuda("dropout").forward(x, 0.4, found), cuda("dropout").forward(x, 0.4, known))
        np.testing.assert_array_equal(cuda("philox").bits(found, 99), cuda("philox").bits(known, 99))


@pytest.mark.parametrize("wrong", [np.zeros(2), np.zeros(1, np.float32), np.zeros(1, np.int64)])
def test_a_number_in_memory_of_another_kind(wrong: Array) -> None:
    with pytest.raises(ValueError, match="must be one float64"):
        launches.changing(wrong, np.float64)


# -- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_that_start_anywhere(dtype: Any) -> None:
    x, dy = numbers(3, 6, 4, 8, dtype=dtype), numbers(3, 6, 4, 8, dtype=dtype) + 1
    state = np.abs(numbers(4, 1003, dtype=dtype))
    aligned, shifted = list(state.copy()), [unaligned(one) for one in state]
    for arrays in (aligned, shifted):
        cuda("adam").step(*arrays, step_size=0.1, **BETAS)
        cuda("sgd").step(*arrays[:3], learning_rate=0.1, momentum=0.9, nesterov=False)
    np.testing.assert_array_equal(shifted, aligned)
    for operation in ("relu", "softmax"):
        rung = cuda(operation)
        np.testing.assert_array_equal(rung.forward(unaligned(x)), rung.forward(x))
        out = unaligned(x)
        assert rung.backward(dy, x, out=out) is out
        np.testing.assert_array_equal(out, rung.backward(dy, x))
    np.testing.assert_array_equal(cuda("dropout").forward(unaligned(x), 0.4, KEY), cuda("dropout").forward(x, 0.4, KEY))
    y, winners = cuda("maxpool2d").forward(x, (2, 2), strides=(2, 2))
    for odd, even in zip(cuda("maxpool2d").forward(unaligned(x), (2, 2), strides=(2, 2)), (y, winners), strict=True):
        np.testing.assert_array_equal(odd, even)
    np.testing.assert_array_equal(
        cuda("maxpool2d").backward(y, unaligned(winners), x.shape, (2, 2), strides=(2, 2)),
        cuda("maxpool2d").backward(y, winners, x.shape, (2, 2), strides=(2, 2)),
    )


def test_batch_normalisation_keeps_sums_in_a_result_that_starts_anywhere() -> None:
    x, gamma = numbers(200, 5), numbers(5)
    results = cuda("batchnorm").forward_training(x, gamma, gamma, 1e-3)
    out = (unaligned(x), *results[1:])
    for one, other in zip(cuda("batchnorm").forward_training(x, gamma, gamma, 1e-3, out=out), results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_is_written_beside_the_result() -> None:
    memory = np.full(400, 9, np.float32)
    cuda("relu").forward(numbers(101), out=memory[8:109])
    out = (memory[130:262].reshape(66, 2), *numbers(2, 2))
    cuda("batchnorm").forward_training(numbers(66, 2), *numbers(2, 2), 1e-3, out=out)
    assert (memory[:8] == 9).all()
    assert (memory[109:130] == 9).all()
    assert (memory[262:] == 9).all()


# -- sizes ------------------------------------------------------------------------------------------------------------


def test_more_images_than_a_grid_has_rows() -> None:
    x = numbers(launches.MOST_BLOCKS_Y + 2, 2, 1, 1)
    y, winners = cuda("maxpool2d").forward(x, (2, 1), strides=(2, 1))
    np.testing.assert_array_equal(y[:, 0], x.max(axis=1))
    np.testing.assert_array_equal(winners[:, 0], x.argmax(axis=1))


@pytest.mark.parametrize("columns", [1, 2, 3, 4, 5, 8, 9, 17, 31, 32, 33, 100])
def test_rows_of_any_width(columns: int) -> None:
    for rows in (1, 2, 257):
        x = numbers(rows, columns, dtype=np.float64)
        expected = implementation("softmax", "definition").forward(x)
        np.testing.assert_allclose(cuda("softmax").forward(x), expected, rtol=1e-13)


@pytest.mark.parametrize("shape", [(0, 3), (0, 4, 4, 3)])
def test_nothing_at_all(shape: tuple[int, ...]) -> None:
    x = np.zeros(shape, np.float32)
    assert cuda("relu").forward(x).shape == cuda("softmax").forward(x).shape == shape
    if len(shape) == 4:
        assert cuda("avgpool2d").forward(x, (2, 2), strides=(2, 2)).shape == (0, 2, 2, 3)
