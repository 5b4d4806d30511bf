"""Layer-wise decay: learning rates as computed by hand, and as mmpretrain computes them."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from torch import nn

from poa_bench.errors import InputError
from tests.downstream.networks import FAMILIES, SMALL, backbone_config


class Detector(nn.Module):
    """A backbone and a head, as any dense model has them."""

    def __init__(self, family="vit", **settings):
        super().__init__()
        self.backbone = MODELS.build(backbone_config(SMALL[family], **settings))
        self.head = nn.Conv2d(16, 2, 1)

    def get_layer_depth(self, name):
        """As `mmpretrain.ImageClassifier` has it."""
        return self.backbone.get_layer_depth(name, "backbone.")


def optimizer_of(model, constructor="poa_bench.LayerDecayOptimWrapperConstructor", **paramwise_cfg):
    optimizer = {"type": "AdamW", "lr": 1.0, "weight_decay": 0.05}
    config = {"constructor": constructor, "optimizer": optimizer, "paramwise_cfg": paramwise_cfg}
    return build_optim_wrapper(model, config).optimizer


def settings_of(model, optimizer, setting="lr") -> dict[str, float]:
    """Learning rate (or another setting) by parameter name."""
    found = {id(parameter): group[setting] for group in optimizer.param_groups for parameter in group["params"]}
    return {name: found[id(parameter)] for name, parameter in model.named_parameters() if id(parameter) in found}


def test_learning_rates_by_hand():
    """3 blocks: the head is depth 4, block j is j + 1, the stem is 0."""
    model = Detector()
    optimizer = optimizer_of(model, layer_decay_rate=0.5, norm_decay_mult=0.0, bias_decay_mult=0.0)
    learning_rates, weight_decays = settings_of(model, optimizer), settings_of(model, optimizer, "weight_decay")
    expected = {
        "head.weight": (1.0, 0.05),
        "head.bias": (1.0, 0.0),
        "backbone.network.blocks.2.mlp.fc1.weight": (0.5, 0.05),
        "backbone.network.blocks.1.attn.qkv.weight": (0.25, 0.05),
        "backbone.network.blocks.0.attn.qkv.bias": (0.125, 0.0),
        "backbone.network.blocks.0.norm1.weight": (0.125, 0.0),
        "backbone.network.patch_embed.proj.weight": (0.0625, 0.05),
        "backbone.network.pos_embed": (0.0625, 0.05),
        "backbone.network.cls_token": (0.0625, 0.05),
    }
    for name, settings in expected.items():
        assert (learning_rates[name], weight_decays[name]) == pytest.approx(settings), name


@pytest.mark.parametrize(
    ("family", "depths"),
    [
        ("swin", {"patch_embed.proj": 0, "layers.0.blocks.0.attn.qkv": 1, "layers.1.downsample.reduction": 2,
                  "layers.1.blocks.0.attn.qkv": 2, "layers.3.blocks.0.mlp.fc2": 4}),
        ("resnet", {"conv1": 0, "bn1": 0, "layer1.0.conv2": 1, "layer2.0.conv1": 2, "layer4.0.downsample.0": 4}),
    ],
)  # fmt: skip
def test_depths_of_the_other_families(family, depths):
    """One for each block, all stages counted through."""
    backbone = MODELS.build(backbone_config(SMALL[family]))
    for name, depth in depths.items():
        assert backbone.get_layer_depth(f"backbone.network.{name}.weight", "backbone.") == (depth, 6), name
    assert backbone.get_layer_depth("neck.0.weight", "backbone.") == (5, 6)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_trained_parameter_is_in_exactly_one_group(family):
    model = Detector(family, frozen_stages=1)
    optimizer = optimizer_of(model, layer_decay_rate=0.7)
    grouped = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {parameter for parameter in model.parameters() if parameter.requires_grad}
    settings = [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
    assert len(settings) == len(set(settings))  # equal settings share a group


def test_same_as_mmpretrain():
    """mmpretrain gives its own networks the same depths; here it asks ours for them."""
    pytest.importorskip("mmpretrain.engine")
    rules = {"layer_decay_rate": 0.65, "norm_decay_mult": 0.0, "bias_decay_mult": 0.0, "flat_decay_mult": 0.0}
    model = Detector(final_norm=True)
    ours = optimizer_of(model, **rules)
    theirs = optimizer_of(model, "mmpretrain.LearningRateDecayOptimWrapperConstructor", **rules)
    for setting in ("lr", "weight_decay"):
        assert settings_of(model, ours, setting) == pytest.approx(settings_of(model, theirs, setting))


def test_other_rules_still_work():
    model = Detector()
    custom_keys = {"patch_embed": {"lr_mult": 0.2, "decay_mult": 2.0}}
    optimizer = optimizer_of(model, layer_decay_rate=0.5, custom_keys=custom_keys)
    name = "backbone.network.patch_embed.proj.weight"
    assert settings_of(model, optimizer)[name] == pytest.approx(0.2 * 0.5**4)
    assert settings_of(model, optimizer, "weight_decay")[name] == pytest.approx(0.1)


def test_a_step_moves_early_layers_less():
    model = Detector()
    optimizer = optimizer_of(model, layer_decay_rate=0.1)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    moved = {name: (parameter - before[name]).abs().mean().item() for name, parameter in model.named_parameters()}
    steps = [moved[f"backbone.network.blocks.{block}.mlp.fc2.bias"] for block in range(3)] + [moved["head.bias"]]
    assert [late / early for early, late in zip(steps, steps[1:], strict=False)] == pytest.approx([10] * 3, rel=0.1)


def test_bad_settings_are_refused():
    for rate in (0.0, 1.5):
        with pytest.raises(InputError, match="layer_decay_rate is"):
            optimizer_of(Detector(), layer_decay_rate=rate)
    with pytest.raises(InputError, match="no part of Linear has get_layer_depth"):
        optimizer_of(nn.Linear(2, 2), layer_decay_rate=0.5)
