"""Folders of pictures, and the pictures themselves: every kind that people have, and every kind that is broken."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinyconv import datasets
from tinyconv.datasets import image_folder, images
from tinyconv.errors import ArgumentError, DataError

RED, GREEN, WHITE = (255, 0, 0), (0, 255, 0), (255, 255, 255)


def save(path: Path, image: Image.Image, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def put_pictures(folder: Path, counts: dict[str, int], size: tuple[int, int] = (6, 4)) -> Path:
    """PNG pictures whose colour says which they are: red is the class's place, green the picture's."""
    for label, (name, count) in enumerate(sorted(counts.items())):
        for number in range(count):
            save(folder / name / f"{number:03}.png", Image.new("RGB", size, (label, number, 0)))
    return folder


# -- one picture ------------------------------------------------------------------------------------------------------


def test_rows_columns_and_channels(tmp_path: Path) -> None:
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    path = save(tmp_path / "a.png", Image.fromarray(pixels))
    np.testing.assert_array_equal(images.read(path), pixels)
    grey = images.read(str(path), color_mode="grayscale")
    assert grey.shape == (2, 3, 1)
    assert grey[0, 1, 0] == round(0.299 * 3 + 0.587 * 4 + 0.114 * 5)  # ITU-R 601, as Pillow says
    assert images.read(path, image_size=(5, 7)).shape == (5, 7, 3)


def test_transparent_pictures_lie_on_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (3, 1), (*RED, 255))
    image.putpixel((1, 0), (*RED, 0))
    image.putpixel((2, 0), (*RED, 51))  # a fifth red
    expected = [[RED, WHITE, (255, 204, 204)]]
    assert images.read(save(tmp_path / "a.png", image)).tolist() == np.array(expected).tolist()
    grey = Image.new("LA", (2, 1), (0, 255))
    grey.putpixel((1, 0), (0, 0))
    assert images.read(save(tmp_path / "b.png", grey), color_mode="grayscale")[0, :, 0].tolist() == [0, 255]


def test_palettes(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *GREEN])
    image.putpixel((1, 0), 1)
    assert images.read(save(tmp_path / "a.png", image)).tolist() == [[list(RED), list(GREEN)]]
    assert images.read(save(tmp_path / "b.png", image, transparency=1)).tolist() == [[list(RED), list(WHITE)]]
    assert images.read(save(tmp_path / "c.gif", image, transparency=0)).tolist() == [[list(WHITE), list(GREEN)]]
    assert images.read(save(tmp_path / "d.png", image, transparency=b"\xff\0")).tolist() == [[list(RED), list(WHITE)]]


def test_sixteen_bits_and_one_bit(tmp_path: Path) -> None:
    deep = Image.fromarray(np.array([[0, 257, 32896, 65535]], np.uint16))
    assert images.read(save(tmp_path / "a.png", deep), color_mode="grayscale")[0, :, 0].tolist() == [0, 1, 128, 255]
    assert images.read(save(tmp_path / "a.tif", deep))[0, :, 2].tolist() == [0, 1, 128, 255]
    flat = Image.new("1", (2, 1))
    flat.putpixel((1, 0), 1)
    assert images.read(save(tmp_path / "b.png", flat), color_mode="grayscale")[0, :, 0].tolist() == [0, 255]
    with pytest.raises(DataError, match=r"c.tif cannot be read .* more than 16 bits"):
        images.read(save(tmp_path / "c.tif", Image.fromarray(np.array([[-1, 70_000]], np.int32))))
    with pytest.raises(DataError, match=r"d.tif cannot be read .* floating-point"):
        images.read(save(tmp_path / "d.tif", Image.fromarray(np.array([[0.5]], np.float32))))


def test_a_camera_turned_on_its_side(tmp_path: Path) -> None:
    image = Image.new("RGB", (16, 8), GREEN)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise by a quarter
    image.paste(RED, (0, 0, 8, 8))  # the left half, hence the top of what is shown
    shown = images.read(save(tmp_path / "a.jpg", image, exif=exif, quality=95, subsampling=0))
    assert shown.shape == (16, 8, 3)
    assert shown[2, 4, 0] > 200
    assert shown[13, 4, 1] > 200


def test_printers_colours_and_animations(tmp_path: Path) -> None:
    assert images.read(save(tmp_path / "a.jpg", Image.new("CMYK", (8, 8), (0, 0, 0, 0))))[4, 4].tolist() == [255] * 3
    frames = [Image.new("RGB", (2, 2), RED), Image.new("RGB", (2, 2), GREEN)]
    assert images.read(save(tmp_path / "b.gif", frames[0], save_all=True, append_images=frames[1:]))[0, 0, 0] == 255


def test_the_content_counts_and_not_the_name(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.new("RGB", (2, 2), RED))
    assert images.read(path.rename(tmp_path / "a.jpg"))[0, 0].tolist() == list(RED)


def test_broken_pictures(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)
    for name in ("a.png", "a.jpg", "a.gif", "a.bmp", "a.webp", "a.tif"):
        path = save(tmp_path / name, Image.fromarray(noise))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(DataError, match=f"{name} cannot be read as a picture"):
            images.read(path)
    for content in (b"", b"<html>", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a.tif cannot be read as a picture"):
            images.read(path)
    with pytest.raises(DataError, match=r"There is no picture .*nothing.png\."):
        images.read(tmp_path / "nothing.png")


def png_header(width: int, height: int) -> bytes:
    """A PNG that declares a size and ends where the pixels should begin."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + header + struct.pack(">I", 1000) + b"IDAT"


@pytest.mark.parametrize(
    ("side", "sentence"),
    [
        (9_000, r"bomb.png cannot be read as a picture: image file is truncated"),  # a large picture, but no bomb
        (9_500, r"bomb.png has 9500×9500 pixels; at most 89,478,485 are read"),
        (60_000, r"bomb.png has more than 178,956,970 pixels"),  # Pillow's own limit
    ],
)
def test_decompression_bombs(tmp_path: Path, side: int, sentence: str) -> None:
    (tmp_path / "bomb.png").write_bytes(png_header(side, side))
    with pytest.raises(DataError, match=sentence):  # and Pillow's warning, which is an error here, is not seen
        images.read(tmp_path / "bomb.png")


def test_wrong_arguments(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.new("L", (2, 2)))
    with pytest.raises(ArgumentError, match="color_mode"):
        images.read(path, color_mode="rgba")  # type: ignore[arg-type] # that is the test
    for size in (0, (0, 4), (1, 2, 3), "big", (2.5, 2), None):
        with pytest.raises(ArgumentError, match="image_size"):
            images.check_size(size)


# -- folders ----------------------------------------------------------------------------------------------------------


def test_a_folder_of_classes(tmp_path: Path) -> None:
    folder = put_pictures(tmp_path / "pets", {"dog": 8, "cat": 4, "Ant": 1})
    data = image_folder.load(folder, image_size=(4, 6))
    assert (data.name, data.class_names, data.origin) == ("pets", ("Ant", "cat", "dog"), str(folder))
    assert data.x_train.shape == (1 + 3 + 6, 4, 6, 3)
    assert data.x_test.shape == (1 + 2, 4, 6, 3)
    np.testing.assert_array_equal(data.x_train[:, 0, 0, 0], data.y_train)  # red says the class
    np.testing.assert_array_equal(data.x_test[:, 0, 0, 0], data.y_test)
    pictures = np.concatenate([data.x_train, data.x_test])[:, 0, 0, :2].tolist()
    assert sorted(pictures) == [[0, 0]] + [[1, n] for n in range(4)] + [[2, n] for n in range(8)]
    assert data.y_train.tolist() != sorted(data.y_train.tolist())  # mixed


def test_the_seed_decides_who_is_held_out(tmp_path: Path) -> None:
    folder = put_pictures(tmp_path, {"cat": 20, "dog": 20})

    def held_out(seed: int) -> list[list[int]]:
        return image_folder.load(folder, image_size=(1, 1), seed=seed).x_test[:, 0, 0, :2].tolist()

    assert held_out(0) == held_out(0)
    assert sorted(held_out(0)) != sorted(held_out(1))


def test_shares(tmp_path: Path) -> None:
    folder = put_pictures(tmp_path, {"cat": 10, "dog": 2})
    counts = {share: len(image_folder.load(folder, validation_split=share).y_test) for share in (0, 0.01, 0.5)}
    assert counts == {0: 0, 0.01: 2, 0.5: 6}
    assert image_folder.load(folder, validation_split=0, image_size=(3, 2), color_mode="grayscale").x_test.shape == (
        0, 3, 2, 1,
    )
    for share in (1, -0.1, "half"):
        with pytest.raises(ArgumentError, match="validation_split"):
            image_folder.load(folder, validation_split=share)  # type: ignore[arg-type] # that is the test


def test_a_folder_that_is_split_already(tmp_path: Path) -> None:
    put_pictures(tmp_path / "train", {"cat": 3, "dog": 2})
    put_pictures(tmp_path / "val", {"cat": 1, "dog": 1})
    data = image_folder.load(tmp_path, image_size=(1, 1))
    assert (data.class_names, len(data.x_train), len(data.x_test)) == (("cat", "dog"), 5, 2)
    put_pictures(tmp_path / "val", {"fox": 1})
    with pytest.raises(DataError, match=r"has the classes cat, dog, but .*val has cat, dog, fox"):
        image_folder.load(tmp_path)


def test_what_is_not_a_picture_is_left_out(tmp_path: Path) -> None:
    folder = put_pictures(tmp_path / "pets", {"cat": 2, "dog": 2})
    for name in (".DS_Store", "Thumbs.db", "notes.txt", "._000.png"):
        (folder / "cat" / name).write_bytes(b"not a picture")
    (folder / "labels.csv").write_text("a,b")
    (folder / ".cache").mkdir()
    (folder / "dog" / "deeper.png").mkdir()
    save(folder / "dog" / "SHOUT.JPG", Image.new("RGB", (2, 2)))
    data = image_folder.load(folder, validation_split=0)
    assert data.class_names == ("cat", "dog")
    assert np.bincount(data.y_train).tolist() == [2, 3]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no image folder .*nothing"):
        image_folder.load(tmp_path / "nothing")


def test_a_folder_without_classes(tmp_path: Path) -> None:
    save(tmp_path / "a.png", Image.new("RGB", (2, 2)))
    with pytest.raises(DataError, match=r"has no classes: .* one sub-folder per class"):
        image_folder.load(tmp_path)


def test_a_class_without_pictures(tmp_path: Path) -> None:
    put_pictures(tmp_path, {"cat": 2})
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog" / "notes.txt").write_text("soon")
    with pytest.raises(DataError, match="dog has no pictures, so the class 'dog' is empty"):
        image_folder.load(tmp_path)


def test_an_unreadable_picture_is_named(tmp_path: Path) -> None:
    put_pictures(tmp_path, {"cat": 30, "dog": 30})
    (tmp_path / "dog" / "017.png").write_bytes(png_header(6, 4))
    with pytest.raises(DataError, match=r"dog.017.png cannot be read as a picture"):
        image_folder.load(tmp_path)


def test_more_than_the_memory_holds(tmp_path: Path) -> None:
    put_pictures(tmp_path, {"cat": 2})
    with pytest.raises(DataError, match="1 pictures of 40000000×40000000 pixels do not fit into memory"):
        image_folder.load(tmp_path, image_size=(40_000_000, 40_000_000))


def test_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_pictures(tmp_path / "pets", {"cat": 2, "dog": 2})
    put_pictures(tmp_path / "mnist", {"one": 2})
    assert datasets.load(tmp_path / "pets", image_size=(8, 8)).image_shape == (8, 8, 3)
    monkeypatch.chdir(tmp_path)
    assert datasets.load("pets").class_names == ("cat", "dog")
    assert datasets.load("./mnist").class_names == ("one",)  # a path, where "mnist" alone is the dataset
    with pytest.raises(DataError, match=r"There is no image folder .*nowhere"):
        datasets.load("nowhere/")
