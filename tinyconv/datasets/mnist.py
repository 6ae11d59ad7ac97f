"""MNIST: 70,000 handwritten digits, 28×28 (LeCun, Cortes and Burges, 1998)."""

from typing import Any

from tinyconv.datasets import idx_files
from tinyconv.datasets.dataset import Split
from tinyconv.datasets.files import DataFile

DESCRIPTION = "70,000 handwritten digits, 28×28, grey"
CLASS_NAMES = tuple("0123456789")

_FILES = idx_files.four_files(
    "mnist",
    mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    sha256=(
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)


def load_data() -> tuple[Split, Split]:
    """Return ((x_train, y_train), (x_test, y_test)): 60,000 and 10,000 images (n, 28, 28) and labels (n,), all uint8.

    Finds the files as `tinyconv.datasets.files` says, or downloads 11 MB.  Raises DataError or DownloadError.
    """
    return idx_files.load_data(_FILES)


def files() -> tuple[DataFile[Any], ...]:
    """The files that `load_data` reads."""
    return _FILES
