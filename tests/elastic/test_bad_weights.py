"""Weights that nobody should take: NaN, infinity, other kinds of numbers; by every way that reads a network."""

import pytest
import timm
import torch

from poa_bench.cli import main
from poa_bench.elastic import load_supernet, save_subnet
from poa_bench.errors import InputError
from poa_bench.outside.name import OutsideSpec
from poa_bench.outside.weights import load_weights
from tests.pretraining.teaching import write_teacher

NAME = "network.blocks.1.mlp.fc1.weight"
BROKEN = {
    "NaN": lambda tensor: tensor.index_fill(0, torch.tensor([3]), torch.nan),
    "infinity": lambda tensor: tensor.index_fill(1, torch.tensor([0]), -torch.inf),
    "whole": lambda tensor: (100 * tensor).int(),
    "complex": lambda tensor: tensor + 1j,
    "truth": lambda tensor: tensor > 0,
}


@pytest.fixture(params=BROKEN)
def broken(request, tmp_path) -> str:
    path = write_teacher(tmp_path)
    checkpoint = torch.load(path, weights_only=True)
    for name in checkpoint["state_dict"]:
        if name.endswith(NAME):
            checkpoint["state_dict"][name] = BROKEN[request.param](checkpoint["state_dict"][name])
    torch.save(checkpoint, path)
    return str(path)


def test_checkpoint_is_refused_by_name_of_its_tensor(broken, tmp_path, capsys):
    with pytest.raises(InputError, match=rf"{NAME} (holds NaN or infinity|are )"):
        load_supernet(broken)
    output = tmp_path / "vit.safetensors"
    assert main(["export", broken, "vit-w32-d3", "-o", str(output)]) == 2 and not output.exists()
    assert NAME in capsys.readouterr().err


def test_half_precision_is_taken(tmp_path):
    path = write_teacher(tmp_path)
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["state_dict"] = {name: tensor.bfloat16() for name, tensor in checkpoint["state_dict"].items()}
    torch.save(checkpoint, path)
    assert load_supernet(path).mask_token.dtype == torch.float32


def test_extracted_file_with_nan_is_refused(tmp_path, capsys):
    net = load_supernet(write_teacher(tmp_path))
    with torch.no_grad():
        net.network.norm.bias[5] = torch.nan
    save_subnet(net, net.space.intact, tmp_path / "vit.safetensors", "0" * 64)
    command = ["evaluate", str(tmp_path / "vit.safetensors"), "--data", "digits", "-o", str(tmp_path / "r")]
    assert main(["slice", str(tmp_path / "vit.safetensors"), "-o", str(tmp_path / "s.pth")]) == 2
    assert "norm.bias holds NaN or infinity" in capsys.readouterr().err
    assert main(command) == 2


def test_network_from_outside_with_nan_is_refused(tmp_path):
    network = timm.create_model("vit_tiny_patch16_224", num_classes=0, embed_dim=16, depth=1, num_heads=2)
    with torch.no_grad():
        network.cls_token[0, 0, 0] = torch.inf
    torch.save(network.state_dict(), tmp_path / "vit.pth")
    with pytest.raises(InputError, match="cls_token holds NaN or infinity"):
        load_weights(network, tmp_path / "vit.pth", OutsideSpec("vit_tiny_patch16_224"))
