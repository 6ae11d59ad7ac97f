"""The worked examples of the lessons, with the lessons' numbers, on every rung that computes them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tinyconv import losses, optimizers, utils
from tinyconv.kernels import registry
from tinyconv.layers import Conv2D, Dense, MaxPooling2D
from tinyconv.models import Sequential

CPU_BACKENDS = ("numpy", "numba")


def rungs(operation):
    """Every rung of an operation, as pytest parameters."""
    return [pytest.param(rung, id=f"{operation}-{rung}") for rung in registry.RUNGS[operation]]


def digits(text):
    """An image (1, height, width, 1) from rows of digits: "12 / 34"."""
    rows = [[float(digit) for digit in row.replace(" ", "")] for row in text.split("/")]
    return np.array(rows, np.float32)[None, :, :, None]


def convolve(rung, x, w, **options):
    return registry.implementation("conv2d", rung).forward(x, w, **options)


# -- convolution ------------------------------------------------------------------------------------------------------

PHOTO = np.random.default_rng(0).integers(0, 256, (1, 6, 7, 1)).astype(np.float32)
SAME = ((1, 1), (1, 1))


def neighbours(photo):
    """The sum of each pixel and the eight around it, with black beyond the edge."""
    padded = np.pad(photo, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = photo.shape[1:3]
    return sum(padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3))


@pytest.mark.parametrize("rung", rungs("conv2d"))
class TestConvolution:
    def test_blur(self, rung):
        kernel = np.full((3, 3, 1, 1), 0.1, np.float32)
        assert_allclose(convolve(rung, PHOTO, kernel, padding=SAME), 0.1 * neighbours(PHOTO), rtol=1e-5)

    def test_centre_one_is_the_original(self, rung):
        assert_array_equal(convolve(rung, PHOTO, digits("000/010/000").reshape(3, 3, 1, 1), padding=SAME), PHOTO)

    def test_centre_two_is_brighter(self, rung):
        assert_array_equal(convolve(rung, PHOTO, digits("000/020/000").reshape(3, 3, 1, 1), padding=SAME), 2 * PHOTO)

    def test_minus_one_above_finds_horizontal_edges(self, rung):
        kernel = np.zeros((3, 3, 1, 1), np.float32)
        kernel[1, 1], kernel[0, 1] = 1, -1
        expected = PHOTO.copy()
        expected[:, 1:] -= PHOTO[:, :-1]
        assert_array_equal(convolve(rung, PHOTO, kernel, padding=SAME), expected)

    def test_minus_a_tenth_around_sharpens(self, rung):
        kernel = np.full((3, 3, 1, 1), -0.1, np.float32)
        kernel[1, 1] = 1
        expected = 1.1 * PHOTO - 0.1 * neighbours(PHOTO)
        assert_allclose(convolve(rung, PHOTO, kernel, padding=SAME), expected, rtol=1e-5, atol=1e-3)

    def test_colours_are_convolved_with_their_own_slices_and_added(self, rung):
        source = np.random.default_rng(1)
        photo = source.integers(0, 256, (2, 5, 6, 3)).astype(np.float32)
        kernel = source.integers(-2, 3, (3, 2, 3, 4)).astype(np.float32)
        red, green, blue = (convolve(rung, photo[..., c : c + 1], kernel[:, :, c : c + 1]) for c in range(3))
        assert_array_equal(convolve(rung, photo, kernel), red + green + blue)

    def test_padding_same_and_valid(self, rung):
        x = digits("11100 / 01110 / 00111 / 00110 / 01100")
        kernel = digits("101 / 010 / 101").reshape(3, 3, 1, 1)
        assert_array_equal(convolve(rung, x, kernel), digits("434 / 243 / 234"))
        same = digits("22311 / 14341 / 12433 / 12341 / 02211")
        assert_array_equal(convolve(rung, x, kernel, padding=SAME), same)

    def test_sliding_sum(self, rung):
        a, b = digits("532597"), digits("123").reshape(1, 3, 1, 1)
        assert_array_equal(convolve(rung, a, b).ravel(), [17, 22, 39, 44])


# -- pooling ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rung", rungs("maxpool2d"))
class TestPooling:
    IMAGE = digits("47316 / 33792 / 64589 / 01437 / 25783")

    def pool(self, rung, x, size, strides, padding=((0, 0), (0, 0))):
        return registry.implementation("maxpool2d", rung).forward(x, size, strides=strides, padding=padding)

    def test_valid_leaves_the_odd_row_and_column_out(self, rung):
        y, _ = self.pool(rung, self.IMAGE, (2, 2), (2, 2))
        assert_array_equal(y, digits("79 / 68"))

    def test_same_pads_bottom_and_right(self, rung):
        y, _ = self.pool(rung, self.IMAGE, (2, 2), (2, 2), ((0, 1), (0, 1)))
        assert_array_equal(y, digits("796 / 689 / 583"))

    def test_padding_is_minus_infinity_not_zero(self, rung):
        """The lesson draws zeros; among negative numbers they would win."""
        y, _ = self.pool(rung, self.IMAGE - 10, (2, 2), (2, 2), ((0, 1), (0, 1)))
        assert_array_equal(y, digits("796 / 689 / 583") - 10)

    def test_argmax_is_the_winner(self, rung):
        """argmax of the whole, along axis 0 and along axis 1, as windows of these shapes."""
        x = np.array([[10, 14, 12], [13, 11, 15]], np.float32)[None, :, :, None]
        for window, expected in [((2, 3), [5]), ((2, 1), [1, 0, 1]), ((1, 3), [1, 2])]:
            _, winners = self.pool(rung, x, window, window)
            assert_array_equal(winners.ravel(), expected)


# -- labels, losses, scores -------------------------------------------------------------------------------------------


def test_one_hot():
    expected = [[1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert_array_equal(utils.to_categorical([0, 2, 1, 2, 0]), expected)


def test_cross_entropy_by_hand():
    p = np.array([[0.03, 0.03, 0.01, 0.9, 0.01, 0.01, 0.0025, 0.0025, 0.0025, 0.0025]])
    one_hot = utils.to_categorical([3], 10)
    value, _ = losses.get("categorical_crossentropy")(one_hot, p)
    assert value == pytest.approx(0.10536, abs=5e-6)
    value, _ = losses.get("sparse_categorical_crossentropy")(np.array([3]), p)
    assert value == pytest.approx(0.10536, abs=5e-6)


# -- one weight -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", CPU_BACKENDS)
@pytest.mark.parametrize(
    ("weight", "error", "slope", "after_one_step"),
    [(1.0, 16.0, -16.0, 2.6), (5.0, 16.0, 16.0, 3.4), (3.0, 0.0, 0.0, 3.0)],
    ids=["too small, so increase", "positive slope, so decrease", "at the bottom"],
)
def test_one_weight(backend, weight, error, slope, after_one_step):
    """y = w·x with x = 2 and target 6: the squared error (2w - 6)² is a parabola with slope 4(2w - 6)."""
    model = Sequential([Dense(1, use_bias=False, input_shape=(1,))], backend=backend)
    model.compile(optimizer=optimizers.SGD(learning_rate=0.1), loss="mean_squared_error", metrics=None)
    model.build((1,))
    x, target = np.array([[2.0]], np.float32), np.array([[6.0]], np.float32)

    model.set_weights([np.array([[weight]], np.float32)])
    loss, *_ = np.atleast_1d(model.test_on_batch(x, target))
    assert loss == pytest.approx(error)
    model.loss_and_gradients(x, target)
    assert model.layers[0].kernel.gradient.item() == pytest.approx(slope)

    model.train_on_batch(x, target)
    assert model.layers[0].kernel.value.item() == pytest.approx(after_one_step)


# -- shapes and parameters --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "input_shape", "output_shape", "parameters"),
    [
        (Conv2D(32, (3, 3)), (28, 28, 1), (26, 26, 32), 320),
        (Conv2D(64, (3, 3)), (28, 28, 1), (26, 26, 64), 640),
        (Conv2D(128, (3, 3)), (13, 13, 64), (11, 11, 128), 73_856),
        (Conv2D(32, (2, 2), padding="same"), (28, 28, 1), (28, 28, 32), 160),
        (Conv2D(64, (2, 2), padding="same"), (14, 14, 32), (14, 14, 64), 8_256),
        (MaxPooling2D((2, 2)), (26, 26, 64), (13, 13, 64), 0),
        (MaxPooling2D((2, 2)), (11, 11, 128), (5, 5, 128), 0),
        (MaxPooling2D((2, 2), padding="same"), (11, 11, 128), (6, 6, 128), 0),
        (Dense(128), (3200,), (128,), 409_728),
        (Dense(10), (128,), (10,), 1_290),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "build") else None,
)
def test_shapes_and_parameters(layer, input_shape, output_shape, parameters):
    layer.build(input_shape)
    assert layer.output_shape == output_shape
    assert layer.count_params() == parameters
