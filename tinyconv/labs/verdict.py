"""Compare what a learner's function returned with what is right, and say in one sentence what is wrong."""

from dataclasses import dataclass

import numpy as np

from tinyconv.labs.lab import Array, Case, Lab
from tinyconv.labs.submission import Outcome

NOT_RUN = "not run"


@dataclass(frozen=True, eq=False)
class Verdict:
    """What is wrong with one case, if anything.

    Attributes:
        fault: a sentence, or None when all is right.
        place: which of the case's results is wrong, when it is one of them.
        got: that result.
    """

    case: Case
    fault: str | None = None
    place: int | None = None
    got: Array | None = None

    @property
    def ok(self) -> bool:
        """Whether the case is right."""
        return self.fault is None

    @property
    def expected(self) -> Array:
        """What the wrong result should have been."""
        return self.case.expected[self.place or 0]

    @property
    def wrong(self) -> Array:
        """Which elements are wrong; of a result with the right shape."""
        assert self.got is not None
        return differing(self.got, self.expected, self.case.tolerance)


def differing(got: Array, expected: Array, tolerance: float) -> Array:
    """Which elements differ by more than `tolerance` times the largest expected number (at least 1)."""
    finite = np.abs(expected[np.isfinite(expected)])
    with np.errstate(all="ignore"):
        near = np.abs(got.astype(np.float64) - expected) <= tolerance * finite.max(initial=1.0)
    wrong: Array = ~(near | (got == expected) | (np.isnan(got) & np.isnan(expected)))
    return wrong


def judge(lab: Lab, case: Case, outcome: Outcome | None) -> Verdict:
    """Return the verdict on one case."""
    if outcome is None:
        return Verdict(case, NOT_RUN)
    if outcome.results is None:
        return Verdict(case, outcome.problem)
    names = lab.functions[case.function]
    for place, (name, got, expected) in enumerate(zip(names, outcome.results, case.expected, strict=True)):
        fault = _fault(name, got, expected, case.tolerance)
        if fault is not None:
            return Verdict(case, fault, place, got)
    if outcome.changed:
        changed = " and ".join(outcome.changed)
        return Verdict(case, f"it changes its argument {changed}, which the caller still needs: work on a copy.")
    return Verdict(case)


def _fault(name: str, got: Array, expected: Array, tolerance: float) -> str | None:
    """What is wrong with one result: its shape, its numbers or its dtype."""
    if got.shape != expected.shape:
        return f"{name} has the shape {_shape(got)}; expected is {_shape(expected)}."
    wrong = differing(got, expected, tolerance)
    if wrong.any():
        if not got.shape:
            return f"{name} is {number(got.item())}; expected is {number(expected.item())}."
        first = tuple(int(i) for i in np.argwhere(wrong)[0])
        where = f"{name}[{', '.join(map(str, first))}]"
        count = np.count_nonzero(wrong)
        how_many = f"{count} of {wrong.size} elements are wrong" if wrong.size > 1 else "it is the only one"
        return f"{where} is {number(got[first])}; expected is {number(expected[first])}; {how_many}."
    if got.dtype != expected.dtype and got.shape:
        return f"the numbers of {name} are right, but it is {got.dtype}; expected is {expected.dtype}, as what goes in."
    return None


def number(value: float) -> str:
    """A number with four digits, whole ones without a point.

    >>> number(3.0), number(0.123456), number(1e-7), number(-0.0)
    ('3', '0.1235', '1e-07', '0')
    """
    return f"{value + 0.0:.4g}"


def _shape(array: Array) -> str:
    return "() of a single number" if array.shape == () else str(array.shape)
