"""The MatFormer family: nested feed-forward layers, by hand; trained, cut, listed and measured like the others."""

import pytest
import timm
import torch
import torch.nn.functional as F

from poa_bench.cli import main
from poa_bench.elastic import SearchSpace, Supernet, load_backbone
from poa_bench.errors import InputError
from poa_bench.runs.results import load_results
from tests.downstream.networks import write_checkpoint
from tests.pretraining.tiny import random_crops, tiny_poa

SPACE = SearchSpace("matformer", widths=(12, 24, 49, 96), depths=((2, 3),))
OPTIONS = {"embed_dim": 24, "num_heads": 3, "image_size": 32, "patch_size": 8}
SMALL = SPACE.parse("matformer-w12-d3")


@pytest.fixture(scope="module")
def supernet(randomised) -> Supernet:
    return randomised(Supernet(SPACE, **OPTIONS))


@pytest.fixture(scope="module")
def checkpoint(supernet, tmp_path_factory) -> str:
    return str(write_checkpoint(supernet, tmp_path_factory.mktemp("matformer") / "iter_1.pth"))


@pytest.mark.parametrize("width", SPACE.widths)
def test_a_size_has_the_first_neurons_of_every_block(supernet, width):
    """Written out: y = W2[:, :m] gelu(W1[:m] x + b1[:m]) + b2; everything else is the whole network's."""
    module = supernet.extract(SPACE.parse(f"matformer-w{width}-d3"))
    whole = supernet.extract(SPACE.intact)
    tokens = torch.randn(2, 17, 24)
    for block, full in zip(module.blocks, whole.blocks, strict=True):
        assert block.mlp.fc1.out_features == width
        hidden = F.gelu(F.linear(tokens, full.mlp.fc1.weight[:width], full.mlp.fc1.bias[:width]))
        expected = F.linear(hidden, full.mlp.fc2.weight[:, :width], full.mlp.fc2.bias)
        torch.testing.assert_close(block.mlp(tokens), expected)
        torch.testing.assert_close(block.attn(tokens), full.attn(tokens))
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(module(images), supernet(images, SPACE.parse(f"matformer-w{width}-d3")).cls)


def test_it_is_pre_trained():
    backbone = {"type": "poa_bench.Supernet", "space": SPACE.to_dict(), **OPTIONS}
    model = tiny_poa(backbone=backbone)
    model.decide(sizes=(SMALL,))
    losses = model.loss(random_crops(), model.settings)
    losses["loss"].backward()
    assert all(parameter.grad is not None for parameter in model.student.parameters())


def test_it_is_listed_cut_measured_and_reported(supernet, checkpoint, tmp_path, capsys):
    assert main(["sizes", checkpoint]) == 0 and "matformer-w49-d2" in capsys.readouterr().out
    path = tmp_path / "small.safetensors"
    assert main(["export", checkpoint, str(SMALL), "--to", "timm", "-o", str(path)]) == 0
    printed = capsys.readouterr().out
    images = torch.randn(1, 3, 32, 32)
    created = eval(printed[printed.index("timm.create_model(") :], {"timm": timm}).eval()
    with torch.no_grad():
        for module in (created, load_backbone(path, SMALL)[0]):
            torch.testing.assert_close(module(images), supernet(images, SMALL).cls)
    command = ["evaluate", checkpoint, "--data", "digits", "--tasks", "knn", "-o", str(tmp_path / "r")]
    assert main([*command, "--specs", "matformer-w12-d2,matformer-w96-d3"]) == 0
    found = {one.spec: one.macs for one in load_results(tmp_path / "r")[0]}
    tokens, blocks = 17, 3
    per_block = tokens * (4 * 24 * 24 + 2 * 24 * 96) + 2 * tokens**2 * 24
    assert found["matformer-w96-d3"] == 16 * 24 * 192 + blocks * per_block
    assert main(["report", str(tmp_path / "r"), "-o", str(tmp_path / "report")]) == 0
    assert "matformer-w12-d2" in (tmp_path / "report" / "report.md").read_text()


def test_a_supernet_without_its_channels_is_refused():
    with pytest.raises(InputError, match="needs embed_dim, num_heads beside its space"):
        Supernet(SPACE, image_size=32, patch_size=8)
