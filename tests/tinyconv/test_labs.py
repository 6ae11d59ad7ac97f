"""The labs: solutions get full marks, mistakes get their hints, and answers in other words get them as well."""

from functools import cache

import numpy as np
import pytest

from tinyconv import labs
from tinyconv.labs.checking import check_source
from tinyconv.labs.hints import hint
from tinyconv.labs.lab import differences, functions_of
from tinyconv.labs.report import as_text
from tinyconv.labs.submission import Outcome
from tinyconv.labs.verdict import judge

NUMPY_LABS = [lab for lab in labs.COURSE if lab.imports == ("numpy",) and lab.suffix == ".py"]
IN_PYTHON = [lab for lab in labs.COURSE if lab.suffix == ".py"]
MISTAKES = [(lab, one) for lab in IN_PYTHON for one in lab.mistakes]


def name(value):
    return getattr(value, "name", None) or getattr(value, "hint", str(value))[:40]


@cache
def cases_of(name, seed):
    return labs.get(name).make_cases(seed)


def judged_here(lab, source, seed=0):
    """The verdicts on a trusted source, without a process of its own: many of these are quick."""
    functions = functions_of(source, lab.name)
    verdicts = []
    for case in cases_of(lab.name, seed):
        arguments = [value.copy() if isinstance(value, np.ndarray) else value for value in case.arguments.values()]
        try:
            with np.errstate(all="ignore"):
                results = functions[case.function](*arguments)
            count = len(lab.functions[case.function])
            outcome = Outcome(tuple(map(np.asarray, results if count > 1 else [results])))
        except (ValueError, IndexError) as problem:
            outcome = Outcome(None, f"it stops with {type(problem).__name__}: {problem}")
        verdicts.append(judge(lab, case, outcome))
    return verdicts


# -- the course -------------------------------------------------------------------------------------------------------


def test_numbers_are_the_order():
    assert [lab.number for lab in labs.COURSE] == list(range(1, 13))


@pytest.mark.parametrize("lab", labs.COURSE, ids=name)
def test_text_names_the_lab(lab):
    assert lab.starter.lstrip('"/ ').startswith(f"Lab {lab.number}: ")
    assert f"tinyconv lab check {lab.number}\n" in lab.starter.replace("      (", "\n")
    assert all(function in lab.starter for function in lab.functions)


@pytest.mark.parametrize("lab", IN_PYTHON, ids=name)
def test_starter_keeps_the_text_and_nothing_of_the_solution(lab):
    starter, solution = functions_of(lab.starter, lab.name), functions_of(lab.solution, lab.name)
    assert starter["__doc__"] == solution["__doc__"]
    for function in lab.functions:
        assert starter[function].__doc__ == solution[function].__doc__
        with pytest.raises(NotImplementedError):
            starter[function](*[None] * starter[function].__code__.co_argcount)
        assert set(starter[function].__code__.co_names) == {"NotImplementedError"}


def test_starter_of_the_cuda_lab_has_an_empty_kernel():
    starter = labs.get("cuda_matmul").starter
    assert starter.count("your code") == 2
    assert "sum" not in starter.partition("__global__")[2]


@pytest.mark.parametrize("lab", labs.COURSE, ids=name)
def test_cases_differ_with_the_seed_and_repeat_without(lab):
    def bits(seed):
        return [value.tobytes() for case in lab.make_cases(seed) for value in case.expected]

    assert bits(0) == bits(0)
    assert bits(0) != bits(1)


def test_differences_of_a_known_function():
    x, dy = np.array([1.0, 2.0, -3.0]), np.array([1.0, 10.0, 100.0])
    np.testing.assert_allclose(differences(lambda x: x**2, x, dy), [2, 40, -600])


# -- solutions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("lab", NUMPY_LABS, ids=name)
def test_solution_gets_full_marks(lab, seed):
    """Expected results come from the kernels and from differences, not from the solution."""
    result = check_source(lab, lab.solution, seed)
    assert result.ok, result
    assert result.passed == len(result.verdicts) >= 9
    assert not result.printed


@pytest.mark.parametrize("lab", NUMPY_LABS, ids=name)
def test_starter_gets_none(lab):
    result = check_source(lab, lab.starter)
    assert result.passed == 0
    assert "is not filled in yet" in result.remark


# -- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lab", labs.COURSE, ids=name)
def test_every_lab_knows_mistakes(lab):
    assert len({one.hint for one in lab.mistakes}) >= 5
    assert all(one.source(lab.solution) != lab.solution for one in lab.mistakes)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("lab", "mistake"), MISTAKES, ids=name)
def test_mistake_is_caught_and_named(lab, mistake, seed):
    """Among all mistakes of its lab each is told by its numbers alone."""
    verdicts = judged_here(lab, mistake.source(lab.solution), seed)
    assert not all(verdict.ok for verdict in verdicts)
    assert hint(lab, verdicts) == mistake.hint


@pytest.mark.parametrize("lab", NUMPY_LABS, ids=name)
def test_mistake_goes_all_the_way(lab):
    """From a file through the process to the sentences that a learner reads."""
    mistake = lab.mistakes[0]
    result = check_source(lab, mistake.source(lab.solution))
    assert result.hint == mistake.hint
    text = " ".join(as_text(result, width=400).split())
    wrong = result.first_wrong
    assert f"case {result.verdicts.index(wrong) + 1}, {wrong.case.name}" in text
    assert f"{wrong.case.function}(" in text
    assert wrong.fault in text
    assert mistake.hint in text


def test_every_mistake_must_fit_the_solution():
    with pytest.raises(ValueError, match="no 'nowhere'"):
        labs.lab.mistake("?", ("nowhere", "")).source("somewhere")
