"""Every notebook of the course runs from top to bottom, without errors or warnings, and is kept without its outputs."""

import json
import os
import re
from pathlib import Path

import pytest

from tinyconv import labs

CHECKOUT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((CHECKOUT / "notebooks").glob("*.ipynb"))
SECONDS_PER_CELL = 120
# Warnings that Python shows nobody by default are left to those who write the libraries.
WARNINGS_ARE_ERRORS = (
    "import warnings; warnings.simplefilter('error'); warnings.simplefilter('ignore', PendingDeprecationWarning)"
)


def cells(path, kind):
    """The sources of the cells of a kind: "code" or "markdown"."""
    return ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


@pytest.fixture
def own_folders(tmp_path, monkeypatch):
    """A kernel finds this checkout and leaves no trace in the user's folders; returns where it runs."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")])))
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    (tmp_path / "notebooks").mkdir()
    return tmp_path / "notebooks"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning", "ignore::DeprecationWarning:jupyter_client")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, own_folders):
    nbclient = pytest.importorskip("nbclient", reason="nbclient runs the notebooks: pip install nbclient ipykernel")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel", reason="ipykernel runs the notebooks: pip install nbclient ipykernel")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(WARNINGS_ARE_ERRORS))
    nbclient.NotebookClient(
        notebook, timeout=SECONDS_PER_CELL, resources={"metadata": {"path": str(own_folders)}}
    ).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    if re.search(r"\b(plots|plt)\.", path.read_text()):
        assert any("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_outputs(path):
    for cell in json.loads(path.read_text())["cells"]:
        assert not cell.get("outputs"), cell["source"]
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_begins_with_a_title_and_says_how_to_install(path):
    number = int(path.stem[:2])
    assert cells(path, "markdown")[0].startswith(f"# {number} · ")
    assert re.match(r"# Run this cell first\..*\n(#.*\n)*%matplotlib inline\n", cells(path, "code")[0])


def test_the_list_names_each_notebook_once():
    listed = re.findall(r"\]\((\d\d_\w+\.ipynb)\)", (CHECKOUT / "notebooks" / "README.md").read_text())
    assert listed == [path.name for path in NOTEBOOKS]


def test_the_labs_are_listed_beside_notebooks_that_exist():
    folder = CHECKOUT / "notebooks" / "labs"
    rows = re.findall(r"^\| (\d+) \| (.*) \| \[(.+)\]\((.+)\) \|$", (folder / "README.md").read_text(), re.MULTILINE)
    assert [int(number) for number, *_ in rows] == [lab.number for lab in labs.COURSE]
    for lab, (_, functions, name, link) in zip(labs.COURSE, rows, strict=True):
        number, first_word = int(Path(link).name[:2]), name.split()[0]
        assert re.findall(r"`(\w+)`", functions) == list(lab.functions)
        assert cells(folder / link, "markdown")[0].startswith(f"# {number} · {first_word.rstrip(',')}")
    assert "](labs/README.md)" in (CHECKOUT / "notebooks" / "README.md").read_text()
