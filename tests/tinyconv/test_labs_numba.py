"""Lab 11: what can be told about a Numba kernel before it runs, and that it is really compiled."""

from dataclasses import replace

import pytest

from tinyconv import labs
from tinyconv.labs.checking import check_source
from tinyconv.labs.screen import fault

LAB = labs.get("numba_conv2d")
INTERPRETED = replace(LAB, compiled=False, seconds=30)
LOOP = """
def f(x):
    y = np.zeros(x.shape)
    for i in prange(len(x)):
        {}
    return y
"""

RACES = ["y[0] += x[i]", "y += x[i]\n        y[:] = i", "for j in range(3): y[j] += x[i, j]", "k = 3; y[k] = i"]
NO_RACES = [
    "y[i] = x[i]",
    "j = i // 2; y[j] += 1",
    "n, j = divmod(i, 3); y[n, j] = 1",
    "a = np.zeros(3); a[0] += x[i]; y[i] = a[0]",
    "a = i + 1; b = a * 2; c = b - 1; y[c] = 1",
    "total = 0\n        for j in range(3): total += x[i, j]\n        y[i] = total",
    "j = 0; j += i; y[j] = 1",
    "for j in range(3 * i, 3 * i + 3): y[j] = x[j]",
    "row = y[i]; row[0] = x[i]",
]


@pytest.mark.parametrize("body", RACES)
def test_races_are_seen(body):
    assert "all threads of the prange loop" in fault(LOOP.format(body), ("numpy", "numba"), compiled=True)


@pytest.mark.parametrize("body", NO_RACES)
def test_what_is_no_race_is_not_seen(body):
    assert fault(LOOP.format(body), ("numpy", "numba"), compiled=True) is None


def test_the_sentence_says_where():
    sentence = fault(LOOP.format("y[0] += x[i]"), ("numpy",), compiled=True)
    assert sentence.startswith("line 5 writes y[0], which does not depend on i")


EDITS = {
    "not compiled": ([("@njit(parallel=True)\n", "")], "conv2d is not compiled"),
    "compiled for one thread": ([("@njit(parallel=True)", "@njit")], "conv2d is not compiled"),
    "no prange": ([("in prange(", "in range(")], "there is no prange loop"),
    "sums over images": ([("y[k, i, j, f] = total", "y[0, 0, j, f] += total")], "all threads of the prange loop"),
    "imports SciPy": ([("import numpy as np", "import numpy as np\nimport scipy")], "with numpy and numba"),
}


@pytest.mark.parametrize(("edits", "part"), EDITS.values(), ids=EDITS)
def test_wrong_before_it_runs(edits, part):
    source = LAB.solution
    for old, new in edits:
        assert old in source
        source = source.replace(old, new)
    assert part in check_source(LAB, source).problem


@pytest.mark.parametrize("which", range(5))
def test_mistakes_in_loops_get_their_hint(which):
    """Through the process, but not compiled: that is quicker."""
    source = LAB.mistakes[which].source(LAB.solution).replace("@njit(parallel=True)\n", "").replace("njit, ", "")
    assert check_source(INTERPRETED, source).hint == LAB.mistakes[which].hint


@pytest.mark.slow
def test_solution_gets_full_marks():
    result = check_source(LAB, LAB.solution)
    assert result.ok, result


@pytest.mark.slow
def test_a_compiled_mistake_gets_its_hint():
    mistake = next(one for one in LAB.mistakes if "counts from the end" in one.hint)
    assert check_source(LAB, mistake.source(LAB.solution)).hint == mistake.hint


@pytest.mark.slow
def test_what_numba_cannot_compile_is_said():
    source = LAB.solution.replace("    y = np.zeros(", "    x = np.pad(x, 0)\n    y = np.zeros(")
    fault = check_source(LAB, source).first_wrong.fault
    assert "TypingError" in fault
    assert "numpy.pad" in fault


@pytest.mark.slow
def test_an_index_outside_is_said():
    """Machine code would read whatever lies there."""
    source = LAB.solution.replace("0 <= row < height and 0 <= column < width", "0 <= row and 0 <= column")
    fault = check_source(LAB, source).first_wrong.fault
    assert "IndexError: index 4 is out of bounds for axis 2 with size 4" in fault
    assert "`total += x[k, row, column, c]" in fault


@pytest.mark.slow
def test_numbas_cache_is_allowed():
    assert check_source(LAB, LAB.solution.replace("parallel=True)", "parallel=True, cache=True)")).ok
