"""Lab 12: a CUDA kernel on the processor. What a GPU would not say is said here."""

from dataclasses import replace
from shutil import which

import pytest

from tinyconv import labs
from tinyconv.labs import cuda_host, hints
from tinyconv.labs.checking import check_source
from tinyconv.labs.submission import Run, run_source
from tinyconv.labs.verdict import judge

pytestmark = pytest.mark.skipif(which("g++") is None, reason="g++ is not installed")

LAB = labs.get("cuda_matmul")
ONE_CASE = replace(LAB, seconds=1, make_cases=lambda seed: [LAB.make_cases(seed)[8]])  # 13×21 times 21×10


def edited(*edits):
    """Check the solution with these edits, on the case in which nothing fits the tiles."""
    source = LAB.solution
    for old, new in edits:
        assert old in source
        source = source.replace(old, new, 1)
    return check_source(ONE_CASE, source)


@pytest.mark.parametrize("seed", [0, 1])
def test_solution_gets_full_marks(seed):
    result = check_source(LAB, LAB.solution, seed)
    assert result.ok, result


def test_starter_says_what_to_do():
    assert "has no shared memory (`__shared__`) yet" in check_source(LAB, LAB.starter).problem


@pytest.fixture(scope="module")
def runs():
    """What every mistake computes: compiled once, though each hint asks for all of them."""
    cases = LAB.make_cases(0)
    sources = [mistake.source(LAB.solution) for mistake in LAB.mistakes]
    return {source: dict(zip(cases, run_source(LAB, source, cases).outcomes, strict=True)) for source in sources}


@pytest.mark.parametrize("mistake", LAB.mistakes, ids=lambda mistake: mistake.hint[:40])
def test_mistake_gets_its_hint(mistake, runs, monkeypatch):
    monkeypatch.setattr(hints, "run_source", lambda _, source, cases: Run(tuple(runs[source][case] for case in cases)))
    verdicts = [judge(LAB, case, outcome) for case, outcome in runs[mistake.source(LAB.solution)].items()]
    assert hints.hint(LAB, verdicts) == mistake.hint


def test_mistake_goes_all_the_way():
    assert check_source(LAB, LAB.mistakes[0].source(LAB.solution)).hint == LAB.mistakes[0].hint


FIRST, SECOND = "        __syncthreads();\n        for", "\n        __syncthreads();\n    }"
START = "    float sum = 0;"
READ_A, READ_B = "a[row * inner + k + x] : 0", "b[(k + y) * columns + column] : 0"
WRITE_C = "c[row * columns + column] = sum"
COMPLAINTS = {
    "no wait before reading": ([(FIRST, "        for")], "which thread runs first"),
    "no wait before overwriting": ([(SECOND, "\n    }")], "which thread runs first"),
    "some return early": (
        [(START, "    if (row >= rows || column >= columns) return;\n" + START)],
        "has returned: every thread of the block must reach it",
    ),
    "two different waits": (
        [(FIRST, "        if (x) __syncthreads();\n        else\n            __syncthreads();\n        for")],
        "must reach the same one",
    ),
    "writes outside of c": ([("if (row < rows && column < columns)", "")], "reads or writes c["),
    "reads outside of a": ([("row < rows && k + x < inner ? " + READ_A, READ_A[:-4])], "reads or writes a["),
    "reads outside of b": ([("k + y < inner && column < columns ? " + READ_B, READ_B[:-4])], "reads or writes b["),
    "writes to an input": ([(WRITE_C, f"const_cast<float*>(a)[0] = {WRITE_C}")], "writes to a[0], an input"),
    "writes before c": ([(WRITE_C, f"{WRITE_C}, c[-1] = 0")], "before the beginning of c"),
    "wild pointer": ([(WRITE_C, "*(float*)8 = sum")], "belongs to no array"),
}


@pytest.mark.parametrize(("edits", "part"), COMPLAINTS.values(), ids=COMPLAINTS)
def test_the_header_complains(edits, part):
    result = edited(*edits)
    assert not result.ok
    assert part in result.first_wrong.fault


def test_shared_memory_that_nobody_wrote_is_nan():
    result = edited(("a_tile[y][x] = row", "if (x < 7) a_tile[y][x] = row"))
    assert "nan" in result.first_wrong.fault


FILES = {
    "does not compile": ([("float sum = 0;", "flaot sum = 0;")], "does not compile: lab_12_cuda_matmul.cu:"),
    "wrong name": ([("void matmul(", "void matrix(")], "does not compile"),
    "includes": ([("constexpr", "#include <fstream>\nconstexpr")], "`#include`"),
    "includes in disguise": ([("constexpr", "#inc\\\nlude <fstream>\nconstexpr")], "`#include`"),
    "declares system": ([("constexpr", 'extern "C" int system(const char*);\nconstexpr')], "`extern`"),
    "runs a command": ([(START, START + ' system("true");')], "poisoned"),
    "no shared memory": ([("__shared__ float a", "float a"), ("__shared__ float b", "float b")], "no shared memory"),
}


@pytest.mark.parametrize(("edits", "part"), FILES.values(), ids=FILES)
def test_file_gets_a_sentence(edits, part):
    assert part in edited(*edits).problem


def test_a_kernel_without_end():
    result = edited(("k += TILE", "k += 0"))
    assert "does not finish within 1 second" in result.first_wrong.fault


def test_what_a_kernel_prints_is_shown():
    result = edited((START, '    if (row + column == 0) printf("inner is %d\\n", inner);\n' + START))
    assert result.ok
    assert "inner is 21" in result.printed


def test_without_a_compiler(monkeypatch):
    monkeypatch.setattr(cuda_host, "which", lambda name: None)
    assert "needs the C++ compiler g++" in check_source(LAB, LAB.solution).problem
