"""Whether this machine can run backend="cupy", and if not, what to do about it: one sentence, the first thing to fix.

    problem = find_problem()        None, or the sentence

The order is that in which a user would fix things: CuPy, the driver, the GPU, the compiler.
"""

import re
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

INSTEAD = 'or use backend="numba".'


def cupy_wheels() -> list[str]:
    """All installed distributions that bring the package `cupy`; more than one overwrite each other's files."""
    from importlib import metadata  # takes a while, and few ask

    names = {str(found.metadata["Name"]).lower() for found in metadata.distributions()}
    return sorted(name for name in names if re.fullmatch(r"cupy(-(cuda|rocm).*)?", name))


def find_problem() -> str | None:
    """Why the cupy backend cannot be used here, and the fix; None when it can."""
    if find_spec("cupy") is None:
        return (
            'The cupy backend needs CuPy, which is not installed: pip install "tinyconv[cuda13]" (or '
            f'"tinyconv[cuda12]" for an older driver), {INSTEAD}'
        )
    wheels = cupy_wheels()
    if len(wheels) > 1:
        return (
            f"{' and '.join(wheels)} are installed together and overwrite each other's files: pip uninstall -y "
            f'{" ".join(wheels)}, then pip install "tinyconv[cuda13]" or "tinyconv[cuda12]".'
        )
    try:
        cupy = import_module("cupy")
    except Exception as problem:  # a missing library, another NumPy: each has an exception of its own
        return f"CuPy is installed but cannot be imported ({_first_line(problem)}): reinstall it, {INSTEAD}"
    return _driver(cupy) or _device(cupy) or _compiler()


def _driver(cupy: ModuleType) -> str | None:
    driver, wanted = asked(cupy.cuda.runtime.driverGetVersion), asked(cupy.cuda.runtime.runtimeGetVersion)
    if not driver:
        return f"There is no NVIDIA driver on this machine, which the cupy backend needs: install one, {INSTEAD}"
    if wanted and driver // 1000 < wanted // 1000:
        return (
            f"The NVIDIA driver knows CUDA {cuda_version(driver)}, but CuPy was made for CUDA {cuda_version(wanted)}: "
            f'update the driver, or pip uninstall CuPy and pip install "tinyconv[cuda{driver // 1000}]".'
        )
    return None


def _device(cupy: ModuleType) -> str | None:
    try:
        count = cupy.cuda.runtime.getDeviceCount()
        if count:
            cupy.cuda.runtime.memGetInfo()  # the first call that needs a context, which another process may prevent
            return None
    except Exception as problem:  # CuPy raises its own class for each trouble
        reason = _first_line(problem)
        if "Unavailable" in reason or "MemoryAllocation" in reason:
            return (
                f"The GPU is taken by another process ({reason}): end that one, choose another GPU by "
                f"CUDA_VISIBLE_DEVICES, {INSTEAD}"
            )
        if "NoDevice" not in reason:
            return f"CuPy finds no usable GPU ({reason}): run `tinyconv doctor`, {INSTEAD}"
    return f"CuPy is installed but this machine has no NVIDIA GPU (CUDA_VISIBLE_DEVICES may hide it); {INSTEAD[3:]}"


def _compiler() -> str | None:
    try:
        import_module("cupy_backends.cuda.libs.nvrtc").getVersion()
    except Exception as problem:  # how CuPy says that a library is not there differs
        return (
            f"NVRTC, which compiles CUDA kernels, cannot be loaded ({_first_line(problem)}): pip install "
            '"tinyconv[cuda13]" or "tinyconv[cuda12]", the one that CuPy is for, brings it.'
        )
    return None


def asked(question: Callable[[], Any]) -> int:
    """The number that CuPy answers; 0 when there is no CuPy, or it fails."""
    try:
        return int(question())
    except Exception:  # of the driver that is not there
        return 0


def cuda_version(number: int) -> str:
    """CUDA's way to number versions, 12040, as people write it.

    >>> cuda_version(12040)
    '12.4'
    """
    return f"{number // 1000}.{number % 1000 // 10}"


def _first_line(problem: Exception) -> str:
    """What CuPy says, without a colon: the one in the sentence around it stands before the fix."""
    return (str(problem).splitlines() or [type(problem).__name__])[0].rstrip(".").replace(": ", ", ")
