"""Labs that grade themselves: fill in a function, and learn where it is wrong and probably why.

    from tinyconv import labs
    labs.start(1)               # writes lab_01_im2col.py, to be filled in
    print(labs.check(1))        # runs it, in a process of its own
    labs.case(1, 3).arguments   # what the third case gives to the function

The same on the command line: `tinyconv lab list`, `start`, `check`, and `grade` for a whole class.
"""

from os import PathLike
from pathlib import Path

from tinyconv.errors import ArgumentError, DataError
from tinyconv.labs.checking import Result, check_file
from tinyconv.labs.course import COURSE, get
from tinyconv.labs.lab import Case, Lab

__all__ = ["COURSE", "Case", "Lab", "Result", "case", "check", "get", "start"]


def start(which: int | str, folder: str | PathLike[str] = ".") -> Path:
    """Write a lab's file, to be filled in, and return its path.

    Raises ArgumentError when there is no such lab, DataError when there is such a file already or it cannot be written.
    """
    lab = get(which)
    path = Path(folder) / lab.file_name
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(lab.starter)
    except FileExistsError:
        raise DataError(f"{path} is there already and stays as it is; rename it to start anew.") from None
    except OSError as problem:
        raise DataError(f"Cannot write {path}: {problem.strerror}.") from None
    return path


def check(which: int | str, path: str | PathLike[str] | None = None) -> Result:
    """Check a lab's file, by default the one that `start` wrote in this folder.

    Raises ArgumentError when there is no such lab, DataError when there is no such file or it cannot be read.
    """
    lab = get(which)
    if path is None and not Path(lab.file_name).exists():
        raise DataError(f"There is no {lab.file_name} in this folder: tinyconv lab start {lab.number} writes it.")
    return check_file(lab, Path(lab.file_name if path is None else path))


def case(which: int | str, number: int) -> Case:
    """Return a lab's case, counted from 1, with the arguments and the expected results.

    Raises ArgumentError when there is none.
    """
    cases = get(which).make_cases(0)
    if not 1 <= number <= len(cases):
        raise ArgumentError(f"Lab {which} has the cases 1 to {len(cases)}, but got {number}.")
    return cases[number - 1]
