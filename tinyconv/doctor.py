"""What this machine has for tinyconv, and how to fix what is broken.

    for finding in examine():
        print(finding.topic, finding.name, finding.value, finding.fix)

A finding with a `fix` is something that keeps a part of tinyconv from working; a machine without a GPU has none.
"""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable
from importlib import import_module, metadata
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from tinyconv.gpu import asked, cuda_version, cupy_wheels
from tinyconv.version import __version__

BASE = (
    "numpy", "numba", "llvmlite", "matplotlib", "scikit-learn", "threadpoolctl", "rich", "typer", "pooch",
    "safetensors", "pillow",
)
EXTRAS = {  # package → the extra that brings it
    "h5py": "hdf5", "torch": "oracle", "starlette": "lab", "jupyterlab": "notebooks",
}
CPU_FEATURES = ("sse4.2", "avx", "avx2", "fma", "avx512f", "avx512bf16", "amx-tile", "neon", "sve")


class Finding(NamedTuple):
    """One line of the report; `fix` says what to do where something is wrong, and is empty where all is well."""

    topic: str
    name: str
    value: str
    fix: str = ""


def examine() -> list[Finding]:
    """Look at everything, in the order a reader wants it.  Compiles one small kernel to see that compiling works."""
    return [*versions(), *processor(), *threads(), *memory(), *folders(), *gpu(gpus(), cupy_wheels()), *cuda_on_host()]


def versions() -> list[Finding]:
    """Versions of tinyconv, Python and the packages it uses, and the extras that are there."""
    found = [
        Finding("versions", "tinyconv", f"{__version__} in {Path(__file__).parent}"),
        Finding("versions", "Python", f"{platform.python_version()} on {platform.platform()}"),
    ]
    for package in BASE:
        version = _version(package)
        fix = "" if version else f"pip install {package}"
        found.append(Finding("versions", package, version or "missing", fix))
    for package, extra in EXTRAS.items():
        found.append(Finding("versions", package, _version(package) or f'not installed; the extra "{extra}" brings it'))
    return found


def processor() -> list[Finding]:
    """The CPU's name, its vector instructions, and how many cores this process may use."""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [
        Finding("processor", "name", f"{cpu_name()} (LLVM calls it {binding.get_host_cpu_name()})"),
        Finding("processor", "cores", f"{usable} usable of {os.cpu_count()}"),
        Finding("processor", "vectors", " ".join(name for name in CPU_FEATURES if features.get(name)) or "none known"),
    ]


def threads() -> list[Finding]:
    """Numba's threads and threading layer, seen by running one kernel; and the BLAS behind NumPy."""
    import numpy as np
    import threadpoolctl

    from tinyconv import backends
    from tinyconv.kernels import threads

    begin = perf_counter()
    backends.get("numba").relu.forward(np.zeros((2, 2), np.float32))
    seconds = perf_counter() - begin
    waiting = threads.wait_setting() if threads.layer() == "omp" else ""
    layer = f"{threads.layer()} ({waiting})" if waiting else threads.layer()
    found = [
        Finding("threads", "Numba", f"{threads.current()} of {threads.maximum()} threads, threading layer {layer}"),
        Finding("threads", "compiling", f"works: one small kernel in {seconds:.1f} s (quicker from the cache)"),
    ]
    libraries = [library for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]
    for library in libraries:
        kernels = f", kernels for {library['architecture']}" if library.get("architecture") else ""
        origin = Path(library["filepath"]).parent.name  # numpy.libs and scipy.libs each bring their own
        value = f"{library['internal_api']} {library['version']} of {origin}, {library['num_threads']} threads{kernels}"
        found.append(Finding("threads", "BLAS", value))
    if not libraries:
        found.append(Finding("threads", "BLAS", "NumPy uses one that threadpoolctl does not know"))
    return found


def memory() -> list[Finding]:
    """How much of it im2col takes; `tinyconv train` tells what a model needed in all."""
    from tinyconv.kernels.workspace import CAP_BYTES
    from tinyconv.utils import readable

    value = f"at most {readable(CAP_BYTES)} for copies of pixels: larger batches are worked through in pieces"
    return [Finding("memory", "im2col", value)]


def folders() -> list[Finding]:
    """Where compiled kernels and datasets are kept, how much is there, and whether they can be written."""
    from tinyconv.datasets import folders as data_folders
    from tinyconv.kernels.cuda import cached
    from tinyconv.kernels.jit import cache_folder

    found = [
        _folder("compiled kernels", cache_folder()), _folder("CUDA kernels", cached.folder()),
        _folder("datasets", data_folders.cache_folder()),
    ]
    given = os.environ.get("TINYCONV_DATA")
    if given is None:
        found.append(Finding("folders", "TINYCONV_DATA", "not set; datasets are downloaded when first asked for"))
    elif Path(given).is_dir():
        found.append(Finding("folders", "TINYCONV_DATA", given))
    else:
        fix = "set TINYCONV_DATA to an existing folder, or unset it"
        found.append(Finding("folders", "TINYCONV_DATA", f"{given}, which is not a folder", fix))
    return found


def gpus() -> list[str]:
    """Names, drivers and memory of the NVIDIA GPUs that the driver's own tool sees, or CuPy where that is missing."""
    tool = shutil.which("nvidia-smi")
    if tool is None:  # as in many containers
        return _seen_by_cupy()
    query = [tool, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    return _output_of(query).strip().splitlines()


def _seen_by_cupy() -> list[str]:
    try:
        runtime: Any = import_module("cupy").cuda.runtime
        version = runtime.driverGetVersion()
        all_properties = [runtime.getDeviceProperties(number) for number in range(runtime.getDeviceCount())]
    except Exception:  # there is no CuPy, no driver, or no GPU: CuPy raises a class of its own for each
        return []
    return [
        f"{one['name'].decode()}, driver for CUDA {cuda_version(version)}, {one['totalGlobalMem'] // 2**20} MiB"
        for one in all_properties
    ]


def driver_cuda() -> int | None:
    """The newest major version of CUDA that the driver supports, or None when nobody can tell."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return asked(lambda: import_module("cupy").cuda.runtime.driverGetVersion()) // 1000 or None
    version = re.search(r"CUDA Version:\s*(\d+)", _output_of([tool]))
    return int(version[1]) if version else None


def gpu(found: Iterable[str], wheels: list[str]) -> list[Finding]:
    """The GPUs `found`, the CuPy `wheels` that are installed, and the fix when the two do not go together."""
    devices = list(found)
    extra = "cuda13" if devices and (driver_cuda() or 12) >= 13 else "cuda12"
    install = f'pip install "tinyconv[{extra}]"'
    lines = [Finding("GPU", "device", device) for device in devices] or [
        Finding("GPU", "device", "no NVIDIA GPU found; the numba backend needs none")
    ]
    if len(wheels) > 1:
        fix = f"pip uninstall -y {' '.join(wheels)} && {install}"
        value = f"{' and '.join(wheels)} are installed together and overwrite each other's files"
        return [*lines, Finding("GPU", "CuPy", value, fix)]
    if not wheels:
        return [*lines, Finding("GPU", "CuPy", "not installed", install if devices else "")]
    cupy = _try_cupy(wheels[0], install, bool(devices))
    return [*lines, cupy] if cupy.fix or not devices else [*lines, cupy, *_try_kernels()]


def _try_kernels() -> list[Finding]:
    """Whether the cupy backend can compile and run a kernel of its own; and the memory there is."""
    import numpy as np

    from tinyconv import backends
    from tinyconv.errors import BackendError
    from tinyconv.kernels.cuda.problems import CudaError

    begin = perf_counter()
    try:
        backend = backends.get("cupy")
        y = backend.device.numpy(backend.relu.forward(backend.device.asarray(np.array([-1, 2], np.float32))))
        memory = backend.device.memory()
    except (BackendError, CudaError) as problem:
        sentence, _, fix = str(problem).partition(": ")
        return [Finding("GPU", "CUDA kernels", sentence, fix or sentence)]
    except MemoryError as problem:
        value = f"find too little memory: {_first_line(problem)}"
        return [Finding("GPU", "CUDA kernels", value, "end other programs that use the GPU")]
    except RuntimeError as problem:  # what CuPy raises when the driver or the GPU is in trouble
        value = f"do not run here: {_first_line(problem)}"
        return [Finding("GPU", "CUDA kernels", value, "restart the machine, or update the GPU's driver")]
    if y.tolist() != [0, 2]:
        return [Finding("GPU", "CUDA kernels", f"compute relu(-1, 2) = {y.tolist()}", "update the GPU's driver")]
    seconds = perf_counter() - begin
    return [
        Finding("GPU", "CUDA kernels", f"work: one small kernel in {seconds:.1f} s (quicker from the cache)"),
        Finding("GPU", "memory", memory),
    ]


def cuda_on_host() -> list[Finding]:
    """Whether CUDA kernels can be compiled for the processor, as tests and a lab do."""
    from tinyconv.kernels.cuda import host

    compiler = host.compiler_version()
    value = f"compiled for tests by {compiler}" if compiler else "tested where g++ is installed; it is not, here"
    return [Finding("GPU", "without a GPU", value)]


def _try_cupy(wheel: str, install: str, has_gpu: bool) -> Finding:
    """Whether the installed CuPy can add two numbers on the GPU."""
    version = f"{wheel} {_version(wheel)}"
    try:
        cupy: Any = import_module("cupy")
        total = int(cupy.arange(3).sum())
    except Exception as problem:  # a missing library, an old driver: CuPy raises a class of its own for each
        fix = f"pip uninstall -y {wheel} && {install}" if has_gpu else ""
        return Finding("GPU", "CuPy", f"{version} does not work here: {_first_line(problem)}", fix)
    if total != 3:
        return Finding("GPU", "CuPy", f"{version} computes 0 + 1 + 2 = {total}", "update the GPU's driver")
    return Finding("GPU", "CuPy", f"{version} works")


def _output_of(command: list[str]) -> str:
    """What a command prints; nothing if it fails or does not end, as with a driver in trouble."""
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _first_line(problem: Exception) -> str:
    """What an exception says, or its name."""
    return (str(problem).splitlines() or [type(problem).__name__])[0]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def cpu_name() -> str:
    """What the machine calls its CPU."""
    info = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.is_file() else None
    return named[1] if named else platform.processor() or platform.machine()


def _folder(name: str, folder: Path) -> Finding:
    """Where a cache is, its size, and a fix when it cannot be written."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if os.access(nearest, os.W_OK):
        return Finding("folders", name, f"{folder} ({size:.1f} MiB)")
    variables = {"compiled kernels": "NUMBA_CACHE_DIR", "CUDA kernels": "XDG_CACHE_HOME"}
    variable = variables.get(name, "TINYCONV_CACHE")
    return Finding("folders", name, f"{folder} cannot be written", f"set {variable} to a folder that can be written")
