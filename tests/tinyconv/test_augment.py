"""Augmentation: known angles, shifts and zooms by hand, then another implementation of the same geometry."""

import numpy as np
import pytest
from scipy import ndimage

from tinyconv import random
from tinyconv.datasets import Augment, augment
from tinyconv.errors import ArgumentError, ShapeError

KEY = random.key(0, "augment")
IMAGE = np.arange(12.0).reshape(1, 3, 4, 1)


def images(n: int, height: int, width: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).random((n, height, width, channels), np.float32)


def warp(image: np.ndarray, matrix: object, offset: object = (0, 0), mirrored: bool = False) -> np.ndarray:
    """One image (h, w) under one affine map."""
    arguments = (np.array([matrix], float), np.array([offset], float), np.array([mirrored]))
    return augment._warp(image[np.newaxis, ..., np.newaxis], *arguments)[0, ..., 0]


def test_off_by_default() -> None:
    x = images(3, 5, 4)
    np.testing.assert_array_equal(Augment()(x, KEY), x)
    assert Augment(rescale=1 / 255)(np.full((1, 2, 2, 1), 255, np.uint8), KEY).tolist() == [[[[1], [1]], [[1], [1]]]]


def test_a_shift_repeats_the_border() -> None:
    moved = augment._move(IMAGE, np.array([[1, -2]]), np.array([False]))
    assert moved[0, ..., 0].tolist() == [[4, 4, 4, 5], [8, 8, 8, 9], [8, 8, 8, 9]]


def test_mirroring_reverses_the_columns() -> None:
    assert augment._move(IMAGE, np.array([[0, 0]]), np.array([True]))[0, 0, :, 0].tolist() == [3, 2, 1, 0]
    assert warp(IMAGE[0, ..., 0], np.eye(2), mirrored=True)[0].tolist() == [3, 2, 1, 0]


def test_a_quarter_turn() -> None:
    square = np.arange(9.0).reshape(3, 3)
    np.testing.assert_allclose(warp(square, [[0, -1], [1, 0]]), [[6, 3, 0], [7, 4, 1], [8, 5, 2]])
    np.testing.assert_allclose(warp(square, [[0, -1], [1, 0]]), np.rot90(square, -1))


def test_zooming_to_half_the_places() -> None:
    """On an image whose colour is its column, columns 0 … 4 about the middle, 2, are taken from 1, 1.5, 2, 2.5, 3."""
    ramp = np.tile(np.arange(5.0), (3, 1))
    np.testing.assert_allclose(warp(ramp, [[0.5, 0], [0, 0.5]])[0], [1, 1.5, 2, 2.5, 3])


@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_as_scipy(channels: int) -> None:
    """Each image in turn through SciPy's affine map, with the matrices of the docstring written out once more."""
    changes = Augment(
        rotation_range=40, shear_range=25, zoom_range=(0.7, 1.5), width_shift_range=0.3, height_shift_range=2,
        horizontal_flip=True,
    )
    x = images(9, 7, 10, channels)
    y = changes(x, KEY)
    drawn = random.uniform(KEY, (9, 7))
    for image, result, numbers in zip(x, y, drawn, strict=True):
        theta, sigma = np.deg2rad([40, 25]) * (2 * numbers[:2] - 1)
        rotation = np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
        shear = np.array([[1, -np.sin(sigma)], [0, np.cos(sigma)]])
        matrix = rotation @ shear @ np.diag(0.7 + 0.8 * numbers[2:4])
        shift = rotation @ ((2 * numbers[4:6] - 1) * [2, 3])
        middle = np.array([3, 4.5])
        for channel in range(channels):
            expected = ndimage.affine_transform(
                image[..., channel], matrix, middle + shift - matrix @ middle, order=1, mode="nearest"
            )
            if numbers[6] < 0.5:
                expected = expected[:, ::-1]
            np.testing.assert_allclose(result[..., channel], expected, atol=1e-5)


def test_whole_shifts_are_all_drawn_and_stay_in_range() -> None:
    x = np.tile(np.arange(9.0), (500, 9, 1))[..., np.newaxis]
    y = Augment(width_shift_range=2)(x, KEY)
    assert np.array_equal(np.unique(y[:, 4, 4, 0]), [2, 3, 4, 5, 6])
    counts = np.bincount(y[:, 4, 4, 0].astype(int))[2:]
    assert counts.min() > 60  # 100 expected of each
    assert (y == y[:, :1]).all()  # no vertical shift


def test_the_key_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = Augment(rotation_range=10, zoom_range=0.2, horizontal_flip=True)
    x = images(8, 6, 5)
    y = changes(x, KEY)
    assert np.array_equal(changes(x, KEY), y)
    assert not np.array_equal(changes(x, random.key(0, "augment", 1)), y)
    monkeypatch.setattr(augment, "_CHUNK_PIXELS", 70)  # two images at a time
    np.testing.assert_array_equal(changes(x, KEY), y)


@pytest.mark.parametrize("changes", [Augment(width_shift_range=1, horizontal_flip=True), Augment(zoom_range=0.1)])
def test_bytes_and_strided_images(changes: Augment) -> None:
    x = (images(4, 6, 5) * 255).astype(np.uint8)
    x.flags.writeable = False
    y = changes(x, KEY)
    assert (y.shape, y.dtype) == (x.shape, np.float32)
    strided = np.asfortranarray(x.astype(np.float64))
    np.testing.assert_allclose(changes(strided, KEY), y)
    assert changes(x[:0], KEY).shape == (0, 6, 5, 1)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("rotation_range", -1), ("shear_range", float("nan")), ("width_shift_range", "2"), ("rescale", float("inf")),
        ("zoom_range", 1), ("zoom_range", (0, 1)), ("zoom_range", (1.2, 0.8)), ("zoom_range", (1, 1, 1)),
        ("zoom_range", None),
    ],
)
def test_refuses_arguments(argument: str, value: object) -> None:
    with pytest.raises(ArgumentError, match=argument):
        Augment(**{argument: value})


def test_refuses_what_is_not_images() -> None:
    with pytest.raises(ShapeError, match=r"\(28, 28\)"):
        Augment()(np.zeros((28, 28)), KEY)
