"""Checkpoints of mmpretrain's ViT, Swin and ResNet as timm's: the export to mmpretrain, backwards."""

from __future__ import annotations

from timm.models.resnet import ResNet
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from poa_bench.elastic.export_mmpretrain import MERGING, merged_order, mmpretrain_name

_FAMILIES = {"vit": VisionTransformer, "swin": SwinTransformer, "resnet": ResNet}
_PROJECTION = "patch_embed.projection.weight"  # mmpretrain's transformers, and no others, name it so
_GROUP_NORM = "gn1.weight"


def from_mmpretrain(tensors: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Tensors of mmpretrain's class by the names of timm's; all others stay as they are.

    Args:
        tensors: of the backbone.
        network: timm's, of which the names are taken.
    """
    family = next((name for name, kind in _FAMILIES.items() if isinstance(network, kind)), None)
    if family is None or (_PROJECTION not in tensors and _GROUP_NORM not in tensors):
        return tensors
    names = {mmpretrain_name(name, family): name for name in network.state_dict()}
    renamed = {names.get(name, name): tensor for name, tensor in tensors.items()}
    if family != "swin":
        return renamed
    return {name: merged_order(tensor) if MERGING in name else tensor for name, tensor in renamed.items()}
