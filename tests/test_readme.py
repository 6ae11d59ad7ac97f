"""What the README shows works: its Python runs, its commands and options exist, its two first commands are complete."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from tinyconv.cli.app import app

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SHELL = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
COMMANDS = [line for line in SHELL if line.startswith("tinyconv ")]


@pytest.mark.parametrize("code", EXAMPLES, ids=range(len(EXAMPLES)))
def test_python_runs(code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_and_options_exist(line):
    """Each line is parsed as the command line would, without running anything; an unknown option raises."""
    words = shlex.split(line, comments=True)[1:]
    command = get_command(app)
    while getattr(command, "commands", None):
        assert words, f"{line} lacks a command"
        command = command.commands[words.pop(0)]
    command.make_context("tinyconv", words)


def test_the_first_two_commands_are_whole():
    """Each makes its own environment and needs nothing that the other left."""
    train, test = (line for line in SHELL if line.startswith("python3"))
    for line, extra, last in [(train, ".", ".venv/bin/tinyconv train"), (test, '".[test]"', ".venv/bin/pytest")]:
        assert line.split(" && ") == ["python3 -m venv .venv", f".venv/bin/pip install -e {extra}", last]
