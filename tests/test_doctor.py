"""The doctor: what it says of missing, foreign, broken and crashing libraries."""

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from poa_bench import doctor
from tests.conftest import REPOSITORY


def versions_installed(monkeypatch: pytest.MonkeyPatch, installed: dict[str, str]) -> None:
    def version(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(metadata, "version", version)


def test_tested_versions_are_ok_and_builds_of_them_too(monkeypatch):
    versions_installed(monkeypatch, {"torch": "2.11.0+cpu"})
    assert doctor.examine_version("torch", "2.11.0").status == "ok"


def test_another_version_is_a_note_that_names_both(monkeypatch):
    versions_installed(monkeypatch, {"torch": "2.12.1"})
    finding = doctor.examine_version("torch", "2.11.0")
    assert finding.status == "note" and "2.12.1" in finding.found and finding.tested == "2.11.0"
    assert finding.repair


@pytest.mark.parametrize(("name", "status"), [("torch", "problem"), ("onedl-mmcv", "note")])
def test_missing_core_is_a_problem_and_missing_dense_a_note(monkeypatch, name, status):
    versions_installed(monkeypatch, {})
    finding = doctor.examine_version(name, "1.0")
    assert (finding.status, finding.found.split(":")[0]) == (status, "missing")


def test_original_distribution_is_recognised(monkeypatch):
    versions_installed(monkeypatch, {"mmcv": "2.1.0"})
    finding = doctor.examine_version("onedl-mmcv", "2.3.6")
    assert finding.status == "note" and "mmcv 2.1.0" in finding.found


def test_operators_that_python_is_not_told_of_are_repaired_by_installing_this_package(monkeypatch):
    failure = "ModuleNotFoundError: No module named 'mmcv._ext'"
    monkeypatch.setattr(doctor, "run_probes", lambda programs: {"mmcv operators": ({}, failure)})
    monkeypatch.setattr(sys, "prefix", "/somewhere/else")
    (finding,) = doctor.examine_probes()
    assert finding.status == "problem"
    assert finding.repair.endswith(f"pip install --no-deps --force-reinstall -e {REPOSITORY}")


@pytest.mark.parametrize(
    ("file", "cuda", "gpu", "status", "found"),
    [
        ("mmcv_ext.py", "13.0", True, "ok", "torchvision's, CUDA 13.0"),
        ("mmcv_ext.py", "not available", False, "ok", "torchvision's, for the CPU"),
        ("_ext.cpython-311.so", "not available", False, "ok", "mmcv's own, compiled by GCC 12.2, for the CPU"),
        ("_ext.cpython-311.so", "not available", True, "note", "mmcv's own, compiled by GCC 12.2, for the CPU only"),
    ],
)
def test_which_operators_are_in_use(monkeypatch, file, cuda, gpu, status, found):
    facts = {"file": f"/somewhere/{file}", "cuda": cuda, "compiler": "GCC 12.2"}
    monkeypatch.setattr(doctor, "run_probes", lambda programs: {"mmcv operators": (facts, "")})
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/nvidia-smi" if gpu else None)
    (finding,) = doctor.examine_probes()
    assert finding.status == status and finding.found.startswith(found)
    assert bool(finding.repair) == (status == "note")


def test_a_crashing_library_takes_nothing_with_it():
    crash = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    outcomes = doctor.run_probes({"a": "facts = dict(x=1)", "b": crash, "c": "print('noise')", "d": "1 / 0"})
    assert outcomes.pop("b")[1].endswith("status -11")
    assert outcomes == {"a": ({"x": 1}, ""), "c": ({}, ""), "d": ({}, "ZeroDivisionError: division by zero")}


def test_a_hanging_library_is_given_up(monkeypatch):
    monkeypatch.setattr(doctor, "PROBE_SECONDS", 3)
    outcomes = doctor.run_probes({"a": "pass", "b": "import time; time.sleep(60)"})
    assert outcomes == {"a": ({}, ""), "b": ({}, "no answer in 3 s")}


def run_doctor(tmp_path: Path, fakes: dict[str, str]) -> subprocess.CompletedProcess:
    """Run the command where some libraries are replaced by the given source text."""
    for name, text in fakes.items():
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(REPOSITORY)])}
    command = [sys.executable, "-m", "poa_bench.cli", "doctor"]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)


def test_works_with_broken_torch_and_mmcv_without_operators(tmp_path):
    fakes = {
        "torch/__init__": "raise OSError('libcudart.so.13: cannot open shared object file')",
        "mmcv/__init__": "",
        "mmcv/ops": "raise ModuleNotFoundError(\"No module named 'mmcv._ext'\")",
    }
    done = run_doctor(tmp_path, fakes)
    assert done.returncode == 1, done.stderr
    assert "libcudart.so.13" in done.stdout
    assert "FAIL  mmcv operators" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_missing_opencv_is_the_only_problem_and_pip_puts_it_back(monkeypatch):
    """What `pip uninstall opencv-python` leaves beside the headless one: a distribution without its files."""
    asked = {}

    def probes(programs):
        asked.update(programs)
        missing = ({}, "ModuleNotFoundError: No module named 'cv2'")
        return {"OpenCV": missing, "mmcv operators": missing}

    monkeypatch.setattr(doctor, "find_spec", lambda module: None)
    monkeypatch.setattr(doctor, "run_probes", probes)
    monkeypatch.setattr(sys, "prefix", "/somewhere/else")
    opencv, mmcv = doctor.examine_probes()
    assert list(asked) == ["OpenCV"]
    assert opencv.status == "problem" and opencv.repair.endswith("--force-reinstall 'opencv-python-headless<5'")
    assert (mmcv.status, mmcv.found) == ("note", "not tried: needs OpenCV")


def test_this_environment_is_healthy():
    findings = doctor.examine()
    assert not [finding for finding in findings if finding.status == "problem"], doctor.report(findings)
    assert {"torch", "CUDA", "torchvision", "OpenCV"} <= {finding.subject for finding in findings}
