"""The Swin family: width by whole attention heads of every stage, depth of stage 3 (paper, eq. 11)."""

import re
from math import ceil
from typing import Any

import torch
import torch.nn.functional as F
from timm.models.swin_transformer import (
    SwinTransformer,
    SwinTransformerBlock,
    WindowAttention,
    get_relative_position_index,
    window_partition,
    window_reverse,
)
from torch import Tensor, nn

from poa_bench.elastic.family import register
from poa_bench.elastic.pyramid import PyramidFamily
from poa_bench.elastic.space import SearchSpace, SubnetSpec
from poa_bench.errors import InputError

_STAGES = 4
_GREATEST_SIDE = 1024  # pixels, of `timm_sides`
_GROUPS = {
    r"attn\.qkv\.(weight|bias)$": (3,),
    r"downsample\.norm\.(weight|bias)$": (4,),  # the four neighbours that are merged, one after the other
    r"downsample\.reduction\.weight$": (1, 4),
}
_SCALED = re.compile(r"(attn\.(qkv|proj)|mlp\.fc[12]|downsample\.reduction)\.weight$")


class PaddedFirstBlock(SwinTransformerBlock):
    """timm's block with the shifts of Microsoft's and torchvision's Swin, for maps that are no multiple of the window.

    These pad the map to whole windows and then shift it, unless it is a single window. timm shifts and then pads, and
    decides whether to shift when it is built, for the image size of that time.
    """

    def shift(self, axis: int, side: int) -> int:
        """By how much a map with this many rows (axis 0) or columns (axis 1) is shifted."""
        window = self.window_size[axis]
        return window // 2 if self.target_shift_size[axis] and side > window else 0

    def is_stock(self, axis: int, side: int) -> bool:
        """Whether timm's block computes the same on such a map."""
        shift = self.shift(axis, side)
        return shift == self.shift_size[axis] and (shift == 0 or side % self.window_size[axis] == 0)

    def _attn(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[1:3]
        shift = self.shift(0, rows), self.shift(1, columns)
        x = F.pad(x, (0, 0, 0, -columns % self.window_size[1], 0, -rows % self.window_size[0]))
        height, width = x.shape[1:3]
        x = torch.roll(x, (-shift[0], -shift[1]), (1, 2))
        windows = window_partition(x, self.window_size).flatten(1, 2)  # (B * windows, area, c)
        windows = self.attn(windows, _mask(x, self.window_size, shift) if any(shift) else None)
        x = window_reverse(windows.unflatten(1, self.window_size), self.window_size, height, width)
        return torch.roll(x, shift, (1, 2))[:, :rows, :columns]


def _mask(x: Tensor, window: tuple[int, int], shift: tuple[int, int]) -> Tensor:
    """(windows, area, area): -100 between places that only the shift of the map x (B, H, W, c) has made neighbours."""

    def region(axis: int) -> Tensor:
        """0 before the last window, 1 in it, 2 where the map's other end has come in."""
        side = x.shape[1 + axis]
        place = torch.arange(side, device=x.device)
        return (place >= side - window[axis]).long() + (place >= side - shift[axis])

    regions = 3 * region(0)[:, None] + region(1)
    regions = window_partition(regions[None, :, :, None], window).flatten(1)
    return x.new_zeros(()).where(regions[:, None] == regions[:, :, None], -100.0)


def _is_stock(network: SwinTransformer, side: int) -> bool:
    """Whether timm's blocks compute the same in all stages if the first map has `side` rows or columns."""
    for stage in network.layers:
        if not isinstance(stage.downsample, nn.Identity):
            side = ceil(side / 2)
        if not all(block.is_stock(axis, side) for block in stage.blocks for axis in (0, 1)):
            return False
    return True


class Swin(PyramidFamily):
    """timm's `SwinTransformer`: a sub-network keeps the first heads and channels of every stage.

    Its blocks pad before they shift, so that it is the original Swin for images of any size. Its shifts alternate and
    its patch embedding is normalised over its own width, because the stock module does so.
    One option is not timm's: `fixed_depths`, the depths of stages 1, 2 and 4.
    """

    name = "swin"
    network_class = SwinTransformer
    mask_module = "patch_embed"
    stages = ("layers.2.blocks.",)
    architectures = {  # of this size only with head_dim 32
        "swin-t": "swin_tiny_patch4_window7_224",
        "swin-s": "swin_small_patch4_window7_224",
        "swin-b": "swin_base_patch4_window7_224",
    }
    channels = -1

    def arguments(self, space: SearchSpace, spec: SubnetSpec, options: dict[str, Any]) -> dict[str, Any]:
        options = dict(options)
        first, second, last = options.pop("fixed_depths", (2, 2, 2))
        if space.head_dim is None:
            raise InputError("a Swin search space needs head_dim (the paper's is 16)")
        return {
            "dynamic_img_size": True,  # any input size: crops, detection images
            **options,
            "embed_dim": spec.width,
            "depths": [first, second, spec.depths[0], last],
            "num_heads": [spec.width * 2**stage // space.head_dim for stage in range(_STAGES)],
        }

    def size(self, arguments: dict[str, Any]) -> tuple[int, tuple[int, ...]]:
        return arguments["embed_dim"], (arguments["depths"][2],)

    def construct(self, arguments: dict[str, Any]) -> nn.Module:
        network = super().construct(arguments)
        network.patch_embed.dynamic_img_pad = True  # timm offers this as an argument for ViTs only
        for module in network.modules():
            if isinstance(module, SwinTransformerBlock):
                module.__class__ = PaddedFirstBlock  # the same tensors under the same names
        return network

    def start_as_torch(self, network: nn.Module) -> None:
        """As always; the position biases, which are no layer of torch's, start at zero as in POA's code."""
        super().start_as_torch(network)
        for module in network.modules():
            if isinstance(module, WindowAttention):
                nn.init.zeros_(module.relative_position_bias_table)

    def timm_sides(self, network: nn.Module) -> list[int]:
        patch = self.patch_size(network)
        sides = range(patch, _GREATEST_SIDE + 1, patch)  # else timm's network refuses or does not know padding
        return [side for side in sides if _is_stock(network, side // patch)]

    def skeleton(self, space: SearchSpace, spec: SubnetSpec, options: dict[str, Any], pool: str = "") -> nn.Module:
        skeleton = super().skeleton(space, spec, options, pool)
        for module in skeleton.modules():
            if isinstance(module, WindowAttention):
                module.relative_position_index = get_relative_position_index(*module.window_size)
        return skeleton

    def groups(self, name: str) -> tuple[int, ...]:
        return next((groups for pattern, groups in _GROUPS.items() if re.search(pattern, name)), ())

    def scaled(self, name: str) -> bool:
        return _SCALED.search(name) is not None

    def patch_size(self, network: nn.Module) -> int:
        return network.patch_embed.patch_size[0]


register(Swin())
