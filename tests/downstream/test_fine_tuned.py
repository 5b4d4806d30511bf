"""The backbone of a detector becomes a file of its own: the tensors bit for bit, as for any extracted file."""

import json

import pytest
import safetensors.torch
import timm
import torch
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import save_checkpoint
from safetensors import safe_open

from poa_bench.cli import main
from poa_bench.config_files import read_config
from poa_bench.elastic import load_backbone
from tests.downstream.networks import FAMILIES, SMALL, backbone_config, tiny_supernet, write_checkpoint

pytest.importorskip("mmdet")
MEAN, STD = [100.0, 110.0, 120.0], [50.0, 60.0, 70.0]


@pytest.fixture(scope="module", params=FAMILIES)
def detector(request, tmp_path_factory):
    """A detector whose backbone was trained a step from ours, and its checkpoint as mmengine writes it."""
    folder = tmp_path_factory.mktemp(request.param)
    supernet = write_checkpoint(tiny_supernet(request.param), folder / "supernet.pth")
    config = read_config("mask-rcnn_fpn_digits.py")
    init_default_scope("mmdet")
    preprocessor = {**config.model.data_preprocessor, "mean": MEAN, "std": STD}
    backbone = backbone_config(SMALL[request.param], supernet, drop_path_rate=0.1)
    model = MODELS.build({**config.model, "backbone": backbone, "data_preprocessor": preprocessor})
    model.init_weights()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    save_checkpoint({"state_dict": model.state_dict(), "meta": {"cfg": config.pretty_text}}, str(folder / "dense.pth"))
    return model, folder, SMALL[request.param]


def test_backbone_of_a_detector(detector, capsys):
    model, folder, spec = detector
    output = folder / "backbone.safetensors"
    assert main(["extract", str(folder / "dense.pth"), "-o", str(output)]) == 0
    assert f"{spec} of the fine-tuned backbone" in capsys.readouterr().out
    expected, found = model.backbone.network.state_dict(), safetensors.torch.load_file(output)
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)
    with safe_open(output, "pt") as file:
        inputs = json.loads(file.metadata()["timm_pretrained_cfg"])
    assert [255 * value for value in inputs["mean"]] == pytest.approx(MEAN)
    assert [255 * value for value in inputs["std"]] == pytest.approx(STD)
    network, report = load_backbone(output, spec)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(images), model.backbone.network.eval()(images))
    assert report.loaded == report.total


def test_backbone_of_a_detector_for_the_hub(detector, capsys):
    """Every target takes it; timm builds the network from the folder alone."""
    model, folder, spec = detector
    images = torch.randn(1, 3, 64, 64)
    status = main(["export", str(folder / "dense.pth"), "--to", "hf", "-o", str(folder / "hub")])
    if spec.family == "resnet":
        assert status == 2 and "32 groups, this one has 8" in capsys.readouterr().err
        return
    assert status == 0
    network = timm.create_model(f"local-dir:{folder / 'hub'}", pretrained=True).eval()
    with torch.no_grad():
        torch.testing.assert_close(network(images), model.backbone.network.eval()(images))


def test_what_does_not_fit_is_said(detector, capsys):
    _, folder, _ = detector
    output = str(folder / "no.safetensors")
    for arguments, message in [
        ([str(folder / "dense.pth"), "--branch", "student"], "a fine-tuned model, which has no student"),
        ([str(folder / "dense.pth"), "vit-w48-d3"], "not in this supernet's space"),
        ([str(folder / "supernet.pth")], "has many sizes: give one of them"),
    ]:
        assert main(["extract", *arguments, "-o", output]) == 2
        assert message in capsys.readouterr().err
    assert not list(folder.glob("no.*"))
