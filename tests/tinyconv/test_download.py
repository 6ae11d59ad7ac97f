"""Downloads from a server that misbehaves in every way we know of: what arrives is right, or there is a sentence."""

import gzip
import hashlib
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tinyconv import lock
from tinyconv.datasets import files, idx
from tinyconv.datasets.files import DataFile
from tinyconv.errors import ArgumentError, DataError, DownloadError

DIGITS = bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4])
CLOTHES = bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 9, 9, 9, 9])
NAME = "images.gz"


class Server(ThreadingHTTPServer):
    """Answers /BEHAVIOUR/images.gz; counts the requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str] = []
        self.delay = 0.0

    def mirror(self, behaviour: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{behaviour}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away early is no error; the default prints it, in the middle of any test."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        behaviour = self.path.split("/")[1]
        self.server.requests.append(behaviour)
        time.sleep(self.server.delay)
        if behaviour == "missing":
            self.send_error(404)
        elif behaviour == "broken":
            self.send_error(503)
        elif behaviour == "cut-off":
            self.answer(gzip.compress(DIGITS), length=10_000)
        elif behaviour == "endless":
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(bytes(1 << 16))
            except OSError:
                pass  # the client had enough
        else:
            self.answer({
                "good": gzip.compress(DIGITS),
                "recompressed": gzip.compress(DIGITS, 1),
                "decompressed": DIGITS,
                "mistaken": gzip.compress(CLOTHES),
                "truncated": gzip.compress(DIGITS)[:-5],
                "login": b"<!DOCTYPE html><title>Please sign in</title>",
                "empty": b"",
            }[behaviour])

    def answer(self, content: bytes, length: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=partial(running.serve_forever, poll_interval=0.01))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no data of the user's."""
    monkeypatch.setenv("TINYCONV_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TINYCONV_DATA", raising=False)
    return tmp_path / "cache"


def wanted(server: Server, *behaviours: str) -> DataFile[np.ndarray]:
    """The file with DIGITS in it, on mirrors that behave so."""
    read = partial(idx.read, sha256=hashlib.sha256(DIGITS).hexdigest())
    return DataFile("set", NAME, tuple(map(server.mirror, behaviours)), read)


def kept(cache: Path) -> list[str]:
    """The files in the dataset's folder, but for the lock."""
    return sorted(path.name for path in (cache / "set").iterdir() if path.name != lock.LOCK_FILE)


@pytest.mark.parametrize("behaviour", ["good", "recompressed", "decompressed"])
def test_downloads_once(server: Server, cache: Path, behaviour: str) -> None:
    file = wanted(server, behaviour)
    assert files.locate(file) is None
    for _ in range(2):
        assert files.load(file).tolist() == [[[1, 2], [3, 4]]]
    assert server.requests == [behaviour]
    assert kept(cache) == [NAME]
    assert files.locate(file) == cache / "set" / NAME


@pytest.mark.parametrize(
    ("behaviour", "sentence"),
    [
        ("missing", "it answered 404 Not Found"),
        ("broken", "it answered 503"),
        ("cut-off", "the connection broke off"),
        ("mistaken", "what it sent is an IDX file, but not the right one"),
        ("truncated", "what it sent is damaged"),
        ("login", "what it sent is not an IDX file"),
        ("empty", "what it sent is not an IDX file: it starts with nothing"),
        ("endless", "it sends more than 1,000,000 bytes"),
    ],
)
def test_a_bad_mirror(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch, behaviour: str, sentence: str
) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 1_000_000)
    with pytest.raises(DownloadError, match=sentence) as caught:
        files.load(wanted(server, behaviour))
    assert kept(cache) == []
    message = str(caught.value)
    assert server.mirror(behaviour) + NAME in message  # the address to try by hand
    assert str(cache / "set" / NAME) in message  # and where to put it
    assert "TINYCONV_DATA" in message
    assert caught.value.exit_code == 1
    files.load(wanted(server, behaviour, "good"))  # the next mirror helps
    assert kept(cache) == [NAME]
    assert server.requests == [behaviour, behaviour, "good"]


def test_no_server_at_all(server: Server, cache: Path) -> None:
    server.server_close()
    with pytest.raises(DownloadError, match="it cannot be reached"):
        files.load(wanted(server, "good"))


def test_a_silent_server(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_TIMEOUT", 0.1)
    server.delay = 0.5
    with pytest.raises(DownloadError, match=r"it sent nothing for 0.1 seconds"):
        files.load(wanted(server, "good"))


def test_an_interrupted_download_leaves_nothing(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(watch: object, size: int) -> None:
        assert kept(cache) == [f"{NAME}.part"]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files._Watch, "update", interrupt)
        with pytest.raises(KeyboardInterrupt):
            files.load(wanted(server, "good"))
    assert kept(cache) == []
    assert files.load(wanted(server, "good")).shape == (1, 2, 2)


def test_what_a_killed_download_left_is_overwritten(server: Server, cache: Path) -> None:
    (cache / "set").mkdir(parents=True)
    (cache / "set" / f"{NAME}.part").write_bytes(bytes(100))
    assert files.load(wanted(server, "good")).shape == (1, 2, 2)
    assert kept(cache) == [NAME]


def test_a_damaged_file_in_the_cache_is_replaced(server: Server, cache: Path) -> None:
    (cache / "set").mkdir(parents=True)
    (cache / "set" / NAME).write_bytes(gzip.compress(CLOTHES))
    assert files.load(wanted(server, "good")).tolist() == [[[1, 2], [3, 4]]]
    assert idx.read(cache / "set" / NAME).tolist() == [[[1, 2], [3, 4]]]


def test_two_at_once_download_once(server: Server, cache: Path) -> None:
    """The lock is held by file handle, so threads wait for each other as processes do."""
    server.delay = 0.2
    results: list[np.ndarray] = []
    both = [threading.Thread(target=lambda: results.append(files.load(wanted(server, "good")))) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert [result.tolist() for result in results] == 2 * [[[[1, 2], [3, 4]]]]
    assert server.requests == ["good"]


def test_the_users_folder_comes_first_and_is_left_alone(
    server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine" / "set" / NAME
    mine.parent.mkdir(parents=True)
    monkeypatch.setenv("TINYCONV_DATA", str(tmp_path / "mine"))
    file = wanted(server, "good")

    mine.write_bytes(gzip.compress(DIGITS))
    assert files.locate(file) == mine
    assert files.load(file).tolist() == [[[1, 2], [3, 4]]]

    mine.write_bytes(gzip.compress(CLOTHES))
    with pytest.raises(DataError, match="not the right one") as caught:
        files.load(file)
    assert str(mine) in str(caught.value)
    assert idx.read(mine)[0, 0, 0] == 9

    mine.rename(mine.with_suffix(""))
    mine.with_suffix("").write_bytes(DIGITS)  # as a browser may save it
    assert files.load(file).tolist() == [[[1, 2], [3, 4]]]
    assert server.requests == []

    mine.with_suffix("").unlink()
    files.load(file)  # what it lacks is downloaded, into the cache
    assert server.requests == ["good"]
    assert kept(cache) == [NAME]


def test_a_users_folder_that_is_not_there(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYCONV_DATA", str(cache / "nowhere"))
    with pytest.raises(DataError, match=r"TINYCONV_DATA is .*nowhere.*no such folder"):
        files.load(wanted(server, "good"))


def test_a_cache_that_cannot_be_written(server: Server, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match="Set TINYCONV_CACHE to a folder"):
        files.load(wanted(server, "good"))


def test_a_file_without_mirrors(cache: Path) -> None:
    with pytest.raises(DownloadError, match=r"set/images.gz cannot be downloaded. Put it into"):
        files.load(DataFile("set", NAME, (), idx.read))
    assert not cache.exists()


@pytest.mark.parametrize("mirror", ["http://example.com/", "ftp://example.com/", "http://127.0.0.1.example.com/"])
def test_mirrors_must_be_https(mirror: str) -> None:
    with pytest.raises(ArgumentError, match="https only"):
        DataFile("set", NAME, (mirror,), idx.read)


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_on_a_terminal_only(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    monkeypatch.setenv("FORCE_COLOR", "1")
    files.load(wanted(server, "good"))
    shown = capsys.readouterr()
    assert ("127.0.0.1" in shown.err) == terminal
    assert shown.out == ""


def test_the_lock_is_free_again_after_an_error(cache: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), lock.exclusive(cache):
            raise ZeroDivisionError
