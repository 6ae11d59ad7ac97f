"""The three backends: the same operations on NumPy, on Numba-compiled CPU code, or on a GPU through CuPy.

    backend = get("numba")
    y = backend.conv2d.forward(x, w, b)

An operation is an attribute: the module that `tinyconv.kernels.registry` chooses, loaded when first used.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any

from tinyconv import devices, gpu
from tinyconv.devices import Device
from tinyconv.errors import ArgumentError, BackendError
from tinyconv.kernels import contract, registry
from tinyconv.kernels.costs import Convolution
from tinyconv.naming import suggestion

DEFAULT = "numba"


class Backend:
    """One backend by name; `backend.<operation>` is the rung it uses (see `tinyconv.kernels.contract`)."""

    conv2d: contract.Conv2D
    maxpool2d: contract.MaxPool2D
    avgpool2d: contract.AvgPool2D
    dense: contract.Dense
    relu: contract.Activation
    sigmoid: contract.Activation
    tanh: contract.Activation
    softmax: contract.Activation
    softmax_cross_entropy: contract.SoftmaxCrossEntropy
    sigmoid_cross_entropy: contract.SigmoidCrossEntropy
    dropout: contract.Dropout
    batchnorm: contract.BatchNorm
    philox: contract.Philox
    adam: contract.Adam
    sgd: contract.SGD
    conv_relu_maxpool: contract.ConvReluMaxPool

    def __init__(self, name: str, device: Device = devices.HOST) -> None:
        self.name = name
        self.device = device

    def __getattr__(self, operation: str) -> ModuleType:
        if operation not in registry.OPERATIONS:
            raise AttributeError(f"there is no operation {operation!r}; there are {', '.join(registry.OPERATIONS)}.")
        module = registry.choose(operation, self.name)
        setattr(self, operation, module)  # found as a plain attribute from now on
        return module

    def choose(self, operation: str, shape: Convolution) -> ModuleType:
        """The rung of `operation` for a convolution of this shape."""
        return registry.choose(operation, self.name, shape)

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle and copy: the operations are modules."""
        return Backend, (self.name, self.device)

    def __repr__(self) -> str:
        return f"Backend({self.name!r})"


def get(name: str | None = None) -> Backend:
    """Return the backend called `name`: "numpy", "numba" (the default) or "cupy".

    Raises ArgumentError for another name, and BackendError when this machine lacks what the backend needs.
    """
    name = DEFAULT if name is None else name
    if name not in registry.BACKENDS:
        raise ArgumentError(f"There is no backend {name!r}. {suggestion(name, registry.BACKENDS)}")
    if name == "cupy" and _on_host:
        return Backend(name, _on_host[-1])
    return _get(name)


@cache
def _get(name: str) -> Backend:
    if name == "cupy":
        problem = gpu.find_problem()
        if problem is not None:
            raise BackendError(problem)
        return Backend(name, devices.Gpu())
    return Backend(name)


_on_host: list[Device] = []


@contextmanager
def cuda_on_host() -> Iterator[None]:
    """Let "cupy" run its kernels on the processor for a while, as C++: for tests, on machines without a GPU."""
    _on_host.append(devices.CudaOnHost())
    try:
        yield
    finally:
        _on_host.pop()
