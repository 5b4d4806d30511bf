"""The dense configs for the embedded data build, for each family, the networks that pre-training on it makes."""

import pytest
from mmengine.config import Config

from poa_bench.config_files import find_config
from poa_bench.downstream.backbone import build_network
from poa_bench.elastic import SearchSpace, Supernet


@pytest.mark.parametrize("family", ["vit", "swin", "resnet"])
def test_dense_heads_take_the_networks_of_pretraining(family):
    backbone = Config.fromfile(find_config(f"poa_{family}-digits.py")).model.backbone.to_dict()
    backbone.pop("type")
    space = SearchSpace.from_dict(backbone.pop("space"))
    pretrained = Supernet(space, **backbone).extract(space.smallest)
    families = Config.fromfile(find_config("linear-seg_digits.py")).model.backbone.families.to_dict()
    dense = build_network(space.smallest, families)
    shapes = [{name: tuple(t.shape) for name, t in module.state_dict().items()} for module in (pretrained, dense)]
    assert shapes[0] == shapes[1]
