"""A dense checkpoint says which network it holds: another one's weights are never loaded without a word."""

import copy
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.model import ExponentialMovingAverage
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import load_checkpoint, save_checkpoint
from torch import nn

from poa_bench.config_files import read_config
from poa_bench.downstream.backbone import SubnetBackbone
from poa_bench.downstream.description import follow_checkpoint, read_description
from poa_bench.errors import InputError
from tests.downstream.networks import FAMILIES, SMALL, backbone_config, tiny_supernet, write_checkpoint

LARGE = {"vit": "vit-w32-d3", "swin": "swin-w32-d1", "resnet": "resnet-w32-d1-1"}


class Model(nn.Module):
    """A backbone where the stock models have it."""

    def __init__(self, backbone: SubnetBackbone):
        super().__init__()
        self.backbone = backbone


def build(spec, families=FAMILIES, **settings) -> Model:
    return Model(SubnetBackbone(str(spec), families, **settings))


def changed(family: str, **options) -> dict:
    return {**FAMILIES, family: {**FAMILIES[family], **options}}


def saved(model: nn.Module, path, **state):
    save_checkpoint({"state_dict": model.state_dict(), "meta": {}, **state}, str(path))
    return str(path)


def load_torch(model, path):
    model.load_state_dict(torch.load(path, weights_only=True)["state_dict"], strict=False)


LOADERS = {"torch": load_torch, "mmengine": lambda model, path: load_checkpoint(model, path, strict=False)}


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_another_size_is_refused_and_named(family, loader, tmp_path):
    path = saved(build(LARGE[family]), tmp_path / "dense.pth")
    said = f"spec={LARGE[family]}, but the config builds one with spec={SMALL[family]}: add --cfg-options "
    model = build(SMALL[family])
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(InputError, match=f"{said}model.backbone.spec={LARGE[family]}$"):
        LOADERS[loader](model, path)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    LOADERS[loader](again := build(LARGE[family]), path)
    assert torch.equal(next(again.parameters()), torch.load(path)["state_dict"]["backbone." + first_name(again)])


def first_name(model: Model) -> str:
    return next(name for name, _ in model.backbone.named_parameters())


# what no shape shows
HIDDEN = {
    "vit": ("vit-w32-d3", {"head_dim": 32}, "families.vit.head_dim=16", "families.vit.head_dim=32"),
    "resnet": ("resnet-w16-d1-1", {"output_stride": 16}, "output_stride=32", "families.resnet.output_stride=16"),
}


@pytest.mark.parametrize("family", HIDDEN)
def test_equal_shapes_of_another_network_are_refused(family, tmp_path):
    spec, options, config_has, found = HIDDEN[family]
    other = build(spec, changed(family, **options))
    path = saved(other, tmp_path / "dense.pth")
    model = build(spec)
    shapes = [
        {name: value.shape for name, value in each.backbone.network.state_dict().items()} for each in (model, other)
    ]
    assert shapes[0] == shapes[1]
    with pytest.raises(InputError, match=f"network with {found}.*but .*{config_has}: add --cfg-options .*{found}$"):
        load_checkpoint(model, path)


def test_levels_are_compared_where_both_give_maps(tmp_path):
    path = saved(build("vit-w16-d3", final_norm=True), tmp_path / "dense.pth")
    with pytest.raises(InputError, match="add --cfg-options model.backbone.final_norm=True$"):
        load_checkpoint(build("vit-w16-d3"), path)
    load_checkpoint(build("vit-w16-d3", output="pooled"), path)


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("vit", {"init_values": 1e-5, "qkv_bias": True, "weight_init": "jax", "position_std": 1.2}),
        ("swin", {"fixed_depths": [1, 1, 1], "drop_path_rate": 0.1, "mlp_ratio": 4.0}),
        ("resnet", {"channels": [16, 32, 64, 128], "output_stride": 32}),
    ],
)
def test_another_way_to_write_it_is_no_difference(family, options, tmp_path):
    path = saved(build(SMALL[family], changed(family, **options)), tmp_path / "dense.pth")
    load_checkpoint(build(SMALL[family]), path, strict=True)
    renamed = {{"img_size": "image_size"}.get(name, name): value for name, value in FAMILIES[family].items()}
    load_checkpoint(build(SMALL[family], {family: renamed}), path, strict=True)


def test_it_survives_moving_averages_wrappers_and_publishing(tmp_path, monkeypatch):
    model = build("vit-w32-d3")
    for update_buffers in (False, True):
        averaged = ExponentialMovingAverage(model, update_buffers=update_buffers)
        for _ in range(3):
            averaged.update_parameters(model)
        with pytest.raises(InputError, match="spec=vit-w32-d3"):
            ExponentialMovingAverage(build("vit-w16-d3")).load_state_dict(averaged.state_dict())
    wrapped = saved(nn.ModuleDict({"module": model}), tmp_path / "wrapped.pth", optimizer={})
    publish = pytest.importorskip("mmdet") and load_publish_model(monkeypatch)
    publish(wrapped, str(tmp_path / "published.pth"))
    for path in (wrapped, next(path for path in wait_for(tmp_path, "published-*.pth"))):
        assert read_description(path)["spec"] == "vit-w32-d3"
        with pytest.raises(InputError, match="--cfg-options model.backbone.spec=vit-w32-d3"):
            load_checkpoint(build("vit-w16-d3"), str(path))


def load_publish_model(monkeypatch):
    """mmdet's tool."""
    import runpy
    from pathlib import Path

    import mmdet

    tool = Path(mmdet.__file__).parent / ".mim/tools/model_converters/publish_model.py"
    return runpy.run_path(str(tool))["process_checkpoint"]


def wait_for(folder, pattern):
    """The tool does not wait for its `mv`."""
    import time

    for _ in range(100):
        if found := list(folder.glob(pattern)):
            return found
        time.sleep(0.05)
    return []


def test_files_of_older_versions_are_compared_by_their_shapes(tmp_path):
    path = saved(build("vit-w32-d3"), tmp_path / "dense.pth")
    content = torch.load(path)
    del content["state_dict"]["backbone.description"]
    torch.save(content, path)
    load_checkpoint(build("vit-w32-d3"), path, strict=True)
    assert read_description(path) is None
    with pytest.raises(
        InputError, match=r"does not hold the backbone vit-w16-d3 .* is \[1, 1, 32\] instead of \[1, 1, 16\]"
    ):
        load_checkpoint(build("vit-w16-d3"), path)
    with pytest.raises(InputError, match=r"blocks.3.norm1.weight is not there instead of \[32\]"):
        load_checkpoint(build("vit-w32-d4"), path)


def test_a_pretraining_is_no_trained_model(tmp_path):
    path = write_checkpoint(tiny_supernet("vit"), tmp_path / "supernet.pth")
    with pytest.raises(
        InputError, match=r"none of the \d+ tensors backbone.\* .* are model.backbone.init_cfg.checkpoint"
    ):
        load_checkpoint(build("vit-w16-d3"), str(path))


def test_an_option_that_only_the_config_has(tmp_path):
    families = {"resnet": {name: value for name, value in FAMILIES["resnet"].items() if name != "fixed_depths"}}
    path = saved(build("resnet-w16-d1-1", families), tmp_path / "dense.pth")
    with pytest.raises(InputError, match=r"fixed_depths=\(default\), but .* take it out of model.backbone.families$"):
        load_checkpoint(build("resnet-w16-d1-1"), path)


@pytest.mark.parametrize("foreign", [torch.zeros(3, dtype=torch.uint8), torch.rand(3), torch.tensor([51])])
def test_a_foreign_description_is_a_sentence(foreign):
    model = build("vit-w16-d3")
    state = model.state_dict() | {"backbone.description": foreign}
    with pytest.raises(InputError, match="what the checkpoint says of its backbone cannot be read"):
        model.load_state_dict(state)


def test_a_config_from_outside_is_covered(tmp_path):
    """mmseg's own model around our backbone, without `SizedModel`."""
    pytest.importorskip("mmseg")
    init_default_scope("mmseg")
    head = {"type": "FCNHead", "in_channels": 16, "in_index": 3, "channels": 8, "num_classes": 3}
    config = {"type": "EncoderDecoder", "decode_head": head, "test_cfg": {"mode": "whole"}}

    def model(spec, width):
        parts = copy.deepcopy(config) | {"backbone": backbone_config(spec)}
        parts["decode_head"]["in_channels"] = width
        return MODELS.build(parts)

    path = saved(model("vit-w32-d3", 32), tmp_path / "dense.pth")
    with pytest.raises(InputError, match="--cfg-options model.backbone.spec=vit-w32-d3"):
        load_checkpoint(model("vit-w16-d3", 16), path)


@pytest.fixture
def config() -> Config:
    return read_config("linear-seg_digits.py")


def test_a_config_follows_its_checkpoint(config, tmp_path):
    path = saved(build("vit-w32-d4", changed("vit", head_dim=32), final_norm=True), tmp_path / "dense.pth")
    config.load_from = path
    (said,) = follow_checkpoint(config, [])
    for part in ("spec=vit-w32-d4", "families.vit.head_dim=32"):
        assert part in said
    backbone = config.model.backbone
    assert (backbone.spec, backbone.final_norm, backbone.families.vit.head_dim) == ("vit-w32-d4", True, 32)
    assert backbone.families.vit.weight_init == "jax"  # how a training starts stays the config's
    load_checkpoint(Model(MODELS.build(backbone.to_dict())), path, strict=True)
    assert follow_checkpoint(config, []) == []


def test_what_the_command_line_says_stays(config, tmp_path):
    config.load_from = saved(build("vit-w32-d4"), tmp_path / "dense.pth")
    follow_checkpoint(config, ["model.backbone.spec", "model.backbone.families.vit.head_dim"])
    assert config.model.backbone.spec == "vit-w96-d4"
    assert config.model.backbone.families.vit == {
        **{"head_dim": 16, "weight_init": "jax", "position_std": 1.2},
        **{"image_size": 32, "patch_size": 8, "init_values": 0.5},
    }
    config.load_from = None
    assert follow_checkpoint(config, []) == []


def test_a_family_that_the_config_lacks(config, tmp_path):
    config.load_from = saved(build("resnet-w32-d1-1"), tmp_path / "dense.pth")
    del config.model.backbone.families["resnet"]
    follow_checkpoint(config, [])
    load_checkpoint(Model(MODELS.build(config.model.backbone.to_dict())), config.load_from, strict=True)


def test_descriptions_are_json(tmp_path):
    text = bytes(build("swin-w16-d2").backbone.description.tolist()).decode()
    assert re.match(r'\{"spec": "swin-w16-d2", "family": \{"image_size": 64, ', text)
