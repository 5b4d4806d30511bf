"""Tiny networks of timm's with random weights, of every kind, and files of them."""

from pathlib import Path

import safetensors.torch
import timm
import torch
from torch import nn

TOKEN, REGISTERS, DISTILLED = (
    "vit_tiny_patch16_224",
    "vit_medium_patch16_reg4_gap_256",
    "deit_tiny_distilled_patch16_224",
)
DINO3, DINO2 = "vit_small_patch16_dinov3.lvd1689m", "vit_small_patch14_reg4_dinov2.lvd142m"
SWIN, RESNET, CONVNEXT = "swin_tiny_patch4_window7_224", "resnet10t", "convnext_atto"
_VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
ARGUMENTS = {
    TOKEN: _VIT,
    REGISTERS: _VIT,
    DISTILLED: _VIT,
    DINO2: _VIT,
    DINO3: {**_VIT, "embed_dim": 64},
    SWIN: {"img_size": 64, "window_size": 4, "embed_dim": 8, "depths": (1, 2, 1, 1), "num_heads": (1, 1, 2, 2)},
    RESNET: {"channels": (8, 16, 16, 32), "stem_width": 8},
    CONVNEXT: {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)},
}
SIDE = 64  # pixels; more than the transformers are built for


def stock(name: str, classes: int = 7, seed: int = 0) -> nn.Module:
    """timm's own network with a classifier, every weight random."""
    torch.manual_seed(seed)
    flexible = {"dynamic_img_size": True} if name not in (RESNET, CONVNEXT) else {}
    network = timm.create_model(name, num_classes=classes, **flexible, **ARGUMENTS[name]).eval()
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.05 * torch.rand_like(tensor))
    return network


def write(network: nn.Module, path: Path) -> Path:
    """All tensors of a network as safetensors."""
    safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)
    return path
