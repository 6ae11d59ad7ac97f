"""The doctor finds what is broken and says how to fix it."""

import subprocess

import pytest
from typer.testing import CliRunner

from tinyconv import doctor
from tinyconv.cli.app import app
from tinyconv.doctor import Finding


def by_name(findings):
    return {finding.name: finding for finding in findings}


def test_this_machine():
    findings = doctor.examine()
    found = by_name(findings)
    assert {"tinyconv", "Python", "numpy", "cores", "Numba", "BLAS", "compiled kernels", "datasets"} <= set(found)
    assert "threading layer" in found["Numba"].value
    assert "at most 64.00 MiB" in found["im2col"].value
    assert all(finding.value for finding in findings)


def test_missing_package(monkeypatch):
    version = doctor._version
    missing = ("numba", "jupyterlab")
    monkeypatch.setattr(doctor, "_version", lambda package: None if package in missing else version(package))
    found = by_name(doctor.versions())
    assert found["numba"].fix == "pip install numba"
    assert found["jupyterlab"].fix == ""  # an extra: nothing is broken without it
    assert "notebooks" in found["jupyterlab"].value


@pytest.mark.parametrize(
    ("gpus", "wheels", "driver", "fix"),
    [
        ([], [], None, ""),
        (["H100"], [], 12, 'pip install "tinyconv[cuda12]"'),
        (["H100"], [], 13, 'pip install "tinyconv[cuda13]"'),
        (
            ["H100"], ["cupy-cuda11x", "cupy-cuda12x"], 12,
            'pip uninstall -y cupy-cuda11x cupy-cuda12x && pip install "tinyconv[cuda12]"',
        ),
        ([], ["cupy", "cupy-cuda12x"], None, 'pip uninstall -y cupy cupy-cuda12x && pip install "tinyconv[cuda12]"'),
    ],
)
def test_cupy(monkeypatch, gpus, wheels, driver, fix):
    monkeypatch.setattr(doctor, "driver_cuda", lambda: driver)
    assert by_name(doctor.gpu(gpus, wheels))["CuPy"].fix == fix


def test_cupy_that_cannot_be_imported(monkeypatch):
    def fail(name):
        raise ImportError("libnvrtc.so.12: cannot open shared object file")

    monkeypatch.setattr(doctor, "import_module", fail)
    monkeypatch.setattr(doctor, "driver_cuda", lambda: 12)
    found = by_name(doctor.gpu(["H100"], ["cupy-cuda12x"]))["CuPy"]
    assert "libnvrtc" in found.value
    assert found.fix == 'pip uninstall -y cupy-cuda12x && pip install "tinyconv[cuda12]"'


def test_cupy_that_does_not_say_why(monkeypatch):
    def fail(name):
        raise ImportError

    monkeypatch.setattr(doctor, "import_module", fail)
    monkeypatch.setattr(doctor, "driver_cuda", lambda: 12)
    assert by_name(doctor.gpu(["H100"], ["cupy-cuda12x"]))["CuPy"].value.endswith("does not work here: ImportError")


@pytest.mark.parametrize("problem", [subprocess.TimeoutExpired("nvidia-smi", 30), PermissionError("not yours")])
def test_a_driver_that_does_not_answer(monkeypatch, problem):
    def fail(*_, **__):
        raise problem

    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(doctor.subprocess, "run", fail)
    assert doctor.gpus() == []
    assert doctor.driver_cuda() is None


def test_wheels_are_found_by_their_distribution_names(monkeypatch):
    class Distribution:
        def __init__(self, name):
            self.metadata = {"Name": name}

    installed = [Distribution(name) for name in ("CuPy-CUDA12x", "cupy", "cupyx-extras", "numpy")]
    monkeypatch.setattr(doctor.metadata, "distributions", lambda: installed)
    assert doctor.cupy_wheels() == ["cupy", "cupy-cuda12x"]


def test_data_folder_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("TINYCONV_DATA", str(tmp_path / "nowhere"))
    assert "TINYCONV_DATA" in by_name(doctor.folders())["TINYCONV_DATA"].fix
    monkeypatch.setenv("TINYCONV_DATA", str(tmp_path))
    assert by_name(doctor.folders())["TINYCONV_DATA"] == Finding("folders", "TINYCONV_DATA", str(tmp_path))


def test_the_command_exits_1_when_something_is_broken(monkeypatch):
    monkeypatch.setattr(doctor, "examine", lambda: [Finding("versions", "numpy", "2.0")])
    well = CliRunner().invoke(app, ["doctor"])
    assert well.exit_code == 0
    assert "All is well." in well.stdout
    monkeypatch.setattr(doctor, "examine", lambda: [Finding("GPU", "CuPy", "broken", "pip install [x]")])
    ill = CliRunner().invoke(app, ["doctor"])
    assert ill.exit_code == 1
    assert "pip install [x]" in ill.stdout
