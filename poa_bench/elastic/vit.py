"""The ViT family: width by whole attention heads, depth over all blocks (paper, eqs. 2-4)."""

import re
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from poa_bench.elastic.family import Family, Output, masked_where, register
from poa_bench.elastic.space import SearchSpace, SubnetSpec

_FUSED = re.compile(r"attn\.qkv\.(weight|bias)$")
_SCALED = re.compile(r"(attn\.(qkv|proj)|mlp\.fc[12])\.weight$")


class ViT(Family):
    """Stock `VisionTransformer`: a sub-network keeps the first heads and channels of every block it keeps."""

    name = "vit"
    network_class = VisionTransformer
    pool = "token"
    mask_module = "patch_embed"
    visible_module = "patch_drop"
    stages = ("blocks.",)
    architectures = {
        "vit-b": "vit_base_patch16_224",
        "vit-s": "vit_small_patch16_224",
        "vit-l": "vit_large_patch16_224",
    }

    def arguments(self, space: SearchSpace, spec: SubnetSpec, options: dict[str, Any]) -> dict[str, Any]:
        return {
            "dynamic_img_size": True,  # any input size: crops, detection images
            "dynamic_img_pad": True,
            **options,
            "embed_dim": spec.width,
            "depth": spec.depths[0],
            "num_heads": spec.width // space.head_dim,
        }

    def size(self, arguments: dict[str, Any]) -> tuple[int, tuple[int, ...]]:
        return arguments["embed_dim"], (arguments["depth"],)

    def groups(self, name: str) -> tuple[int, ...]:
        return (3,) if _FUSED.search(name) else ()

    def scaled(self, name: str) -> bool:
        return _SCALED.search(name) is not None

    def split(self, features: Tensor) -> Output:
        return Output(features[:, 0], features[:, 1:])  # (B, 1 + N, w)

    def grid(self, network: nn.Module, height: int, width: int) -> tuple[int, int]:
        return network.patch_embed.dynamic_feat_size((height, width))

    def patch_size(self, network: nn.Module) -> int:
        return network.patch_embed.patch_size[0]

    def apply_mask(self, network: nn.Module, embedded: Tensor, mask: Tensor, mask_token: Tensor) -> Tensor:
        return masked_where(embedded, mask.view(embedded.shape[:-1]), mask_token)  # (B, rows, columns, w)

    def keep_visible(self, tokens: Tensor, visible: Tensor) -> Tensor:
        places = visible[..., None].expand(-1, -1, tokens.shape[-1])
        return torch.cat([tokens[:, :1], tokens[:, 1:].gather(1, places)], dim=1)  # (B, 1 + n, w)


register(ViT())
