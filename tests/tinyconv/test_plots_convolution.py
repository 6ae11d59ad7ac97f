"""Pictures of convolution itself: windows, products and sums, against worked examples and SciPy."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from scipy.ndimage import correlate

from tinyconv import plots
from tinyconv.errors import ArgumentError, ShapeError
from tinyconv.plots.convolution import KERNELS


def matrix(text):
    """An integer array from rows of digits."""
    return np.array([[int(digit) for digit in row] for row in text.split("/")])


IMAGE, KERNEL = matrix("11100/01110/00111/00110/01100"), matrix("101/010/101")  # the worked example


def by_title(figure):
    return {axes.get_title(): axes for axes in figure.axes}


def values(axes, which=0):
    return np.asarray(axes.images[which].get_array())


def outlined(axes):
    """(row, column, rows, columns) of the frame in a panel."""
    (frame,) = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    x, y = frame.get_xy()
    return y + 0.5, x + 0.5, frame.get_height(), frame.get_width()


def assert_in_cells(axes):
    """Each number's box lies in its cell; after the figure has been drawn."""
    box, (rows, columns) = axes.get_window_extent(), values(axes).shape
    for text in axes.texts[: rows * columns]:
        (column, row), room = text.get_position(), text.get_window_extent()
        left, top = box.x0 + column * box.width / columns, box.y1 - row * box.height / rows
        assert left < room.x0, text.get_text()
        assert room.x1 < left + box.width / columns, text.get_text()
        assert top - box.height / rows < room.y0, text.get_text()
        assert room.y1 < top, text.get_text()


# -- one output pixel -------------------------------------------------------------------------------------------------


def test_one_output_pixel_is_the_sum_of_the_products():
    figure = plots.output_pixel(IMAGE, KERNEL, at=(0, 1))
    panels = by_title(figure)
    assert list(panels) == ["input", "window", "kernel", "products, sum 3", "output"]
    np.testing.assert_array_equal(values(panels["input"]), IMAGE)
    np.testing.assert_array_equal(values(panels["window"]), matrix("110/111/011"))
    np.testing.assert_array_equal(values(panels["kernel"]), KERNEL)
    np.testing.assert_array_equal(values(panels["products, sum 3"]), matrix("100/010/001"))
    np.testing.assert_array_equal(values(panels["output"]), matrix("434/243/234"))
    assert outlined(panels["input"]) == (0, 1, 3, 3)
    assert outlined(panels["output"]) == (0, 1, 1, 1)
    assert figure.get_supxlabel() == "1 + 0 + 0 + 0 + 1 + 0 + 0 + 0 + 1 + 0 [bias] = 3"
    assert figure.get_suptitle() == "How output pixel (0, 1) is computed"
    assert [text.get_text() for text in panels["window"].texts[:9]] == list("110111011")
    signs = [panels[name].texts[-1].get_text() for name in ("window", "kernel", "products, sum 3")]
    assert signs == ["", "×", "="]
    assert panels["input"].images[0].get_clim() == panels["window"].images[0].get_clim()  # the same colours


def test_padding_and_strides_move_the_window():
    figure = plots.output_pixel(IMAGE, KERNEL, 0.5, at=(0, 2), strides=(1, 2), padding="same")
    panels = by_title(figure)
    np.testing.assert_array_equal(values(panels["window"]), matrix("000/000/100"))
    assert outlined(panels["input"]) == (-1, 3, 3, 3)  # partly beside the image
    np.testing.assert_array_equal(values(panels["output"]), matrix("22311/14341/12433/12341/02211")[:, ::2] + 0.5)
    assert figure.get_supxlabel().endswith(" + 1 + 0 + 0 + 0.5 [bias] = 1.5")


def test_the_channels_with_the_largest_sums_are_drawn_and_the_others_added():
    x, w = np.ones((3, 3, 5)), np.zeros((3, 3, 5))
    w[1, 1] = [1, -4, 0.25, 3, 0.5]
    figure = plots.output_pixel(x, w, -1.0, channels=2)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[0::4][:2] == ["input, channel 1", "input, channel 3"]
    assert titles[3::4][:2] == ["products, sum −4", "products, sum 3"]
    assert figure.get_supxlabel() == "−4 + 3 + 1.75 [3 more channels] − 1 [bias] = −0.25"
    np.testing.assert_allclose(values(by_title(figure)["output"]), [[-0.25]])


@pytest.mark.parametrize("size", [3, 5, (2, 7)])
@pytest.mark.parametrize("scale", [1e-5, 3e-3, 0.3, 1, 4000, 1e6])
def test_numbers_stay_in_their_cells(size, scale):
    rng = np.random.default_rng(0)
    kernel = scale * rng.normal(size=size if isinstance(size, tuple) else (size, size))
    kernel[1, 1], kernel[0, 1], kernel[1, 0] = -3.8e-5, -0.0072, 0.0019
    figure = plots.output_pixel(rng.uniform(size=(8, 8)), kernel, at=(0, 1), padding="same")
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert len(axes.texts) >= values(axes).size
        assert_in_cells(axes)


def test_numbers_of_a_panel_have_equally_many_digits_and_tiny_ones_are_about_0():
    kernel = np.array([[0.12, -0.0072], [3.8e-5, 0]])
    figure = plots.output_pixel(np.ones((2, 2)), kernel)
    assert [text.get_text() for text in by_title(figure)["kernel"].texts[:4]] == ["0.120", "−0.007", "≈ 0", "0"]


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"at": (3, 0)}, ArgumentError, "3 × 3 pixels, so there is none at 3, 0"),
        ({"at": (0, -1)}, ArgumentError, "none at 0, -1"),
        ({"kernel": np.ones((6, 6))}, ShapeError, "does not fit on the image: a window of 6 pixels"),
        ({"kernel": np.ones((3, 3, 2))}, ShapeError, "must have the channels of the image"),
        ({"strides": 0}, ArgumentError, "strides must be"),
        ({"padding": "full"}, ArgumentError, "padding must be"),
    ],
)
def test_what_is_no_output_pixel_is_refused(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        plots.output_pixel(IMAGE, **{"kernel": KERNEL, **arguments})


# -- im2col -----------------------------------------------------------------------------------------------------------


def test_im2col_shows_where_each_pixel_lands():
    image = np.array([[10, 20, 30], [40, 50, 60]])
    figure = plots.im2col_picture(image, (2, 2), window=(0, 1))
    left, right = figure.axes
    np.testing.assert_array_equal(values(left), [[1, 2, 3], [4, 5, 6]])  # a colour per pixel
    np.testing.assert_array_equal(values(right), [[1, 2, 4, 5], [2, 3, 5, 6]])
    assert [text.get_text() for text in left.texts] == ["10", "20", "30", "40", "50", "60"]
    assert [text.get_text() for text in right.texts] == ["10", "20", "40", "50", "20", "30", "50", "60"]
    assert left.images[0].get_cmap() == right.images[0].get_cmap()
    assert left.images[0].get_clim() == right.images[0].get_clim()
    assert outlined(left) == (0, 1, 2, 2)
    assert outlined(right) == (1, 0, 1, 4)  # the second row
    assert [tick.get_text() for tick in right.get_xticklabels()] == ["0,0", "0,1", "1,0", "1,1"]
    assert [tick.get_text() for tick in right.get_yticklabels()] == ["0,0", "0,1"]
    assert figure.get_suptitle() == "im2col: 1 × 2 windows of 2 × 2 become a matrix of 2 × 4"


def test_the_outlined_row_is_that_of_the_window():
    left, right = plots.im2col_picture(np.arange(20).reshape(4, 5), (3, 2), window=(1, 2)).axes  # of 2 × 4 windows
    assert outlined(left) == (1, 2, 3, 2)
    assert outlined(right) == (1 * 4 + 2, 0, 1, 6)
    np.testing.assert_array_equal(values(right)[6], [8, 9, 13, 14, 18, 19])


def test_padding_is_white_and_0():
    figure = plots.im2col_picture(np.full((2, 2), 7), 3, strides=2, padding="same")
    drawn = figure.axes[1].images[0]
    np.testing.assert_array_equal(drawn.get_array(), [[1, 2, 0, 3, 4, 0, 0, 0, 0]])
    assert drawn.cmap(drawn.norm(0)) == (1, 1, 1, 1)
    assert [text.get_text() for text in figure.axes[1].texts] == list("770770000")


def test_cells_of_image_and_matrix_have_one_size():
    figure = plots.im2col_picture(np.ones((4, 3)), 2)
    width, height = figure.get_size_inches()
    left, right = (axes.get_position() for axes in figure.axes)
    cells = [left.width * width / 3, left.height * height / 4, right.width * width / 4, right.height * height / 6]
    np.testing.assert_allclose(cells, cells[0])


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"image": np.ones((9, 3))}, ShapeError, "at most 8×8"),
        ({"image": np.ones((3, 3, 1))}, ShapeError, "at most 8×8"),
        ({"image": np.ones((8, 8))}, ShapeError, "49 × 4 is too large"),
        ({"kernel_size": 5}, ShapeError, "does not fit"),
        ({"kernel_size": 0}, ShapeError, "kernel_size must be"),
        ({"window": (3, 0)}, ArgumentError, "none at 3, 0"),
    ],
)
def test_what_im2col_cannot_show_is_refused(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        plots.im2col_picture(**{"image": np.ones((4, 4)), "kernel_size": 2, **arguments})


# -- before and after -------------------------------------------------------------------------------------------------

PHOTO = np.random.default_rng(0).uniform(size=(12, 20, 3)).astype(np.float32)
GREY = PHOTO[..., 0]


def photos(figure):
    """Title → the image drawn under it."""
    return {axes.get_title(loc="left"): values(axes) for axes in figure.axes if axes.get_title(loc="left")}


def test_the_worked_kernels_do_what_their_titles_say():
    figure = plots.before_and_after(GREY)
    drawn = photos(figure)
    assert list(drawn) == ["before", *KERNELS]
    before, blur, same, brighter, above, around = drawn.values()
    np.testing.assert_array_equal(before, GREY)
    np.testing.assert_array_equal(same, GREY)
    np.testing.assert_allclose(brighter, 2 * GREY)
    np.testing.assert_allclose(above[1:], GREY[1:] - GREY[:-1], atol=1e-6)
    padded = np.pad(GREY, 1)
    sums = sum(padded[i : i + 12, j : j + 20] for i in range(3) for j in range(3))
    np.testing.assert_allclose(blur, 0.1 * sums, atol=1e-6)
    np.testing.assert_allclose(around, GREY - 0.1 * (sums - GREY), atol=1e-6)
    for axes in figure.axes[:6]:
        assert axes.images[0].get_clim() == (0, 1)
    assert figure.axes[3].get_xlabel() == f"12 × 20 pixels, {2 * GREY.min():.2f} … {2 * GREY.max():.2f}"
    assert figure.get_suptitle() == "Before and after convolution; stride 1, padding same"


def test_each_result_has_its_kernel_in_the_corner():
    kernel = np.arange(9.0).reshape(3, 3)
    _, after = plots.before_and_after(GREY, {"mine": kernel}).axes
    (inset,) = after.child_axes
    np.testing.assert_array_equal(values(inset), kernel)
    assert [text.get_text() for text in inset.texts] == [str(i) for i in range(9)]


@pytest.mark.parametrize(("size", "side", "beside"), [((12, 20), 3, False), ((12, 12), 5, True), ((8, 20), 3, True)])
def test_a_kernel_covers_little_of_its_result(size, side, beside):
    figure = plots.before_and_after(np.ones(size), {"mine": np.full((side, side), -0.125)})
    figure.draw_without_rendering()
    after = figure.axes[1]
    (inset,) = after.child_axes
    photo, kernel = after.get_window_extent(), inset.get_window_extent()
    assert (kernel.x0 > photo.x1) == beside
    assert kernel.x1 <= figure.bbox.x1
    if not beside:
        assert kernel.width * kernel.height < 0.12 * photo.width * photo.height
    assert_in_cells(inset)


@pytest.mark.parametrize(
    ("strides", "padding", "expected"),
    [
        (1, "valid", lambda full: full[1:-1, 1:-1]),
        ((2, 3), 1, lambda full: full[::2, ::3]),
    ],
)
def test_strides_and_padding(strides, padding, expected):
    kernel = np.random.default_rng(1).normal(size=(3, 3))
    figure = plots.before_and_after(GREY[..., np.newaxis], {"mine": kernel}, strides=strides, padding=padding)
    full = correlate(GREY.astype(float), kernel, mode="constant")
    np.testing.assert_allclose(photos(figure)["mine"], expected(full), atol=1e-5)
    before, after = figure.axes
    assert after.images[0].get_extent() == before.images[0].get_extent()  # of the same size on paper
    size = " × ".join(map(str, expected(full).shape))
    assert after.get_xlabel().startswith(f"{size} pixels, ")


def test_colours_have_their_own_slices_and_are_added():
    kernel = np.random.default_rng(2).normal(size=(5, 3, 3))
    figure = plots.colour_convolution(PHOTO, kernel)
    parts = [correlate(PHOTO[..., c].astype(float), kernel[..., c], mode="constant") for c in range(3)]
    left = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in left] == ["red", "green", "blue"]
    for c, axes in enumerate(left):
        np.testing.assert_array_equal(values(axes), PHOTO[..., c])
    slices = [axes for axes in figure.axes if axes.get_title() == "× its slice"]
    np.testing.assert_array_equal([values(axes) for axes in slices], np.moveaxis(kernel, -1, 0))
    assert len({axes.images[0].get_clim() for axes in slices}) == 1
    drawn = [axes for axes in figure.axes if axes.get_title().startswith("= its part")]
    np.testing.assert_allclose([values(axes) for axes in drawn], parts, atol=1e-5)
    assert len({axes.images[0].get_clim() for axes in drawn}) == 1
    panels = by_title(figure)
    np.testing.assert_allclose(values(panels["the three parts added, 12 × 20"]), sum(parts), atol=1e-5)
    np.testing.assert_allclose(values(panels["and what ReLU leaves of it"]), np.maximum(sum(parts), 0), atol=1e-5)
    assert values(panels["the photo"]).shape == PHOTO.shape


def test_the_default_slices_find_red():
    photo = np.zeros((9, 9, 3))
    photo[:, :3, 0] = photo[:, 3:6] = photo[:, 6:, 1] = 1  # red, white, green
    total = values(by_title(plots.colour_convolution(photo))["the three parts added, 9 × 9"])
    np.testing.assert_allclose(total[4, [1, 4, 7]], [0.9, 0, -0.45], atol=1e-6)


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        (lambda: plots.before_and_after(PHOTO), r"shape \(height, width\), but got \(12, 20, 3\)"),
        (lambda: plots.before_and_after(GREY[:2], padding="valid"), "does not fit on the image"),
        (lambda: plots.colour_convolution(GREY), r"in colour \(height, width, 3\)"),
        (lambda: plots.colour_convolution(PHOTO, np.ones((3, 3))), r"a kernel \(kh, kw, 3\)"),
    ],
)
def test_what_is_no_photo_or_kernel_is_refused(draw, sentence):
    with pytest.raises(ShapeError, match=sentence):
        draw()
