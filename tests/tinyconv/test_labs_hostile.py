"""Lab files that misbehave: each gets a sentence, nothing hangs, nothing is left behind, and nothing gets out."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tinyconv import labs
from tinyconv.errors import DataError
from tinyconv.labs import process, submission
from tinyconv.labs.checking import check_file, check_source
from tinyconv.labs.lab import SOLUTIONS

LAB = replace(labs.get("im2col"), seconds=1)
HEADER = "import numpy as np\ndef im2col(x, kernel_size, strides=(1, 1), padding=(0, 0)):\n    "
needs_limits = pytest.mark.skipif(os.name != "posix", reason="limits on memory are POSIX's")

# The whole file, and a part of the sentence.
FILES = {
    "does not parse": ("def im2col(x:\n    pass", "not Python: '(' was never closed in line 1"),
    "null characters": ("x = 1\0", "null"),
    "parentheses without end": ("x = " + "(" * 5000 + ")" * 5000, "too many nested parentheses"),
    "signs without end": ("x = " + "-" * 200_000 + "1", "nested too deeply"),
    "empty": ("", "defines no function im2col"),
    "renamed": ("def im2kol(x): pass", "defines no function im2col"),
    "imports torch": ("import numpy\nimport torch.nn", "line 2 imports torch; this lab is to be done with numpy."),
    "imports us": ("from tinyconv.kernels.conv2d.im2col import im2col", "line 1 imports tinyconv"),
    "imports os": ("def f():\n    import os, math", "line 2 imports os"),
    "imports a neighbour": ("from . import solution", "line 1 imports a file beside it"),
    "imports in disguise": ("os = __import__('os')", "line 1 calls __import__"),
    "opens a file": ("text = open('/etc/passwd').read()", "line 1 calls open"),
    "exits when loaded": ("raise SystemExit(0)", "running the file stops with exit (line 1"),
    "loops when loaded": ("while True: pass", "before a function is called, it does not finish within 1 second"),
    "fails when loaded": ("import numpy\nnumpy.nothing", "has no attribute 'nothing' (line 2: `numpy.nothing`)"),
}

# What im2col does, and a part of the sentence.
BODIES = {
    "loops": ("while True: pass", "does not finish within 1 second"),
    "counts to ten to the ten to the ten": ("return 10**10**10", "does not finish within 1 second"),
    "prints without end": ("while True: print('x' * 1000)", "prints without end"),
    "exits": ("exit()", "stops with exit (line 3: `exit()`)"),
    "ends the process": ("np.lib._npyio_impl.os._exit(0)", "ends the program instead of returning"),
    "ends it with a code": ("np.lib._npyio_impl.os._exit(7)", "exit code 7"),
    "starts a process": ("np.lib._npyio_impl.os.fork()", "may not start another program"),
    "runs a command": ("np.lib._npyio_impl.os.system('true')", "may not start another program"),
    "calls a library": ("np.ctypeslib.ctypes.CDLL(None).system(b'true')", "may not call libraries"),
    "kills": ("np.lib._npyio_impl.os.kill(1, 0)", "may not end another program"),
    "recurses": ("return im2col(x, kernel_size)", "RecursionError"),
    "asks": ("return input()", "EOFError"),
    "forgets to return": ("x + 1", "is there a `return`?"),
    "returns a list": ("return [1, 2]", "cols is a list; expected is an array"),
    "returns complex numbers": ("return x + 1j", "complex128; expected are real numbers"),
    "returns objects": ("return np.array([{}])", "array of object"),
    "returns too much": ("return np.broadcast_to(x.ravel()[0], (10**9,))", "far too large"),
    "divides by zero": ("return 1 / 0", "ZeroDivisionError: division by zero (line 3: `return 1 / 0`)"),
    "raises what cannot be printed": (
        "class E(Exception):\n        def __str__(self): raise self\n    raise E", "an error that cannot be printed"
    ),
    "reads the solution": (f"return np.genfromtxt({str(SOLUTIONS / 'im2col.py')!r})", "may not read the solutions"),
    "forges a pickle": (
        "np.save('0-0.npy', np.array([{}]), allow_pickle=True); np.lib._npyio_impl.os._exit(0)", "ends the program"
    ),
}
NEEDS_LIMITS = {
    "fills the memory": ("a = []\n    while True: a.append(np.zeros(10**7))", "too little memory"),
    "wants it all at once": ("return np.ones(10**12)", "too little memory"),
    "reads beyond its memory": (
        "return np.lib.stride_tricks.as_strided(x, (10**9,), (4096,)).sum()", "crashes (SIGSEGV)"
    ),
}


@pytest.mark.parametrize(("source", "part"), FILES.values(), ids=FILES)
def test_file_gets_a_sentence(source, part):
    result = check_source(LAB, source)
    assert result.passed == 0
    assert part in result.problem
    assert "\n" not in result.remark


@pytest.mark.parametrize(("body", "part"), BODIES.values(), ids=BODIES)
def test_function_gets_a_sentence(body, part):
    result = check_source(LAB, HEADER + body)
    assert result.passed == 0
    assert result.problem is None
    assert part in result.first_wrong.fault


@needs_limits
@pytest.mark.parametrize(("body", "part"), NEEDS_LIMITS.values(), ids=NEEDS_LIMITS)
def test_memory_is_limited(body, part):
    result = check_source(LAB, HEADER + body)
    assert part in result.first_wrong.fault


def test_cases_before_a_loop_count():
    source = LAB.solution.replace("    n, height", "    while x.shape[3] == 3: pass\n    n, height")
    result = check_source(LAB, source)
    assert [verdict.ok for verdict in result.verdicts] == [True] * 3 + [False] * 9
    assert "does not finish" in result.verdicts[3].fault
    assert all(verdict.fault == "not run" for verdict in result.verdicts[4:])


def test_writing_outside_is_refused(tmp_path):
    target = tmp_path / "harm.npy"
    result = check_source(LAB, HEADER + f"np.save({str(target)!r}, x); return x")
    assert "may not write files" in result.first_wrong.fault
    assert not target.exists()


def test_changing_an_argument_is_noticed():
    source = LAB.solution.replace("    return cols", "    x *= 2\n    return cols")
    result = check_source(LAB, source)
    assert "changes its argument x" in result.first_wrong.fault


def test_the_environment_is_not_shown(monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "swordfish")
    result = check_source(LAB, HEADER + "print(dict(np.lib._npyio_impl.os.environ)); return x")
    assert "PATH" in result.printed
    assert "swordfish" not in result.printed


def test_what_is_printed_cannot_move_the_cursor():
    result = check_source(LAB, HEADER + "print('\\x1b[2J\\x1b]0;title\\x07here'); return x")
    assert "here" in result.printed
    assert "\x1b" not in str(result)


def test_output_of_a_right_file_is_shown_and_cut():
    source = LAB.solution.replace("    n, height", "    print(x.shape)\n    for i in range(9): print(i)\n    n, height")
    result = check_source(LAB, source)
    assert result.ok
    assert "(1, 3, 4, 1)" in str(result)
    assert f"and {12 * 10 - 20} lines more" in str(result)


def test_a_grandchild_does_not_survive(tmp_path):
    """Not even one that the audit hook has missed."""
    code = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid)"
    start = time.monotonic()
    ended = process.run([sys.executable, "-c", code], tmp_path, 30)
    assert ended.returncode == 0
    assert time.monotonic() - start < 30
    if os.name == "posix":
        time.sleep(0.2)
        state = subprocess.run(["ps", "-o", "stat=", "-p", ended.printed.strip()], capture_output=True, text=True)
        assert state.stdout.strip()[:1] in ("", "Z")


def test_a_sleeper_is_stopped_by_the_clock(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "PATIENCE", 1)
    ended = process.run([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, 1)
    assert ended.stopped == "time"


# -- files that cannot be read ----------------------------------------------------------------------------------------


def test_unreadable_files(tmp_path):
    (tmp_path / "latin.py").write_bytes(b"# caf\xe9")
    (tmp_path / "big.py").write_text("#" * 2_000_000)
    (tmp_path / "folder.py").mkdir()
    parts = {"latin": "not a text", "big": "2,000,000 bytes", "folder": "not a plain file", "no": "There is no file"}
    for name, part in parts.items():
        with pytest.raises(DataError, match=part):
            check_file(LAB, tmp_path / f"{name}.py")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(DataError, match="not a plain file"):
        check_file(LAB, tmp_path / "pipe.py")


# -- results that are none --------------------------------------------------------------------------------------------


def test_forged_results_are_refused(tmp_path):
    """Whatever the process leaves behind is numbers or nothing; reading it runs nothing and fills no memory."""
    np.save(tmp_path / "pickle.npy", np.array([{}]), allow_pickle=True)
    np.save(tmp_path / "text.npy", np.array(["a"]))
    np.savez(tmp_path / "archive.npz", a=np.ones(3))
    (tmp_path / "archive.npz").rename(tmp_path / "archive.npy")
    (tmp_path / "empty.npy").touch()
    (tmp_path / "folder.npy").mkdir()
    np.save(tmp_path / "header.npy", np.ones(4))
    claims_more = (tmp_path / "header.npy").read_bytes().replace(b"(4,)", b"(9,)")
    (tmp_path / "header.npy").write_bytes(claims_more)
    for path in tmp_path.iterdir():
        assert submission._array(path) is None, path.name
    good = tmp_path / "good.npy"
    np.save(good, np.arange(3.0))
    np.testing.assert_array_equal(submission._array(good), [0, 1, 2])


def test_a_report_of_nonsense_is_no_report(tmp_path):
    lines = ["", "[1]", "{", '{"case": 99, "problem": null}', '{"case": "0"}', '{"case": -1, "problem": "x"}']
    lines.append("[" * 10_000)
    (tmp_path / "report.jsonl").write_text("\n".join(lines))
    cases = LAB.make_cases(0)
    run = submission._read_report(LAB, cases, tmp_path, process.Ended(0, "", None))
    assert run.outcomes == (None,) * len(cases)
    assert "ends the program" in run.problem


def test_a_result_of_many_axes_is_judged_quickly():
    result = check_source(LAB, HEADER + "return np.zeros((1,) * 30)")
    assert "cols has the shape (1, 1, 1," in result.first_wrong.fault


@pytest.mark.parametrize("value", ["1e308", "np.inf", "-1e308", "np.nan", "2**63 - 1", "True"])
def test_results_of_any_size_are_judged(value):
    body = f"return np.full((6, 4), {value})"
    result = check_source(LAB, HEADER + body)
    assert "cols[0, 0] is" in result.first_wrong.fault
    assert str(result)


def test_a_longdouble_is_judged():
    result = check_source(LAB, HEADER + "return np.full((6, 4), np.finfo(np.longdouble).max)")
    assert "cols[0, 0] is" in result.first_wrong.fault


def test_too_much_output_between_two_cases_is_said():
    source = LAB.solution.replace("    n, height", "    print('x' * 900_000)\n    n, height")
    result = check_source(LAB, source)
    assert "prints without end" in result.first_wrong.fault
    assert 0 < result.passed < 12


def test_the_temporary_folder_goes(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    check_source(LAB, HEADER + "np.save('left', x); return x")
    assert list(Path(tmp_path).iterdir()) == []
