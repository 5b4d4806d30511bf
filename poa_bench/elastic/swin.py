"""The Swin family: width by whole attention heads of every stage, depth of stage 3 (paper, eq. 11)."""

import re
from typing import Any

from timm.models.swin_transformer import SwinTransformer, WindowAttention, get_relative_position_index
from torch import nn

from poa_bench.elastic.family import register
from poa_bench.elastic.pyramid import PyramidFamily
from poa_bench.elastic.space import SearchSpace, SubnetSpec
from poa_bench.errors import InputError

_STAGES = 4
_GROUPS = {
    r"attn\.qkv\.(weight|bias)$": (3,),
    r"downsample\.norm\.(weight|bias)$": (4,),  # the four neighbours that are merged, one after the other
    r"downsample\.reduction\.weight$": (1, 4),
}
_SCALED = re.compile(r"(attn\.(qkv|proj)|mlp\.fc[12]|downsample\.reduction)\.weight$")


class Swin(PyramidFamily):
    """Stock `SwinTransformer`: a sub-network keeps the first heads and channels of every stage.

    Its shifts alternate and its patch embedding is normalised over its own width, because the stock module does so.
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

    def construct(self, arguments: dict[str, Any]) -> nn.Module:
        network = super().construct(arguments)
        network.patch_embed.dynamic_img_pad = True  # timm offers this as an argument for ViTs only
        return network

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
