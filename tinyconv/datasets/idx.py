"""IDX, the file format of MNIST: a reader written for hostile input, and a writer.

    byte 0, 1   zero
    byte 2      what the elements are (see `_DTYPES`)
    byte 3      the number of axes
    then        the size of each axis: 4 bytes, most significant first
    then        the elements, row-major, most significant byte first

The file may be compressed with gzip; its first bytes say so, not its name.  What a header declares is never allocated:
memory grows with the bytes that are really there, and no more of them are decompressed than the header declares.
Source: the description on http://yann.lecun.com/exdb/mnist.
"""

import gzip
import zlib
from hashlib import sha256 as new_sha256
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tinyconv.errors import ArgumentError, DataError

Array = np.ndarray[Any, Any]


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"
_CHUNK = 1 << 20
_MAX_AXES = 8


def read(path: str | PathLike[str], *, sha256: str | None = None, max_bytes: int = 1 << 30) -> Array:
    """Return the array in an IDX file, in this machine's byte order.

    Arguments:
        path: the file, plain or compressed with gzip.
        sha256: of the decompressed file; a file with another content is refused.
        max_bytes: a file that declares more is refused.

    Raises DataError, naming the file, for one that is missing, is not IDX, or is truncated, damaged or too long.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            stream = gzip.GzipFile(fileobj=file) if file.peek(2)[:2] == _GZIP else file
            header, dtype, shape = _read_header(stream, path)
            content = _read_content(stream, path, shape, dtype.itemsize, max_bytes)
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        raise DataError(
            f"{path} is damaged: it cannot be decompressed ({problem}). Delete it and get it again."
        ) from problem
    except OSError as problem:
        raise DataError(f"{path} cannot be read: {problem.strerror or problem}.") from problem
    if sha256 is not None:
        digest = new_sha256(header)
        digest.update(content)
        if digest.hexdigest() != sha256:
            raise DataError(
                f"{path} is an IDX file, but not the right one: the SHA-256 of its content is {digest.hexdigest()}, "
                f"expected {sha256}. Delete it and get it again."
            )
    return np.frombuffer(content, dtype).astype(dtype.newbyteorder("="), copy=False).reshape(shape)


def write(path: str | PathLike[str], array: Array) -> None:
    """Write `array` as an IDX file, compressed if the name ends in .gz.

    Raises ArgumentError for a dtype that IDX does not have.
    """
    big_endian = array.dtype.newbyteorder(">")
    codes = {np.dtype(dtype): code for code, dtype in _DTYPES.items()}
    if big_endian not in codes:
        raise ArgumentError(f"IDX has no {array.dtype}; it has {', '.join(d.name for d in codes)}.")
    header = bytes([0, 0, codes[big_endian], array.ndim]) + np.array(array.shape, ">u4").tobytes()
    content = header + array.astype(big_endian).tobytes()
    Path(path).write_bytes(gzip.compress(content, mtime=0) if str(path).endswith(".gz") else content)


def _read_header(stream: _Readable, path: Path) -> tuple[bytes, np.dtype[Any], tuple[int, ...]]:
    """Return the header's bytes, and the dtype and shape they declare."""
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES or not 1 <= magic[3] <= _MAX_AXES:
        raise DataError(
            f"{path} is not an IDX file: it starts with {magic.hex(' ') or 'nothing'}, expected 00 00, a type "
            f"({', '.join(f'{code:02x}' for code in _DTYPES)}) and a number of axes (1 to {_MAX_AXES})."
        )
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise DataError(f"{path} is truncated: it ends within its header.")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    if 0 in shape:
        raise DataError(f"{path} is empty: it declares the shape {shape}.")
    return magic + sizes, np.dtype(_DTYPES[magic[2]]), shape


def _read_content(
    stream: _Readable, path: Path, shape: tuple[int, ...], item_size: int, max_bytes: int
) -> bytearray:
    """Return exactly the bytes that the header declares."""
    declared = prod(shape) * item_size
    if declared > max_bytes:
        raise DataError(
            f"{path} declares the shape {shape}, that is {declared:,} bytes; more than {max_bytes:,} are not read."
        )
    content = bytearray()
    while len(content) < declared:
        chunk = stream.read(min(_CHUNK, declared - len(content)))
        if not chunk:
            raise DataError(
                f"{path} is truncated: it declares the shape {shape}, that is {declared:,} bytes, "
                f"but has {len(content):,}."
            )
        content += chunk
    if stream.read(1):
        raise DataError(f"{path} is too long: more follows the {declared:,} bytes that its shape {shape} declares.")
    return content
