"""Fashion-MNIST: 70,000 pictures of clothes, 28×28 (Xiao, Rasul and Vollgraf, 2017)."""

from typing import Any

from tinyconv.datasets import idx_files
from tinyconv.datasets.dataset import Split
from tinyconv.datasets.files import DataFile

DESCRIPTION = "70,000 pictures of clothes, 28×28, grey"
CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"
)

_FILES = idx_files.four_files(
    "fashion-mnist",
    mirrors=(
        "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    sha256=(
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)


def load_data() -> tuple[Split, Split]:
    """Return ((x_train, y_train), (x_test, y_test)): 60,000 and 10,000 images (n, 28, 28) and labels (n,), all uint8.

    Finds the files as `tinyconv.datasets.files` says, or downloads 31 MB.  Raises DataError or DownloadError.
    """
    return idx_files.load_data(_FILES)


def files() -> tuple[DataFile[Any], ...]:
    """The files that `load_data` reads."""
    return _FILES
