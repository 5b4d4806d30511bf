"""Training checkpoints that other people's tools have written or wrapped give the same tensors, bit for bit."""

import importlib.util
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch.nn.parallel import DistributedDataParallel

from poa_bench.cli import main
from poa_bench.elastic import load_backbone, load_supernet
from poa_bench.elastic.training_checkpoint import read_training_checkpoint
from poa_bench.errors import InputError
from tests.pretraining.runs import MIM, train_here

SPEC = "vit-w32-d2"
MOMENTUM = 0.3
STEPS = 5
LAST = f"iter_{STEPS}.pth"
SHORT = (
    f"train_cfg.max_iters={STEPS}",
    "default_hooks.checkpoint.interval=1",
    "default_hooks.checkpoint.max_keep_ckpts=-1",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The same steps of a real training without (`plain`) and with mmengine's EMAHook (`averaged`)."""
    folder = tmp_path_factory.mktemp("trained")
    hook = {"type": "EMAHook", "momentum": MOMENTUM}
    publish = "default_hooks.checkpoint.published_keys=['meta','state_dict']"
    train_here(folder / "plain", *SHORT, publish)
    train_here(folder / "averaged", *SHORT, change=lambda config: config.update(custom_hooks=[hook]))
    return folder


@pytest.fixture(scope="module")
def model(trained):
    """The trained model, and the `meta` of its checkpoint."""
    from poa_bench.launch import build_runner, read_config
    from tests.pretraining.runs import arguments

    checkpoint = read_training_checkpoint(trained / "plain" / LAST)
    model = build_runner(read_config(arguments(trained / "unused", *SHORT))).model
    model.load_state_dict(checkpoint["state_dict"])
    return model, checkpoint["meta"]


def extracted(path: Path, *options: str) -> dict[str, torch.Tensor]:
    output = path.with_suffix(".safetensors")
    assert main(["extract", str(path), SPEC, "-o", str(output), *options]) == 0
    return safetensors.torch.load_file(output)


def assert_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert not [name for name in found if not torch.equal(found[name], expected[name])]


def test_a_published_checkpoint_of_mmengine(trained):
    (published,) = (trained / "plain").glob(f"iter_{STEPS}-*.pth")
    assert_equal(extracted(published), extracted(trained / "plain" / LAST))


def whole_file(folder: Path) -> Path:
    """The published file, which these scripts rename in a process that they do not wait for."""
    for _ in range(100):
        if published := list(folder.glob("published[-_]*.pth")):
            return published[0]
        time.sleep(0.05)
    raise AssertionError(f"nothing was published in {folder}")


def mmdet_script() -> list[str]:
    folder = Path(importlib.util.find_spec("mmdet").origin).parent / ".mim" / "tools" / "model_converters"
    return [sys.executable, str(folder / "publish_model.py")]


def by_mim(package: str) -> list[str]:
    return [MIM, "run", package, "publish_model"]


@pytest.mark.parametrize(
    "command",
    [
        mmdet_script,
        # 8 s each on a free core: mim, and the script that it starts, import torch
        pytest.param(lambda: by_mim("mmdetection"), marks=pytest.mark.slow, id="mim_mmdetection"),
        pytest.param(lambda: by_mim("mmsegmentation"), marks=pytest.mark.slow, id="mim_mmsegmentation"),
        pytest.param(lambda: by_mim("onedl-mmpretrain"), marks=pytest.mark.slow, id="mim_mmpretrain"),
    ],
)
def test_publish_model(trained, tmp_path, command):
    """mmdet's script writes torch's old format, which cannot be mapped into memory."""
    for package in ("mmdet", "mmseg", "mmpretrain"):
        pytest.importorskip(package)
    script = [*command(), str(trained / "plain" / LAST), str(tmp_path / "published.pth")]
    # these scripts do not name mmengine's classes to torch, which then reads no checkpoint of any mmengine training
    environment = {**os.environ, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
    subprocess.run(script, env=environment, check=True, capture_output=True)
    published = whole_file(tmp_path)
    expected = extracted(trained / "plain" / LAST)
    assert_equal(extracted(published), expected)
    module, report = load_backbone(published, SPEC)
    assert_equal(module.state_dict(), expected)
    assert report.loaded == report.total == len(expected)


def test_names_that_wrappers_change(trained, model, tmp_path):
    model, meta = model
    expected = extracted(trained / "plain" / LAST)
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        wrapped = {"ddp": DistributedDataParallel(model).state_dict()}
        wrapped["both"] = torch.compile(DistributedDataParallel(model)).state_dict()
    finally:
        torch.distributed.destroy_process_group()
    whole, model.teacher.backbone = model.teacher.backbone, torch.compile(model.teacher.backbone)
    wrapped["inner"] = model.state_dict()
    model.teacher.backbone = whole
    begins = {"ddp": "module.teacher.", "both": "_orig_mod.module.teacher.", "inner": "teacher.backbone._orig_mod."}
    for name, state in wrapped.items():
        assert any(key.startswith(begins[name]) for key in state)
        torch.save({"state_dict": state, "meta": meta}, tmp_path / f"{name}.pth")
        assert_equal(extracted(tmp_path / f"{name}.pth"), expected)
    twice = {**wrapped["ddp"], "teacher.backbone.network.norm.bias": torch.zeros(48)}
    torch.save({"state_dict": twice, "meta": meta}, tmp_path / "twice.pth")
    with pytest.raises(InputError, match="network.norm.bias twice"):
        load_supernet(tmp_path / "twice.pth")


@pytest.mark.parametrize("branch", ["teacher", "student"])
def test_weights_and_their_averages_can_be_told_apart(trained, branch, capsys):
    """Averages: mmengine starts with the first step's weights. Weights: those of the same training without averages."""
    steps = [
        load_backbone(trained / "plain" / f"iter_{step}.pth", SPEC, branch)[0].state_dict()
        for step in range(1, STEPS + 1)
    ]
    assert any(not torch.equal(steps[0][name], steps[-1][name]) for name in steps[0])
    path = trained / "averaged" / LAST
    assert_equal(extracted(path, "--branch", f"{branch}-unaveraged"), steps[-1])
    assert f"of the {branch}-unaveraged" in capsys.readouterr().out
    found = extracted(path, "--branch", branch)
    for name, average in steps[0].items():
        for step in steps[1:]:
            average = (1 - MOMENTUM) * average + MOMENTUM * step[name]
        torch.testing.assert_close(found[name], average, rtol=1e-5, atol=1e-7)


def test_it_is_said_which_weights_are_taken(trained, caplog, tmp_path):
    path = tmp_path / "said.pth"
    path.write_bytes((trained / "averaged" / LAST).read_bytes())
    load_supernet(path)
    assert "averages of mmengine's EMAHook are taken; branch 'teacher-unaveraged' is without" in caplog.text
    with pytest.raises(InputError, match="holds no student-unaveraged: no EMAHook wrote it"):
        load_supernet(trained / "plain" / LAST, "student-unaveraged")


class _Malicious:
    def __reduce__(self):
        return (os.mkdir, ("pwned",))


@pytest.mark.parametrize("new_format", [True, False])
def test_a_foreign_pickle_is_not_executed(tmp_path, monkeypatch, new_format):
    monkeypatch.chdir(tmp_path)
    Path("plain.pth").write_bytes(pickle.dumps(_Malicious()))
    torch.save({"meta": _Malicious()}, "torch.pth", _use_new_zipfile_serialization=new_format)
    for name in ("plain.pth", "torch.pth"):
        with pytest.raises(InputError, match="cannot be read|can be read safely"):
            load_supernet(name)
    assert not Path("pwned").exists()


def test_what_cannot_be_cut_is_explained(trained, model, tmp_path):
    model, _ = model
    torch.save(model.state_dict(), tmp_path / "tensors.pth")
    with pytest.raises(InputError, match="save these tensors with the `meta`"):
        load_supernet(tmp_path / "tensors.pth")
    dense = {"state_dict": {"backbone.network.norm.bias": torch.zeros(3)}, "meta": {"cfg": ""}}
    torch.save(dense, tmp_path / "detector.pth")
    with pytest.raises(InputError, match="whose backbone has one size; `poa-bench export` without a size"):
        load_supernet(tmp_path / "detector.pth")
