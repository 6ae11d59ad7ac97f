"""Check one learner's file: run it, compare, and find the hint."""

from dataclasses import dataclass
from pathlib import Path

from tinyconv.labs import hints
from tinyconv.labs.lab import Lab
from tinyconv.labs.submission import read_source, run_source
from tinyconv.labs.verdict import Verdict, judge


@dataclass(frozen=True)
class Result:
    """What a check found; `print` shows it as the command line does.

    Attributes:
        lab: which lab.
        problem: a sentence, when the file as a whole cannot be run.
        verdicts: one per case.
        hint: what probably went wrong in the first wrong case.
        printed: what the learner's file printed.
    """

    lab: Lab
    problem: str | None
    verdicts: tuple[Verdict, ...]
    hint: str | None = None
    printed: str = ""

    @property
    def passed(self) -> int:
        """How many cases are right."""
        return sum(verdict.ok for verdict in self.verdicts)

    @property
    def ok(self) -> bool:
        """Whether all are."""
        return self.passed == len(self.verdicts)

    @property
    def first_wrong(self) -> Verdict | None:
        """The first case that is not right."""
        return next((verdict for verdict in self.verdicts if not verdict.ok), None)

    @property
    def remark(self) -> str:
        """The first fault and the hint on one line; empty when all is right."""
        wrong = self.first_wrong
        if wrong is None:
            return ""
        fault = self.problem or f"{wrong.case.name}: {wrong.fault}"
        return " ".join(f"{fault} {self.hint or ''}".split())

    def __str__(self) -> str:
        from tinyconv.labs.report import as_text

        return as_text(self)


def check_file(lab: Lab, path: Path, seed: int = 0) -> Result:
    """Check a learner's file.  Raises DataError when it cannot be read."""
    return check_source(lab, read_source(path), seed)


def check_source(lab: Lab, source: str, seed: int = 0) -> Result:
    """Check the text of a learner's file."""
    cases = lab.make_cases(seed)
    run = run_source(lab, source, cases)
    verdicts = tuple(judge(lab, case, outcome) for case, outcome in zip(cases, run.outcomes, strict=True))
    wrong = any(not verdict.ok for verdict in verdicts)
    found = hints.hint(lab, verdicts) if wrong and not run.problem else None
    return Result(lab, run.problem, verdicts, found, run.printed)
