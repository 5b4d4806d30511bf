"""`SizedModel`: the stock model, with channel numbers that follow the size."""

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import nn

from poa_bench.downstream.sized_model import placeholder_values
from poa_bench.errors import InputError
from tests.downstream.networks import FAMILIES, SPACES, backbone_config


@MODELS.register_module(name="StandInModel", force=True)
class StandInModel(BaseModel):
    """Keeps what it is given."""

    def __init__(self, backbone, norm=None, **parts):
        super().__init__()
        self.backbone = MODELS.build(backbone)
        self.norm = nn.SyncBatchNorm(2)
        self.parts = parts

    def forward(self, inputs, data_samples=None, mode="tensor"):
        return self.backbone(inputs)


def build(spec, **parts):
    return MODELS.build(
        {"type": "poa_bench.SizedModel", "base": "StandInModel", "backbone": backbone_config(spec), **parts}
    )


@pytest.mark.parametrize("family", list(FAMILIES))
def test_placeholders_are_what_the_backbone_gives(family):
    for spec in SPACES[family]:
        values = placeholder_values(backbone_config(spec))
        backbone = build(spec).backbone
        maps = backbone(torch.rand(1, 3, 64, 64))
        assert values["backbone.channels"] == [map_.shape[1] for map_ in maps]
        assert values["backbone.strides"] == [64 // map_.shape[2] for map_ in maps]
        assert values["sum(backbone.channels)"] == sum(map_.shape[1] for map_ in maps)
        assert values["backbone.width"] == values["backbone.channels[-1]"] == maps[-1].shape[1]
        assert values["backbone.features"] == backbone.network(torch.rand(1, 3, 64, 64)).shape[1]


def test_parts_are_filled_at_any_depth():
    model = build(
        "vit-w32-d5",
        neck=[{"in_channels": "backbone.channels[0]"}, {"in_channels": "backbone.channels"}],
        head={"inner": {"width": ("backbone.width", 3)}, "text": "of the backbone.", "prefix": None},
    )
    assert type(model) is StandInModel
    assert model.parts == {
        "neck": [{"in_channels": 32}, {"in_channels": [32] * 4}],
        "head": {"inner": {"width": (32, 3)}, "text": "of the backbone.", "prefix": None},
    }


def test_synchronised_norms_become_ordinary_without_a_gpu():
    assert isinstance(build("vit-w16-d3").norm, nn.SyncBatchNorm) == torch.cuda.is_available()


def test_unknown_placeholder_names_the_known_ones():
    with pytest.raises(InputError, match=r"unknown placeholder 'backbone.depth'.*backbone.channels"):
        build("vit-w16-d3", head={"channels": "backbone.depth"})
