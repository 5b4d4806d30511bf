"""Tiny networks of every family, and a training checkpoint of each."""

from pathlib import Path

import torch
from mmengine.runner import save_checkpoint

from poa_bench.elastic import SearchSpace, SubnetSpec, Supernet

FAMILIES = {
    "vit": {"img_size": 32, "patch_size": 8, "head_dim": 16, "init_values": 0.5},
    "swin": {"img_size": 64, "window_size": 4, "head_dim": 8, "fixed_depths": (1, 1, 1)},
    "resnet": {"fixed_depths": (1, 1), "num_groups": 8, "channels": (16, 32, 64, 128)},
}
SPACES = {
    "vit": SearchSpace("vit", widths=[16, 32], depths=[3, 5], head_dim=16),
    "swin": SearchSpace("swin", (16, 32), ((1, 2),), head_dim=8),
    "resnet": SearchSpace("resnet", (16, 32), ((1, 2), (1, 2))),
}
SMALL = {name: space.smallest for name, space in SPACES.items()}


def tiny_supernet(family: str, seed: int = 0) -> Supernet:
    """A supernet of `SPACES[family]`, built as `FAMILIES[family]` says, with every weight random."""
    torch.manual_seed(seed)
    options = {name: value for name, value in FAMILIES[family].items() if name != "head_dim"}
    supernet = Supernet(SPACES[family], **options)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))  # norms and biases start equal otherwise
    return supernet.eval()


def write_checkpoint(supernet: Supernet, path: Path) -> Path:
    """A training checkpoint with this supernet as teacher and as student."""
    tensors = supernet.state_dict()
    state = {f"{branch}.backbone.{name}": value for branch in ("teacher", "student") for name, value in tensors.items()}
    save_checkpoint({"state_dict": state, "meta": {"poa_bench": supernet.describe()}}, str(path))
    return path


def backbone_config(spec: SubnetSpec | str, checkpoint: Path | None = None, **settings) -> dict:
    """Config of a `SubnetBackbone` of a tiny family."""
    init_cfg = {"type": "Pretrained", "checkpoint": None if checkpoint is None else str(checkpoint)}
    return {
        "type": "poa_bench.SubnetBackbone",
        "spec": str(spec),
        "families": FAMILIES,
        "init_cfg": init_cfg,
    } | settings
