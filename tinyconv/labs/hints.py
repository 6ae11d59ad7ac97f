"""Which mistake was it?  Compute every known wrong version of the solution and see which one gives the same numbers.

A learner's file is recognised by what it computes, or where it stops, not by how it is written.  Where no known mistake
fits, the numbers themselves may still tell: they are the right ones, but transposed, mirrored, or times something.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import combinations, permutations

import numpy as np

from tinyconv.labs.lab import Array, Case, Lab, Mistake, functions_of
from tinyconv.labs.submission import run_source
from tinyconv.labs.verdict import Verdict, differing, number

NEARLY = 1e-4  # an error that rounding to float32 explains
STOPS = re.compile(r"it stops with (\w+)")
DOES_NOT_FIT = ("ValueError", "IndexError")  # slices raise the one, single pixels the other

Results = tuple[Array, ...] | Exception | None


def hint(lab: Lab, verdicts: Sequence[Verdict]) -> str | None:
    """What probably went wrong in the first wrong case, or None when it cannot be told.

    Of several mistakes that do the same wrong thing there, the one that agrees in most of the other cases is named.
    Nothing but zeros has many reasons, so a mistake must agree in more than half of the cases to be named for them.  An
    exception tells still less: there it must agree in all right cases, and in the numbers of another wrong one.
    """
    first = next(verdict for verdict in verdicts if not verdict.ok)
    if first.got is None and not _stopped_by(first):
        return None
    found = [one for one in lab.mistakes if _agrees(first, _results(lab, one, [first])[0])]
    zeros = first.got is not None and not first.got.any()
    if len(found) > 1 or zeros or first.got is None:
        alike = [verdict for verdict in verdicts if verdict.case.function == first.case.function]
        others = [verdict for verdict in alike if verdict.ok or verdict.got is not None or _stopped_by(verdict)]
        agreeing = {one: list(map(_agrees, others, _results(lab, one, others))) for one in found}
        if zeros:
            found = [one for one in found if 2 * sum(agreeing[one]) > len(others)]
        if first.got is None:
            found = [one for one in found if _convincing(others, agreeing[one])]
        found.sort(key=lambda one: sum(agreeing[one]), reverse=True)
    if found:
        return found[0].hint
    return None if first.got is None else _symptom(first)


def _convincing(verdicts: Sequence[Verdict], agreeing: Sequence[bool]) -> bool:
    """Whether a mistake agrees in what is right, and in some wrong numbers."""
    right = [agrees for verdict, agrees in zip(verdicts, agreeing, strict=True) if verdict.ok]
    wrong = [agrees for verdict, agrees in zip(verdicts, agreeing, strict=True) if verdict.got is not None]
    return all(right) and any(wrong)


def _stopped_by(verdict: Verdict) -> str | None:
    """The name of the exception with which the learner's function stopped, if one did."""
    found = STOPS.match(verdict.fault or "")
    return found[1] if found else None


def _results(lab: Lab, mistake: Mistake, verdicts: Sequence[Verdict]) -> Sequence[Results]:
    """What the solution with this mistake gives for the cases, an exception or None where it fails."""
    cases = [verdict.case for verdict in verdicts]
    source = mistake.source(lab.solution)
    if lab.suffix != ".py":
        outcomes = run_source(lab, source, cases).outcomes
        return [None if outcome is None else outcome.results for outcome in outcomes]
    functions = functions_of(source, lab.name)
    return [_call(functions, case, len(lab.functions[case.function])) for case in cases]


def _call(functions: dict[str, object], case: Case, count: int) -> Results:
    copies = [value.copy() if isinstance(value, np.ndarray) else value for value in case.arguments.values()]
    function = functions[case.function]
    assert callable(function)
    try:
        with np.errstate(all="ignore"):
            result = function(*copies)
    except (ValueError, IndexError, TypeError, ArithmeticError) as problem:
        return problem
    return tuple(np.asarray(one) for one in (result if count > 1 else [result]))


def _agrees(verdict: Verdict, results: Results) -> bool:
    """Whether a mistake is right where the learner is, and wrong in the same way where the learner is wrong."""
    case = verdict.case
    if isinstance(results, Exception):
        name, stopped_by = type(results).__name__, _stopped_by(verdict)
        return name == stopped_by or (name in DOES_NOT_FIT and stopped_by in DOES_NOT_FIT)
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
        yield from _other_axes(got, expected, case)
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


def _other_axes(got: Array, expected: Array, case: Case) -> Iterator[str]:
    """Whether both are sums of one input, over different axes."""
    for name, value in case.arguments.items():
        if isinstance(value, np.ndarray):
            every = [axes for count in range(1, value.ndim + 1) for axes in combinations(range(value.ndim), count)]
            sums = {axes: value.sum(axis=axes, dtype=np.float64) for axes in every}
            yours, right = (
                [axes for axes, one in sums.items() if one.shape == wanted.shape and not _off(one, wanted, case).any()]
                for wanted in (got, expected)
            )
            if yours and right:
                yield f"That is {name} summed over {_axes(yours[0])}; asked for is its sum over {_axes(right[0])}."


def _off(one: Array, wanted: Array, case: Case) -> Array:
    return differing(one, wanted, max(case.tolerance, 1e-6))


def _axes(axes: Sequence[int]) -> str:
    *most, last = map(str, axes)
    return f"axes {', '.join(most)} and {last}" if most else f"axis {last}"


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
