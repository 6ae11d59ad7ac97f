"""Fixtures for the kernels: the same values in other memory, what a call allocates, CUDA without a compiler."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinyconv.kernels.cuda import host

Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def compiler_for_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a C++ compiler, skip a test where it launches a CUDA kernel on NumPy arrays."""
    if not host.available():
        reason = "CUDA kernels run on NumPy arrays through a C++ compiler (g++), and none is installed"
        monkeypatch.setattr(host, "launch", lambda *_, **__: pytest.skip(reason))


def _fortran(x: Array) -> Array:
    return np.asfortranarray(x)


def _reversed(x: Array) -> Array:
    return np.flip(np.flip(x).copy())  # negative strides


def _every_other(x: Array) -> Array:
    return np.repeat(x, 2, axis=-1)[..., ::2]


def _read_only(x: Array) -> Array:
    x = x.copy()
    x.flags.writeable = False
    return x


@pytest.fixture(params=[_fortran, _reversed, _every_other, _read_only], ids=lambda f: f.__name__[1:])
def disguise(request: pytest.FixtureRequest) -> Callable[[Array], Array]:
    """A function that returns the values of an array in memory that is strided in another way, or read-only."""
    function: Callable[[Array], Array] = request.param
    return function


@pytest.fixture
def peak_bytes() -> Callable[[Callable[[], Any]], int]:
    """A function that calls its argument twice and returns the most bytes the second call had allocated at once."""

    def measure(call: Callable[[], Any]) -> int:
        call()  # compiles
        tracemalloc.start()
        try:
            call()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    return measure
