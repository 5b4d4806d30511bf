"""Networks from outside as backbones of detectors and segmentors."""

import pytest
import torch

from poa_bench.downstream.sized_model import placeholder_values
from poa_bench.errors import InputError
from poa_bench.registry import MODELS
from tests.outside.networks import ARGUMENTS, CONVNEXT, DINO3, REGISTERS, RESNET, SIDE, SWIN, TOKEN, stock, write

IMAGES = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
PREFIX = {TOKEN: 1, REGISTERS: 4, DINO3: 5}


def config_of(name, path=None, **settings):
    init_cfg = {"type": "Pretrained", "checkpoint": path and str(path)}
    families = {"timm": ARGUMENTS[name]}
    return {
        "type": "poa_bench.SubnetBackbone",
        "spec": f"timm:{name}",
        "families": families,
        "init_cfg": init_cfg,
    } | settings


@torch.no_grad()
@pytest.mark.parametrize("name", [TOKEN, REGISTERS, DINO3, SWIN, RESNET, CONVNEXT])
def test_levels_are_what_comes_out_of_timms_own_blocks(name, tmp_path):
    theirs = stock(name)
    backbone = MODELS.build(config_of(name, write(theirs, tmp_path / "weights.safetensors"))).eval()
    backbone.init_weights()
    assert backbone.load_report.loaded == backbone.load_report.total == len(backbone.network.state_dict())
    modules = [level["module"] for level in theirs.feature_info][-4:]
    modules = [modules[0], modules[0], modules[0], modules[1]] if name in PREFIX else modules  # thirds and halves of 2
    found = {}
    for module in set(modules):
        theirs.get_submodule(module).register_forward_hook(
            lambda _, __, output, key=module: found.update({key: output})
        )
    theirs(IMAGES)
    levels = backbone(IMAGES)
    for module, level in zip(modules, levels, strict=True):
        expected = found[module]
        if name in PREFIX:
            expected = expected[:, PREFIX[name] :].transpose(1, 2).unflatten(2, (SIDE // 8, SIDE // 8))
        elif name == SWIN:
            expected = expected.permute(0, 3, 1, 2)
        torch.testing.assert_close(level, expected)
    values = placeholder_values(config_of(name))
    assert values["backbone.channels"] == [level.shape[1] for level in levels]
    assert values["backbone.strides"] == [SIDE // level.shape[2] for level in levels]
    assert backbone(torch.randn(1, 3, 61, 50))[0].shape[1] == values["backbone.channels"][0]  # any size


@pytest.mark.parametrize("name", [REGISTERS, CONVNEXT, RESNET])
def test_whatever_is_trained_gets_a_gradient(name):
    backbone = MODELS.build(config_of(name)).train()
    sum(level.square().sum() for level in backbone(IMAGES)).backward()
    assert all((parameter.grad is not None) == parameter.requires_grad for parameter in backbone.parameters())
    frozen = MODELS.build(config_of(name, frozen_stages="all"))
    assert not any(parameter.requires_grad for parameter in frozen.parameters())


def test_a_checkpoint_of_another_network_is_refused():
    state = MODELS.build(config_of(TOKEN)).state_dict()
    MODELS.build(config_of(TOKEN)).load_state_dict(state)
    with pytest.raises(InputError, match=f"spec=timm:{TOKEN}, but the config builds one with spec=timm:{RESNET}"):
        MODELS.build(config_of(RESNET)).load_state_dict(state)
    other = config_of(TOKEN) | {"families": {"timm": {**ARGUMENTS[TOKEN], "num_heads": 4}}}
    with pytest.raises(InputError, match=r"families.timm.num_heads"):
        MODELS.build(other).load_state_dict(state)
