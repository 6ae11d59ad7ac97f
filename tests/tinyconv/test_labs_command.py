"""`tinyconv lab`: what a learner and a teacher see."""

import csv
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tinyconv import labs
from tinyconv.cli.app import app
from tinyconv.errors import ArgumentError, DataError
from tinyconv.labs.checking import Result, check_source
from tinyconv.labs.grading import NAMED, grade_class
from tinyconv.labs.lab import Case
from tinyconv.labs.report import as_text
from tinyconv.labs.submission import Outcome
from tinyconv.labs.verdict import judge

FIRST, SECOND, LOSS = labs.get(1), labs.get(2), labs.get("softmax_cross_entropy")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def run(*arguments):
    """Run a command in this process; returns (exit code, standard output, standard error)."""
    result = CliRunner().invoke(app, ["lab", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


# -- list, start, check -----------------------------------------------------------------------------------------------


def test_list_shows_all_labs_and_what_is_here(tmp_path):
    (tmp_path / SECOND.file_name).touch()
    code, out, _ = run("list")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert all(lab.name in lines[str(lab.number)] and lab.title in lines[str(lab.number)] for lab in labs.COURSE)
    assert SECOND.file_name in lines["2"]
    assert FIRST.file_name not in lines["1"]


def test_from_start_to_full_marks(tmp_path):
    code, out, _ = run("start", 1)
    path = tmp_path / "lab_01_im2col.py"
    assert code == 0
    assert "lab_01_im2col.py is there" in out
    assert "tinyconv lab check 1\n" in out
    assert path.read_text(encoding="utf-8") == FIRST.starter

    code, out, _ = run("check", 1)
    assert code == 1
    assert "✗  1" in out
    assert "im2col is not filled in yet." in out

    path.write_text(FIRST.solution, encoding="utf-8")
    code, out, _ = run("check", "im2col")
    assert code == 0
    assert out.count("✓") == 12
    assert "All 12 cases are right." in out


def test_start_elsewhere_says_how_to_check(tmp_path):
    (tmp_path / "mine").mkdir()
    code, out, _ = run("start", 7, "--folder", "mine")
    assert code == 0
    assert f"tinyconv lab check 7 {os.path.join('mine', 'lab_07_dropout.py')}\n" in out
    assert run("check", 7, os.path.join("mine", "lab_07_dropout.py"))[0] == 1


def test_start_overwrites_nothing(tmp_path):
    (tmp_path / FIRST.file_name).write_text("my work")
    code, _, err = run("start", 1)
    assert code == 2
    assert "is there already and stays as it is" in err
    assert (tmp_path / FIRST.file_name).read_text() == "my work"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("start", 13), "There is no lab 13; they go from 1 to 12."),
        (("start", "im2cal"), "Did you mean 'im2col'?"),
        (("start", 1, "--folder", "nowhere"), "Cannot write"),
        (("check", 4), "tinyconv lab start 4 writes it"),
        (("check", 4, "elsewhere.py"), "There is no file elsewhere.py."),
    ],
)
def test_bad_input_gets_a_sentence(arguments, part):
    code, _, err = run(*arguments)
    assert code == 2
    assert err.startswith("tinyconv: ")
    assert part in err


def test_in_python(tmp_path):
    path = labs.start(2, tmp_path)
    assert path.name == "lab_02_col2im.py"
    assert not labs.check(2, path).ok
    path.write_text(SECOND.solution, encoding="utf-8")
    result = labs.check("col2im", path)
    assert result.ok
    assert "All 11 cases are right." in str(result)
    case = labs.case(1, 1)
    np.testing.assert_array_equal(case.expected[0][0], [0, 1, 4, 5])
    with pytest.raises(ArgumentError, match="cases 1 to 12, but got 13"):
        labs.case(1, 13)
    with pytest.raises(DataError, match="lab start 3"):
        labs.check(3)


# -- the report -------------------------------------------------------------------------------------------------------


def report(expected, got, width=80):
    """The report on one case of lab 4, whose dw (kh, kw, c, filters) came out as `got`."""
    lab = labs.get(4)
    right = np.zeros((1, 2, 2, 1))
    case = Case("a case", "conv2d_backward", {"dy": right, "strides": (2, 1)}, (right, expected, np.zeros(1)))
    verdict = judge(lab, case, Outcome((right, got, np.zeros(1))))
    return as_text(Result(lab, None, (verdict,)), width)


def test_expected_and_got_stand_side_by_side():
    expected = np.arange(6.0).reshape(2, 3, 1, 1)
    got = expected.copy()
    got[1, 1] = -4
    lines = report(expected, got).splitlines()
    assert "    conv2d_backward(dy: (1, 2, 2, 1), strides=(2, 1))" in lines
    assert "    dw[1, 1, 0, 0] is -4; expected is 4; 1 of 6 elements are wrong." in lines
    start = next(i for i, line in enumerate(lines) if line.split("   ")[-1].strip() == "got dw[:, :, 0, 0]")
    assert lines[start].startswith("    expected dw[:, :, 0, 0] ")
    assert [line.split() for line in lines[start + 1 : start + 3]] == [
        ["0", "1", "2", "0", "1", "2"],
        ["3", "4", "5", "3", "[-4]", "5"],
    ]


def test_of_a_large_array_the_place_of_the_error_is_shown():
    expected = np.zeros((40, 50, 1, 1))
    got = expected.copy()
    got[30, 45] = 7
    text = report(expected, got)
    assert "expected dw[29:35, 44:50, 0, 0]" in text
    assert "[7]" in text
    assert max(map(len, text.splitlines())) <= 80


def test_wrong_shapes_and_types_are_said():
    expected = np.zeros((2, 3, 1, 1))
    assert "dw has the shape (3, 2, 1, 1); expected is (2, 3, 1, 1)." in report(expected, np.zeros((3, 2, 1, 1)))
    assert "it is float32; expected is float64" in report(expected, expected.astype(np.float32))


def test_special_values_are_compared():
    expected = np.array([np.inf, np.nan, 1.0]).reshape(1, 3, 1, 1)
    assert "Well done" in report(expected, expected.copy())
    assert "dw[0, 0, 0, 0] is -inf; expected is inf" in report(expected, expected * -1)
    assert "dw[0, 2, 0, 0] is nan; expected is 1" in report(expected, np.where(expected == 1, np.nan, expected))


def test_loss_is_a_number():
    wrong = LOSS.solution.replace("return loss,", "return 2 * loss,")
    result = check_source(LOSS, wrong)
    assert "loss is 0.8152; expected is 0.4076." in str(result)


def test_readme_shows_what_a_learner_sees():
    lab = labs.get("conv2d_backward")
    text = as_text(check_source(lab, lab.mistakes[0].source(lab.solution)), width=120)
    readme = (Path(labs.__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```text\n(    case.*?)```", readme, re.DOTALL)
    assert shown in text + "\n"


def test_report_has_no_colours_in_a_file():
    assert "\x1b" not in str(check_source(FIRST, FIRST.starter))


# -- grade ------------------------------------------------------------------------------------------------------------


def table(path="grades.csv"):
    with open(path, encoding="utf-8-sig", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def make_class(folder):
    """Students of every kind; ada is the best."""
    forgot = FIRST.mistakes[0]
    files = {
        "ada/lab_01_im2col.py": FIRST.solution,
        "ada/week 2/lab_02_col2im (1).py": SECOND.solution,
        "ada/lab_02_col2im.py": SECOND.starter,
        "bob/everything.py": FIRST.solution + "\n\n" + SECOND.solution.split('"""\n', 1)[1],
        "carol/lab_01_im2col.py": forgot.source(FIRST.solution),
        "dave/lab_01_im2col.py": "while True: pass",
        "eve/lab_01_im2col.py": "import os\nos.remove('grades.csv')",
        "eve/lab_02_col2im.py": "x = (",
        "eve/notes.py": "print('no lab')",
        "fred/readme.txt": "I was ill",
        "gina_lab_01_im2col.py": FIRST.solution,
        "lab_02_col2im-gina.py": SECOND.starter,
        "=HYPERLINK(0)/lab_01_im2col.py": FIRST.starter,
        ".git/lab_01_im2col.py": FIRST.solution,
    }
    for name, source in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(source, encoding="utf-8")
    (folder / "hugo").mkdir()
    (folder / "hugo" / "lab_01_im2col.py").write_bytes(b"\xff\xfe\x00")
    (folder / "hugo" / "lab_02_col2im.py").mkdir()
    if hasattr(os, "symlink") and os.name == "posix":
        (folder / "ivan").mkdir()
        (folder / "ivan" / "lab_01_im2col.py").symlink_to(folder / "ada" / "lab_01_im2col.py")


def test_a_class_is_graded(tmp_path, monkeypatch):
    monkeypatch.setattr("tinyconv.labs.COURSE", [replace(FIRST, seconds=2), replace(SECOND, seconds=2)])
    make_class(tmp_path / "class")
    code, out, _ = run("grade", "class", "--jobs", 2)
    assert code == 0
    rows = table()
    assert list(rows) == sorted(rows, key=lambda name: name.lstrip("'"))
    one, two = "1 im2col", "2 col2im"
    assert [rows["ada"][column] for column in (one, two, "total", "remarks")] == ["100.0", "100.0", "100.0", ""]
    assert (rows["bob"][one], rows["bob"][two]) == ("100.0", "100.0")
    assert 0 < float(rows["carol"][one]) < 100
    assert rows["carol"][two] == ""
    assert FIRST.mistakes[0].hint in rows["carol"]["remarks"]
    assert rows["dave"][one] == "0.0"
    assert "does not finish within 2 seconds" in rows["dave"]["remarks"]
    assert "imports os" in rows["eve"]["remarks"]
    assert "is not Python" in rows["eve"]["remarks"]
    assert "notes.py: belongs to none of the labs" in rows["eve"]["remarks"]
    assert rows["fred"]["remarks"] == "no .py or .cu file (links are not followed)"
    assert (rows["gina"][one], rows["gina"][two]) == ("100.0", "0.0")
    assert "not a text" in rows["hugo"]["remarks"]
    assert "'=HYPERLINK(0)" in rows
    assert ".git" not in rows
    if "ivan" in rows:
        assert rows["ivan"]["remarks"] == "no .py or .cu file (links are not followed)"
    shown = {line.split()[0]: line.split()[-1] for line in out.splitlines() if line.strip()}
    assert shown["ada"] == "100.0"
    assert shown["gina"] == "50.0"


def test_one_lab_is_graded(tmp_path):
    make_class(tmp_path / "class")
    for name in ("dave", "eve"):
        (tmp_path / "class" / name / "lab_01_im2col.py").unlink()
    code, _, _ = run("grade", "class", "--lab", "col2im", "--out", "two.csv")
    assert code == 0
    rows = table("two.csv")
    assert list(rows["ada"]) == ["student", "2 col2im", "total", "remarks"]
    assert rows["ada"]["total"] == "100.0"


def test_the_grades_of_one_lab_do_not_replace_those_of_all(tmp_path):
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "ada_lab_02.py").write_text(SECOND.starter)
    (tmp_path / "grades.csv").write_text("of all labs")
    code, out, _ = run("grade", "class", "--lab", "2")
    assert code == 0
    assert out.endswith("what was wrong is in grades_lab_02.csv.\n")
    assert list(table("grades_lab_02.csv")["ada"]) == ["student", "2 col2im", "total", "remarks"]
    assert (tmp_path / "grades.csv").read_text() == "of all labs"


def test_grading_uses_other_numbers_than_checking(tmp_path):
    """Whoever types the expected results of `check` into the file gets nothing for it."""
    answers = {str(case.arguments["x"].tolist()): case.expected[0].tolist() for case in FIRST.make_cases(0)}
    source = f"""
import numpy as np
ANSWERS = {answers}
def im2col(x, *_):
    return np.array(ANSWERS.get(str(x.tolist()), 0), x.dtype)
"""
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "mallory_lab_01.py").write_text(source)
    assert check_source(FIRST, source).ok
    (student,) = grade_class(tmp_path / "class", [FIRST])
    assert student.name == "mallory"
    assert student.percent(FIRST) < 20


def test_nobody_to_grade(tmp_path):
    (tmp_path / "class").mkdir()
    code, _, err = run("grade", "class")
    assert code == 2
    assert "class holds no students" in err
    code, _, err = run("grade", "nowhere")
    assert code == 2
    assert "There is no folder nowhere." in err


def test_a_surprise_costs_one_student_only(tmp_path, monkeypatch):
    for name in ("ada", "bob"):
        (tmp_path / f"{name}_lab_01_im2col.py").write_text(FIRST.solution)
    real = labs.grading.check_source
    calls = []

    def broken(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise RuntimeError("the disk is on fire")
        return real(*arguments)

    monkeypatch.setattr(labs.grading, "check_source", broken)
    ada, bob = grade_class(tmp_path, [FIRST])
    assert "the disk is on fire" in ada.remarks[0]
    assert bob.percent(FIRST) == 100


@pytest.mark.parametrize(
    ("stem", "student", "number"),
    [
        ("ada_lab_01_im2col", "ada", 1),
        ("lab_04_conv2d_backward_bob", "bob", 4),
        ("Lab 12 carol", "carol", 12),
        ("dave-lab3", "dave", 3),
        ("collab2_lab_03", "collab2", 3),
        ("eve_lab_05_maxpool_backward (1)", "eve (1)", 5),
    ],
)
def test_names_of_files(stem, student, number):
    assert int(NAMED.search(stem)[1]) == number
    assert NAMED.sub("", stem).strip(" _-") == student
