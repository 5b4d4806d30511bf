"""The README shows what the kept report says and names files and commands that exist."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from timm.models.vision_transformer import VisionTransformer

from poa_bench.cli import build_parser
from poa_bench.config_files import find_config
from tests.conftest import REPOSITORY
from tests.downstream.networks import tiny_supernet, write_checkpoint

README = (REPOSITORY / "README.md").read_text()
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/your-data.md", "downstream/README.md"]


def test_results_are_those_of_the_kept_report():
    if not (REPOSITORY / "reports" / "demo").is_dir():
        pytest.skip("reports/demo is not there: keep the report of a whole `poa-bench demo` in it")
    spec = importlib.util.spec_from_file_location("update_readme", REPOSITORY / "tools" / "update_readme.py")
    update_readme = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(update_readme)
    assert update_readme.fill(README, update_readme.results_block()) == README, "run python tools/update_readme.py"
    assert (REPOSITORY / update_readme.FIGURE).is_file()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_and_config_names_lead_somewhere(document):
    text = (REPOSITORY / document).read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (REPOSITORY / document).parent.joinpath(target).exists(), target
    for name in re.findall(r"mim train poa_bench ([\w-]+\.py)", text):
        if name != "CONFIG.py":
            assert Path(find_config(name)).is_file()


@pytest.mark.parametrize("once_and_for_all", [False, True], ids=["srun-args", "mimrc"])
def test_mim_starts_the_processes_of_slurm(tmp_path, once_and_for_all):
    """The line of the README, with a `srun` that shows how it was called; and without `--srun-args`, by ~/.mimrc."""
    (line,) = re.findall(r"mim train poa_bench CONFIG.py --launcher slurm.*?(?<!\\)$", README, flags=re.S | re.M)
    words = shlex.split(line.replace("CONFIG.py", "poa_vit_imagenet.py"))
    if once_and_for_all:
        words = words[: words.index("--srun-args")]
        (tmp_path / ".mimrc").write_text(re.search(r"\[options.train\]\n *srun_args =", README)[0].replace(" ", ""))
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/sh\necho "srun $@"\n')
    srun.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    done = subprocess.run(
        [Path(sys.executable).with_name("mim"), *words[1:]],
        env={**os.environ, "PATH": path, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (called,) = (line for line in done.stdout.splitlines() if line.startswith("srun "))
    for part in ("--ntasks=32", "--ntasks-per-node=8", "--gres=gpu:8", "--cpus-per-task=12"):
        assert part in called.split()
    assert ("--time=7-0" in called.split()) is not once_and_for_all
    config, *launcher = called.split()[-3:]
    assert config.endswith("/pretrain/poa_vit_imagenet.py") and launcher == ["--launcher", "slurm"]


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch):
    (block,) = (text for text in re.findall(r"^```python\n(.*?)^```", README, flags=re.S | re.M) if "supernet" in text)
    write_checkpoint(tiny_supernet("vit"), tmp_path / "iter_670.pth")
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(block.replace("vit-w96-d2", "vit-w16-d3"), found)
    assert type(found["network"]) is VisionTransformer and not found["network"].training
    assert list(found["table"].index.get_level_values("spec")) == ["vit-w16-d3", "vit-w32-d5"]
    assert {"knn top1 · knn-k20-T0.07/1", "kmeans accuracy"} <= set(found["table"])


def test_every_command_shown_exists():
    shown = set(re.findall(r"`?poa-bench ([a-z][a-z-]+)", README))
    parser = build_parser()
    known = next(action.choices for action in parser._actions if action.dest == "command")
    assert shown and shown <= set(known)
