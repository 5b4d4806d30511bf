"""Necks that bring the backbone's maps to the strides 4, 8, 16, 32 (and 64) that dense heads expect."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from timm.layers import LayerNorm2d
from torch import Tensor, nn

from poa_bench.downstream.backbone import contiguous_maps
from poa_bench.errors import InputError
from poa_bench.registry import MODELS

STRIDES = (4, 8, 16, 32)


@MODELS.register_module()
class LevelResampling(BaseModule):
    """Up- and down-sampling of each level to its stride: what BEiT, iBOT and POA put between a ViT and its head.

    A ViT with patch 16 gives four maps of stride 16: the first is up-sampled by 4 (two transposed convolutions), the
    second by 2, the third kept, the fourth max-pooled by 2. Between the two convolutions is a layer norm where BEiT has
    a synchronised batch norm: it needs neither large batches nor several GPUs. Any other patch size, and the maps of
    Swin and ResNet, which already have their strides, follow the same rule, so one config serves all families.

    Args:
        in_channels: channels of each level (in a config: `'backbone.channels'`).
        in_strides: stride of each level (`'backbone.strides'`).
        out_strides: the strides wanted.
    """

    def __init__(
        self, in_channels: Sequence[int], in_strides: Sequence[int], out_strides: Sequence[int] = STRIDES
    ) -> None:
        super().__init__()
        if not len(in_channels) == len(in_strides) == len(out_strides):
            raise InputError(
                f"LevelResampling got {len(in_channels)} channels, {len(in_strides)} strides and {len(out_strides)} "
                "strides to make: give one of each for every level"
            )
        self.levels = nn.ModuleList(map(resampler, in_channels, in_strides, out_strides))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps (B, C_i, H / in_strides[i], W / in_strides[i]) -> (B, C_i, H / out_strides[i], W / out_strides[i])."""
        return contiguous_maps(level(image) for level, image in zip(self.levels, maps, strict=True))


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """The simple feature pyramid of ViTDet (arXiv 2203.16527, section 3): all levels from the last map.

    Each level resamples the last map to its stride, then a 1x1 and a 3x3 convolution with layer norms bring
    it to `out_channels`. A further level of twice the largest stride is the last one sub-sampled.

    Args:
        in_channels: channels of the last map (in a config: `'backbone.channels[-1]'`).
        in_stride: its stride (`'backbone.strides[-1]'`).
        out_channels: channels of every level.
        out_strides: strides of the levels.
        num_outs: number of maps returned; beyond `out_strides` each is the one before, sub-sampled by 2.
    """

    def __init__(
        self,
        in_channels: int,
        in_stride: int,
        out_channels: int = 256,
        out_strides: Sequence[int] = STRIDES,
        num_outs: int = 5,
    ) -> None:
        super().__init__()
        if num_outs < len(out_strides):
            raise InputError(f"num_outs is {num_outs}: give at least one map for each of {list(out_strides)}")
        self.extra = num_outs - len(out_strides)
        self.levels = nn.ModuleList(
            nn.Sequential(
                resampler(in_channels, in_stride, stride),
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
                LayerNorm2d(out_channels),
                nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
                LayerNorm2d(out_channels),
            )
            for stride in out_strides
        )

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps, of which the last (B, C, H / in_stride, W / in_stride) is used -> `num_outs` maps."""
        levels = [level(maps[-1]) for level in self.levels]
        for _ in range(self.extra):
            levels.append(F.max_pool2d(levels[-1], kernel_size=1, stride=2))
        return contiguous_maps(levels)


def resampler(channels: int, in_stride: int, out_stride: int) -> nn.Module:
    """A module that brings a map (B, channels, ...) from one stride to another.

    Up: transposed convolutions by 2 with norm and GELU between them; down: one max-pooling.

    Raises:
        InputError: one stride is not the other times a power of two.
    """
    if out_stride >= in_stride and out_stride % in_stride == 0:
        factor = out_stride // in_stride
        return nn.MaxPool2d(factor, factor) if factor > 1 else nn.Identity()
    doublings = (in_stride // out_stride).bit_length() - 1
    if doublings < 0 or out_stride << doublings != in_stride:
        raise InputError(f"cannot resample from stride {in_stride} to {out_stride}: the ratio must be a power of two")
    layers: list[nn.Module] = []
    for step in range(doublings):
        if step:
            layers += [LayerNorm2d(channels), nn.GELU()]
        layers.append(nn.ConvTranspose2d(channels, channels, kernel_size=2, stride=2))
    return nn.Sequential(*layers)
