"""Fixtures of the lab page: a network that is there at once, few digits, and a running server."""

import json
import socket
import struct
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.error import HTTPError

import numpy as np
import pytest

from tinyconv import saving
from tinyconv.web import network
from tinyconv.web.bench import Bench
from tinyconv.web.network import Data


@pytest.fixture
def few_digits(monkeypatch) -> Data:
    """24 images to learn from and 12 to be tested on, in place of the real ones."""
    images = np.random.default_rng(0).random((36, *network.IMAGE), np.float32)
    labels = (np.arange(36) % 10).astype(np.uint8)
    data = Data(images[:24], labels[:24], images[24:], labels[24:])
    monkeypatch.setattr(network, "load_data", lambda: data)
    return data


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of one's own."""
    monkeypatch.setenv("TINYCONV_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def trained(cache) -> None:
    """Nobody has to wait for the training of the first start: its result, so to say, is there."""
    saving.save(network.build("numpy", seed=0), network.trained_file())


@pytest.fixture
def bench(few_digits, trained) -> Iterator[Bench]:
    """A bench with its digits loaded."""
    bench = Bench()
    until(lambda: bench.data is not None)
    yield bench
    bench.close()


class RunningLab:
    """A lab that is served from this process."""

    def __init__(self, bench: Bench, token: str | None = None, port: int = 0) -> None:
        import uvicorn

        from tinyconv.web import serve
        from tinyconv.web.server import Lab

        self.bench = bench
        self.listener = serve.listen("127.0.0.1", port)
        self.port = self.listener.getsockname()[1]
        config = uvicorn.Config(Lab(bench, port=self.port, token=token).app, **serve.SETTINGS)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self.listener]})
        self._thread.start()

    def get(self, path: str = "/", **headers: str) -> tuple[int, str]:
        """Status and text of a page; headers with _ for -."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode("utf-8", "replace")
        except HTTPError as problem:
            return problem.code, problem.read().decode()

    @contextmanager
    def connect(self, path: str = "/bench", name: str = "127.0.0.1", **headers: str) -> Iterator["Page"]:
        """A page that is open as long as the block lasts; it believes that the lab's machine has that name."""
        from websockets.sync.client import connect

        channel = socket.create_connection(("127.0.0.1", self.port))
        address = f"ws://{name}:{self.port}{path}"
        with connect(address, sock=channel, open_timeout=20, additional_headers=headers) as opened:
            yield Page(opened)

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        self.listener.close()


class Page:
    """What a browser does, without one."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.seen: dict[str, Any] = {}  # the last message of each kind

    def draw(self, ink: Any, number: int = 1) -> None:
        self.socket.send(struct.pack("<I", number) + bytes(ink))

    def say(self, **words: Any) -> None:
        self.socket.send(json.dumps(words))

    def wait_for(self, kind: str, condition: Any = lambda message: True, seconds: float = 60) -> Any:
        """The first message of `kind` from now on that satisfies `condition`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            message = unpack(self.socket.recv(timeout=end - time.monotonic()))
            self.seen[message["kind"]] = message
            if message["kind"] == "picture":
                self.say(do="seen")
            if message["kind"] == kind and condition(message):
                return message
        raise AssertionError(f"no such {kind} in {seconds} s; the last of each kind: {self.seen}")


def unpack(message: str | bytes) -> Any:
    """A message as the page's connection.js reads it; the arrays of a picture by name."""
    if isinstance(message, str):
        return json.loads(message)
    (length,) = struct.unpack_from("<I", message)
    header, offset = json.loads(message[4 : 4 + length]), 4 + length
    arrays = {}
    for array in header["arrays"]:
        size = int(np.prod(array["shape"]))
        levels = np.frombuffer(message, np.int8, size, offset).reshape(array["shape"])
        arrays[array["name"]] = levels * (array["scale"] / 127)
        offset += size
    assert offset == len(message)
    return {**header, "arrays": arrays}


@pytest.fixture(name="unpack")
def unpack_fixture() -> Any:
    """`unpack`, for tests."""
    return unpack


@pytest.fixture(scope="session")
def running_lab() -> type["RunningLab"]:
    """The class, for tests with a bench of their own."""
    return RunningLab


@pytest.fixture(name="until", scope="session")
def until_fixture() -> Any:
    """`until`, for tests."""
    return until


@pytest.fixture
def lab(bench) -> Iterator[RunningLab]:
    """A served bench."""
    pytest.importorskip("websockets")
    pytest.importorskip("uvicorn")
    running = RunningLab(bench)
    yield running
    running.close()


def until(condition: Any, seconds: float = 60) -> None:
    """Wait for something that another thread will bring about."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
