"""ResNet: the official numbers, and every size is the stock ResNet of its size."""

import json

import numpy as np
import pytest
import torch
from timm.models.resnet import ResNet
from torch import nn

from poa_bench.elastic import SearchSpace, SubnetSpec, Supernet, register
from poa_bench.elastic.resnet import ResNet as ResNetFamily
from poa_bench.errors import InputError

SPACE = SearchSpace("resnet", widths=[16, 24, 32], depths=([1, 2, 3], [2, 4]))
OPTIONS = {"channels": [16, 32, 64, 128], "num_groups": 8, "fixed_depths": [1, 1]}
SUBNETS = ["w32-d3-6", "w16-d2-2", "w24-d3-4", "w16-d2-5"]


@pytest.fixture(scope="module")
def supernet(randomised) -> Supernet:
    return randomised(Supernet(SPACE, **OPTIONS))


@pytest.mark.parametrize("spec", SPACE, ids=str)
@pytest.mark.parametrize("size", [(32, 32), (96, 96), (75, 41)], ids=str)
def test_supernet_forward_is_the_extracted_forward(supernet, spec, size):
    check_equality(supernet, spec, size, cell=4)


@pytest.mark.parametrize("output_stride, cell", [(8, 1), (16, 2)])
def test_dilated_stages_have_smaller_cells(randomised, output_stride, cell):
    supernet = randomised(Supernet(SPACE, output_stride=output_stride, **OPTIONS))
    assert supernet.patch_grid(32, 32) == (8 // cell, 8 // cell)
    for size in ((32, 32), (75, 41)):
        check_equality(supernet, SubnetSpec("resnet", 24, (2, 2)), size, cell)


def check_equality(supernet, spec, size, cell):
    images = torch.randn(2, 3, *size)
    rows, columns = supernet.patch_grid(*size)
    mask = torch.rand(2, rows * columns) < 0.4
    module = supernet.extract(spec)
    assert type(module) is ResNet and module.num_features == supernet.width(spec) == 512
    with torch.no_grad():
        plain, masked = supernet(images, spec), supernet(images, spec, mask)
        torch.testing.assert_close(plain.cls, module(images))
        torch.testing.assert_close(plain.patches, nearest(module.forward_features(images)))
        # oracle: the stock network's parts, called one by one
        stem = module.maxpool(module.act1(module.bn1(module.conv1(images))))
        cells = mask.view(2, 1, rows, columns).float()
        cells = nn.functional.interpolate(cells, scale_factor=cell, mode="nearest")[
            ..., : stem.shape[2], : stem.shape[3]
        ]
        stem = torch.where(cells.bool(), supernet.mask_token.view(1, -1, 1, 1), stem)
        last = module.layer4(module.layer3(module.layer2(module.layer1(stem))))
        torch.testing.assert_close(masked.patches, nearest(last))
        torch.testing.assert_close(masked.cls, last.mean((2, 3)))


def nearest(last: torch.Tensor) -> torch.Tensor:
    return nn.functional.interpolate(last, scale_factor=2, mode="nearest").flatten(2).transpose(1, 2)


class _SixteenChannelStem(ResNetFamily):
    """The official test network has a stem of 16 channels; timm's 7 x 7 stem always has 64."""

    name = "resnetgolden"

    def construct(self, arguments):
        network = super().construct({**arguments, "stem_type": "deep", "stem_width": 8})
        network.conv1 = nn.Conv2d(3, 16, 7, stride=2, padding=3, bias=False)
        return network


register(_SixteenChannelStem())


@pytest.fixture(scope="module")
def official(golden):
    numbers = np.load(golden("poa_resnet_backbone.npz"))
    space = SearchSpace("resnetgolden", (16, 24, 32), ((2, 3), (2, 4, 5, 6)))
    supernet = Supernet(space, **OPTIONS).eval()
    prefix = "backbone/"
    weights = {key.removeprefix(prefix): torch.from_numpy(numbers[key]) for key in numbers if key.startswith(prefix)}
    supernet.mask_token.data.copy_(weights.pop("mask_token").flatten(1))
    supernet.network.load_state_dict(weights, strict=True)
    return supernet, numbers


@pytest.mark.parametrize("name", SUBNETS)
def test_official_numbers(official, name):
    supernet, numbers = official
    (stored,) = (one for one in json.loads(str(numbers["meta_json"]))["subnets"] if one["name"] == name)
    spec = SubnetSpec.parse(f"resnetgolden-{name}")
    assert [list(kept) for kept in supernet.space.kept(spec)] == stored["block_ids"][1:3]
    images, masks = torch.from_numpy(numbers["images"]), torch.from_numpy(numbers["masks"]).bool()
    supernet.zero_grad()
    plain, masked = supernet(images, spec), supernet(images, spec, masks)
    for feature, key in ((plain.cls, "pooled"), (masked.cls, "masked_pooled"), (masked.patches, "masked_regions")):
        torch.testing.assert_close(feature, torch.from_numpy(numbers[f"{name}/{key}"]), atol=1e-4, rtol=1e-4)
    (masked.cls.square().mean() + 0.01 * plain.cls.sum()).backward()
    norms = {key.split("/")[-1]: float(numbers[key]) for key in numbers if key.startswith(f"{name}/grad_norm/")}
    found = {
        parameter.removeprefix("network."): float(tensor.grad.norm())
        for parameter, tensor in supernet.named_parameters()
        if tensor.grad is not None
    }
    assert {key for key, norm in norms.items() if norm > 0} == {key for key, norm in found.items() if norm > 0}
    for key, norm in norms.items():
        assert found.get(key, 0.0) == pytest.approx(norm, rel=1e-4, abs=1e-6), key


def test_gradients_land_only_in_the_slice(supernet):
    supernet.zero_grad()
    output = supernet(torch.randn(2, 3, 64, 64), SubnetSpec("resnet", 16, (2, 2)))
    output.cls.square().sum().backward()
    gradients = {name: p.grad for name, p in supernet.named_parameters() if p.grad is not None}
    assert {name[: len("network.layer2.0")] for name in gradients if name.startswith("network.layer2")} == {
        "network.layer2.0",
        "network.layer2.2",
    }
    conv2 = gradients["network.layer2.2.conv2.weight"]
    assert conv2[:32, :32].abs().max() > 0
    assert conv2[32:].abs().max() == 0 and conv2[:, 32:].abs().max() == 0
    supernet.zero_grad()


def test_drop_path_follows_the_supernets_block(randomised):
    supernet = randomised(Supernet(SPACE, drop_path_rate=0.4, **OPTIONS))
    module = supernet.extract(SubnetSpec("resnet", 16, (2, 2)))
    rates = [block.drop_path.drop_prob for block in (*module.layer2, *module.layer3)]
    assert rates == pytest.approx([0.05, 0.15, 0.2, 0.35])  # blocks 1, 3, 4, 7 of 9


def test_channels_last_gives_the_same(supernet):
    images, spec = torch.randn(2, 3, 64, 64), SPACE.smallest
    mask = torch.rand(2, 16) < 0.5
    with torch.no_grad():
        torch.testing.assert_close(
            supernet(images.to(memory_format=torch.channels_last), spec, mask).cls, supernet(images, spec, mask).cls
        )


def test_impossible_widths():
    with pytest.raises(InputError, match="multiple of num_groups"):
        Supernet(SearchSpace("resnet", widths=[48], depths=([4], [6])))
    with pytest.raises(InputError, match="multiple of the channels"):
        Supernet(SearchSpace("resnet", widths=[32], depths=([4], [6])), channels=[48, 96, 192, 384])
