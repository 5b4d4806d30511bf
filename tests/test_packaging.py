"""What is installed where: the wheel, the core without the dense libraries, the set-up script's early checks."""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from poa_bench import doctor
from tests.conftest import REPOSITORY
from tests.mim_client import seen_by_mim

BLOCK_DENSE_LIBRARIES = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("mmcv", "mmdet", "mmseg", "mmpretrain"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
"""


def run_python(program: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, **options)


def tracked_files(*folders: str) -> list[str]:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *folders]
    names = subprocess.run(listed, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in names if (REPOSITORY / name).is_file()]


def test_every_module_imports_without_the_dense_libraries():
    modules = [name[:-3].replace("/", ".") for name in tracked_files("poa_bench") if name.endswith(".py")]
    program = f"""{BLOCK_DENSE_LIBRARIES}
import importlib
from poa_bench import registry
registries = [value for value in vars(registry).values() if isinstance(value, registry.OnDemandRegistry)]
dense = {{module for each in registries for module in each.on_demand.values()}}
for name in {[name.removesuffix(".__init__") for name in modules]!r}:
    if name not in dense:
        importlib.import_module(name)
for each in registries:
    each.import_from_location()
"""
    done = run_python(program, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr


def test_every_imported_library_is_declared():
    text = (REPOSITORY / "pyproject.toml").read_text().partition("[tool.uv]")[0]
    declared = {name.lower().replace("-", "_") for name in re.findall(r'"([A-Za-z][\w.-]*)(?:[<>=][^"]*)?"', text)}
    imported = set()
    for name in tracked_files("poa_bench", "tools", "tests", "benchmarks"):
        nodes = ast.walk(ast.parse((REPOSITORY / name).read_text())) if name.endswith(".py") else ()
        for node in nodes:
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module.split(".")[0])
    distributions = metadata.packages_distributions()
    undeclared = {
        module
        for module in imported - set(sys.stdlib_module_names) - {"poa_bench", "tests", "benchmarks"}
        if not declared & {name.lower().replace("-", "_") for name in distributions.get(module, [module])}
    }
    assert not undeclared - {path.stem for path in (REPOSITORY / "tools").glob("*.py")}  # they import each other


def test_pins_for_uv_and_for_pip_are_the_same():
    text = (REPOSITORY / "pyproject.toml").read_text()
    block = re.search(r"constraint-dependencies = \[(.*?)\]", text, re.DOTALL).group(1)
    assert re.findall(r'"(.+)==(.+)"', block) == list(doctor.tested_versions().items())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy of the source files."""
    source = tmp_path_factory.mktemp("source")
    for name in tracked_files():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, source / name)
    program = "from setuptools import build_meta; print(build_meta.build_wheel('dist'))"
    done = run_python(program, cwd=source)
    assert done.returncode == 0, done.stderr
    assert not (source / "poa_bench" / ".mim").exists()
    return next((source / "dist").glob("*.whl"))


def test_wheel_holds_the_package_its_data_and_the_configs(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    packed = tracked_files("configs", "pretrain", "downstream", "tools/train.py", "tools/test.py", "model-index.yml")
    packed += tracked_files("reports/published")
    expected = set(tracked_files("poa_bench")) | {f"poa_bench/.mim/{name}" for name in packed}
    assert expected <= held, sorted(expected - held)
    assert [name for name in held if name.endswith(".data/purelib/poa_bench_operators.pth")]
    assert not [name for name in held if name.startswith(("tests/", "configs/", "tools/"))]


def test_configs_are_found_from_the_wheel(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    options = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(tmp_path)}}
    main = "from poa_bench.cli import main; main"
    listed = run_python(f"{main}(['config-path'])", **options).stdout.split()
    assert listed and set(listed) == {
        Path(name).name
        for name in tracked_files("pretrain", "downstream", "configs/_base_/datasets")
        if name.endswith(".py") and ("_base_" not in name or "/evaluation_" in name)
    }
    path = run_python(f"{main}(['config-path', {listed[0]!r}])", **options).stdout.strip()
    assert Path(path).is_relative_to(tmp_path / "poa_bench" / ".mim")
    loaded = run_python(f"from mmengine.config import Config; Config.fromfile({path!r})", **options)
    assert loaded.returncode == 0, loaded.stderr  # its _base_ files are in the wheel too


def test_mim_finds_models_and_tools_in_the_wheel(wheel, tmp_path):
    """Unpacked: mim 0.5.1 takes the first line of RECORD for the package, and installers sort scripts before it."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    found = seen_by_mim(tmp_path / "elsewhere", str(tmp_path))
    assert found["root"] == str(tmp_path / "poa_bench") and "poa_bench" in found["listed"]
    for model in found["models"].values():
        assert (tmp_path / "poa_bench" / ".mim" / model["config"]).is_file()


@pytest.fixture
def bare_checkout(tmp_path) -> Path:
    for name in ("pyproject.toml", "setup.py", "Makefile", "tools/setup_environment.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(REPOSITORY / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"PYTHON": "/no/such/python"}, r"Python 3\.10, 3\.11 or 3\.12"),
        ({"MMCV_OPS": "compiled", "CXX": "no-such-compiler"}, r"C\+\+17 compiler"),
        ({"MMCV_OPS": "yes"}, r"MMCV_OPS is 'yes': use torchvision .* or compiled"),
        ({"MINIMUM_FREE_GB": "9999999"}, r"disk space: 9999999 GB are needed"),
    ],
)
def test_setup_says_early_what_is_missing(bare_checkout, setting, message):
    done = subprocess.run(["make", "test"], cwd=bare_checkout, capture_output=True, text=True, env=os.environ | setting)
    assert done.returncode != 0
    assert re.search(message, done.stderr), done.stderr
    assert not (bare_checkout / ".venv").exists()


def test_setup_names_a_python_that_is_too_old(bare_checkout):
    old = bare_checkout / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" && exit 0\nexit 1\n')
    old.chmod(0o755)
    command = ["make", "demo", f"PYTHON={old}"]
    done = subprocess.run(command, cwd=bare_checkout, capture_output=True, text=True)
    assert done.returncode != 0 and "Python 3.9.2" in done.stderr, done.stderr


def test_rooms_import_one_way():
    """The contract in pyproject.toml, by which `report` may import `sweep` and never the other way round."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0 and "1 kept, 0 broken" in done.stdout, done.stdout + done.stderr
