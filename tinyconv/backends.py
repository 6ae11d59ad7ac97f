"""The three backends: the same operations on NumPy, on Numba-compiled CPU code, or on a GPU through CuPy.

    backend = get("numba")
    y = backend.conv2d.forward(x, w, b)

An operation is an attribute: the module that `tinyconv.kernels.registry` chooses, loaded when first used.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from types import ModuleType
from typing import Any

from tinyconv import devices, gpu
from tinyconv.devices import Device
from tinyconv.errors import ArgumentError, BackendError
from tinyconv.kernels import contract, registry
from tinyconv.kernels.costs import Convolution
from tinyconv.naming import suggestion

DEFAULT = "numba"
PRECISIONS = ("float32", "tf32", "bf16")
MULTIPLYING = frozenset({"conv2d", "dense", "conv_relu_maxpool"})  # the operations that take a `precision`


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

    def __init__(self, name: str, device: Device = devices.HOST, precision: str = "float32") -> None:
        self.name = name
        self.device = device
        self.precision = precision

    def __getattr__(self, operation: str) -> ModuleType:
        if operation not in registry.OPERATIONS:
            raise AttributeError(f"there is no operation {operation!r}; there are {', '.join(registry.OPERATIONS)}.")
        module = self._precise(operation, registry.choose(operation, self.name))
        setattr(self, operation, module)  # found as a plain attribute from now on
        return module

    def choose(self, operation: str, shape: Convolution) -> ModuleType:
        """The rung of `operation` for a convolution of this shape."""
        return self._precise(operation, registry.choose(operation, self.name, shape))

    def _precise(self, operation: str, module: ModuleType) -> ModuleType:
        """`module`, or a stand-in for it whose functions are told the precision."""
        if self.precision == "float32" or operation not in MULTIPLYING:
            return module
        return _with_precision(module, self.precision)

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle and copy: the operations are modules."""
        return Backend, (self.name, self.device, self.precision)

    def __repr__(self) -> str:
        return f"Backend({self.name!r})"


def get(name: str | None = None, precision: str = "float32") -> Backend:
    """Return the backend called `name`: "numpy", "numba" (the default) or "cupy".

    On "cupy", a `precision` of "tf32" or "bf16" lets the tensor cores of the GPU multiply, which keep fewer digits of
    each factor (10 or 7 bits after the point, of 23); sums stay float32.

    Raises ArgumentError for another name or precision, and BackendError when this machine lacks what it needs.
    """
    name = DEFAULT if name is None else name
    if name not in registry.BACKENDS:
        raise ArgumentError(f"There is no backend {name!r}. {suggestion(name, registry.BACKENDS)}")
    if precision not in PRECISIONS:
        raise ArgumentError(f"There is no precision {precision!r}. {suggestion(str(precision), PRECISIONS)}")
    if precision != "float32" and name != "cupy":
        raise ArgumentError(f'precision="{precision}" is for tensor cores, which only backend="cupy" has.')
    if name == "cupy" and _on_host:
        return Backend(name, _on_host[-1], precision)
    return _get(name, precision)


@cache
def _get(name: str, precision: str) -> Backend:
    if name == "cupy":
        problem = gpu.find_problem()
        if problem is not None:
            raise BackendError(problem)
        return Backend(name, devices.Gpu(), precision)
    return Backend(name, devices.Compiled() if name == "numba" else devices.HOST)


@cache
def _with_precision(module: ModuleType, precision: str) -> ModuleType:
    """A module with the functions of `module`, each told the precision."""
    result = ModuleType(f"{module.__name__}, {precision}")
    for name in ("forward", "backward", "backward_input", "backward_weights"):
        if hasattr(module, name):
            setattr(result, name, partial(getattr(module, name), precision=precision))
    return result


_on_host: list[Device] = []


@contextmanager
def cuda_on_host() -> Iterator[None]:
    """Let "cupy" run its kernels on the processor for a while, as C++: for tests, on machines without a GPU."""
    _on_host.append(devices.CudaOnHost())
    try:
        yield
    finally:
        _on_host.pop()
