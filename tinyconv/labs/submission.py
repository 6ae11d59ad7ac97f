"""Run a learner's file on cases, in a process of its own, and bring back nothing but numbers and sentences.

What comes back was made by code that nobody has read.  So results are plain .npy files, opened only when they are
regular files of a sane size, and never as pickles; sentences are cut and cleared of control characters.
"""

import importlib.util
import json
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tinyconv.errors import DataError
from tinyconv.labs import cuda_host
from tinyconv.labs.lab import Array, Case, Lab
from tinyconv.labs.process import MEMORY_BYTES, PRINTED_BYTES, Ended, run

RUNNER = Path(__file__).with_name("runner.py")
SOURCE_BYTES = 1 << 20
RESULT_BYTES = 40 << 20
REPORT_BYTES = 1 << 20
SENTENCE = 1000  # characters


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one case came to: results, or a problem; and the names of the arguments that the function changed."""

    results: tuple[Array, ...] | None
    problem: str | None = None
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """What running a file came to: an outcome per case, None for one not reached; or a problem with the whole file."""

    outcomes: tuple[Outcome | None, ...]
    problem: str | None = None
    printed: str = ""


def read_source(path: Path) -> str:
    """Return the text of a learner's file.

    Raises DataError for what is not a regular file, is larger than 1 MB, or is not text.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{path} is not a plain file.")
        if status.st_size > SOURCE_BYTES:
            raise DataError(f"{path} has {status.st_size:,} bytes; a lab file has a few thousand.")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not a text in UTF-8.") from None
    except OSError as problem:
        raise DataError(f"Cannot read {path}: {problem.strerror}.") from None


def run_source(lab: Lab, source: str, cases: Sequence[Case]) -> Run:
    """Run the text of a learner's file on all cases."""
    with TemporaryDirectory(prefix="tinyconv-lab-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        if lab.suffix == ".cu":
            return _run_cuda(lab, source, cases, folder)
        _write_job(lab, source, cases, folder)
        ended = run([sys.executable, "-I", "-B", RUNNER, folder], folder, lab.seconds, ENVIRONMENT)
        return _read_report(lab, cases, folder, ended)


# -- Python -----------------------------------------------------------------------------------------------------------

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "2"}


def _write_job(lab: Lab, source: str, cases: Sequence[Case], folder: Path) -> None:
    """Write job.json, inputs.npz and the file, as `runner.py` expects them."""
    found = [importlib.util.find_spec(package) for package in lab.imports]
    job = {
        "file": lab.file_name,
        "functions": lab.functions,
        "imports": lab.imports,
        "compiled": lab.compiled,
        "packages": [str(Path(spec.origin).parents[1]) for spec in found if spec is not None and spec.origin],
        "cases": [{"function": case.function, "arguments": _plain(case.arguments)} for case in cases],
    }
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    (folder / lab.file_name).write_text(source, encoding="utf-8")
    arrays = {
        f"{number}/{name}": value
        for number, case in enumerate(cases)
        for name, value in case.arguments.items()
        if isinstance(value, np.ndarray)
    }
    np.savez(folder / "inputs.npz", allow_pickle=False, **arrays)


def _plain(arguments: Any) -> dict[str, Any]:
    return {name: "array" if isinstance(value, np.ndarray) else value for name, value in arguments.items()}


def _read_report(lab: Lab, cases: Sequence[Case], folder: Path, ended: Ended) -> Run:
    """Put together what the process has written before it ended, in whatever way it ended."""
    outcomes: list[Outcome | None] = [None] * len(cases)
    begun, problem, done = False, None, False
    for line in _lines(folder / "report.jsonl"):
        number = line.get("case")
        if number is None:
            problem = printable(line["problem"]) if "problem" in line else problem
            done = done or "done" in line
        elif isinstance(number, int) and 0 <= number < len(cases):
            begun = True
            if "problem" in line:
                names = lab.functions[cases[number].function]
                outcomes[number] = _outcome(line, folder, number, len(names), tuple(cases[number].arguments))
    end = _end_in_words(lab, ended) or (None if done else "it ends the program instead of returning.")
    if end and not begun:
        problem = problem or f"before a function is called, {end}"
    elif end and None in outcomes:
        outcomes[outcomes.index(None)] = Outcome(None, end)
    printed = printable(ended.printed.replace(f"{folder / lab.file_name}", lab.file_name), limit=PRINTED_BYTES)
    return Run(tuple(outcomes), None, printed) if problem is None else Run((None,) * len(cases), problem, printed)


def _end_in_words(lab: Lab, ended: Ended) -> str | None:
    """What ended the process, unless it ended by itself as it should."""
    if ended.stopped == "output":
        return f"it prints without end (more than {PRINTED_BYTES >> 20} MB)."
    if ended.stopped == "time" or ended.signal == "SIGXCPU":
        return f"it does not finish within {lab.seconds:g} seconds. Is there a loop that never ends?"
    if ended.signal is not None:
        return f"it crashes ({ended.signal}), as too much memory (over {MEMORY_BYTES >> 30} GB) can."
    return f"it ends with exit code {ended.returncode} instead of returning." if ended.returncode else None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of the report that are what they should be."""
    if not _is_sane(path, REPORT_BYTES):
        return
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict):
            yield line


def _outcome(line: dict[str, Any], folder: Path, number: int, count: int, arguments: tuple[str, ...]) -> Outcome:
    if line["problem"] is not None:
        return Outcome(None, printable(line["problem"]))
    results = [_array(folder / f"{number}-{place}.npy") for place in range(count)]
    changed = line.get("changed")
    names = tuple(name for name in arguments if isinstance(changed, list) and name in changed)
    if any(result is None for result in results):
        return Outcome(None, "its results cannot be read.", names)
    return Outcome(tuple(result for result in results if result is not None), None, names)


def _array(path: Path) -> Array | None:
    """The numbers in a .npy file, or None when it is anything else.  Mapping it checks its size against its header."""
    if not _is_sane(path, RESULT_BYTES):
        return None
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError, SyntaxError):
        return None
    return np.array(array) if isinstance(array, np.ndarray) and array.dtype.kind in "biuf" else None


def _is_sane(path: Path, most: int) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size <= most


def printable(text: object, limit: int = SENTENCE) -> str:
    """A text without what could move the cursor or colour the screen, and not too long.

    >>> printable("red: \\x1b[31m")
    'red: �[31m'
    """
    start = str(text)[: limit + 1]
    clean = "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in start)
    return clean if len(clean) <= limit else clean[:limit] + " …"


# -- CUDA -------------------------------------------------------------------------------------------------------------


def _run_cuda(lab: Lab, source: str, cases: Sequence[Case], folder: Path) -> Run:
    """Compile the file for the processor and run it once per case."""
    problem = cuda_host.fault(source) or cuda_host.build(source, lab.file_name, folder)
    if problem:
        return Run((None,) * len(cases), printable(problem))
    outcomes, printed = [], []
    for case in cases:
        ended, result = cuda_host.launch(case.arguments, folder, lab.seconds)
        *lines, last = printable(ended.printed, PRINTED_BYTES).split("\n")
        complaint = last if ended.returncode == cuda_host.COMPLAINT else None
        printed.extend(lines if complaint else [*lines, last])
        problem = complaint or _end_in_words(lab, ended) or (None if result is not None else "it wrote no result.")
        outcomes.append(Outcome((result,) if result is not None else None, problem))
    return Run(tuple(outcomes), None, "\n".join(filter(None, printed)))
