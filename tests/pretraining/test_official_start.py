"""What the ImageNet configs start with and decay, against the rules of the official code."""

import math

import pytest
import torch
from mmengine.config import Config
from torch import nn

from poa_bench.config_files import find_config
from poa_bench.errors import InputError
from poa_bench.pretraining.objectives.poa import POA
from poa_bench.pretraining.optim import PretrainOptimWrapperConstructor
from poa_bench.registry import MODELS

SMALL = {  # of the same kind, with all options of the config
    "vit": dict(widths=[64, 128], depths=[2]),
    "swin": dict(widths=[32, 64], depths=[2]),
    "resnet": dict(widths=[32, 64], depths=[[2], [2]]),
}
each_family = pytest.mark.parametrize("family", SMALL)


def small_config(family: str, kind: str = "_imagenet") -> Config:
    config = Config.fromfile(find_config(f"poa_{family}{kind}.py"))
    if kind == "_imagenet":
        config.model.backbone.space.update(SMALL[family])
        config.model.head.update(prototypes=[64, 128])
        config.model.compile_blocks = False
    return config


def build(config: Config) -> POA:
    torch.manual_seed(0)
    return MODELS.build(config.model)


@pytest.fixture(scope="module")
def models() -> dict[str, POA]:
    return {family: build(small_config(family)) for family in SMALL}


@each_family
def test_backbones(models, family):
    """ViT: DINOv2's truncated normals; Swin and ResNet, whose rules are never called: torch's own layers."""
    network = models[family].student.backbone.network
    for name, module in network.named_modules():
        if isinstance(module, nn.LayerNorm | nn.GroupNorm):
            assert (module.weight == 1).all() and (module.bias == 0).all(), name  # the last ones of ResNet's blocks too
        elif isinstance(module, nn.Linear) and family == "vit":
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.05) and (module.bias == 0).all(), name
        elif isinstance(module, nn.Linear | nn.Conv2d):
            bound = 1 / math.sqrt(module.weight[0].numel())  # uniform between -bound and bound
            assert 0.95 * bound < module.weight.abs().max() <= bound, name
            assert module.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1), name
            if module.bias is not None:
                assert 0.5 * bound < module.bias.abs().max() <= bound, name
    tables = [value for name, value in network.named_parameters() if "relative_position_bias_table" in name]
    assert bool(tables) == (family == "swin") and not any(table.any() for table in tables)
    if family == "vit":
        assert network.pos_embed.std().item() == pytest.approx(0.02, rel=0.05)
        assert network.cls_token.abs().max() < 1e-5


@each_family
def test_heads_and_mask_token(models, family):
    student = models[family].student
    assert not student.backbone.mask_token.any()
    for index in (0, 1):
        prototypes = student.head.get_submodule(f"last_layer{index}")
        torch.manual_seed(0)
        official = nn.Linear(256, 1000, bias=False).weight.norm(dim=1).mean()  # 0.577
        assert prototypes.weight_v.norm(dim=1).mean().item() == pytest.approx(official.item(), rel=0.02)
        assert (prototypes.weight_g == 1).all()
        assert student.head.get_submodule(f"mlp{index}")[2].weight.std().item() == pytest.approx(0.02, rel=0.05)


@each_family
def test_digits_start_as_before(family):
    """Minutes of training: a mask token and prototypes with which the demo's numbers were found."""
    student = build(small_config(family, "-digits")).student
    assert student.backbone.mask_token.std().item() == pytest.approx(0.02, rel=0.5)
    assert student.head.last_layer0.weight_v.norm(dim=1).mean().item() == pytest.approx(0.02 * math.sqrt(64), rel=0.05)


@each_family
def test_random_controls_start_as_training_does(models, family):
    """What a checkpoint's description builds again."""
    backbone = models[family].student.backbone
    torch.manual_seed(0)
    again = type(backbone).from_description(backbone.describe())
    for name, value in backbone.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name


@each_family
def test_weight_decay_is_that_of_the_official_names(models, family):
    """The official code does not decay names that end in `.bias` or hold `norm` or `gamma`; its ResNet has no `bn`."""
    config, student = small_config(family), models[family].student
    constructor = PretrainOptimWrapperConstructor(config.optim_wrapper, config.optim_wrapper.paramwise_cfg)
    names = {name: name.replace(".bn", ".norm") for name, _ in student.named_parameters()}
    official = {
        name for name, theirs in names.items() if theirs.endswith(".bias") or "norm" in theirs or "gamma" in theirs
    }
    assert constructor.without_weight_decay(student) == official
    downsampling = {name for name in names if name.endswith("downsample.1.weight")}
    assert len(downsampling) == (4 if family == "resnet" else 0) and not downsampling & official


def test_decay_of_nothing_is_refused(models):
    constructor = PretrainOptimWrapperConstructor({"optimizer": {}}, {"decay_also": "downsample"})
    with pytest.raises(InputError, match="fits no bias or norm of this network"):
        constructor.without_weight_decay(models["vit"].student)
