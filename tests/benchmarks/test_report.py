"""What a benchmark leaves behind: three whole files, with the machine in them and none of its folders."""

import json

import pytest

from tinyconv.benchmarks import machine
from tinyconv.benchmarks.report import Report, Table, machine_line
from tinyconv.plots.figure import new_figure


def example(**changes):
    given = {
        "name": "example", "title": "Example", "summary": "What was done.", "machine": machine.describe(),
        "settings": {"threads": 1}, "results": {"a": [1.5]}, "tables": [Table(["s", "n"], [["a", "1"], ["b", "2"]])],
        "notes": ["Not run: c (no reason)."], "figure": new_figure(1, 1),
    }
    return Report(**{**given, **changes})


def test_a_table_in_markdown():
    table = Table(["what", "n"], [["a", "1"], ["b", "–"]], title="Numbers")
    assert table.markdown() == "**Numbers**\n\n| what | n |\n| --- | ---: |\n| a | 1 |\n| b | – |"


def test_files(tmp_path):
    paths = example().write(tmp_path / "results")
    assert [path.name for path in paths] == ["example.json", "example.md", "example.png"]
    assert sorted(paths) == sorted((tmp_path / "results").iterdir())  # nothing else is left
    document = json.loads(paths[0].read_text())
    assert document["results"] == {"a": [1.5]}
    assert document["settings"] == {"threads": 1}
    text = paths[1].read_text()
    assert text.startswith("# Example\n\nWhat was done.\n\n| s | n |\n")
    assert "\n- Not run: c (no reason).\n" in text
    assert "![Example](example.png)" in text
    assert paths[2].read_bytes().startswith(b"\x89PNG")


def test_a_failure_leaves_the_old_file(tmp_path):
    example().write(tmp_path)
    before = (tmp_path / "example.json").read_text()
    with pytest.raises(TypeError):
        example(results={"a": object()}).write(tmp_path)
    assert (tmp_path / "example.json").read_text() == before
    assert len(list(tmp_path.iterdir())) == 3


def test_the_machine(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/usr/bin/tinyconv", "bench", "memory", "--output", "/srv/me/results"])
    described = machine.describe()
    assert described["command"] == "tinyconv bench memory --output results"
    assert described["threads_usable"] >= 1
    assert described["vector_bits"] in (128, 256, 512)
    assert described["versions"]["numpy"]
    assert json.loads(json.dumps(described)) == described
    line = machine_line(described)
    assert described["cpu"] in line
    assert described["date"][:10] in line


def test_the_machine_line_marks_changed_files():
    described = {**machine.describe(), "revision": "0123456789abcdef+"}
    assert "(0123456789+)" in machine_line(described)
    assert "(0123456789)" in machine_line({**described, "revision": "0123456789abcdef"})
