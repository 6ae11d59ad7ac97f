"""Grade a class: a folder with a sub-folder or a file per student becomes a table.

A file belongs to a lab by its name (`lab_03_conv2d_forward.py`, with anything around it), or else by the functions that
it defines.  In a sub-folder the student is the sub-folder; a file on its own is named after its student, with the lab's
name left out.  Of several files for one lab the best one counts.

Nothing of what students hand in is run here, nor even parsed: that happens in processes of their own.
"""

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from os import walk
from pathlib import Path

from tinyconv.errors import DataError
from tinyconv.labs.checking import check_source
from tinyconv.labs.course import COURSE
from tinyconv.labs.lab import Lab
from tinyconv.labs.submission import printable, read_source
from tinyconv.saving.atomic import replacing_file

FILES_PER_STUDENT = 100
NAMES = "|".join(lab.name for lab in COURSE)
NAMED = re.compile(rf"[\s_-]*(?<![^\W\d_])lab[\s_-]?0*(\d+)(?:[\s_-](?:{NAMES}))?", re.IGNORECASE)
LOOKS_LIKE_A_FORMULA = ("=", "+", "-", "@")


@dataclass(frozen=True)
class Grade:
    """The share of right cases of one lab, and what was wrong first."""

    percent: float
    remark: str


@dataclass
class Student:
    """A student's grades by the labs' numbers, and remarks about files that belong to no lab."""

    name: str
    grades: dict[int, Grade] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def percent(self, lab: Lab) -> float:
        """The grade of a lab; 0 when it was not handed in."""
        return self.grades[lab.number].percent if lab.number in self.grades else 0.0

    def total(self, labs: Sequence[Lab]) -> float:
        """The mean over some labs."""
        return sum(map(self.percent, labs)) / len(labs) if labs else 0.0

    def add(self, lab: Lab, grade: Grade) -> None:
        """Keep the better one of two grades."""
        if lab.number not in self.grades or self.percent(lab) < grade.percent:
            self.grades[lab.number] = grade


def grade_class(
    folder: Path, labs: Sequence[Lab], seed: int = 1, jobs: int = 1,
    progress: Callable[[Sequence[tuple[Student, Path]]], Iterable[tuple[Student, Path]]] = iter,
) -> list[Student]:
    """Grade all students in `folder`, in alphabetical order.

    Arguments:
        folder: a sub-folder or a file per student; hidden ones do not count.
        labs: which labs to look for.
        seed: of the numbers in the cases.
        jobs: how many files are run at the same time.
        progress: wraps the files while they are graded.

    Raises DataError when it is no folder, or there is nobody in it.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.")
    handed_in = _handed_in(folder)
    if not handed_in:
        raise DataError(f"{folder} holds no students: a sub-folder or a .py or .cu file for each of them.")
    work = [(student, path) for student, paths in handed_in for path in paths]
    pool = ThreadPoolExecutor(jobs)
    try:
        graded = [pool.submit(_grade_file, path, labs, seed) for _, path in work]
        for (student, path), one in zip(progress(work), graded, strict=True):
            try:
                grades, remark = one.result()
            except Exception as problem:  # one file must not cost the others their grades
                grades, remark = [], f"could not be graded ({type(problem).__name__}: {problem})"
            for lab, grade in grades:
                student.add(lab, grade)
            if remark:
                student.remarks.append(f"{path.name}: {remark}")
    finally:
        pool.shutdown(cancel_futures=True)
    return [student for student, _ in handed_in]


def _handed_in(folder: Path) -> list[tuple[Student, list[Path]]]:
    """All students and their files.  Links are not followed: they could lead to somebody else's solution."""
    students: dict[str, tuple[Student, list[Path]]] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.is_symlink():
            continue
        if path.is_dir():
            name = path.name
            found = sorted(
                Path(place, file)
                for place, _, files in walk(path)
                for file in files
                if _is_code(file) and not Path(place, file).is_symlink()
            )
        elif _is_code(path.name):
            name, found = NAMED.sub("", path.stem).strip(" _-") or path.stem, [path]
        else:
            continue
        student, paths = students.setdefault(name, (Student(name), []))
        paths.extend(found[:FILES_PER_STUDENT])
        if not found:
            student.remarks.append("no .py or .cu file (links are not followed)")
        if len(found) > FILES_PER_STUDENT:
            student.remarks.append(f"{len(found)} files, of which the first {FILES_PER_STUDENT} were graded")
    return [students[name] for name in sorted(students)]


def _is_code(name: str) -> bool:
    return name.endswith((".py", ".cu")) and not name.startswith(".")


def _grade_file(path: Path, labs: Sequence[Lab], seed: int) -> tuple[list[tuple[Lab, Grade]], str | None]:
    """The grades of one file, or a remark when it belongs to no lab."""
    named = NAMED.search(path.stem)
    try:
        source = read_source(path)
    except DataError as problem:
        found = [lab for lab in labs if named and lab.number == int(named[1])]
        return [(lab, Grade(0, str(problem))) for lab in found], None if found else str(problem)
    if named:
        found = [lab for lab in labs if lab.number == int(named[1])]
    else:
        found = [lab for lab in labs if lab.suffix == path.suffix and _defines(source, lab)]
    grades = []
    for lab in found:
        result = check_source(lab, source, seed)
        grades.append((lab, Grade(100 * result.passed / len(result.verdicts), result.remark)))
    return grades, None if found else "belongs to none of the labs, by its name or by its functions"


def _defines(source: str, lab: Lab) -> bool:
    """Whether all functions of the lab seem to be defined."""
    return all(re.search(rf"^(?:def|.*\bvoid)\s+{name}\s*\(", source, re.MULTILINE) for name in lab.functions)


def write_csv(path: Path, students: Sequence[Student], labs: Sequence[Lab]) -> None:
    """Write the table: a row per student; per lab the percentage; the mean; and what was wrong.

    Raises ModelFileError when it cannot be written.
    """
    with replacing_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8-sig") as file:
        table = csv.writer(file)
        table.writerow(["student", *(f"{lab.number} {lab.name}" for lab in labs), "total", "remarks"])
        for student in students:
            wrong = [f"{number}: {grade.remark}" for number, grade in sorted(student.grades.items()) if grade.remark]
            remarks = " | ".join([*wrong, *student.remarks])
            table.writerow([
                _cell(student.name),
                *(f"{student.percent(lab):.1f}" if lab.number in student.grades else "" for lab in labs),
                f"{student.total(labs):.1f}",
                _cell(remarks),
            ])


def _cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula, on one line.

    >>> _cell("=1+1"), _cell("Ada")
    ("'=1+1", 'Ada')
    """
    line = " ".join(printable(text, 4000).split())
    return f"'{line}" if line.startswith(LOOKS_LIKE_A_FORMULA) else line
