"""Files: written by mmengine and by us, loaded strictly, safely, and without poa_bench."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from mmengine.logging import MessageHub
from mmengine.runner import save_checkpoint

from poa_bench.cli import main
from poa_bench.elastic import SearchSpace, SubnetSpec, Supernet, load_backbone, load_subnet, load_supernet, save_subnet
from poa_bench.errors import InputError

SPACE = SearchSpace("vit", widths=[16, 32], depths=[2, 3], head_dim=16)
SPEC = SubnetSpec("vit", 16, (2,))


@pytest.fixture
def supernet() -> Supernet:
    torch.manual_seed(0)
    return Supernet(SPACE, image_size=16, patch_size=4, init_values=0.5, drop_path_rate=0.1).eval()


@pytest.fixture
def checkpoint(supernet, tmp_path) -> Path:
    """A training checkpoint as mmengine writes it, message hub included."""
    hub = MessageHub.get_instance("test_checkpoint")
    for step in range(3):
        hub.update_scalar("train/loss", float(step))
        hub.update_scalar("train/lr", np.float64(step))
    state = {f"teacher.backbone.{name}": tensor for name, tensor in supernet.state_dict().items()}
    state |= {name.replace("teacher", "student"): tensor + 1 for name, tensor in state.items()}
    path = tmp_path / "epoch_1.pth"
    save_checkpoint(
        {
            "state_dict": state,
            "meta": {"poa_bench": supernet.describe(), "epoch": 1},
            "message_hub": hub.state_dict(),
        },
        str(path),
    )
    return path


def test_load_supernet_without_a_config(supernet, checkpoint):
    images = torch.randn(2, 3, 16, 16)
    teacher, student = load_supernet(checkpoint), load_supernet(checkpoint, "student")
    assert torch.equal(teacher(images, SPEC).cls, supernet(images, SPEC).cls)
    assert torch.equal(student.network.pos_embed, supernet.network.pos_embed + 1)


def test_extracted_file_loads_in_plain_timm(supernet, checkpoint, tmp_path, capsys):
    output = tmp_path / "small.safetensors"
    assert main(["extract", str(checkpoint), str(SPEC), "-o", str(output)]) == 0
    assert "parameters" in capsys.readouterr().out
    images = torch.randn(2, 3, 16, 16)
    torch.save(images, tmp_path / "images.pt")
    script = """
import sys
sys.modules["poa_bench"] = None  # importing it is now an error
import json, torch
from safetensors import safe_open
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer
with safe_open("small.safetensors", "pt") as file:
    arguments = json.loads(file.metadata()["timm_arguments"])
module = VisionTransformer(**arguments).eval()
module.load_state_dict(load_file("small.safetensors"), strict=True)
torch.save(module(torch.load("images.pt")), "features.pt")
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    with torch.no_grad():
        expected = supernet(images, SPEC).cls
    torch.testing.assert_close(torch.load(tmp_path / "features.pt"), expected, atol=1e-5, rtol=0)


def test_extracted_file_loads_through_create_model(tmp_path):
    space = SearchSpace("vit", widths=[192, 256], depths=[12, 13], head_dim=64)
    supernet = Supernet(space, image_size=224, patch_size=16)
    path = tmp_path / "tiny.safetensors"
    module = save_subnet(supernet.eval(), space.smallest, path, "0" * 64)
    # vit_tiny_patch16_224 is 192 wide and 12 deep
    created = timm.create_model("vit_tiny_patch16_224", num_classes=0, checkpoint_path=str(path)).eval()
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(created(images), module(images), atol=1e-5, rtol=0)


def test_load_backbone_from_both_kinds(supernet, checkpoint, tmp_path):
    output = tmp_path / "small.safetensors"
    main(["extract", str(checkpoint), str(SPEC), "-o", str(output)])
    cut, report = load_backbone(checkpoint, str(SPEC))
    loaded, file_report = load_backbone(output)
    assert report.loaded == report.total == file_report.total == len(cut.state_dict())
    assert "(100 %)" in str(report) and file_report.spec == SPEC
    for name, tensor in cut.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    metadata = load_subnet(output)[1]
    assert metadata["source_sha256"] == report.sha256
    assert "drop_path_rate" not in json.loads(metadata["timm_arguments"])


def test_a_missing_tensor_is_an_error(checkpoint, tmp_path):
    broken = torch.load(checkpoint, weights_only=False)
    del broken["state_dict"]["teacher.backbone.network.norm.weight"]
    torch.save(broken, tmp_path / "broken.pth")
    with pytest.raises(InputError, match="norm.weight"):
        load_supernet(tmp_path / "broken.pth")


def test_bad_files(checkpoint, tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        load_supernet(tmp_path / "absent.pth")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(InputError, match="not a training checkpoint"):
        load_supernet(tmp_path / "text.pth")
    torch.save({"state_dict": {}}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="not written by a poa_bench"):
        load_supernet(tmp_path / "other.pth")
    with pytest.raises(InputError, match="unknown branch"):
        load_supernet(checkpoint, "ema")
    with pytest.raises(InputError, match="say which size"):
        load_backbone(checkpoint)
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(InputError, match="not a safetensors"):
        load_backbone(tmp_path / "text.safetensors")


def test_extract_errors_leave_no_file(checkpoint, tmp_path, capsys):
    for spec, output, message in (
        ("vit-w64-d2", "a.safetensors", "not in this supernet's space"),
        ("vit", "a.safetensors", "unknown sub-network"),
        (str(SPEC), "a.bin", "give a name with .safetensors"),
    ):
        assert main(["extract", str(checkpoint), spec, "-o", str(tmp_path / output)]) == 2
        assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch_1.pth"]
