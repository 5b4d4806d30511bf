"""Features of four blocks or stages of a stock network: what the heads of the SGD linear probe see."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from poa_bench.downstream.backbone import levels_of
from poa_bench.outside.network import has_class_token

_COUNT = 4


class BlockFeatures(NamedTuple):
    """Features of one pass.

    Attributes:
        classes: (B, w) of each of four blocks, the last one last: class tokens, or where there are none means of the
            blocks' or stages' maps.
        patches: (B, w) mean of the last block's patches.
    """

    classes: Sequence[Tensor]
    patches: Tensor

    def join(self, blocks: int, pooled: bool) -> Tensor:
        """What a head sees: class features of the last `blocks` blocks, and with `pooled` the mean of the patches."""
        return torch.cat([*self.classes[-blocks:], *([self.patches] if pooled else [])], dim=1)

    def length(self, blocks: int, pooled: bool) -> int:
        """Number of features that `join` gives."""
        return sum(part.shape[1] for part in self.classes[-blocks:]) + pooled * self.patches.shape[1]


def block_features(network: nn.Module) -> Callable[[Tensor], BlockFeatures]:
    """What makes `BlockFeatures` of normalised images (B, 3, H, W), as the official code does for its linear probe.

    A network of one resolution (ViT): the blocks of `block_indices`, each after the network's last norm. Otherwise
    (Swin, ResNet): the four stages. A Swin's first three stages are normalised without weights: in the official network
    each has a norm of its own that pre-training does not use, so that it is as it was initialised.
    """
    one_resolution = len({feature["reduction"] for feature in network.feature_info}) == 1
    return partial(_of_blocks if one_resolution else _of_stages, network)


def block_indices(depth: int) -> list[int]:
    """Blocks at the quarters of the depth, and the last one: [3, 6, 9, 11] of 12 (a network below 6 repeats some)."""
    return [min(round(depth / _COUNT * quarter), depth - 1) for quarter in range(1, _COUNT)] + [depth - 1]


def _of_blocks(network: nn.Module, images: Tensor) -> BlockFeatures:
    wanted = block_indices(len(network.feature_info))
    once = sorted(set(wanted))
    prefixed = {"return_prefix_tokens": True} if has_class_token(network) else {}
    found = network.forward_intermediates(
        images, indices=once, norm=True, output_fmt="NLC", intermediates_only=True, **prefixed
    )
    if not prefixed:
        means = {index: patches.mean(1) for index, patches in zip(once, found, strict=True)}
        return BlockFeatures([means[index] for index in wanted], means[wanted[-1]])
    tokens = dict(zip(once, found, strict=True))  # (patches (B, N, w), prefix (B, 1 + registers, w))
    return BlockFeatures([tokens[index][1][:, 0] for index in wanted], tokens[wanted[-1]][0].mean(1))


def _of_stages(network: nn.Module, images: Tensor) -> BlockFeatures:
    indices, channels, _ = levels_of(network)
    maps = network.forward_intermediates(images, indices=indices, norm=True, intermediates_only=True)
    flat = [map_.flatten(2).transpose(1, 2) for map_ in maps]  # (B, positions, channels)
    if isinstance(norm := getattr(network, "norm", None), nn.LayerNorm):  # the last stage has been normalised with it
        flat[:-1] = [F.layer_norm(map_, (width,), eps=norm.eps) for map_, width in zip(flat, channels, strict=True)][
            :-1
        ]
    means = [map_.mean(1) for map_ in flat]
    return BlockFeatures(means, means[-1])
