"""Pictures of data: the images, numbers and counts in them are those of the data."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from tinyconv import plots
from tinyconv.errors import ArgumentError, DataError

BYTES = np.arange(40 * 5 * 4, dtype=np.uint16).reshape(40, 5, 4, 1) % 251


# -- samples ----------------------------------------------------------------------------------------------------------


def test_samples_are_24_different_images_with_their_labels_in_4_rows_of_6():
    y = np.arange(40) % 3
    figure = plots.sample_grid(BYTES, np.eye(3)[y], ["cat", "dog", "owl"])
    panels = [axes for axes in figure.axes if axes.images]
    assert len(panels) == 24
    assert panels[0].get_gridspec().get_geometry() == (4, 6)
    indices = [int(axes.get_title(loc="right").removeprefix("#")) for axes in panels]
    assert len(set(indices)) == 24
    assert indices != sorted(indices)  # drawn at random
    for axes, index in zip(panels, indices, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), BYTES[index, :, :, 0])
        assert axes.get_title(loc="left") == ["cat", "dog", "owl"][y[index]]
    assert figure.get_suptitle() == "24 of 40 images, 5 × 4 × 1, uint16"


def test_another_seed_draws_others_and_the_same_one_the_same():
    def indices(seed):
        return [axes.get_title(loc="right") for axes in plots.sample_grid(BYTES, seed=seed).axes if axes.images]

    assert indices(1) == indices(1) != indices(2)


def test_fewer_images_than_panels_and_colours():
    figure = plots.sample_grid(np.full((3, 4, 4, 3), 7, np.uint8), count=24)
    assert sum(bool(axes.images) for axes in figure.axes) == 3
    assert figure.axes[0].images[0].get_array().shape == (4, 4, 3)


def test_no_images_and_no_pictures_are_refused():
    with pytest.raises(DataError, match="no images"):
        plots.sample_grid(BYTES[:0])
    with pytest.raises(ArgumentError, match=r"\(5, 4, 2\)"):
        plots.sample_grid(np.zeros((3, 5, 4, 2)))


# -- heat map ---------------------------------------------------------------------------------------------------------


def numbers(axes):
    return {(round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in axes.texts}


def test_a_heat_map_has_a_colour_and_a_number_per_pixel():
    image = np.array([[0, 255, 7], [30, 200, 99]], np.uint8)
    figure = plots.heat_map(image[..., np.newaxis], "a seven")
    axes, bar = figure.axes
    np.testing.assert_array_equal(axes.images[0].get_array(), image)
    assert axes.images[0].get_clim() == (0, 255)
    assert numbers(axes) == {place: str(value) for place, value in np.ndenumerate(image)}
    assert figure.get_suptitle() == "a seven: 2 × 3 × 1, uint8, 0 … 255"
    assert (axes.get_xlabel(), axes.get_ylabel(), bar.get_ylabel()) == ("column", "row", "value")


def test_numbers_are_light_on_dark_and_dark_on_light():
    axes, _ = plots.heat_map(np.array([[0, 255]])).axes
    dark, light = (to_rgb(text.get_color()) for text in axes.texts)
    assert dark == (1, 1, 1)  # viridis begins dark
    assert light == (0, 0, 0)


def test_a_heat_map_of_fractions_is_short_and_leaves_nan_out():
    axes, _ = plots.heat_map(np.array([[0.0, 0.25, -0.5], [1.0, np.nan, 0.004]])).axes
    assert numbers(axes) == {(0, 0): "0", (0, 1): ".25", (0, 2): "−.50", (1, 0): "1.00", (1, 2): ".00"}


def test_a_heat_map_in_colour_has_a_panel_per_channel_on_one_scale():
    image = np.random.default_rng(0).integers(10, 200, (4, 3, 3)).astype(np.uint8)
    panels = plots.heat_map(image).axes[:3]
    assert [axes.get_title() for axes in panels] == ["red", "green", "blue"]
    for channel, axes in enumerate(panels):
        np.testing.assert_array_equal(axes.images[0].get_array(), image[..., channel])
        assert axes.images[0].get_clim() == (image.min(), image.max())


def test_a_large_image_has_no_numbers():
    assert not plots.heat_map(np.zeros((33, 20))).axes[0].texts


@pytest.mark.parametrize(("size", "written"), [((8, 8), True), ((16, 12), True), ((32, 32), False)])
def test_three_channels_fit_on_a_projector_with_numbers_where_they_can_be_read(size, written):
    figure = plots.heat_map(np.full((*size, 3), 128, np.uint8), "a photo")
    width, height = 150 * figure.get_size_inches()
    assert width <= 1950
    assert height <= 1080
    figure.draw_without_rendering()
    for axes in figure.axes[:3]:
        texts = axes.texts
        assert len(texts) == (size[0] * size[1] if written else 0)
        if texts:
            assert texts[0].get_fontsize() >= 6
            assert texts[0].get_window_extent().width < axes.get_window_extent().width / size[1]


# -- class counts -----------------------------------------------------------------------------------------------------


def test_counts_are_bars_per_class_with_their_numbers():
    axes = plots.class_counts(np.array([0, 2, 2, 2]), ["cat", "dog", "owl"]).axes[0]
    (bars,) = axes.containers
    assert [bar.get_width() for bar in bars] == [25, 0, 75]
    assert [text.get_text() for text in axes.texts] == ["1", "0", "3"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["cat", "dog", "owl"]
    assert axes.get_xlabel() == "share of the images (%)"
    assert axes.yaxis_inverted()  # the first class comes first


def test_training_and_test_are_drawn_side_by_side_and_told_apart_without_colour():
    figure = plots.class_counts({"training": np.array([0, 1, 1, 1]), "test": np.eye(2)[[0, 1]]})
    training, test = figure.axes[0].containers
    assert [bar.get_width() for bar in training] == [25, 75]
    assert [bar.get_width() for bar in test] == [50, 50]
    assert training[0].get_hatch() != test[0].get_hatch()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training", "test"]
    assert figure.get_suptitle() == "4 training, 2 test"


def test_no_labels_are_refused():
    with pytest.raises(DataError, match="no labels"):
        plots.class_counts({"training": np.array([1]), "test": np.array([], int)})
