"""How fast single kernels are on a GPU: one large convolution in all its parts, beside cuDNN's and the GPU's limits.

All cases take turns in every round.  A turn launches one of them several times and waits for the last one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from tinyconv.backends import Backend
from tinyconv.kernels import registry
from tinyconv.kernels.cuda.launcher import Source

from .measure import Measurement
from .race import Rounds, Say

PRECISIONS = ("float32", "tf32", "bf16")
PRODUCTS = ("forward", "input gradient", "weight gradient")
MATRIX, PEAK, COPY = "matrix product", "multiply-adds", "copy (read and written)"

_CHAINS = 16
_MULTIPLY_ADDS = Source(Path(__file__).with_name("multiply_adds.cu"))


@dataclass(frozen=True)
class KernelSizes:
    """How large the cases are; small ones are for tests."""

    image: tuple[int, int, int, int] = (256, 56, 56, 64)  # of the convolution: 3×3 kernels, as many filters as channels
    matrix: int = 4096
    copied: int = 2**28  # numbers
    peak_blocks: int = 16384
    peak_count: int = 2048  # multiply-adds of each chain
    launches: int = 20  # per turn


@dataclass(frozen=True)
class Case:
    """What a turn launches.

    Attributes:
        work: floating-point operations or bytes of one launch.
        launch: starts it.
        wait: returns when all that was started has ended.
    """

    work: float
    launch: Callable[[], Any]
    wait: Callable[[], Any]


def rates(
    cases: Mapping[str, Case], rounds: Rounds, launches: int, say: Say
) -> tuple[dict[str, Measurement], dict[str, str]]:
    """Work per second of each case, in units of 10^9; and, for those that cannot be run, why."""
    measured: dict[str, list[float]] = {}
    failed = {}
    for name, case in cases.items():
        say(name)
        try:
            case.launch()  # compiles
            case.wait()
        except (RuntimeError, MemoryError) as problem:
            failed[name] = " ".join(str(problem).split())
        else:
            measured[name] = []
    for _ in range(rounds.rounds):
        for name in measured:
            case = cases[name]
            case.wait()
            begin = perf_counter()
            for _ in range(launches):
                case.launch()
            case.wait()
            measured[name].append(case.work * launches / (perf_counter() - begin) / 1e9)
    return {name: Measurement(tuple(values)) for name, values in measured.items()}, failed


def ours(backend: Backend, sizes: KernelSizes) -> dict[str, Case]:
    """tinyconv's convolution by product and precision, its matrix product, and the GPU's limits."""
    device, rng = backend.device, np.random.default_rng(0)
    conv, workspace = registry.implementation("conv2d", "cuda"), device.workspace()

    def random(*shape: int) -> Any:
        return device.asarray(rng.standard_normal(shape, np.float32))

    channels = sizes.image[3]
    x, w, dy = random(*sizes.image), random(3, 3, channels, channels), random(*sizes.image)
    y, dx, dw, db = (device.empty(shape, x.dtype) for shape in (x.shape, x.shape, w.shape, (channels,)))
    windows: dict[str, Any] = {
        "strides": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "workspace": workspace,
    }  # fmt: skip
    cases = {}
    for precision in PRECISIONS:
        options = {**windows, "precision": precision}
        for product, launch in zip(PRODUCTS, (
            lambda options=options: conv.forward(x, w, None, out=y, **options),
            lambda options=options: conv.backward_input(dy, w, x.shape, out=dx, **options),
            lambda options=options: conv.backward_weights(x, dy, w.shape, out=(dw, db), **options),
        ), strict=True):  # fmt: skip
            cases[convolution("tinyconv", precision, product)] = Case(flops(sizes), launch, device.synchronize)
    a, b = random(sizes.matrix, sizes.matrix), random(sizes.matrix, sizes.matrix)
    c, ends = device.empty(a.shape, a.dtype), device.empty((256 * sizes.peak_blocks,), np.float32)
    copied, target = (device.zeros(sizes.copied, np.float32) for _ in range(2))

    def peak() -> None:
        _MULTIPLY_ADDS.launch(
            "multiply_adds", sizes.peak_blocks, 256, ends, np.int32(sizes.peak_count), np.float32(0.5), np.float32(1),
            defines={"CHAINS": _CHAINS},
        )

    def copy() -> None:
        target[...] = copied

    def multiply() -> None:
        backend.dense.forward(a, b, out=c, workspace=workspace)

    return {
        **cases, MATRIX: Case(2 * sizes.matrix**3, multiply, device.synchronize),
        PEAK: Case(2 * _CHAINS * sizes.peak_count * ends.size, peak, device.synchronize),
        COPY: Case(8 * sizes.copied, copy, device.synchronize),
    }  # fmt: skip


def cudnns(sizes: KernelSizes, device: str = "cuda") -> dict[str, Case]:
    """The same convolution by PyTorch, which lets cuDNN try all its algorithms and takes the fastest; NHWC in memory.

    Raises ImportError where there is no PyTorch, and RuntimeError where it has no such device.
    """
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError(f"PyTorch {torch.__version__} has no CUDA here")
    n, height, width, channels = sizes.image
    generator = torch.Generator(device).manual_seed(0)

    def random(*shape: int) -> Any:
        numbers = torch.randn(shape, generator=generator, device=device)
        return numbers.contiguous(memory_format=torch.channels_last)

    x, w, dy = random(n, channels, height, width), random(channels, channels, 3, 3), random(n, channels, height, width)
    halves = [one.to(torch.bfloat16) for one in (x, w, dy)]
    geometry = [1, 1], [1, 1], [1, 1]  # strides, padding, dilation

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    def case(precision: str, which: int) -> Case:
        x_, w_, dy_ = halves if precision == "bf16" else (x, w, dy)

        def launch() -> Any:
            with torch.backends.cudnn.flags(benchmark=True, benchmark_limit=0, allow_tf32=precision == "tf32"):
                if which == 0:
                    return torch.nn.functional.conv2d(x_, w_, None, *geometry)
                wanted = [which == 1, which == 2, False]
                return torch.ops.aten.convolution_backward(dy_, x_, w_, None, *geometry, False, [0, 0], 1, wanted)

        return Case(flops(sizes), launch, wait)

    return {
        convolution("cuDNN", precision, product): case(precision, which)
        for precision in PRECISIONS
        for which, product in enumerate(PRODUCTS)
    }


def convolution(whose: str, precision: str, product: str) -> str:
    """The name of a case."""
    return f"{whose} {precision}, {product}"


def flops(sizes: KernelSizes) -> float:
    """Floating-point operations of one product of the convolution; a multiply-add is two."""
    n, height, width, channels = sizes.image
    return 2.0 * n * height * width * 9 * channels**2


def parts_of(
    measured: Mapping[str, Measurement], whose: str, precision: str, whole: Callable[[str], str]
) -> list[float]:
    """How much of the rate of `whole(product)` each product of a convolution reaches; empty where one is missing."""
    names: Sequence[tuple[str, str]] = [(convolution(whose, precision, one), whole(one)) for one in PRODUCTS]
    if not all(name in measured for pair in names for name in pair):
        return []
    return [measured[mine].over(measured[its]).median for mine, its in names]
