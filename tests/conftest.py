"""For all tests: real data where there are some, a cache folder that is not the user's, Ctrl-C, CUDA without a GPU."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinyconv.kernels import registry
from tinyconv.kernels.cuda import host


@pytest.fixture
def data_folder() -> Path:
    """The folder of real data, laid out as `tinyconv.datasets.folders` says; skips the test where there is none."""
    folder = os.environ.get("TINYCONV_DATA")
    if not folder:
        pytest.skip("TINYCONV_DATA is not set: it names the folder with MNIST and the other real data")
    return Path(folder)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache folder for the whole run, so that pictures are decoded once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the cache of the user."""
    monkeypatch.setenv("TINYCONV_CACHE", str(shared_cache))


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> Iterator[None]:
    """Ctrl-C interrupts, here and in processes that tests start; what shells run in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of CUDA rungs, which have the rung's name among their parameters, where nothing compiles them."""
    if host.available():
        return
    skip = pytest.mark.skip(reason="CUDA kernels are compiled for the processor by g++, which is not installed")
    for item in items:
        if not set(re.split(r"[-\[\]]", item.name)).isdisjoint(registry.CUDA_RUNGS):
            item.add_marker(skip)
