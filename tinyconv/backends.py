"""The three backends: the same operations on NumPy, on Numba-compiled CPU code, or on a GPU through CuPy.

    backend = get("numba")
    y = backend.conv2d.forward(x, w, b)

An operation is an attribute: the module that `tinyconv.kernels.registry` chooses, loaded when first used.
"""

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

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

    def __init__(self, name: str) -> None:
        self.name = name

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
        """For pickle and copy: the name says all."""
        return Backend, (self.name,)

    def __repr__(self) -> str:
        return f"Backend({self.name!r})"


@cache
def get(name: str | None = None) -> Backend:
    """Return the backend called `name`: "numpy", "numba" (the default) or "cupy".

    Raises ArgumentError for another name, and BackendError when this machine lacks what the backend needs.
    """
    name = DEFAULT if name is None else name
    if name not in registry.BACKENDS:
        raise ArgumentError(f"There is no backend {name!r}. {suggestion(name, registry.BACKENDS)}")
    if name == "cupy":
        _require_gpu()
    return Backend(name)


def _require_gpu() -> None:
    """Raise BackendError with what is missing for `cupy`, in the order a user would fix it."""
    if find_spec("cupy") is None:
        raise BackendError(
            'The cupy backend needs CuPy, which is not installed: pip install "tinyconv[cuda12]" '
            '(or "tinyconv[cuda13]", as your driver allows), or use backend="numba".'
        )
    cupy = import_module("cupy")
    try:
        devices = cupy.cuda.runtime.getDeviceCount()
    except Exception as problem:  # CuPy raises its own class for each driver trouble
        raise BackendError(f'CuPy is installed but finds no usable GPU ({problem}); use backend="numba".') from problem
    if devices == 0:
        raise BackendError('CuPy is installed but this machine has no GPU; use backend="numba".')
    raise BackendError('This version of tinyconv has no GPU kernels yet; use backend="numba".')
