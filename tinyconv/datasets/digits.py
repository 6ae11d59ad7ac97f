"""The bundled data: 1,797 real handwritten digits that come with scikit-learn, drawn at the size of MNIST's.

They are the test set of "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, 1998, UCI repository): 8×8
pixels of 0 … 16.  Here each is enlarged three times, scaled to 0 … 255 and padded by 2 pixels: 28×28.
"""

import gzip
import io
import zlib
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tinyconv.datasets.dataset import Split
from tinyconv.datasets.files import DataFile

DESCRIPTION = "1,797 handwritten digits, 8×8 drawn at 28×28, grey; bundled, no download"
CLASS_NAMES = tuple("0123456789")

Array = np.ndarray[Any, Any]

_TEST_SHARE = 0.2
_SHA256 = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"  # of the decompressed file


def load_data() -> tuple[Split, Split]:
    """Return ((x_train, y_train), (x_test, y_test)): 1,438 and 359 images (n, 28, 28) and labels (n,), all uint8.

    The test images are the last fifth of each digit's in the order of the file.  Images that follow each other there
    are mostly by one person, so most of the test images are by people who wrote no training image, as MNIST's are; a
    random split gives a higher accuracy than new writers would see (scikit-learn's course, "Sample grouping").
    """
    table = _read()
    x, y = _enlarge(table[:, :64].reshape(-1, 8, 8)), table[:, 64].astype(np.uint8)
    is_test = np.zeros(len(y), bool)
    for digit in range(10):
        places = np.flatnonzero(y == digit)
        is_test[places[len(places) - round(_TEST_SHARE * len(places)) :]] = True
    return (x[~is_test], y[~is_test]), (x[is_test], y[is_test])


def files() -> tuple[DataFile[Any], ...]:
    """None: the images come with scikit-learn."""
    return ()


def _read() -> Array:
    """Return the table of all digits, (1797, 65): the pixels 0 … 16, row by row, then the digit.

    It is read from scikit-learn's own file; importing scikit-learn for it takes longer than a whole epoch.
    """
    package = find_spec("sklearn")  # imports nothing
    folder = Path(package.origin).parent if package is not None and package.origin is not None else Path()
    try:
        text = gzip.decompress((folder / "datasets" / "data" / "digits.csv.gz").read_bytes())
    except (OSError, EOFError, zlib.error):
        text = b""
    if sha256(text).hexdigest() == _SHA256:
        return np.loadtxt(io.BytesIO(text), delimiter=",")
    from sklearn.datasets import load_digits  # another version keeps it elsewhere

    pixels, labels = load_digits(return_X_y=True)
    return np.column_stack([pixels, labels])


def _enlarge(images: Array) -> Array:
    """Return 8×8 images of 0 … 16 as 28×28 uint8: bilinear interpolation, towards 0 at the border, and padding."""
    at = (np.arange(24) + 0.5) / 3 - 0.5  # the middle of each new pixel, in old pixels
    weights = np.maximum(0, 1 - np.abs(at[:, np.newaxis] - np.arange(8)))  # (24, 8)
    large = weights @ images @ weights.T  # (n, 24, 24)
    return np.pad(np.rint(large * (255 / 16)).astype(np.uint8), ((0, 0), (2, 2), (2, 2)))
