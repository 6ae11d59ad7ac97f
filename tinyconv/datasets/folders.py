"""Where data lie: the folder that the user gives in TINYCONV_DATA, and the cache that tinyconv fills.

Both have one sub-folder per dataset, because MNIST's and Fashion-MNIST's files have the same names:

    mnist/train-images-idx3-ubyte.gz …    fashion-mnist/train-images-idx3-ubyte.gz …
    cifar10/cifar-10-binary.tar.gz        cifar10-jpeg/train.zip, test.zip

tinyconv reads the user's folder and writes the cache.  TINYCONV_CACHE names another cache folder.
"""

import os
from pathlib import Path

from tinyconv.errors import DataError


def user_folder() -> Path | None:
    """The folder in TINYCONV_DATA, or None when that is not set.

    Raises DataError when there is no such folder: the user wants those files, not a download.
    """
    name = os.environ.get("TINYCONV_DATA")
    if not name:
        return None
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise DataError(f"TINYCONV_DATA is {name!r}, but there is no such folder. Correct it or unset it.")
    return folder


def cache_folder() -> Path:
    """The folder for downloads: TINYCONV_CACHE, or tinyconv's part of the operating system's cache."""
    name = os.environ.get("TINYCONV_CACHE")
    if name:
        return Path(name).expanduser()
    import pooch

    return Path(pooch.os_cache("tinyconv"))
