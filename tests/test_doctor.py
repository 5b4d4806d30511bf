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


def test_pip_repair_of_mmcv_compiles_against_the_installed_torch(monkeypatch):
    monkeypatch.setattr(sys, "prefix", "/somewhere/else")
    command = doctor.install_command("onedl-mmcv", broken=True)
    version = doctor.tested_versions()["onedl-mmcv"]
    for part in ("MMCV_WITH_OPS=1", "--no-build-isolation", "--no-cache-dir", "ninja", f"onedl-mmcv=={version}"):
        assert part in command


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
