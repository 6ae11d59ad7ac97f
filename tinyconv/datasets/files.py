"""Files of datasets: found on this machine or downloaded, and never believed before their content is checked.

A file is looked for in the user's folder, then in the cache (see `folders`), then on its mirrors, one after the other.
The check is the file's own reader: it raises DataError for a wrong content, whichever name the file came under.  A
download is written beside its place and moved there once it has been read, so an interrupted one leaves nothing.
"""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from tinyconv import lock
from tinyconv.datasets import progress
from tinyconv.datasets.folders import cache_folder, user_folder
from tinyconv.errors import ArgumentError, DataError, DownloadError

T = TypeVar("T")

MAX_BYTES = 1 << 28  # 256 MiB: no file here is larger
_TIMEOUT = 30  # seconds without a byte
_CHUNK = 1 << 16


@dataclass(frozen=True)
class DataFile(Generic[T]):
    """One file of a dataset.

    `mirrors` are addresses of folders that end in "/"; a file without mirrors is only ever found.  `read` returns what
    is in the file at a path, or raises DataError.
    """

    folder: str
    name: str
    mirrors: tuple[str, ...]
    read: Callable[[Path], T]

    def __post_init__(self) -> None:
        for mirror in self.mirrors:
            address = urlsplit(mirror)
            if address.scheme != "https" and address.hostname not in ("127.0.0.1", "localhost"):
                raise ArgumentError(f"Data are downloaded by https only, not from {mirror}.")


def locate(file: DataFile[T]) -> Path | None:
    """Where `file` is on this machine, unchecked: in the user's folder, else in the cache, else None."""
    found = _in_user_folder(file)
    cached = cache_folder() / file.folder / file.name
    return found or (cached if cached.is_file() else None)


def load(file: DataFile[T]) -> T:
    """Return what `file.read` makes of the file, downloading it first if it is not on this machine.

    Raises DataError for a wrong file in the user's folder, which is left alone; a wrong file in the cache is replaced.
    Raises DownloadError when all mirrors fail.
    """
    found = _in_user_folder(file)
    if found is not None:
        return file.read(found)
    cached = cache_folder() / file.folder / file.name
    if cached.is_file():
        try:
            return file.read(cached)
        except DataError:
            if not file.mirrors:
                raise
    if not file.mirrors:
        raise DownloadError(_by_hand(file, cached, []))
    try:
        with lock.exclusive(cached.parent):
            return _download(file, cached)
    except DownloadError:
        raise
    except OSError as problem:
        raise DownloadError(
            f"{file.name} cannot be saved in {cached.parent} ({problem.strerror}). Set TINYCONV_CACHE to a folder that "
            "you may write to."
        ) from problem


def _in_user_folder(file: DataFile[T]) -> Path | None:
    """The file in the user's folder, if it is there; a browser may have decompressed it."""
    folder = user_folder()
    if folder is not None:
        for name in (file.name, file.name.removesuffix(".gz")):
            path = folder / file.folder / name
            if path.is_file():
                return path
    return None


def _download(file: DataFile[T], target: Path) -> T:
    """Return what is in `file`, from the first mirror that sends the right content; keep it as `target`."""
    if target.is_file():  # another process may have downloaded it while this one waited for the lock
        try:
            return file.read(target)
        except DataError:
            pass  # damaged: replace it
    part = target.with_name(f"{target.name}.part")
    failures = []
    for mirror in file.mirrors:
        try:
            _transfer(mirror + file.name, part)
            content = file.read(part)
            os.replace(part, target)
            return content
        except PermissionError:
            raise
        except (OSError, DataError) as problem:  # what Requests raises is an OSError
            failures.append(f"{mirror + file.name}: {_reason(problem).replace(str(part), 'what it sent').rstrip('.')}")
        finally:
            part.unlink(missing_ok=True)
    raise DownloadError(_by_hand(file, target, failures))


def _transfer(url: str, path: Path) -> None:
    """Write what `url` sends to `path`."""
    import pooch

    with ExitStack() as stack:
        watch = _Watch(url, stack)
        pooch.HTTPDownloader(progressbar=watch, chunk_size=_CHUNK, timeout=_TIMEOUT)(url, str(path), None)


def _reason(problem: Exception) -> str:
    """What went wrong with a mirror, without the inner life of Requests."""
    from requests import exceptions

    if isinstance(problem, exceptions.HTTPError) and problem.response is not None:
        return f"it answered {problem.response.status_code} {problem.response.reason}"
    if isinstance(problem, exceptions.Timeout):
        return f"it sent nothing for {_TIMEOUT} seconds"
    if isinstance(problem, exceptions.ChunkedEncodingError):
        return "the connection broke off"
    if isinstance(problem, exceptions.ConnectionError):
        return "it cannot be reached"
    return str(problem)


class _Watch:
    """The progress bar that Pooch's downloader moves, which also ends a download that is too long."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        self.url = url
        self.total = 0  # set by the downloader: what the server announces
        self.received = 0
        self._stack = stack
        self._advance: Callable[[int], None] | None = None

    def update(self, size: int) -> None:
        """Called after each chunk."""
        self.received += size
        if self.received > MAX_BYTES + _CHUNK:
            raise DataError(f"it sends more than {MAX_BYTES:,} bytes.")
        if self._advance is None:
            self._advance = self._stack.enter_context(progress.bar(self.url, self.total or None, is_bytes=True))
        self._advance(size)

    def reset(self) -> None:
        """Called at the end, before the downloader reports all bytes once more."""
        self.received = 0
        self._advance = lambda size: None

    def close(self) -> None:
        """Called at the end; the bar closes with its `ExitStack`."""


def _by_hand(file: DataFile[T], target: Path, failures: list[str]) -> str:
    """The sentences of a DownloadError: what was tried, and how to get the file without tinyconv."""
    what = f"{file.folder}/{file.name}"
    looked_in = user_folder()
    or_set = (
        f"set TINYCONV_DATA to a folder that has {what}" if looked_in is None
        else f"into {looked_in / file.folder}, as TINYCONV_DATA is {looked_in} and does not have it"
    )
    if not file.mirrors:
        return f"{what} cannot be downloaded. Put it into {target.parent}, or {or_set}."
    return (
        f"{what} could not be downloaded. Tried: {'; '.join(failures)}. To do it by hand, get one of these addresses "
        f"with a browser and save it as {target}, or {or_set}. "
        'The dataset "digits" needs no download.'
    )
