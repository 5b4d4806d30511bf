"""The maps that heads get are contiguous, and what Mask R-CNN reads of them is what torchvision reads of copies.

mmcv's compiled RoIAlign reads a map that is not contiguous as if it were (mmcv issue 2203): a network then trains on
scrambled features, and nothing says so.
"""

import contextlib
from functools import partial

import pytest
import torch
import torchvision
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from poa_bench.config_files import config_root, find_config
from tests.downstream.networks import FAMILIES, SMALL, backbone_config

pytest.importorskip("mmdet")
pytest.importorskip("mmseg")

CONFIGS = sorted(path.name for path in (config_root() / "downstream").glob("*.py"))
# name -> (settings of the backbone, layout of images and weights, what the forward pass runs in)
CIRCUMSTANCES = {
    "plain": ({}, torch.contiguous_format, contextlib.nullcontext),
    "channels-last": ({}, torch.channels_last, contextlib.nullcontext),
    "bf16": ({}, torch.contiguous_format, partial(torch.autocast, "cpu", torch.bfloat16)),
    "bf16, channels-last": ({}, torch.channels_last, partial(torch.autocast, "cpu", torch.bfloat16)),
    "recomputed": ({"with_cp": True, "final_norm": True}, torch.channels_last, contextlib.nullcontext),
}
NECKS = {
    "none": None,
    "LevelResampling": {"in_channels": "channels", "in_strides": "strides"},
    "SimpleFeaturePyramid": {"in_channels": "last channels", "in_stride": "last stride", "out_channels": 8},
}


def build_neck(name: str, backbone: nn.Module) -> nn.Module:
    values = {"channels": backbone.channels, "strides": backbone.strides}
    values |= {"last channels": backbone.channels[-1], "last stride": backbone.strides[-1]}
    settings = NECKS[name]
    if settings is None:
        return nn.Identity()
    filled = {key: values.get(value, value) if isinstance(value, str) else value for key, value in settings.items()}
    return MODELS.build({"type": f"poa_bench.{name}", **filled})


@pytest.mark.parametrize("neck", list(NECKS))
@pytest.mark.parametrize("circumstance", list(CIRCUMSTANCES))
@pytest.mark.parametrize("family", list(FAMILIES))
def test_maps_are_contiguous(family, circumstance, neck):
    settings, layout, context = CIRCUMSTANCES[circumstance]
    backbone = MODELS.build(backbone_config(SMALL[family], **settings)).to(memory_format=layout)
    necks = build_neck(neck, backbone).to(memory_format=layout)
    images = torch.rand(2, 3, 64, 96).contiguous(memory_format=layout)
    with context():
        maps = necks(backbone(images))
    assert [map_.is_contiguous() for map_ in maps] == [True] * len(maps)
    assert all(map_.requires_grad for map_ in maps)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_maps_of_compiled_networks_are_contiguous_and_the_same(family):
    backbone = MODELS.build(backbone_config(SMALL[family])).to(memory_format=torch.channels_last).eval()
    images = torch.rand(1, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        plain, maps = backbone(images), torch.compile(backbone, backend="aot_eager")(images)
    for expected, found in zip(plain, maps, strict=True):
        assert found.is_contiguous()
        torch.testing.assert_close(found, expected)


def small_model(name: str, family: str) -> nn.Module:
    config = Config.fromfile(find_config(name))
    init_default_scope(config.get("default_scope", "mmengine"))
    config.model.backbone.update(spec=str(SMALL[family]), families=FAMILIES)
    if "mask_head" in config.model.get("roi_head", {}):
        config.model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=5)  # an untrained head is sure of nothing
    return MODELS.build(config.model).eval()


def families_of(name: str) -> list[str]:
    named = [family for family in FAMILIES if f"_{family}-" in name]
    return ["vit"] if "sfp" in name else named or list(FAMILIES)


@pytest.mark.parametrize(("name", "family"), [(name, family) for name in CONFIGS for family in families_of(name)])
@torch.no_grad()
def test_every_config_gives_its_head_contiguous_maps(name, family):
    """Also after stock necks; and the region features that the model computes are torchvision's, of copies."""
    model = small_model(name, family)
    images = torch.rand(1, 3, 64, 96).contiguous(memory_format=torch.channels_last)
    maps = model.extract_feat(images)
    assert [map_.is_contiguous() for map_ in maps] == [True] * len(maps)
    if not hasattr(model, "roi_head"):
        return
    read = []
    roi_head = model.roi_head
    extractors = [roi_head.bbox_roi_extractor, *([roi_head.mask_roi_extractor] if roi_head.with_mask else [])]
    for extractor in extractors:
        for each in extractor if isinstance(extractor, nn.ModuleList) else [extractor]:
            for layer in each.roi_layers:
                layer.register_forward_hook(lambda layer, inputs, output: read.append((layer, *inputs, output)))
    model.predict(images, [sample(64, 96)])
    for layer, map_, regions, output in read:
        plain = torch.empty(map_.shape).copy_(map_)
        settings = (layer.output_size, layer.spatial_scale, layer.sampling_ratio, layer.aligned)
        torch.testing.assert_close(output, torchvision.ops.roi_align(plain, regions, *settings))
    assert sum(len(regions) for _, _, regions, _ in read) > 10
    called = {layer for layer, *_ in read}
    for extractor in extractors:  # of boxes, and of masks where there are any
        for each in extractor if isinstance(extractor, nn.ModuleList) else [extractor]:
            assert called & set(each.roi_layers)


def sample(height: int, width: int):
    from mmdet.structures import DetDataSample

    shapes = {"img_shape": (height, width), "ori_shape": (height, width), "scale_factor": (1.0, 1.0)}
    return DetDataSample(metainfo=shapes | {"batch_input_shape": (height, width), "pad_shape": (height, width)})
