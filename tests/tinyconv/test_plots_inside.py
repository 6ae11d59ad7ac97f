"""Pictures of the inside of a network: what is drawn is what the layers computed, and what their gradients are."""

import numpy as np
import pytest

from tinyconv import plots
from tinyconv.errors import ArgumentError, ShapeError, StateError
from tinyconv.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, MaxPooling2D, Softmax
from tinyconv.models import Sequential
from tinyconv.plots.forward_pass import ForwardPass

NAMES = ["cat", "dog", "owl"]
IMAGE = np.random.default_rng(1).uniform(size=(10, 8, 1))


def network(*, fuse=True, dtype="float64", channels=1, last=None):
    """Two convolutions, everything in between, three classes."""
    return Sequential(
        [
            Conv2D(6, (3, 2), padding="same", activation="relu", input_shape=(10, 8, channels)),
            MaxPooling2D(2),
            Dropout(0.5),
            BatchNormalization(),
            Conv2D(4, 3, activation="tanh"),
            Flatten(),
            *(last or [Dense(3, activation="softmax")]),
        ],
        name="net", backend="numpy", seed=3, dtype=dtype, fuse=fuse,
    )


def outputs(image=IMAGE):
    """Each layer's output, from the model itself in study mode."""
    model = network(fuse=False)
    model.forward(image[np.newaxis])
    return {layer.name: layer.output[0] for layer in model.layers}


def tiles(axes):
    return [np.asarray(image.get_array()) for image in axes.images]


# -- filters ----------------------------------------------------------------------------------------------------------


def test_filters_of_one_channel_are_a_tile_each():
    layer = network().layers[0]
    figure = plots.filters(layer)
    axes, bar = figure.axes
    drawn = tiles(axes)
    assert len(drawn) == 6
    for index, tile in enumerate(drawn):
        np.testing.assert_array_equal(tile, layer.kernel.value[:, :, 0, index])
    largest = np.abs(layer.kernel.value).max()
    assert axes.images[0].get_clim() == (-largest, largest)  # white is 0
    assert figure.get_suptitle() == "conv2d: all 6 filters of 3 × 2 × 1"
    assert bar.get_ylabel() == "weight"


def test_filters_of_many_channels_are_a_row_each():
    layer = network().layers[4]
    axes = plots.filters(layer).axes[0]
    drawn = tiles(axes)
    assert len(drawn) == 4 * 6
    np.testing.assert_array_equal(drawn[2 * 6 + 5], layer.kernel.value[:, :, 5, 2])
    left, _, _, top = axes.images[2 * 6 + 5].get_extent()
    assert (left, top) == pytest.approx((5 * 1.08, 2 * 1.08))  # the sixth column of the third row
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["0", "1", "2", "3"]
    assert axes.get_xlabel() == "input channel, of 6"


def test_filters_of_colours_are_colours_around_grey():
    layer = network(channels=3).layers[0]
    figure = plots.filters(layer)
    kernel = layer.kernel.value
    np.testing.assert_allclose(
        tiles(figure.axes[0])[4], 0.5 + kernel[..., 4] / (2 * np.abs(kernel).max()), rtol=1e-12
    )
    assert "grey is 0" in figure.axes[0].get_xlabel()


def test_only_so_many_filters_are_drawn_and_the_headline_says_so():
    layer = Conv2D(130, 1)
    layer.build((3, 3, 20))
    figure = plots.filters(layer)
    assert len(figure.axes[0].images) == 16 * 16
    assert figure.get_suptitle().startswith("conv2d: the first 16 of 130 filters")


def test_a_layer_without_weights_is_refused():
    with pytest.raises(StateError, match="conv2d has no weights yet"):
        plots.filters(Conv2D(3, 3))


# -- feature maps -----------------------------------------------------------------------------------------------------


def test_feature_maps_are_a_strip_per_layer_on_one_scale_each():
    figure = plots.feature_maps(network(), IMAGE, maps=5)
    expected = {name: output for name, output in outputs().items() if output.ndim == 3}
    strips = [axes for axes in figure.axes if len(axes.images) > 1]
    assert [axes.get_ylabel().split("\n") for axes in strips] == [
        [name, " × ".join(map(str, output.shape))] for name, output in expected.items()
    ]
    for axes, output in zip(strips, expected.values(), strict=True):
        drawn = tiles(axes)
        assert len(drawn) == min(5, output.shape[-1])
        for channel, tile in enumerate(drawn):
            np.testing.assert_allclose(tile, output[..., channel])
        largest = np.abs(output).max()  # of all maps, also of those that are not drawn
        assert axes.images[0].get_clim() == pytest.approx((-largest if output.min() < 0 else 0, largest))
    picture = next(axes for axes in figure.axes if axes.get_title() == "the image")
    np.testing.assert_allclose(tiles(picture)[0], IMAGE[..., 0])


def test_a_model_without_feature_maps_is_refused():
    model = Sequential([Flatten(input_shape=(10, 8, 1)), Dense(3)], backend="numpy")
    with pytest.raises(ArgumentError, match="no feature maps"):
        plots.feature_maps(model, IMAGE)


# -- all layers -------------------------------------------------------------------------------------------------------


def test_all_layers_are_drawn_from_the_image_to_the_probabilities():
    figure = plots.all_layers(network(), IMAGE, NAMES)
    expected = outputs()
    shown = ["conv2d", "max_pooling2d", "batch_normalization", "conv2d_1"]  # Dropout and Flatten change nothing
    first, *stages, last = figure.axes
    np.testing.assert_allclose(tiles(first)[0], IMAGE[..., 0])
    assert [axes.get_title().split("\n")[0] for axes in stages] == shown
    for axes, name in zip(stages, shown, strict=True):
        assert len(axes.images) == expected[name].shape[-1]
        np.testing.assert_allclose(tiles(axes), np.moveaxis(expected[name], -1, 0))
    probabilities = expected["dense"]
    np.testing.assert_allclose([bar.get_width() for bar in last.patches], probabilities)
    assert [tick.get_text() for tick in last.get_yticklabels()] == NAMES
    best = int(probabilities.argmax())
    assert figure.get_suptitle() == (
        f"One image in all layers of net: {NAMES[best]} ({100 * probabilities[best]:.1f} %)"
    )
    colours = [bar.get_facecolor() for bar in last.patches]
    assert [i for i, colour in enumerate(colours) if colour != min(colours, key=colours.count)] != [best]


def test_dense_layers_are_a_cell_per_number_and_scores_are_no_shares():
    model = network(last=[Dense(8, activation="relu"), Dense(3)])
    model.layers[-1].set_weights([np.zeros((8, 3)), np.array([-0.2, 1.5, 0.0])])
    figure = plots.all_layers(model, IMAGE)
    dense = next(axes for axes in figure.axes if axes.get_title() == "dense\n8")
    assert len(dense.images) == 8
    assert all(tile.shape == (1, 1) for tile in tiles(dense))
    assert [text.get_text() for text in figure.axes[-1].texts] == ["−0.2", "1.5", "0"]
    assert figure.get_suptitle().endswith(": 1 (score 1.5)")


# -- saliency and Grad-CAM --------------------------------------------------------------------------------------------


def score(model, image, target):
    """The number before the softmax, from the logarithm of the model's own output; a constant is added to all."""
    return float(np.log(model.predict(image[np.newaxis])[0, target]))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("own_layer", [False, True])
def test_saliency_is_the_gradient_of_the_score(channels, own_layer):
    model = network(channels=channels, last=[Dense(3), Softmax()] if own_layer else None)
    image = np.random.default_rng(2).uniform(size=(10, 8, channels))
    seen = ForwardPass(model, image)
    gradients = [seen.gradient(target) for target in range(3)]
    step = 1e-5
    for place in [(0, 0, 0), (4, 3, channels - 1), (9, 7, 0), (6, 2, 0)]:
        differences = []
        for target in (0, 1, 2):
            up, down = image.copy(), image.copy()
            up[place] += step
            down[place] -= step
            differences.append((score(model, up, target) - score(model, down, target)) / (2 * step))
        # log p = score - log Σ exp score, whose last term is the same for all classes
        found = np.array([gradient[place] for gradient in gradients])
        np.testing.assert_allclose(found - found[0], np.array(differences) - differences[0], rtol=1e-5, atol=1e-8)


def test_saliency_draws_the_gradient_and_its_size():
    kernel = np.random.default_rng(3).normal(size=(12, 3))
    model = Sequential([Flatten(input_shape=(2, 2, 3)), Dense(3, activation="softmax")], backend="numpy")
    model.set_weights([kernel, np.zeros(3)])
    image = np.ones((2, 2, 3))
    figure = plots.saliency(model, image, 1, NAMES)
    gradient = kernel[:, 1].reshape(2, 2, 3)  # of a linear score
    original, signs, sizes = figure.axes[:3]
    assert original.get_title() == "the image"
    np.testing.assert_allclose(tiles(signs)[0], gradient.sum(axis=-1), rtol=1e-5)
    np.testing.assert_allclose(tiles(sizes)[-1], np.abs(gradient).max(axis=-1), rtol=1e-5)
    low, high = signs.images[0].get_clim()
    assert -low == high == pytest.approx(np.abs(gradient.sum(axis=-1)).max(), rel=1e-5)
    assert figure.get_suptitle().startswith("Which pixels change the score of dog (")


def test_the_score_of_a_single_sigmoid_is_that_of_two_classes():
    kernel = np.array([[1.0], [-2.0], [3.0], [0.5]])
    model = Sequential([Flatten(input_shape=(2, 2, 1)), Dense(1, activation="sigmoid")], backend="numpy")
    model.set_weights([kernel, np.zeros(1)])
    seen = ForwardPass(model, np.ones((2, 2)))
    np.testing.assert_allclose(seen.probabilities, [1 / (1 + np.exp(2.5)), 1 / (1 + np.exp(-2.5))], rtol=1e-6)
    np.testing.assert_allclose(seen.gradient(1).reshape(-1), kernel[:, 0])
    np.testing.assert_allclose(seen.gradient(0).reshape(-1), -kernel[:, 0])


def cam_network(weights):
    """A convolution that hands the image on, twice: as it is and negated; then a dense layer of `weights`."""
    model = Sequential(
        [Conv2D(2, 1, input_shape=(2, 3, 1)), Flatten(), Dense(2, activation="softmax")], backend="numpy"
    )
    model.set_weights([np.array([[[[1.0, -1.0]]]]), np.zeros(2), weights, np.zeros(2)])
    return model


def test_grad_cam_averages_the_gradient_over_each_map_and_hirescam_does_not():
    weights = np.random.default_rng(4).normal(size=(2 * 3 * 2, 2))
    weights[1::2] -= 2  # on average the image speaks for both classes
    image = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    figure = plots.grad_cam(cam_network(weights), image, 0, NAMES[:2])
    gradient = weights[:, 0].reshape(2, 3, 2)
    maps = np.stack([image, -image], axis=-1)
    averaged = np.maximum(sum(gradient[..., k].mean() * maps[..., k] for k in range(2)), 0)
    exact = np.maximum((gradient * maps).sum(axis=-1), 0)
    assert averaged.min() > 0
    assert 0 < np.count_nonzero(exact) < exact.size
    panels = {axes.get_title(): axes for axes in figure.axes}
    np.testing.assert_allclose(tiles(panels["Grad-CAM"])[-1], averaged, rtol=1e-5)
    np.testing.assert_allclose(tiles(panels["pixel by pixel (HiResCAM)"])[-1], exact, rtol=1e-5)
    assert panels["Grad-CAM"].images[-1].get_extent() == panels["the image"].images[0].get_extent()
    assert figure.get_suptitle().startswith("Where conv2d finds what speaks for cat (")


def test_a_map_of_zeros_says_so():
    figure = plots.grad_cam(cam_network(np.tile([[-1.0, 0.0], [1.0, 0.0]], (6, 1))), np.ones((2, 3)), 0)
    assert "0 everywhere" in next(axes for axes in figure.axes if axes.get_title() == "Grad-CAM").texts[0].get_text()


def test_grad_cam_takes_the_last_convolution_unless_told():
    model = network()
    assert "conv2d_1" in plots.grad_cam(model, IMAGE).get_suptitle()
    figure = plots.grad_cam(model, IMAGE, layer=model.layers[0])
    assert "Where conv2d finds" in figure.get_suptitle()
    assert tiles(figure.axes[1])[-1].shape == (10, 8)
    flat = Sequential([Flatten(input_shape=(10, 8, 1)), Dense(3)], backend="numpy")
    with pytest.raises(ArgumentError, match="no convolution layer"):
        plots.grad_cam(flat, IMAGE)


def test_pictures_leave_the_weights_as_they_are():
    model = network()
    before = model.get_weights()
    for draw in (plots.feature_maps, plots.all_layers, plots.saliency, plots.grad_cam):
        draw(model, IMAGE)
    for was, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


@pytest.mark.parametrize(
    ("draw", "error", "sentence"),
    [
        (lambda: plots.saliency(network(), IMAGE, 3), ArgumentError, "0 … 2, but got 3"),
        (lambda: plots.saliency(network(), IMAGE, -1), ArgumentError, "0 … 2, but got -1"),
        (lambda: plots.saliency(network(), IMAGE[:5]), ShapeError, "the image has shape"),
        (lambda: ForwardPass(Sequential([Conv2D(2, 3, input_shape=(10, 8, 1))]), IMAGE), ShapeError, "no score"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_a_sentence(draw, error, sentence):
    with pytest.raises(error, match=sentence):
        draw()
