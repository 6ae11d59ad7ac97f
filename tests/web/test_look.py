"""What the page is shown is what the layers put out, and the gradients are the derivative of the loss."""

import numpy as np
import pytest

from tinyconv.models import Sequential
from tinyconv.web import look, network


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(5).random(network.IMAGE).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    return network.build("numpy", seed=2)


def test_outputs_are_each_layers(model, image):
    seen = look.forward(model, image)
    assert len(seen.outputs) == 1 + len(model.layers)
    x = image[None]
    for layer, shown in zip(model.layers, seen.outputs[1:], strict=True):
        x = layer.forward(x)
        np.testing.assert_array_equal(shown, x[0])
    assert seen.target == int(x[0].argmax())


def test_gradients_are_the_losss(image):
    """In float64, against central differences: of the drawing's pixels, of a hidden number, and of a kernel."""
    config = {**network.build("numpy", seed=2).get_config(), "dtype": "float64"}
    model = Sequential.from_config(config)
    network.compile(model)
    x = image.astype(np.float64)
    seen = look.backward(model, x, target=4)

    def loss(x):
        return -np.log(model.forward(x[None])[0, 4])

    assert seen.loss == pytest.approx(loss(x), rel=1e-6)
    h = 1e-5
    for place in [(3, 4, 0), (14, 14, 0), (20, 9, 0)]:
        step = np.zeros_like(x)
        step[place] = h
        slope = (loss(x + step) - loss(x - step)) / (2 * h)
        assert seen.gradients[0][place] == pytest.approx(slope, rel=1e-4, abs=1e-9)
    kernel, place = model.layers[0].kernel.value, (2, 1, 0, 3)
    middle = kernel[place]
    ends = []
    for kernel[place] in (middle + h, middle - h):
        ends.append(loss(x))
    assert seen.kernel_gradients[0][place] == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-4, abs=1e-9)
    # Softmax and cross-entropy together: probability minus what it should be.
    np.testing.assert_allclose(seen.gradients[-2], seen.outputs[-1] - np.eye(10)[4], atol=1e-9)


def test_a_network_that_is_sure_has_gradients_too(image):
    """Where the target's probability is next to nothing, as when a trained network should read a clear 7 as a 2."""
    model = network.build("numpy", seed=2)
    model.layers[7].kernel.value[...] *= 60
    model.layers[7].bias.value[...] = 0
    sure = look.forward(model, image).outputs[-1]
    target = int(sure.argmin())
    assert sure[target] < 1e-12
    seen = look.backward(model, image, target)
    np.testing.assert_allclose(seen.gradients[-2], sure - np.eye(10)[target], atol=1e-6)
    assert np.abs(seen.gradients[0]).max() > 0.1
    assert 25 < seen.loss < np.inf
    assert np.isfinite(seen.gradients[-1]).all()


def test_without_a_target_it_is_what_is_read(model, image):
    assert look.backward(model, image, None).target == look.forward(model, image).target


def test_a_picture_brings_every_array(model, image, unpack):
    seen = look.forward(model, image)
    picture = unpack(look.picture(model, seen, serial=17))
    assert (picture["serial"], picture["of"], picture["loss"]) == (17, "outputs", None)
    np.testing.assert_allclose(picture["probabilities"], seen.outputs[-1], rtol=1e-3)
    for name, array in zip(["input", *(f"layer/{i}" for i in range(9))], seen.outputs, strict=True):
        shown = picture["arrays"][name]
        if array.ndim == 3:
            shown = shown.transpose(1, 2, 0)
        assert np.abs(shown - array).max() <= np.abs(array).max() / 250  # half a level of 127
    kernel = model.layers[0].kernel.value
    np.testing.assert_allclose(picture["arrays"]["kernel/0"].transpose(1, 2, 0), kernel[:, :, 0], atol=0.01)
    assert "kernel/3" not in picture["arrays"]  # six channels are no picture
    smallest, largest, mean, zeros = picture["ranges"][2]  # of the ReLU
    assert smallest == 0 < mean < largest
    assert 0 < zeros < 1


def test_numbers_that_are_none_are_shown_all_the_same(unpack):
    shown = unpack(look.pack({"bad": np.array([np.nan, np.inf, -np.inf, 1.0])}, kind="picture"))["arrays"]["bad"]
    assert shown.tolist() == [0, 1, -1, 1]
    assert unpack(look.pack({"empty": np.zeros(3)}, kind="picture"))["arrays"]["empty"].tolist() == [0, 0, 0]
