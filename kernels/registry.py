"""Which rungs exist, and which one a backend uses.

    implementation("conv2d", "im2col")      one rung, by name
    choose("conv2d", "numba")               the rung a backend uses
    choose("conv2d", "numba", shape)        the one that it uses for that shape: see `costs`

A rung is imported when it is first asked for, so that NumPy users never load Numba.  A rung listed here that this
machine cannot load (no CuPy, no GPU) raises where it is asked for, with what is missing.
"""

from functools import cache
from importlib import import_module
from types import ModuleType

from . import costs

BACKENDS = ("numpy", "numba", "cupy")

# Rungs of each operation, from the definition upwards.
RUNGS: dict[str, tuple[str, ...]] = {
    "conv2d": ("naive", "im2col", "blocked", "direct", "winograd", "cuda_im2col", "cuda"),
    "maxpool2d": ("definition", "parallel", "cuda"),
    "avgpool2d": ("definition", "parallel", "cuda"),
    "dense": ("definition", "parallel", "cuda"),
    "relu": ("definition", "parallel", "cuda"),
    "sigmoid": ("definition", "parallel", "cuda"),
    "tanh": ("definition", "parallel", "cuda"),
    "softmax": ("definition", "parallel", "cuda"),
    "softmax_cross_entropy": ("definition", "parallel", "cuda"),
    "sigmoid_cross_entropy": ("definition", "parallel", "cuda"),
    "dropout": ("definition", "parallel", "cuda"),
    "batchnorm": ("definition", "parallel", "cuda"),
    "philox": ("definition", "parallel", "cuda"),
    "adam": ("definition", "parallel", "cuda"),
    "sgd": ("definition", "parallel", "cuda"),
    "conv_relu_maxpool": ("definition", "direct", "winograd", "cuda"),
}
OPERATIONS = tuple(RUNGS)
CUDA_RUNGS = ("cuda_im2col", "cuda")  # for arrays on a GPU; NumPy arrays they take too, slowly, to be tested anywhere

_DEFAULT_RUNG = {"numpy": "definition", "numba": "parallel", "cupy": "cuda"}
_EXCEPTIONS = {
    ("numpy", "conv2d"): "im2col",
    ("numba", "conv2d"): "direct",
    ("numba", "conv_relu_maxpool"): "direct",
}


def implementation(operation: str, rung: str) -> ModuleType:
    """Return the module that implements `operation` (see `contract`) on `rung`.

    Raises ValueError for a name that is not in `RUNGS`.
    """
    if operation not in RUNGS:
        raise ValueError(f"there is no operation {operation!r}; there are {', '.join(OPERATIONS)}.")
    if rung not in RUNGS[operation]:
        raise ValueError(f"{operation} has no rung {rung!r}; it has {', '.join(RUNGS[operation])}.")
    return import_module(f"{__package__}.{operation}.{rung}")


def cpu_rungs(operation: str) -> tuple[str, ...]:
    """The rungs of `operation` that are meant for NumPy arrays."""
    return tuple(rung for rung in RUNGS[operation] if rung not in CUDA_RUNGS)


def default_rung(operation: str, backend: str, shape: costs.Convolution | None = None) -> str:
    """The name of the rung that `backend` uses for `operation`: for a convolution of known shape, the fastest."""
    if backend not in BACKENDS:
        raise ValueError(f"there is no backend {backend!r}; there are {', '.join(BACKENDS)}.")
    if backend == "numba" and shape is not None:
        return costs.cheapest(RUNGS[operation], shape)
    return _EXCEPTIONS.get((backend, operation), _DEFAULT_RUNG[backend])


@cache
def choose(operation: str, backend: str, shape: costs.Convolution | None = None) -> ModuleType:
    """Return the rung of `operation` that `backend` uses: for a convolution of known shape, the fastest.

    Which one that is depends on the shape and on the CPU's vector registers only (see `costs`).
    """
    return implementation(operation, default_rung(operation, backend, shape))
