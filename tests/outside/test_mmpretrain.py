"""Checkpoints of mmpretrain in timm's networks: mmpretrain's own forward is the judge."""

import pytest
import torch

from poa_bench.errors import InputError
from poa_bench.outside.name import OutsideSpec
from poa_bench.outside.network import build
from poa_bench.outside.weights import load_weights

pytest.importorskip("mmpretrain")

SIZES = {"depths": [1, 2, 1, 1], "num_heads": [1, 1, 2, 2]}
CASES = {
    "vit_tiny_patch16_224": (
        {
            "type": "mmpretrain.VisionTransformer",
            "arch": {"embed_dims": 32, "num_layers": 2, "num_heads": 2, "feedforward_channels": 128},
            "img_size": 32,
            "patch_size": 8,
        },
        {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2},
        32,
    ),
    "swin_tiny_patch4_window7_224": (
        {"type": "mmpretrain.SwinTransformer", "arch": {"embed_dims": 8, **SIZES}, "img_size": 128, "window_size": 4},
        {"img_size": 128, "window_size": 4, "embed_dim": 8, **SIZES},
        128,
    ),
    "resnet18": (
        {"type": "mmpretrain.ResNet", "depth": 18, "stem_channels": 64, "base_channels": 8},
        {"channels": (8, 16, 32, 64)},
        64,
    ),
}


def written(config, path):
    """mmpretrain's network with random weights, and its checkpoint as a classifier has it."""
    import mmpretrain.models  # noqa: F401  (registers them)
    from mmpretrain.registry import MODELS

    torch.manual_seed(0)
    network = MODELS.build(config)
    network.eval()  # which returns nothing there
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.05 * torch.rand_like(tensor))
    state = {f"backbone.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"state_dict": {**state, "head.fc.weight": torch.ones(3)}, "meta": {"epoch": 1}}, path)
    return network, state


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
def test_features_are_mmpretrains(name, tmp_path):
    config, arguments, side = CASES[name]
    theirs, state = written(config, tmp_path / "epoch_1.pth")
    ours = build(name, arguments)
    report = load_weights(ours, tmp_path / "epoch_1.pth", OutsideSpec(name))
    assert report.loaded == report.total == len(ours.state_dict())
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    (expected,) = theirs(images)
    found = ours.eval()(images)
    torch.testing.assert_close(found, expected if expected.ndim == 2 else expected.mean((2, 3)), rtol=1e-4, atol=1e-5)
    lost = next(key for key in reversed(state) if key.endswith("weight"))
    torch.save({"state_dict": {key: value for key, value in state.items() if key != lost}}, tmp_path / "lost.pth")
    with pytest.raises(InputError, match="1 of its .* tensors are not there"):
        load_weights(ours, tmp_path / "lost.pth", OutsideSpec(name))
