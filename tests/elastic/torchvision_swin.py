"""The judge of our Swin: torchvision's, with the same weights."""

import re

from timm.models.swin_transformer import SwinTransformer
from torch import nn
from torchvision.models import swin_transformer

_NAMES = {
    r"^patch_embed\.proj\.": "features.0.0.",
    r"^patch_embed\.norm\.": "features.0.2.",
    r"^layers\.(\d)\.downsample\.": lambda match: f"features.{2 * int(match[1])}.",
    r"^layers\.(\d)\.blocks\.": lambda match: f"features.{2 * int(match[1]) + 1}.",
    r"\.mlp\.fc1\.": ".mlp.0.",
    r"\.mlp\.fc2\.": ".mlp.3.",
}


def in_torchvision(network: SwinTransformer) -> nn.Module:
    """torchvision's network with the weights of timm's; its forward gives the class feature.

    It has the same window in every stage.
    """
    first = [stage.blocks[0] for stage in network.layers]
    judge = swin_transformer.SwinTransformer(
        list(network.patch_embed.patch_size),
        network.embed_dim,
        [len(stage.blocks) for stage in network.layers],
        [block.attn.num_heads for block in first],
        list(first[0].window_size),
    )
    judge.head = nn.Identity()
    tensors = network.state_dict() | {  # what torchvision keeps in its files and timm does not
        f"{name}.relative_position_index": module.relative_position_index.flatten()
        for name, module in network.named_modules()
        if hasattr(module, "relative_position_index")
    }
    for pattern, replacement in _NAMES.items():
        tensors = {re.sub(pattern, replacement, name): tensor for name, tensor in tensors.items()}
    judge.load_state_dict(tensors, strict=True)
    return judge.eval()
