"""tinyconv, its kernels/ and its benchmarks/ are found whichever way tinyconv is there; importing it stays quick."""

import configparser
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
WHERE = """
import pathlib, tinyconv.kernels.contract, tinyconv.benchmarks.measure
for module in (tinyconv.kernels.contract, tinyconv.benchmarks.measure):
    print(pathlib.Path(module.__file__).resolve())
"""


def run(*command: object, cwd: Path) -> str:
    """Run a command with nothing of this environment's import path, and return what it printed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_"))}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def pip(python: Path, *arguments: object, cwd: Path) -> None:
    quiet = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-index", "--no-build-isolation")
    run(sys.executable, "-m", "pip", "--python", python, *arguments, *quiet, cwd=cwd)


def new_environment(folder: Path) -> Path:
    """A virtual environment with this one's packages but without its tinyconv; returns its Python.

    The packages come by a line in a .pth file: folders added that way do not process .pth files of their own, so an
    editable tinyconv in this environment stays out.
    """
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder))
    here = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "zz_parent.pth").write_text("\n".join(here) + "\n")
    return python


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, so that building leaves nothing in the real one."""
    copy = tmp_path_factory.mktemp("checkout") / "tinyconv-checkout"
    copy.mkdir()
    for name in ("tinyconv", "kernels", "benchmarks"):
        shutil.copytree(CHECKOUT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_environment(tmp_path_factory.mktemp("bare") / "venv")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    python = new_environment(folder / "venv")
    pip(python, "wheel", source, "--wheel-dir", folder, cwd=folder)
    pip(python, "install", next(folder.glob("*.whl")), cwd=folder)
    return python


@pytest.fixture(scope="module")
def editable(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Path:
    folder = tmp_path_factory.mktemp("editable")
    python = new_environment(folder / "venv")
    pip(python, "install", "--editable", source, cwd=folder)
    return python


def found(python: Path, cwd: Path) -> list[Path]:
    """Where the kernels and the benchmarks come from."""
    return [Path(line) for line in run(python, "-c", WHERE, cwd=cwd).splitlines()]


def in_checkout(source: Path) -> list[Path]:
    return [source / "kernels" / "contract.py", source / "benchmarks" / "measure.py"]


def test_bare_checkout(bare: Path, source: Path) -> None:
    assert found(bare, source) == in_checkout(source)


def test_editable(editable: Path, source: Path, tmp_path: Path) -> None:
    assert found(editable, tmp_path) == in_checkout(source)


def test_installed(installed: Path, tmp_path: Path) -> None:
    assert [path.parts[-4:] for path in found(installed, tmp_path)] == [
        ("site-packages", "tinyconv", "kernels", "contract.py"),
        ("site-packages", "tinyconv", "benchmarks", "measure.py"),
    ]


def test_installed_while_standing_in_the_checkout(installed: Path, source: Path) -> None:
    assert found(installed, source) == in_checkout(source)


def test_installed_has_everything(installed: Path, source: Path, tmp_path: Path) -> None:
    """Every file of the packages arrives, and so does the command."""
    root = Path(run(installed, "-c", "import tinyconv; print(tinyconv.__path__[0])", cwd=tmp_path))
    expected = {path.relative_to(source / "tinyconv") for path in (source / "tinyconv").rglob("*") if path.is_file()}
    expected |= {path.relative_to(source) for path in (source / "kernels").rglob("*") if path.is_file()}
    expected |= {path.relative_to(source) for path in (source / "benchmarks").rglob("*.py")}
    missing = {path for path in expected if not (root / path).is_file()}
    assert not missing
    command = installed.parent / "tinyconv"
    assert "train" in run(command, "--help", cwd=tmp_path)


def test_setup_lists_every_package() -> None:
    setup = configparser.ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    listed = set(setup["options"]["packages"].split())
    inside = {source.parent.relative_to(CHECKOUT) for source in (CHECKOUT / "tinyconv").rglob("*.py")}
    beside = {
        Path("tinyconv", source.parent.relative_to(CHECKOUT))
        for name in ("kernels", "benchmarks")
        for source in (CHECKOUT / name).rglob("*.py")
    }
    assert listed == {".".join(folder.parts) for folder in inside | beside}


HEAVY = ("numba", "matplotlib", "sklearn", "rich", "typer", "pooch", "h5py", "torch", "scipy", "PIL")


@pytest.mark.parametrize("module", ["tinyconv", "tinyconv.cli"])
def test_import_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(set({HEAVY}) & set(sys.modules)))"
    assert run(sys.executable, "-c", code, cwd=CHECKOUT) == ""


def test_every_module_can_be_imported_first() -> None:
    """A module that only imports after another one is part of an import cycle."""
    modules = sorted(
        ".".join(source.relative_to(CHECKOUT).with_suffix("").parts).removesuffix(".__init__")
        for source in (CHECKOUT / "tinyconv").rglob("*.py")
        if source.name != "__main__.py"
    )
    code = """
import importlib, sys
for name in sys.argv[1:]:
    for loaded in [key for key in sys.modules if key.partition(".")[0] == "tinyconv"]:
        del sys.modules[loaded]
    importlib.import_module(name)
"""
    run(sys.executable, "-c", code, *modules, cwd=CHECKOUT)
