"""Which mistake was it?  Compute every known wrong version of the solution and see which one gives the same numbers.

A learner's file is recognised by what it computes, not by how it is written.  Where no known mistake fits, the numbers
themselves may still tell: they are the right ones, but transposed, mirrored, or times something.
"""

from collections.abc import Iterator, Sequence
from itertools import permutations

import numpy as np

from tinyconv.labs.lab import Array, Case, Lab, Mistake, functions_of
from tinyconv.labs.submission import run_source
from tinyconv.labs.verdict import Verdict, differing, number

NEARLY = 1e-4  # an error that rounding to float32 explains


def hint(lab: Lab, verdicts: Sequence[Verdict]) -> str | None:
    """What probably went wrong in the first wrong case, or None when it cannot be told.

    Of several mistakes that give the same wrong result there, the one that agrees in most of the other cases is named.
    """
    first = next(verdict for verdict in verdicts if not verdict.ok)
    if first.got is None:
        return None
    found = [one for one in lab.mistakes if _agrees(first, _results(lab, one, [first])[0])]
    if len(found) > 1:
        alike = [verdict for verdict in verdicts if verdict.case.function == first.case.function]
        others = [verdict for verdict in alike if verdict.ok or verdict.got is not None]
        found.sort(key=lambda one: sum(map(_agrees, others, _results(lab, one, others))), reverse=True)
    return found[0].hint if found else _symptom(first)


def _results(lab: Lab, mistake: Mistake, verdicts: Sequence[Verdict]) -> list[tuple[Array, ...] | None]:
    """What the solution with this mistake gives for the cases, None where it fails."""
    cases = [verdict.case for verdict in verdicts]
    source = mistake.source(lab.solution)
    if lab.suffix != ".py":
        outcomes = run_source(lab, source, cases).outcomes
        return [None if outcome is None else outcome.results for outcome in outcomes]
    functions = functions_of(source, lab.name)
    return [_call(functions, case, len(lab.functions[case.function])) for case in cases]


def _call(functions: dict[str, object], case: Case, count: int) -> tuple[Array, ...] | None:
    copies = [value.copy() if isinstance(value, np.ndarray) else value for value in case.arguments.values()]
    function = functions[case.function]
    assert callable(function)
    try:
        with np.errstate(all="ignore"):
            result = function(*copies)
    except (ValueError, IndexError, TypeError, ArithmeticError):
        return None
    return tuple(np.asarray(one) for one in (result if count > 1 else [result]))


def _agrees(verdict: Verdict, results: tuple[Array, ...] | None) -> bool:
    """Whether a mistake is right where the learner is, and wrong in the same way where the learner is wrong."""
    case = verdict.case
    if results is None:
        return False
    if verdict.ok:
        return all(_near(result, expected, case) for result, expected in zip(results, case.expected, strict=True))
    if verdict.got is None or verdict.place is None:
        return False
    result, got, expected = results[verdict.place], verdict.got, verdict.expected
    if not _near(result, got, case):
        return False
    return not _near(result, expected, case) or result.dtype == got.dtype != expected.dtype


def _near(result: Array, other: Array, case: Case) -> bool:
    return result.shape == other.shape and not differing(result, other, case.tolerance).any()


# -- without a known mistake ------------------------------------------------------------------------------------------


def _symptom(verdict: Verdict) -> str | None:
    """What the wrong numbers have to do with the right ones."""
    assert verdict.got is not None
    with np.errstate(all="ignore"):
        return next(_symptoms(verdict.got.astype(np.float64), verdict.expected, verdict.case), None)


def _symptoms(got: Array, expected: Array, case: Case) -> Iterator[str]:
    def equal(candidate: Array) -> bool:
        return candidate.shape == expected.shape and not differing(candidate, expected, max(case.tolerance, 1e-6)).any()

    for order in permutations(range(got.ndim)) if got.ndim == expected.ndim else ():
        if order != tuple(range(got.ndim)) and equal(got.transpose(order)):
            yield f"Your axes are in the wrong order: transpose({', '.join(map(str, order))}) would put them right."
    if got.size == expected.size and got.shape != expected.shape and equal(got.reshape(expected.shape)):
        yield f"The numbers are right; reshape them to {expected.shape}."
    if got.shape != expected.shape:
        return
    if np.isnan(got).any():
        yield "There are NaNs: 0/0, ∞ - ∞, or a place in the result that is never written."
        return
    for axis in range(got.ndim):
        if equal(np.flip(got, axis)):
            yield f"Your result is mirrored along axis {axis}."
    if not got.any() and expected.any():
        yield "Your result is zero everywhere: is it ever written?"
    if not np.isfinite(got).all():
        yield "There are infinities: an overflow, or a division by 0."
        return
    if np.unique(expected[expected != 0]).size > 1:  # otherwise any number is a multiple
        factor = float(np.vdot(expected, got) / np.vdot(expected, expected))
        if factor and equal(got / factor):
            yield f"Your result is {number(factor)} times the right one{_of_what(factor, case)}."
    if expected.size > 1 and np.ptp(got - expected) <= 1e-9 * max(1.0, float(np.abs(expected).max())):
        yield f"Your result is the right one plus {number(float((got - expected).flat[0]))} everywhere."
    if case.tolerance < NEARLY and not differing(got, expected, NEARLY).any():
        yield "Your result is nearly right: is something rounded to float32 or to an integer, or approximated?"
    if not differing(np.sort(got, axis=None), np.sort(expected, axis=None), case.tolerance).any():
        yield "The right numbers are there, but in a different order."


def _of_what(factor: float, case: Case) -> str:
    """Which size of the inputs explains a factor, if one does."""
    if np.isclose(factor, -1):
        return ": the sign is wrong"
    for name, value in case.arguments.items():
        if isinstance(value, np.ndarray):
            for axis, size in enumerate(value.shape):
                if size > 1 and np.isclose(factor, size):
                    return f": is a division by the size of {name}'s axis {axis} missing?"
                if size > 1 and np.isclose(factor * size, 1):
                    return f": is it divided by the size of {name}'s axis {axis} once too often?"
    return ""
