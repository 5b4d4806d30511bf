"""Blocks that compute what they keep, against timm's block with the same images multiplied by zero."""

from itertools import permutations

import pytest
import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from poa_bench.elastic import SearchSpace, SubnetSpec, Supernet, stochastic_depth
from poa_bench.elastic.stochastic_depth import KeptBlock, add_kept, computed_share, kept_images

SPACE = SearchSpace("vit", widths=[16, 32], depths=[2, 3], head_dim=16)
IMAGES, RATE = 7, 0.4  # 4 of 7 are kept


def network(**options) -> Supernet:
    torch.manual_seed(0)
    settings = {
        "image_size": 16,
        "patch_size": 4,
        "init_values": 0.5,
        "drop_path_rate": RATE,
        "drop_path_uniform": True,
    }
    return Supernet(SPACE, **{**settings, **options}).train()


class Zeroed(nn.Module):
    """A drop path that multiplies by zero what the same numbers of the generator make `add_kept` leave out."""

    def forward(self, residual: Tensor) -> Tensor:
        kept = torch.randperm(len(residual))[:4]
        factors = torch.zeros(len(residual), 1, 1).index_fill(0, kept, len(residual) / 4)
        return residual * factors


def test_outputs_and_gradients_are_those_of_the_whole_batch():
    block = next(module for module in network().modules() if isinstance(module, KeptBlock))
    whole = Block(32, 2, qkv_bias=True, init_values=0.5)
    whole.load_state_dict(block.state_dict(), strict=True)
    whole.drop_path1 = whole.drop_path2 = Zeroed()
    found = []
    for module in (block, whole):
        x = torch.randn(IMAGES, 5, 32, generator=torch.Generator().manual_seed(1)).requires_grad_()
        torch.manual_seed(2)
        output = module(x)
        output.square().sum().backward()
        found.append([output, x.grad, *(parameter.grad for parameter in module.parameters())])
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected)
    assert len(found[0]) > 12


def test_expectation_is_the_whole_residual(monkeypatch):
    """Over all orders in which four images can be drawn."""
    x, layer = torch.randn(4, 3, dtype=torch.float64), nn.Linear(3, 3).double()
    orders = [torch.tensor(order) for order in permutations(range(4))]
    drawn = iter(orders)
    monkeypatch.setattr(stochastic_depth.torch, "randperm", lambda *_, **__: next(drawn))
    sums = [add_kept(x, layer, 0.6) for _ in orders]
    assert all(((one - x).abs().sum(dim=1) > 0).sum() == 1 for one in sums)  # int(4 * 0.4)
    torch.testing.assert_close(torch.stack(sums).mean(dim=0), x + layer(x))


@pytest.mark.parametrize("images, rate, kept", [(50, 0.2, 40), (7, 0.4, 4), (1, 0.9, 1), (3, 0.5, 1)])
def test_number_of_kept_images(images, rate, kept):
    """As in the official code: rounded down, at least one."""
    assert kept_images(images, rate) == kept


@pytest.mark.parametrize("spec", [None, SubnetSpec("vit", 16, (2,))])
def test_blocks_see_what_they_keep(spec):
    net, seen = network(), []
    module = net.network if spec is None else net.skeleton(spec)
    for block in module.blocks:
        for part in (block.attn, block.mlp):
            part.register_forward_hook(lambda _module, _inputs, output: seen.append(len(output)))
    images = torch.randn(IMAGES, 3, 16, 16)
    net(images, spec)
    assert seen == [4] * 2 * len(module.blocks)
    seen.clear()
    net.eval()(images, spec)
    assert seen == [IMAGES] * 2 * len(module.blocks)


def test_recomputed_blocks_keep_the_same_images():
    gradients = []
    for checkpointed in (False, True):
        net = network()
        net.set_grad_checkpointing(checkpointed)
        torch.manual_seed(3)
        for spec in (SPACE.smallest, None):
            net(torch.randn(IMAGES, 3, 16, 16), spec).cls.square().sum().backward()
        gradients.append([parameter.grad for parameter in net.network.parameters()])
    torch.testing.assert_close(*gradients)


def test_only_vit_blocks_above_a_tenth():
    net = network(drop_path_rate=0.16, drop_path_uniform=False)  # 0, 0.08, 0.16
    assert [type(block) for block in net.network.blocks] == [Block, Block, KeptBlock]
    assert [computed_share(block, 10) for block in net.network.blocks] == [1, 1, 0.8]  # of 10 images 8.4
    assert [type(block) for block in net.skeleton(SPACE.smallest).blocks] == [
        Block,
        KeptBlock,
    ]  # the first and the last
    extracted = net.extract(SPACE.smallest)
    assert [type(block) for block in extracted.blocks] == [Block, Block]
    assert extracted.blocks[1].drop_path1.drop_prob == pytest.approx(0.16)
    swin = SearchSpace("swin", widths=[16], depths=[2], head_dim=16)
    swin = Supernet(swin, image_size=32, patch_size=2, window_size=4, drop_path_rate=0.4)
    assert not any(isinstance(module, KeptBlock) for module in swin.modules())
