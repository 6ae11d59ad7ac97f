"""`tinyconv convdemo`: the kernels, the user's photo, the user's numbers, and what is none of these."""

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image
from typer.testing import CliRunner

from tinyconv import plots
from tinyconv.cli.app import app
from tinyconv.plots.convolution import KERNELS


@pytest.fixture(autouse=True)
def drawn(tmp_path, monkeypatch):
    """Stand in an empty folder; the figures are kept, not written."""
    monkeypatch.chdir(tmp_path)
    figures = []
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.append(figure))
    return figures


def run(*arguments):
    result = CliRunner().invoke(app, ["convdemo", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def succeed(*arguments):
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refuse(*arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("tinyconv: ")
    return result.stderr


def photos(figure):
    return {
        axes.get_title(loc="left"): np.asarray(axes.images[0].get_array())
        for axes in figure.axes if axes.get_title(loc="left")
    }


def a_photo(height=6, width=9, mode="RGB"):
    """A file with random pixels, and the grey that is to be made of them."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    Image.fromarray(pixels).convert(mode).save("photo.png")
    return pixels / 255 @ [0.299, 0.587, 0.114]


def test_without_arguments_the_bundled_photo_and_the_five_kernels(drawn):
    out = succeed()
    assert out.startswith("saved convdemo.png\nnext: tinyconv convdemo --colour")
    shown = photos(drawn[0])
    assert list(shown) == ["before", *KERNELS]
    china = load_sample_image("china.jpg") / 255 @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(shown["before"], china, atol=1e-6)
    np.testing.assert_allclose(shown["brighter: twice each pixel"], 2 * china, atol=1e-6)


def test_a_photo_and_a_kernel_of_ones_own(drawn):
    grey = a_photo()
    assert succeed("photo.png", "--kernel", "0 0 0, 0 0 1/2, 0 0 0", "-o", "shifted.png") == "saved shifted.png\n"
    before, after = photos(drawn[0]).values()
    np.testing.assert_allclose(before, grey, atol=1e-6)
    np.testing.assert_allclose(after, np.pad(grey, ((0, 0), (0, 1)))[:, 1:] / 2, atol=1e-6)


def test_kernels_of_5_by_5_strides_and_padding(drawn):
    grey = a_photo(12, 16)
    succeed("photo.png", "-k", "-1 " * 25, "-k", "[[1,0,0],[0,0,0],[0,0,0]]", "--stride", "2,3", "--padding", "valid")
    shown = photos(drawn[0])
    assert list(shown) == ["before", "your kernel 1", "your kernel 2"]
    five, three = shown["your kernel 1"], shown["your kernel 2"]
    assert five.shape == (4, 4)
    assert five[1, 2] == pytest.approx(-grey[2:7, 6:11].sum(), rel=1e-5)
    np.testing.assert_allclose(three, grey[:10:2, :14:3], atol=1e-6)
    assert drawn[0].get_suptitle().endswith("stride 2 × 3, padding valid")


def test_in_colour_one_kernel_serves_all_or_each_has_its_own(drawn):
    a_photo()
    centre = "0 0 0  0 {} 0  0 0 0"
    succeed("photo.png", "--colour", "-k", centre.format(2))
    succeed("photo.png", "--color", *[word for n in (1, 2, 3) for word in ("-k", centre.format(n))])
    succeed("photo.png", "--colour")
    slices = [
        [np.asarray(axes.images[0].get_array())[1, 1] for axes in figure.axes if axes.get_title() == "× its slice"]
        for figure in drawn
    ]
    assert slices == [[2, 2, 2], [1, 2, 3], pytest.approx([0.1, -0.05, -0.05])]


def test_transparency_is_white(drawn):
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save("clear.png")
    succeed("clear.png", "-k", "0 0 0 0 1 0 0 0 0")
    np.testing.assert_allclose(photos(drawn[0])["before"], np.ones((4, 4)), atol=1e-6)


def test_a_large_photo_is_shrunk(drawn):
    a_photo(30, 1600)
    succeed("photo.png", "-k", "0 0 0 0 1 0 0 0 0")
    assert photos(drawn[0])["before"].shape == (15, 800)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("-k", "a b c d e f g h i"), "A kernel is made of numbers"),
        (("-k", "1 2 3 4 5 6 7 8 nine"), "'nine' is none"),
        (("-k", "1 1 1 1 nan 1 1 1 1"), "'nan' is none"),
        (("-k", "1 1 1 1 1e999 1 1 1 1"), "'1e999' is none"),
        (("-k", "1 1 1 1 1/0 1 1 1 1"), "'1/0' is none"),
        (("-k", "1 1 1 1 -1e300 1 1 1 1"), "at most 1,000,000, but got '-1e300'"),
        (("-k", "1 1 1 1 1000001 1 1 1 1"), "at most 1,000,000, but got '1000001'"),
        (("--stride", "1,641"), "--stride is at most the size of the photo, here 427 rows and 640 columns"),
        (("--padding", "100000"), "--padding is at most the size of the photo, here 427 rows and 640 columns"),
        (("-k", "1 2 3"), "type 9 or 25 numbers, row by row; got 3"),
        (("-k", ""), "got 0"),
        (("--stride", "fast"), "--stride takes one whole number or two"),
        (("--stride", "1,2,3"), "--stride takes one whole number or two"),
        (("--stride", "0"), "strides must be one or two integers of at least 1"),
        (("--padding", "around"), "--padding takes same, valid, or pixels"),
        (("--padding", "-1"), "padding must be one or two integers of at least 0"),
        (("--colour", "-k", "1 " * 9, "-k", "1 " * 9), "three slices of one size"),
        (("--colour", "-k", "1 " * 9, "-k", "1 " * 9, "-k", "1 " * 25), "got 3×3, 3×3, 5×5"),
        (("nowhere.png",), "There is no picture nowhere.png."),
        (("notes.txt",), "notes.txt cannot be read as a picture"),
        (("small.png", "--padding", "valid"), "The kernel does not fit on the image"),
    ],
)
def test_what_is_no_kernel_or_photo_is_a_sentence(tmp_path, arguments, sentence):
    (tmp_path / "notes.txt").write_text("no picture")
    Image.new("L", (2, 2)).save("small.png")
    assert sentence in refuse(*arguments)
    assert not list(tmp_path.glob("convdemo*"))


def test_a_huge_photo_is_a_sentence(monkeypatch):
    from tinyconv.datasets import images

    a_photo()
    monkeypatch.setattr(images, "MAX_PIXELS", 53)
    assert "photo.png has 9×6 pixels; at most 53 are read" in refuse("photo.png")


@pytest.mark.parametrize(("size", "found"), [((60, 40), "60×40"), ((60, 90), "more than 4,000")])
def test_pillow_says_nothing_about_huge_photos(monkeypatch, size, found):
    """Beyond its limit it warns, which would be an error here, and beyond twice its limit it raises."""
    from tinyconv.datasets import images

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    monkeypatch.setattr(images, "MAX_PIXELS", 2000)
    Image.new("RGB", size).save("photo.png")
    sentence = refuse("photo.png")
    assert f"photo.png has {found} pixels; at most 2,000 are read." in sentence
    assert "bomb" not in sentence


def test_the_largest_numbers_stride_and_padding_are_taken(drawn):
    a_photo()
    succeed("photo.png", "-k", "1e6 " * 9, "--stride", "6,9", "--padding", "6,9")
    assert photos(drawn[0])["your kernel"].shape == (3, 3)
