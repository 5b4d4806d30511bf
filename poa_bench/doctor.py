"""What is installed, whether it works together, and the one command that repairs each problem.

Runs where torch or mmcv is missing or broken: it imports the standard library only and tries the libraries in another
process, which is started again behind a library that crashes it.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

PACKAGE = Path(__file__).resolve().parent
SUPPORTED_PYTHON = ((3, 10), (3, 12))
SHARED_MEMORY = 1 << 30  # bytes that should be free
PROBE_SECONDS = 120

# the original names of the same libraries: their last releases are older than today's torch
ORIGINAL_NAMES = {
    "onedl-mmengine": "mmengine",
    "onedl-mmcv": "mmcv",
    "onedl-mmdetection": "mmdet",
    "onedl-mmsegmentation": "mmsegmentation",
    "onedl-mmpretrain": "mmpretrain",
    "onedl-mim": "openmim",
}
LIMITS = {"opencv-python-headless": "<5"}  # of what has no tested version
NEEDED_FOR = {
    "onedl-mmcv": "detection and segmentation",
    "onedl-mmdetection": "detection",
    "onedl-mmsegmentation": "segmentation",
    "onedl-mmpretrain": "fine-tuned classification",
}

# name -> (module, a program that uses it for real and leaves what it found in `facts`, the distributions to reinstall)
PROBES = {
    "torch": (
        "torch",
        "import torch; count = torch.cuda.device_count() if torch.cuda.is_available() else 0; "
        "facts = dict(build=torch.version.cuda, devices=[torch.cuda.get_device_name(i) for i in range(count)])",
        ("torch", "torchvision"),
    ),
    "torchvision": (
        "torchvision",
        "import torch, torchvision; torchvision.ops.nms(torch.rand(2, 4), torch.rand(2), 0.5)",
        ("torch", "torchvision"),
    ),
    "OpenCV": ("cv2", "import cv2; facts = dict(version=cv2.__version__)", ("opencv-python-headless",)),
    "mmcv operators": (
        "mmcv",
        "import torch; from mmcv import _ext; from mmcv.ops import nms; "
        "nms(torch.tensor([[0., 0, 1, 1]]), torch.ones(1), 0.5); "
        "facts = dict(file=_ext.__file__, compiler=_ext.get_compiler_version()); "
        "facts['cuda'] = _ext.get_compiling_cuda_version()",
        ("onedl-mmcv",),
    ),
    "mmdet": ("mmdet", "import mmdet", ("onedl-mmdetection",)),  # each checks the versions of its neighbours
    "mmseg": ("mmseg", "import mmseg, ftfy, regex", ("onedl-mmsegmentation", "ftfy", "regex")),
}

# Reads {name: program}, answers with one line [name, facts, failure] each, as soon as it is known.
PROBE_RUNNER = """
import json, sys, warnings
warnings.simplefilter("ignore")
answers, sys.stdout = sys.stdout, sys.stderr  # libraries that print must not disturb the answers
for name, program in json.load(sys.stdin).items():
    names, failure = {"facts": {}}, ""
    try:
        exec(program, names)
    except BaseException as error:
        failure = f"{type(error).__name__}: {error}".splitlines()[0]
    print(json.dumps([name, names["facts"], failure]), file=answers, flush=True)
"""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor: `status` is 'ok', 'note' (works, but ...) or 'problem'; `repair` is a shell command."""

    subject: str
    found: str
    status: Literal["ok", "note", "problem"] = "ok"
    tested: str = ""
    repair: str = ""


def tested_versions() -> dict[str, str]:
    """Distribution name -> the version that this release was tested with."""
    lines = (PACKAGE / "tested-versions.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def install_command(*distributions: str, broken: bool = False) -> str:
    """The shell command that installs `distributions` at their tested versions, again if they are `broken`.

    This package is installed from its checkout, if it is in one.
    """
    checkout = PACKAGE.parent
    uv = checkout / ".venv" / "bin" / "uv"
    if Path(sys.prefix) == checkout / ".venv" and uv.is_file():
        again = "".join(f" --reinstall-package {name}" for name in distributions) if broken else ""
        return f"cd {checkout} && {uv} sync --inexact --all-extras{again}"
    pip = f"{sys.executable} -m pip install"
    if distributions == ("poa_bench",) and (checkout / "pyproject.toml").is_file():
        return f"{pip} --no-deps --force-reinstall -e {shlex.quote(str(checkout))}"
    limits = LIMITS | {name: f"=={version}" for name, version in tested_versions().items()}
    wanted = shlex.join(name + limits.get(name, "") for name in distributions)
    return f"{pip} --force-reinstall {wanted}" if broken else f"{pip} {wanted}"


def examine_python() -> Finding:
    version = sys.version.split()[0]
    lowest, highest = (".".join(map(str, bound)) for bound in SUPPORTED_PYTHON)
    if SUPPORTED_PYTHON[0] <= sys.version_info[:2] <= SUPPORTED_PYTHON[1]:
        return Finding("Python", version, tested=f"{lowest} to {highest}")
    return Finding("Python", version, "problem", f"{lowest} to {highest}", f"make setup PYTHON=python{highest}")


def examine_version(distribution: str, tested: str) -> Finding:
    """Compare the installed version of one library with the tested one."""
    try:
        found = metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return _examine_missing(distribution, tested)
    if found.split("+")[0] == tested:  # '2.11.0+cpu' is a build of 2.11.0
        return Finding(distribution, found, tested=tested)
    return Finding(distribution, f"{found}, which was not tried", "note", tested, install_command(distribution))


def _examine_missing(distribution: str, tested: str) -> Finding:
    original = ORIGINAL_NAMES.get(distribution)
    repair = install_command(distribution)
    try:
        version = metadata.version(original) if original else None
    except metadata.PackageNotFoundError:
        version = None
    if version:
        return Finding(distribution, f"the original {original} {version}, which was not tried", "note", tested, repair)
    purpose = NEEDED_FOR.get(distribution)
    found = f"missing: no {purpose}" if purpose else "missing"
    return Finding(distribution, found, "note" if purpose else "problem", tested, repair)


def run_probes(programs: dict[str, str]) -> dict[str, tuple[dict, str]]:
    """Run short programs in another process.

    Returns:
        name -> (the facts that the program left, the reason why it failed or '' if it did not).
    """
    outcomes: dict[str, tuple[dict, str]] = {}
    while left := {name: program for name, program in programs.items() if name not in outcomes}:
        child = [sys.executable, "-c", PROBE_RUNNER]
        reason = ""
        try:
            done = subprocess.run(child, input=json.dumps(left), capture_output=True, text=True, timeout=PROBE_SECONDS)
            printed = done.stdout
            reason = f"the process ended with status {done.returncode}"
        except subprocess.TimeoutExpired as expired:
            printed = (expired.stdout or b"").decode()
            reason = f"no answer in {PROBE_SECONDS} s"
        for name, facts, failure in map(json.loads, printed.splitlines()):
            outcomes[name] = (facts, failure)
        culprit = next((name for name in left if name not in outcomes), None)
        if culprit:  # the one that took the process with it; the others get a new process
            outcomes[culprit] = ({}, reason)
    return outcomes


def examine_probes() -> list[Finding]:
    """Use each installed library for real (of one that is not installed, the version check tells).

    OpenCV is always tried: several distributions bring it, and removing one takes the files of the others with it.
    """
    programs = {name: program for name, (module, program, _) in PROBES.items() if find_spec(module) or name == "OpenCV"}
    findings = []
    for name, (facts, failure) in run_probes(programs).items():
        if "cv2" in failure and name != "OpenCV":
            findings.append(Finding(name, "not tried: needs OpenCV", "note"))
        elif failure:
            missing_operators = "No module named 'mmcv._ext'" in failure  # nothing tells Python of poa_bench.operators
            culprits = ("poa_bench",) if missing_operators else PROBES[name][2]
            repair = install_command(*culprits, broken=True)
            findings.append(Finding(name, f"does not work: {failure}", "problem", repair=repair))
        elif name == "torch":
            findings.append(_examine_cuda(facts))
        elif name == "mmcv operators":
            findings.append(_examine_operators(facts))
        else:
            findings.append(Finding(name, facts.get("version", "works")))
    return findings


def _examine_cuda(facts: dict) -> Finding:
    if facts["devices"]:
        return Finding("CUDA", f"{facts['build']}: {', '.join(facts['devices'])}")
    if facts["build"] and shutil.which("nvidia-smi"):
        found = f"torch was built for CUDA {facts['build']} and sees no device: the NVIDIA driver may be too old for it"
        return Finding("CUDA", found, "note", repair="nvidia-smi  # compare its 'CUDA Version' and update the driver")
    return Finding("CUDA", "no device, the CPU is used")


def _examine_operators(facts: dict) -> Finding:
    """Which operators are in use: torchvision's (`poa_bench/operators`), or mmcv's own where they were compiled."""
    origin = "torchvision's" if Path(facts["file"]).suffix == ".py" else f"mmcv's own, compiled by {facts['compiler']}"
    has_cuda = "not available" not in facts["cuda"].lower()
    if has_cuda or not shutil.which("nvidia-smi"):
        return Finding("mmcv operators", f"{origin}, " + (f"CUDA {facts['cuda']}" if has_cuda else "for the CPU"))
    # another build of mmcv, in pip's isolation where no torch is, has no operators: torchvision's take over
    repair = install_command("onedl-mmcv", broken=True)
    return Finding("mmcv operators", f"{origin}, for the CPU only (built without nvcc)", "note", repair=repair)


def examine_shared_memory(folder: str = "/dev/shm") -> Finding:
    """Processes that read data hand batches on through it; containers have 64 MB where nobody asks for more."""
    subject = "shared memory"
    if not os.path.isdir(folder):
        return Finding(subject, f"there is no {folder}: not needed here")
    free = shutil.disk_usage(folder).free
    said = f"{free / 2**20:,.0f} MB free in {folder}"
    if free >= SHARED_MEMORY:
        return Finding(subject, said)
    repair = "docker run --shm-size=8g, or train_dataloader.num_workers=0"
    return Finding(subject, f"{said}: batches of large pictures do not fit", "note", repair=repair)


def examine() -> list[Finding]:
    """Everything the doctor looks at, in the order in which it is printed."""
    versions = (examine_version(name, version) for name, version in tested_versions().items())
    return [examine_python(), *versions, *examine_probes(), examine_shared_memory()]


def report(findings: list[Finding]) -> str:
    """The findings as text: a table, then what to do about each problem and note."""
    width = max(len(finding.subject) for finding in findings)
    marks = {"ok": "ok  ", "note": "note", "problem": "FAIL"}
    lines = []
    for finding in findings:
        tested = f"  (tested: {finding.tested})" if finding.tested else ""
        lines.append(f"{marks[finding.status]}  {finding.subject:{width}}  {finding.found}{tested}")
        if finding.repair:
            lines.append(f"      {'':{width}}  -> {finding.repair}")
    problems = sum(finding.status == "problem" for finding in findings)
    lines.append(f"{problems} problem(s): run the command after each FAIL" if problems else "everything needed works")
    return "\n".join(lines)


def main() -> int:
    """Print the report.

    Returns:
        1 if there is a problem, 0 otherwise; notes do not count.
    """
    findings = examine()
    print(report(findings))
    return int(any(finding.status == "problem" for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
