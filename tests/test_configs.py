"""Rules that every config file keeps, so that mim finds it, mmengine reads it and its model builds."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from mmengine.config import Config

from poa_bench import registry
from poa_bench.cli import main
from poa_bench.config_files import find_config, read_config, runnable_configs
from poa_bench.downstream.architecture import read_architecture
from poa_bench.downstream.images import EvaluationData
from poa_bench.errors import InputError
from poa_bench.sweep.plan import load_sweep
from tests.conftest import REPOSITORY

CONFIGS = sorted(
    path for folder in ("configs", "pretrain", "downstream") for path in (REPOSITORY / folder).rglob("*.py")
)
REGISTRIES = [value for value in vars(registry).values() if isinstance(value, registry.OnDemandRegistry)]
NAMES = [str(path.relative_to(REPOSITORY)) for path in CONFIGS]
each_config = pytest.mark.parametrize("path", CONFIGS, ids=NAMES)


def types_in(path: Path) -> Iterator[str]:
    """Every string written as a `type` in a config, in `dict(type=...)` and in `{'type': ...}`."""
    for node in ast.walk(ast.parse(path.read_text())):
        pairs = []
        if isinstance(node, ast.Call):
            pairs = [(keyword.arg, keyword.value) for keyword in node.keywords]
        elif isinstance(node, ast.Dict):
            pairs = [
                (key.value, value) for key, value in zip(node.keys, node.values, strict=True) if hasattr(key, "value")
            ]
        yield from (value.value for key, value in pairs if key == "type" and isinstance(value, ast.Constant))


def test_base_names_are_unique_for_mim():
    """mim finds a config by its base name, in the whole tree (an environment inside it included)."""
    counts = Counter(path.name for path in CONFIGS)
    assert not [name for name, count in counts.items() if count > 1]
    others = {
        path.name
        for folder in ("poa_bench", "tools", "tests", "reports")
        for path in (REPOSITORY / folder).rglob("*.py")
    }
    for package in ("mmdet", "mmseg", "mmpretrain"):
        if spec := find_spec(package):
            others |= {path.name for path in Path(spec.origin).parent.rglob("configs/**/*.py")}
    assert not others & set(runnable_configs())


@each_config
def test_config_is_text_without_imports(path):
    assert not Config._is_lazy_import(str(path))
    assert not [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]


@each_config
def test_our_types_are_spelt_with_their_scope_and_exist(path):
    for each in REGISTRIES:
        each.import_from_location()
    ours = {name for each in REGISTRIES for name in (*each.module_dict, *each.on_demand)}
    for name in types_in(path):
        scope, _, base_name = name.rpartition(".")
        if scope == "poa_bench":
            assert base_name in ours, f"{name} is not registered"
        else:
            assert name not in ours, f"write poa_bench.{name}"


@each_config
def test_config_loads(path):
    Config.fromfile(path)


BUILD_MODELS = """
import sys
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
for path in sys.argv[1:]:
    config = Config.fromfile(path)
    init_default_scope(config.get("default_scope", "poa_bench"))
    print("building", path, file=sys.stderr, flush=True)
    large = "pretrain" in path or "finetune" in path  # a ViT-L and its teacher need no memory on meta
    with torch.device("meta" if large else "cpu"):
        model = MODELS.build(config.model)
    assert isinstance(model, torch.nn.Module) and any(True for _ in model.parameters())
"""


@pytest.mark.parametrize("folder", ["pretrain", "downstream"])
def test_every_model_builds_in_a_fresh_process(folder):
    if folder == "downstream":
        pytest.importorskip("mmdet")
        pytest.importorskip("mmseg")
    configs = [path for path in runnable_configs().values() if path.parent.name != "sweeps"]
    paths = [str(path) for path in configs if REPOSITORY / folder in path.parents]
    assert paths
    done = subprocess.run([sys.executable, "-c", BUILD_MODELS, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "downstream" / "sweeps").glob("*.py")), ids=lambda path: path.name
)
def test_sweep_is_valid(path):
    assert load_sweep(path).tasks


def test_find_config_takes_a_name_and_suggests_the_nearest():
    name, path = next(iter(runnable_configs().items()))
    assert find_config(name) == find_config(name.removesuffix(".py")) == path
    with pytest.raises(InputError, match=f"did you mean .*{name}"):
        find_config(name.replace("_", "-"))
    with pytest.raises(InputError, match="config-path"):
        find_config("?")
    assert find_config(str(path.relative_to(REPOSITORY))) == find_config(str(path)) == path


@pytest.mark.parametrize("read", [find_config, read_config, load_sweep, EvaluationData.load, read_architecture])
def test_a_path_that_is_not_there_is_not_taken_for_a_name(read):
    with pytest.raises(InputError, match="no .*nowhere/"):
        read("nowhere/poa_vit-digits.py")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = dict(", "SyntaxError: '[(]' was never closed"),
        ("a = 1 / 0", "ZeroDivisionError"),
        ('_base_ = "nowhere.py"', "or a _base_ of it, cannot be read: .*nowhere.py"),
        ("a = [1]", "a.1=2 does not fit .*one.py"),
    ],
)
def test_a_config_that_cannot_be_read_is_one_sentence(tmp_path, text, message):
    path = tmp_path / "one.py"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_config(path, {"a.1": 2})


def test_building_blocks_are_listed_with_a_sentence_and_found(capsys):
    assert main(["config-path", "--blocks"]) == 0
    listed = capsys.readouterr().out.splitlines()
    names, sentences = listed[::2], listed[1::2]
    assert "models/mask_rcnn_levels.py" in names and len(names) == len(list((REPOSITORY / "configs").rglob("*.py")))
    assert all(sentence.strip() and not sentence.rstrip().endswith(",") for sentence in sentences)
    assert main(["config-path", "mask_rcnn_levels"]) == 0
    assert capsys.readouterr().out.strip() == str(REPOSITORY / "configs/_base_/models/mask_rcnn_levels.py")
    with pytest.raises(InputError):
        find_config("mask_rcnn_levels")  # cannot be run
