"""Stochastic depth: the rate of every block, and blocks that compute only the share of a batch that they keep."""

import copy
from collections.abc import Callable

import torch
from timm.layers import DropPath
from timm.models.vision_transformer import Block
from torch import Tensor, nn

_LEAST_RATE = 0.1  # above it, choosing costs less than what it saves (DINOv2)


class KeptBlock(Block):
    """timm's ViT block with the training of DINOv2's and POA's: a branch runs on an exact share of the batch only.

    Which images these are is drawn for each branch; their residual is scaled by the inverse of the share, so that the
    expectation is that of timm's block, which draws for every image and multiplies what it drops by zero.
    """

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """As timm's, x (B, N, w); in evaluation, or with a mask for each image, it is timm's."""
        if not self.training or attn_mask is not None:
            return super().forward(x, attn_mask, is_causal)
        x = add_kept(x, lambda kept: self.ls1(self.attn(self.norm1(kept), is_causal=is_causal)), _rate(self))
        return add_kept(x, lambda kept: self.ls2(self.mlp(self.norm2(kept))), _rate(self))


def add_kept(x: Tensor, branch: Callable[[Tensor], Tensor], rate: float) -> Tensor:
    """x (B, ...) plus the scaled residuals that `branch` gives for its kept images (drawn without replacement)."""
    kept = kept_images(len(x), rate)
    places = torch.randperm(len(x), device=x.device)[:kept]
    residual = branch(x.index_select(0, places))
    return x.index_add(0, places, residual.to(x.dtype), alpha=len(x) / kept)


def kept_images(images: int, rate: float) -> int:
    """How many images of a batch a branch is run on: the share 1 - rate, rounded down, at least one."""
    return max(int(images * (1 - rate)), 1)


def computed_share(block: nn.Module, images: int) -> float:
    """The share of a batch that a block computes in training."""
    return kept_images(images, _rate(block)) / images if isinstance(block, KeptBlock) else 1.0


def compute_kept_only(network: nn.Module) -> None:
    """From now on, ViT blocks with a rate above 0.1 compute what they keep only; their tensors and names stay."""
    for module in network.modules():
        if type(module) is Block and _rate(module) > _LEAST_RATE:
            module.__class__ = KeptBlock


def copy_rates(module: nn.Module, network: nn.Module, source_name: Callable[[str], str]) -> None:
    """Give every block the drop-path rate that it has in the supernet, whatever its place in the sub-network."""
    for name in _places(module):
        _set(module, name, copy.deepcopy(network.get_submodule(source_name(name))))


def make_uniform(network: nn.Module, rate: float) -> None:
    """Give every block the same drop-path rate."""
    for name in _places(network):
        _set(network, name, DropPath(rate))


def _rate(block: nn.Module) -> float:
    return getattr(block.drop_path1, "drop_prob", 0.0)


def _places(network: nn.Module) -> list[str]:
    return [name for name, _ in network.named_modules() if name.rpartition(".")[2].startswith("drop_path")]


def _set(network: nn.Module, name: str, drop_path: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(parent), attribute, drop_path)
