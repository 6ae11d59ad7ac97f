"""Datasets by name: the bundled digits, MNIST's folders, CIFAR-10's archive and its JPEG copies."""

import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinyconv import datasets
from tinyconv.datasets import cifar10, decoded, digits, idx, idx_files, images
from tinyconv.datasets.files import DataFile
from tinyconv.errors import ArgumentError, DataError


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty TINYCONV_DATA and an empty cache; returns the former."""
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("TINYCONV_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TINYCONV_CACHE", str(tmp_path / "cache"))
    return tmp_path / "data"


# -- digits -----------------------------------------------------------------------------------------------------------


def test_digits_are_read_without_scikit_learn_and_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys; from tinyconv.datasets import digits; digits.load_data(); print('sklearn' in sys.modules)"
    read = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert read.stdout == "False\n", read.stderr
    file = digits._read()
    monkeypatch.setattr(digits, "find_spec", lambda name: None)  # as if the file were elsewhere
    np.testing.assert_array_equal(digits._read(), file)


def test_digits_are_complete_and_the_same_each_time() -> None:
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    assert (x_train.shape, x_test.shape) == ((1438, 28, 28), (359, 28, 28))
    assert x_train.dtype == y_train.dtype == np.uint8
    assert (x_train.min(), x_train.max()) == (0, 255)
    assert np.bincount(y_test).tolist() == [36, 36, 35, 37, 36, 36, 36, 36, 35, 36]
    assert (np.bincount(y_train) + np.bincount(y_test)).sum() == 1797
    again = digits.load_data()
    np.testing.assert_array_equal(again[0][0], x_train)
    np.testing.assert_array_equal(again[1][1], y_test)


def test_the_first_digit_by_hand() -> None:
    """scikit-learn's first image is a 0, whose second row starts 0 0 13 15: 16 grey levels become 255."""
    (x_train, y_train), _ = digits.load_data()
    assert y_train[0] == 0
    assert x_train[0, 2 + 4, 2 + 7] == round(13 * 255 / 16)  # the middle of the enlarged pixel (1, 2)
    assert x_train[0, 2 + 4, 2 + 8] == round((13 * 2 + 15) / 3 * 255 / 16)  # a third of the way to (1, 3)
    assert not x_train[:, :2].any()
    assert not x_train[:, :, -2:].any()


def test_no_test_digit_is_a_training_digit() -> None:
    (x_train, _), (x_test, _) = digits.load_data()
    assert not {image.tobytes() for image in x_train} & {image.tobytes() for image in x_test}


# -- by name ----------------------------------------------------------------------------------------------------------


def test_load_by_name() -> None:
    data = datasets.load("Digits")
    assert (data.name, data.image_shape, data.class_names) == ("digits", (28, 28, 1), tuple("0123456789"))
    assert data.x_test.shape == (359, 28, 28, 1)
    assert datasets.names() == ("digits", "mnist", "fashion_mnist", "cifar10")


@pytest.mark.parametrize("name", ["fashion-mnist", "Fashion_MNIST", "CIFAR-10"])
def test_spellings(name: str) -> None:
    assert datasets.status(name).name in ("fashion_mnist", "cifar10")


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(ArgumentError, match=r"no dataset 'minst'. Did you mean 'mnist'"):
        datasets.load("minst")
    with pytest.raises(ArgumentError, match=r"no dataset 'minst'. Did you mean 'mnist'"):
        datasets.verify("minst")
    with pytest.raises(ArgumentError, match="image_size: only an image folder takes"):
        datasets.load("digits", image_size=(8, 8))


def test_select_and_resize() -> None:
    data = datasets.load("digits").select(["7", "1"]).resize((12, 10))
    assert data.image_shape == (12, 10, 1)
    assert data.class_names == ("7", "1")
    assert len(data.y_train) == 143 + 146
    whole = datasets.load("digits")
    first_seven = np.flatnonzero(whole.y_train == 7)[0]
    place = np.flatnonzero(data.y_train == 0)[0]
    np.testing.assert_array_equal(data.x_train[place], images.resize(whole.x_train[[first_seven]], (12, 10))[0])
    with pytest.raises(ArgumentError, match="digits has no class 'ten'"):
        whole.select(["ten"])
    with pytest.raises(ArgumentError, match="different classes"):
        whole.select(["1", "1"])
    with pytest.raises(ArgumentError, match="image_size"):
        whole.resize((0, 3))


# -- IDX files --------------------------------------------------------------------------------------------------------


def put_idx_files(folder: Path) -> tuple[DataFile[np.ndarray], ...]:
    """Four small IDX files in `folder`, and the description of them."""
    folder.mkdir()
    contents = [np.full((3, 2, 2), 7), [1, 2, 0], np.full((1, 2, 2), 8), [2]]
    hashes = []
    for name, content in zip(idx_files.NAMES, contents, strict=True):
        idx.write(folder / name, np.asarray(content, np.uint8))
        hashes.append(hashlib.sha256(gzip.decompress((folder / name).read_bytes())).hexdigest())
    return idx_files.four_files(folder.name, (), tuple(hashes))


def test_four_idx_files(alone: Path) -> None:
    four = put_idx_files(alone / "small")
    (x_train, y_train), (x_test, y_test) = idx_files.load_data(four)
    assert (x_train.shape, y_train.tolist(), x_test[0, 0, 0], y_test.tolist()) == ((3, 2, 2), [1, 2, 0], 8, [2])


def test_fashion_mnist_in_mnists_folder_is_refused(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two have the same file names; an http cache once served one for the other."""
    put_idx_files(alone / "mnist")
    with pytest.raises(DataError, match=r"mnist.train-images-idx3-ubyte.gz is an IDX file, but not the right one"):
        datasets.mnist.load_data()


def test_verify_and_status(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    four = put_idx_files(alone / "mnist")
    monkeypatch.setattr(datasets.mnist, "files", lambda: four)
    (alone / "mnist" / idx_files.NAMES[3]).unlink()
    (alone / "mnist" / idx_files.NAMES[1]).write_bytes(b"rubbish")
    first, second, third, fourth = datasets.verify("mnist")
    assert first.problem is third.problem is None
    assert first.path == alone / "mnist" / idx_files.NAMES[0]
    assert second.name == f"mnist/{idx_files.NAMES[1]}"
    assert "not an IDX file" in str(second.problem)
    assert (fourth.path, fourth.problem) == (None, "It is not on this machine.")
    status = datasets.status("mnist")
    assert status.folders == (alone / "mnist",)
    assert status.missing == (f"mnist/{idx_files.NAMES[3]}",)
    with pytest.raises(DataError, match="not an IDX file"):
        datasets.download("mnist")
    assert datasets.download("digits").missing == datasets.verify("digits") == ()


# -- CIFAR-10 ---------------------------------------------------------------------------------------------------------


def pack(path: Path, batches: dict[str, bytes]) -> str:
    """Write an archive as CIFAR-10's; return its SHA-256."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in batches.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def batch(label: int) -> bytes:
    """100 images of one label: red 1 … 32 down the rows, green 200, blue 0."""
    red = np.repeat(np.arange(1, 33, dtype=np.uint8), 32)
    record = np.concatenate([[label], red, np.full(1024, 200), np.zeros(1024)]).astype(np.uint8)
    return np.tile(record, (100, 1)).tobytes()


def test_cifar10_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar10, "_BATCH_IMAGES", 100)
    path = tmp_path / "cifar-10-binary.tar.gz"
    names = [f"cifar-10-batches-bin/data_batch_{number}.bin" for number in (5, 1, 2, 3, 4)]
    batches = {"../../outside.bin": b"ignored"} | {name: batch(int(name[-5])) for name in names}
    digest = pack(path, batches | {"cifar-10-batches-bin/test_batch.bin": batch(9)})
    (x_train, y_train), (x_test, y_test) = cifar10.read_archive(path, sha256=digest)
    assert (x_train.shape, y_train.shape) == ((500, 32, 32, 3), (500, 1))
    assert y_train[::100, 0].tolist() == [1, 2, 3, 4, 5]  # in the order of the batches, not of the archive
    assert x_train[0, 4, 7].tolist() == [5, 200, 0]
    assert (len(x_test), y_test[0, 0]) == (100, 9)
    assert list(tmp_path.iterdir()) == [path]  # nothing is unpacked

    with pytest.raises(DataError, match="is not the file it should be: its SHA-256 is"):
        cifar10.read_archive(path, sha256="0" * 64)


def test_damaged_cifar10_archives(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    with pytest.raises(DataError, match="archive cannot be read: No such file"):
        cifar10.read_archive(path, sha256="")
    digest = pack(path, {"data_batch_1.bin": b"short"})
    with pytest.raises(DataError, match="not the CIFAR-10 binary archive"):
        cifar10.read_archive(path, sha256=digest)
    path.write_bytes(b"not an archive")
    with pytest.raises(DataError, match="not the CIFAR-10 binary archive"):
        cifar10.read_archive(path, sha256=hashlib.sha256(b"not an archive").hexdigest())
    whole = gzip.compress(np.random.default_rng(0).bytes(5000))
    path.write_bytes(whole[:3000])
    with pytest.raises(DataError, match="not the CIFAR-10 binary archive"):
        cifar10.read_archive(path, sha256=hashlib.sha256(whole[:3000]).hexdigest())


def jpeg(colour: tuple[int, int, int], size: tuple[int, int] = (32, 32)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "JPEG")
    return stream.getvalue()


def put_zip(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_cifar10_jpeg_copies(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("train", "test"):
        pictures = {f"{part}/{name}/0.jpg": jpeg((20 * label, 0, 0)) for label, name in enumerate(cifar10.CLASS_NAMES)}
        put_zip(alone / "cifar10-jpeg" / f"{part}.zip", pictures)
    data = datasets.load("cifar10")
    assert data.x_train.shape == data.x_test.shape == (10, 32, 32, 3)
    assert sorted(data.y_train.tolist()) == list(range(10))
    assert data.y_train.tolist() != list(range(10))  # mixed
    np.testing.assert_allclose(data.x_train[:, 5, 5, 0], 20 * data.y_train.astype(int), atol=3)
    assert data.origin == str(alone / "cifar10-jpeg")
    assert {report.problem for report in datasets.verify("cifar10")} == {None}

    monkeypatch.setattr(cifar10, "_decode_zip", None)  # what was decoded is kept
    np.testing.assert_array_equal(datasets.load("cifar10").x_train, data.x_train)


def test_without_copies_cifar10_is_the_archive(alone: Path) -> None:
    assert datasets.status("cifar10").missing == ("cifar10/cifar-10-binary.tar.gz",)
    put_zip(alone / "cifar10-jpeg" / "train.zip", {})
    assert datasets.status("cifar10").missing == ("cifar10/cifar-10-binary.tar.gz",)  # half of them does not do


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({}, "no .jpg files"),
        ({"train/horse.jpg": b""}, "has train/horse.jpg, expected train/CLASS/NAME.jpg"),
        ({"train/unicorn/0.jpg": b""}, "expected train/CLASS/NAME.jpg"),
        ({"test/horse/0.jpg": b""}, "expected train/CLASS/NAME.jpg"),
        ({"train/horse/0.jpg": b"rubbish"}, "train.zip/train/horse/0.jpg cannot be read as a picture"),
        ({"train/horse/0.jpg": jpeg((0, 0, 0), (31, 32))}, "0.jpg has 32×31 pixels, expected 32×32"),
        ({"train/horse/0.jpg": bytes(2 << 20)}, "0.jpg of 2,097,152 bytes, too large"),
    ],
)
def test_wrong_jpeg_copies(alone: Path, members: dict[str, bytes], sentence: str) -> None:
    path = alone / "cifar10-jpeg" / "train.zip"
    put_zip(path, members)
    with pytest.raises(DataError, match=sentence):
        cifar10.read_jpeg_zip(path, part="train")
    assert not (alone.parent / "cache").exists()


def test_damaged_jpeg_copies(alone: Path) -> None:
    path = alone / "train.zip"
    put_zip(path, {"train/horse/0.jpg": jpeg((1, 2, 3))})
    whole = path.read_bytes()
    for damaged in (b"not a zip file", whole[:-30], whole[:60] + b"\xff" * 9 + whole[69:]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"train.zip"):
            cifar10.read_jpeg_zip(path, part="train")


# -- decoded pictures -------------------------------------------------------------------------------------------------


def test_decoded_pictures_are_kept_whole_or_not_at_all(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = alone.parent / "cache" / "decoded"
    split = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3), np.array([[4]], np.uint8)
    calls = []

    def decode() -> tuple[np.ndarray, np.ndarray]:
        calls.append(1)
        return split

    for _ in range(2):
        assert decoded.images_and_labels("key", decode)[0].tolist() == split[0].tolist()
    assert len(calls) == 1
    for damage in (b"", b"rubbish", (folder / "key.npz").read_bytes()[:-40]):
        (folder / "key.npz").write_bytes(damage)
        assert decoded.images_and_labels("key", decode)[1].tolist() == [[4]]
    assert len(calls) == 4
    assert decoded.images_and_labels("key", decode)[1].tolist() == [[4]]
    assert len(calls) == 4  # the last damage was repaired

    def interrupted(*arguments: object, **arrays: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        decoded.images_and_labels("other", decode)
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "key.npz"]


def test_a_cache_that_cannot_be_written_is_done_without(alone: Path) -> None:
    (alone.parent / "cache").write_text("a file where the folder should be")
    split = np.zeros((1, 2, 2, 3), np.uint8), np.array([[4]], np.uint8)
    with pytest.warns(UserWarning, match="Decoded pictures are not kept"):
        assert decoded.images_and_labels("key", lambda: split) is split


# -- real data --------------------------------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_real_idx_files(data_folder: Path, name: str) -> None:
    data = datasets.load(name)
    assert (data.x_train.shape, data.x_test.shape) == ((60_000, 28, 28, 1), (10_000, 28, 28, 1))
    first = {"mnist": [5, 0, 4, 1, 9], "fashion_mnist": [9, 0, 0, 3, 0]}[name]
    assert data.y_train[:5].tolist() == first
    assert {report.problem for report in datasets.verify(name)} == {None}


@pytest.mark.data
@pytest.mark.slow
def test_real_cifar10(data_folder: Path) -> None:
    data = datasets.load("cifar10")
    assert (data.x_train.shape, data.x_test.shape) == ((50_000, 32, 32, 3), (10_000, 32, 32, 3))
    assert np.bincount(data.y_train).tolist() == 10 * [5000]
    assert np.bincount(data.y_test).tolist() == 10 * [1000]
    pair = data.select(["airplane", "frog"])
    blue = pair.x_train[..., 2] > pair.x_train[..., 1]
    is_plane = pair.y_train == 0
    assert blue[is_plane].mean() > 2 * blue[~is_plane].mean()  # planes fly in blue skies, frogs do not
