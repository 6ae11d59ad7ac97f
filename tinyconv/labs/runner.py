"""Run a learner's functions on the cases of a job: a program, started by `submission.py` in a process with limits.

    python -I -B runner.py FOLDER

FOLDER holds job.json, inputs.npz and the file.  What happens is written to report.jsonl, a line when a case begins, a
line when it is over and one at the end; the results are <case>-<result>.npy: numbers only, nothing that could run when
it is read.
"""

import json
import os
import runpy
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = Path(__file__).resolve().parent
RESULT_ELEMENTS = 4 << 20
REFUSED = {  # the beginnings of the names of Python's audit events
    "subprocess.": "start another program", "os.system": "start another program", "os.exec": "start another program",
    "os.posix_spawn": "start another program", "os.spawn": "start another program", "os.fork": "start another program",
    "os.kill": "end another program", "socket.": "use the network", "os.remove": "delete files",
    "os.rename": "rename files", "os.rmdir": "delete folders", "os.chmod": "change files", "os.link": "link files",
    "os.symlink": "link files", "os.truncate": "change files", "shutil.": "copy or delete files",
}
REFUSED_WITHOUT_NUMBA = {"ctypes.": "call libraries"}


def main(folder: Path) -> None:
    """Run the job in `folder` and report."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    sys.path += [place for place in job["packages"] if place not in sys.path]
    with (folder / "report.jsonl").open("w", buffering=1, encoding="utf-8") as file:

        def report(**line: Any) -> None:
            file.write(json.dumps(line) + "\n")

        _run(folder, job, report)
        report(done=True)
        sys.stdout.flush()
        os._exit(0)  # no matter which threads are left


def _run(folder: Path, job: dict[str, Any], report: Callable[..., None]) -> None:
    import numpy as np

    if "numba" in job["imports"]:
        import numba  # noqa: F401  (it opens files and asks the system things that a learner's file may not)

    path = folder / job["file"]
    source = path.read_text(encoding="utf-8")
    screen = runpy.run_path(str(FOLDER / "screen.py"))  # an isolated Python does not look for modules beside this one
    problem = screen["fault"](source, job["imports"], job["compiled"])
    if problem:
        return report(problem=problem)
    inputs = dict(np.load(folder / "inputs.npz", allow_pickle=False))
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    sys.modules[path.stem] = module
    save, same = np.save, np.array_equal  # the learner's file cannot replace these
    refused = REFUSED if "numba" in job["imports"] else REFUSED | REFUSED_WITHOUT_NUMBA
    sys.addaudithook(_refuse(folder, refused))
    try:
        exec(compile(source, str(path), "exec"), vars(module))
    except BaseException as error:  # whatever they raise, SystemExit included, becomes a sentence
        return report(problem=f"running the file stops with {_describe(error, path)}")
    for name in job["functions"]:
        function = getattr(module, name, None)
        if not callable(function):
            return report(problem=f"the file defines no function {name}; it must keep its name.")
        if job["compiled"] and not getattr(function, "targetoptions", {}).get("parallel"):
            return report(problem=f"{name} is not compiled: write @njit(parallel=True) in the line above its def.")
    for number, case in enumerate(job["cases"]):
        report(case=number)
        arguments = {
            name: inputs[f"{number}/{name}"] if value == "array" else tuple(value) if isinstance(value, list) else value
            for name, value in case["arguments"].items()
        }
        given = {name: value.copy() for name, value in arguments.items() if isinstance(value, np.ndarray)}
        names, function = job["functions"][case["function"]], getattr(module, case["function"])
        try:
            if job["compiled"]:  # machine code does not check its indices; Python does
                function.py_func(*(given.get(name, value) for name, value in arguments.items()))
            returned = function(*arguments.values())
            problem = _returned(returned, names)
            if problem is None:
                for place, result in enumerate(returned if len(names) > 1 else [returned]):
                    save(folder / f"{number}-{place}.npy", np.asarray(result), allow_pickle=False)
            changed = [name for name, value in given.items() if not same(value, arguments[name], equal_nan=True)]
            report(case=number, problem=problem, changed=changed)
        except NotImplementedError:
            report(case=number, problem=f"{case['function']} is not filled in yet.")
        except BaseException as error:
            report(case=number, problem=f"it stops with {_describe(error, path)}")
    return None


def _returned(returned: Any, names: list[str]) -> str | None:
    """A sentence about what makes a result unusable, if anything does."""
    import numpy as np

    if returned is None:
        return "it returned None: is there a `return`?"
    if len(names) > 1 and not (isinstance(returned, tuple | list) and len(returned) == len(names)):
        kind = f"{len(returned)} things" if isinstance(returned, tuple | list) else _kind(returned)
        return f"it returned {kind}; expected are {len(names)}: {', '.join(names)}."
    for name, result in zip(names, returned if len(names) > 1 else [returned], strict=True):
        if not isinstance(result, np.ndarray | np.generic | int | float):
            return f"{name} is {_kind(result)}; expected is an array."
        if np.asarray(result).dtype.kind not in "biuf":
            return f"{name} is an array of {np.asarray(result).dtype}; expected are real numbers."
        if np.size(result) > RESULT_ELEMENTS:
            return f"{name} has the shape {np.shape(result)}, which is far too large."
    return None


def _kind(value: Any) -> str:
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _describe(error: BaseException, path: Path) -> str:
    """An exception in words, with the last line of the learner's file that it passed through."""
    if isinstance(error, MemoryError):
        return "too little memory: it wants more than a lab may use. Are the arrays as small as they should be?"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    where = f" (line {frames[-1].lineno}: `{frames[-1].line}`)" if frames else ""
    if isinstance(error, SystemExit):
        return f"exit{where}: a function returns its result and does not end the program."
    try:
        text = str(error)
    except BaseException:
        text = "an error that cannot be printed"
    return f"{type(error).__name__}: {text.strip()[:500]}{where}"


def _refuse(folder: Path, refused: dict[str, str]) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that lets the file compute, and nothing else."""
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def lies_in(place: Path, path: Any) -> bool:
        return os.path.abspath(os.fsdecode(path)).startswith(f"{place}{os.sep}")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename" and all(lies_in(folder, path) for path in arguments[:2]):
            return  # as Numba's cache does
        for beginning, deed in refused.items():
            if event.startswith(beginning):
                raise PermissionError(f"a lab may not {deed}")
        if event == "open" and not isinstance(arguments[0], int):
            if arguments[2] & writing and not lies_in(folder, arguments[0]):
                raise PermissionError("a lab may not write files")
            if lies_in(FOLDER, arguments[0]):
                raise PermissionError("a lab may not read the solutions")

    return hook


if __name__ == "__main__":
    main(Path(sys.argv[1]))
