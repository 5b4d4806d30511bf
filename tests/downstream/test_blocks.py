"""What the heads of the SGD probe see: taken by hand from the stock networks' own modules."""

import pytest
import torch
from torch.nn import functional as F

from poa_bench.downstream.blocks import block_features, block_indices
from poa_bench.elastic import SearchSpace, Supernet
from tests.downstream.networks import SPACES, tiny_supernet

STAGES = {"swin": [f"layers.{i}" for i in range(4)], "resnet": [f"layer{i + 1}" for i in range(4)]}


def outputs_of(network, names, images):
    """What the named modules return in one ordinary pass, and what the network returns."""
    found = {}
    handles = [
        network.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output, name=name: found.update({name: output})
        )
        for name in names
    ]
    pooled = network(images)
    for handle in handles:
        handle.remove()
    return [found[name] for name in names], pooled


def test_blocks_of_a_vit():
    """[3, 6, 9, 11] of 12, as the official code takes them; half blocks go to the even one (numpy's rounding)."""
    assert block_indices(12) == [3, 6, 9, 11]
    assert block_indices(24) == [6, 12, 18, 23]
    assert (
        block_indices(13) == [3, 6, 10, 12]
        and block_indices(14) == [4, 7, 10, 13]
        and block_indices(18) == [4, 9, 14, 17]
    )
    assert block_indices(3) == [1, 2, 2, 2] and block_indices(1) == [0, 0, 0, 0]


@torch.no_grad()
@pytest.mark.parametrize("depth", [3, 12])
def test_vit_tokens_are_normalised(depth):
    torch.manual_seed(0)
    net = Supernet(SearchSpace("vit", widths=[16], depths=[depth], head_dim=16), img_size=32, patch_size=8)
    network = net.extract(net.space.intact).eval()
    torch.nn.init.normal_(network.norm.weight)
    images = torch.randn(2, 3, 32, 32)
    names = [f"blocks.{index}" for index in {12: (3, 6, 9, 11), 3: (1, 2, 2, 2)}[depth]]
    tokens, pooled = outputs_of(network, names, images)
    classes, patches = block_features(network)(images)
    for found, expected in zip(classes, tokens, strict=True):
        assert torch.allclose(found, network.norm(expected)[:, 0], atol=1e-6)
    assert torch.allclose(patches, network.norm(tokens[-1])[:, 1:].mean(1), atol=1e-6)
    assert torch.allclose(classes[-1], pooled, atol=1e-6)  # what k-NN and the other probe see


@torch.no_grad()
@pytest.mark.parametrize("family", list(STAGES))
def test_stages_are_means_of_maps(family):
    net = tiny_supernet(family)
    for spec in net.space:
        network = net.extract(spec).eval()
        images = torch.randn(2, 3, 64, 64)
        maps, pooled = outputs_of(network, STAGES[family], images)
        if family == "swin":  # (B, H, W, C): each stage normalised, the last one with the network's weights
            expected = [F.layer_norm(map_, map_.shape[-1:]).mean((1, 2)) for map_ in maps[:-1]]
            expected.append(network.norm(maps[-1]).mean((1, 2)))
        else:
            expected = [map_.mean((2, 3)) for map_ in maps]
        classes, patches = block_features(network)(images)
        for found, wanted in zip(classes, expected, strict=True):
            assert torch.allclose(found, wanted, atol=1e-5)
        assert torch.allclose(patches, pooled, atol=1e-5) and torch.allclose(classes[-1], pooled, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("family", list(SPACES))
def test_heads_see_the_last_blocks_and_the_patches(family):
    net = tiny_supernet(family)
    features = block_features(net.extract(net.space.smallest).eval())(torch.randn(2, 3, 64, 64))
    a, b, c, d = features.classes
    expected = {
        (1, False): [d],
        (1, True): [d, features.patches],
        (4, False): [a, b, c, d],
        (4, True): [a, b, c, d, features.patches],
    }
    for view, parts in expected.items():
        assert torch.equal(features.join(*view), torch.cat(parts, 1))
        assert features.length(*view) == sum(part.shape[1] for part in parts)
