"""A fourth family is one file: what stands here up to `register`, and every part of the project works with it."""

import re
from typing import Any

import pytest
import torch
from mmengine.registry import MODELS
from timm.models.convnext import ConvNeXt
from torch import nn

from poa_bench.cli import main
from poa_bench.elastic import SearchSpace, SubnetSpec, Supernet, load_backbone, register
from poa_bench.elastic.pyramid import PyramidFamily
from tests.pretraining.tiny import random_crops, tiny_poa

_SCALED = re.compile(r"(mlp\.fc[12]|downsample\.1)\.weight$")


class ConvNeXtFamily(PyramidFamily):
    """Stock `ConvNeXt`: width of every stage, depth of stage 3."""

    name = "convnext"
    network_class = ConvNeXt
    mask_module = "stem"
    stages = ("stages.2.blocks.",)
    architectures = {"convnext-t": "convnext_tiny"}
    channels = 1

    def arguments(self, space: SearchSpace, spec: SubnetSpec, options: dict[str, Any]) -> dict[str, Any]:
        return {
            "head_norm_first": True,  # the class feature is then the mean of the patches
            **options,
            "dims": [spec.width * 2**stage for stage in range(4)],
            "depths": [1, 1, spec.depths[0], 1],
        }

    def groups(self, name: str) -> tuple[int, ...]:
        return ()

    def scaled(self, name: str) -> bool:
        return _SCALED.search(name) is not None

    def patch_size(self, network: nn.Module) -> int:
        return network.feature_info[0]["reduction"]

    def mask_channels(self, network: nn.Module) -> int:
        return network.feature_info[0]["num_chs"]


register(ConvNeXtFamily())

SPACE = SearchSpace("convnext", widths=(8, 12, 16), depths=((1, 2, 4),))
OPTIONS = {"output_stride": 16, "ls_init_value": 0.5}
SMALL = SubnetSpec.parse("convnext-w8-d2")


@pytest.fixture(scope="module")
def supernet(randomised) -> Supernet:
    return randomised(Supernet(SPACE, **OPTIONS))


@pytest.fixture(scope="module")
def checkpoint(supernet, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("convnext") / "iter_1.pth"
    state = {f"teacher.backbone.{name}": tensor for name, tensor in supernet.state_dict().items()}
    torch.save({"state_dict": state, "meta": {"poa_bench": supernet.describe()}}, path)
    return str(path)


@pytest.mark.parametrize("spec", SPACE, ids=str)
def test_every_size_is_the_stock_network(supernet, spec):
    module, images = supernet.extract(spec), torch.randn(2, 3, 32, 96)
    assert type(module) is ConvNeXt
    mask = torch.rand(2, 4 * 12) < 0.4
    with torch.no_grad():
        torch.testing.assert_close(supernet(images, spec).cls, module(images))
        stem = module.stem(images)  # 8 x 24 positions in cells of 2 x 2
        cells = mask.view(2, 1, 4, 12).repeat_interleave(2, 2).repeat_interleave(2, 3)
        stem = torch.where(cells, supernet.mask_token[:, : spec.width, None, None], stem)
        last = module.norm_pre(module.stages(stem))
        torch.testing.assert_close(supernet(images, spec, mask).cls, last.mean((2, 3)))


def test_it_is_pre_trained():
    backbone = {"type": "poa_bench.Supernet", "space": SPACE.to_dict(), **OPTIONS}
    model = tiny_poa(backbone=backbone)
    model.decide(sizes=(SMALL,))
    losses = model.loss(random_crops(), model.settings)
    losses["loss"].backward()
    assert all(value.isfinite() for value in losses.values())
    assert all(parameter.grad is not None for parameter in model.student.parameters())


def test_it_is_listed_cut_and_exported(supernet, checkpoint, tmp_path, capsys):
    assert main(["sizes", checkpoint]) == 0 and "convnext-w12-d4" in capsys.readouterr().out
    path = tmp_path / "small.safetensors"
    assert main(["export", checkpoint, str(SMALL), "--to", "timm", "-o", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "timm.create_model('convnext_tiny'" in printed
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        expected = supernet(images, SMALL).cls
        created = eval(printed[printed.index("timm.create_model(") :], {"timm": __import__("timm")}).eval()
        for module in (created, load_backbone(path, SMALL)[0]):
            torch.testing.assert_close(module(images), expected)
    assert main(["export", checkpoint, str(SMALL), "--to", "mmpretrain", "-o", str(tmp_path / "small.pth")]) == 2
    assert "no counterpart of the family 'convnext'" in capsys.readouterr().err


def test_it_is_a_backbone_of_dense_heads(supernet, checkpoint):
    config = {"type": "poa_bench.SubnetBackbone", "spec": str(SMALL), "families": {"convnext": OPTIONS}}
    backbone = MODELS.build({**config, "init_cfg": {"type": "Pretrained", "checkpoint": checkpoint}}).eval()
    backbone.init_weights()
    assert (backbone.channels, backbone.strides) == ([8, 16, 32, 64], [4, 8, 16, 16])
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(backbone.network(images), supernet(images, SMALL).cls)
        assert [image.shape[1:] for image in backbone(images)] == [(8, 16, 16), (16, 8, 8), (32, 4, 4), (64, 4, 4)]
    assert backbone.get_layer_depth("backbone.network.stages.2.blocks.1.mlp.fc1.weight", "backbone.")[0] == 4
