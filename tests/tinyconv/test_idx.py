"""The IDX reader: what it reads, and every way in which a file can be wrong."""

import gzip
import hashlib
import struct
import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tinyconv.datasets import idx
from tinyconv.errors import ArgumentError, DataError

IMAGE = bytes([0, 0, 0x08, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 10, 20, 30, 40, 50, 60])  # one image of 2×3 pixels


def refused(path: Path, content: bytes, sentence: str) -> None:
    path.write_bytes(content)
    with pytest.raises(DataError, match=sentence) as caught:
        idx.read(path)
    assert str(path) in str(caught.value)


def test_reads_what_the_format_says(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(IMAGE)
    assert idx.read(path).tolist() == [[[10, 20, 30], [40, 50, 60]]]


def test_numbers_have_their_most_significant_byte_first(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    path.write_bytes(bytes([0, 0, 0x0C, 1, 0, 0, 0, 2, 0, 0, 1, 2, 255, 255, 255, 254]))
    result = idx.read(path)
    assert result.tolist() == [258, -2]
    assert result.dtype == np.int32
    assert result.dtype.isnative


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("name", ["plain", "packed.gz"])
def test_writes_what_it_reads(tmp_path: Path, dtype: str, name: str) -> None:
    array = (np.arange(24).reshape(2, 3, 4) - 5).astype(dtype)
    idx.write(tmp_path / name, array)
    result = idx.read(tmp_path / name)
    assert result.dtype == array.dtype
    np.testing.assert_array_equal(result, array)
    result[0] = 1  # writable


def test_refuses_to_write_a_dtype_that_idx_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="IDX has no int64"):
        idx.write(tmp_path / "x", np.zeros(3, np.int64))


def test_gzip_is_told_by_the_content_and_not_by_the_name(tmp_path: Path) -> None:
    (tmp_path / "plain.gz").write_bytes(IMAGE)
    (tmp_path / "packed").write_bytes(gzip.compress(IMAGE))
    assert idx.read(tmp_path / "plain.gz").shape == idx.read(tmp_path / "packed").shape == (1, 2, 3)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "not an IDX file: it starts with nothing"),
        (b"<!DOCTYPE html>", "not an IDX file: it starts with 3c 21 44 4f"),
        (b"\0\0\x07\1\0\0\0\1a", "not an IDX file"),  # no such type
        (b"\0\0\x08\0", "not an IDX file"),  # no axes
        (b"\0\0\x08\xff" + 255 * b"\0\0\0\1" + b"a", "not an IDX file"),  # too many axes
        (b"\0\0\x08\3\0\0\0\1\0\0", "ends within its header"),
        (b"\0\0\x08\2\0\0\0\0\xff\xff\xff\xff", r"is empty: it declares the shape \(0, 4294967295\)"),
        (IMAGE[:-1], "truncated: .* 6 bytes, but has 5"),
        (IMAGE + b"!", "too long: more follows the 6 bytes"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_refuses_wrong_content(tmp_path: Path, content: bytes, sentence: str, pack: type[bytes]) -> None:
    refused(tmp_path / "file", pack(content), sentence)


def test_refuses_damaged_gzip(tmp_path: Path) -> None:
    noise = gzip.compress(bytes([0, 0, 8, 1]) + struct.pack(">I", 5000) + np.random.default_rng(0).bytes(5000))
    wrong_checksum = noise[:-8] + bytes([noise[-8] ^ 1]) + noise[-7:]
    refused(tmp_path / "file", noise[:2000], "damaged: it cannot be decompressed")
    refused(tmp_path / "file", noise[:-8], "damaged: it cannot be decompressed")
    refused(tmp_path / "file", wrong_checksum, "damaged: it cannot be decompressed")
    refused(tmp_path / "file", noise + b"garbage", "damaged: it cannot be decompressed")
    refused(tmp_path / "file", noise[:10] + b"\xff" * 200, "damaged: it cannot be decompressed")
    refused(tmp_path / "file", b"\x1f\x8b", "damaged: it cannot be decompressed")


def test_refuses_what_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        idx.read(tmp_path / "nothing")
    with pytest.raises(DataError, match="cannot be read"):
        idx.read(tmp_path)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_what_a_header_declares_is_not_allocated(tmp_path: Path, pack: type[bytes]) -> None:
    billion = bytes([0, 0, 0x08, 1]) + struct.pack(">I", 2**30) + b"only this"
    beyond = bytes([0, 0, 0x0E, 8]) + 8 * b"\xff\xff\xff\xff"
    tracemalloc.start()
    try:
        refused(tmp_path / "file", pack(billion), "truncated: .* but has 9")
        refused(tmp_path / "file", pack(beyond), "are not read")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_gzip_bomb_is_decompressed_as_far_as_its_header_declares(tmp_path: Path) -> None:
    bomb = gzip.compress(IMAGE[:16] + bytes(64 << 20))
    assert len(bomb) < 1 << 20
    tracemalloc.start()
    try:
        refused(tmp_path / "file", bomb, "too long")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_only_the_content_with_the_right_hash_is_read(tmp_path: Path) -> None:
    path = tmp_path / "image.gz"
    path.write_bytes(gzip.compress(IMAGE))
    assert idx.read(path, sha256=hashlib.sha256(IMAGE).hexdigest()).shape == (1, 2, 3)
    path.write_bytes(gzip.compress(IMAGE[:-1] + b"!"))
    with pytest.raises(DataError, match="not the right one"):
        idx.read(path, sha256=hashlib.sha256(IMAGE).hexdigest())


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=64), packed=st.booleans(), place=st.integers(0, 200), value=st.integers(0, 255))
@example(content=IMAGE, packed=True, place=0, value=0x1F)
def test_any_bytes_give_an_array_or_a_data_error(
    tmp_path: Path, content: bytes, packed: bool, place: int, value: int
) -> None:
    content = bytes([0, 0, 0x08, 1]) + content
    damaged = bytearray(gzip.compress(content) if packed else content)
    damaged[place % len(damaged)] = value
    path = tmp_path / "file"
    path.write_bytes(damaged)
    with suppress(DataError):
        assert idx.read(path).nbytes <= len(content)
