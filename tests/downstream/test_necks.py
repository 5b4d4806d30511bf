"""Necks: the strides they promise, and BEiT's resampling."""

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from poa_bench.downstream.necks import resampler
from poa_bench.errors import InputError


def build(name, **settings):
    return MODELS.build({"type": f"poa_bench.{name}", **settings})


def test_resampling_is_that_of_beit():
    """mmseg has it as `Feature2Pyramid`; the only difference is the norm between the two up-sampling steps."""
    mmseg_necks = pytest.importorskip("mmseg.models.necks")
    theirs = mmseg_necks.Feature2Pyramid(6, norm_cfg={"type": "BN"}).eval()
    ours = build("LevelResampling", in_channels=[6] * 4, in_strides=[16] * 4).eval()
    theirs.upsample_4x[1] = ours.levels[0][1]
    ours.levels[0].load_state_dict(theirs.upsample_4x.state_dict())
    ours.levels[1].load_state_dict(theirs.upsample_2x.state_dict())
    maps = [torch.randn(2, 6, 4, 6) for _ in range(4)]
    for a, b in zip(ours(maps), theirs(maps), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("strides", [(16, 16, 16, 16), (4, 4, 4, 4), (8, 8, 8, 8), (4, 8, 16, 32)])
def test_levels_end_at_their_strides(strides):
    neck = build("LevelResampling", in_channels=(8, 8, 8, 8), in_strides=strides)
    maps = neck([torch.randn(1, 8, 64 // stride, 128 // stride) for stride in strides])
    assert [map_.shape for map_ in maps] == [(1, 8, 64 // stride, 128 // stride) for stride in (4, 8, 16, 32)]


def test_pyramid_levels_leave_as_they_are():
    """Swin's and ResNet's maps have their strides already."""
    neck = build("LevelResampling", in_channels=(8, 16, 32, 64), in_strides=(4, 8, 16, 32))
    assert not list(neck.parameters())
    maps = [torch.randn(1, channels, 4, 4) for channels in (8, 16, 32, 64)]
    assert all(a is b for a, b in zip(neck(maps), maps, strict=True))


@pytest.mark.parametrize(
    ("in_stride", "strides", "num_outs"), [(16, (4, 8, 16, 32), 5), (4, (4, 8), 2), (8, (4, 8), 3)]
)
def test_simple_feature_pyramid(in_stride, strides, num_outs):
    neck = build(
        "SimpleFeaturePyramid",
        in_channels=6,
        in_stride=in_stride,
        out_channels=5,
        out_strides=strides,
        num_outs=num_outs,
    )
    maps = [torch.randn(2, 6, 128 // in_stride, 64 // in_stride, requires_grad=True) for _ in range(4)]
    levels = neck(maps)
    all_strides = [*strides, *(strides[-1] * 2 ** (extra + 1) for extra in range(num_outs - len(strides)))]
    assert [level.shape for level in levels] == [(2, 5, 128 // stride, 64 // stride) for stride in all_strides]
    sum(level.sum() for level in levels).backward()
    assert [map_.grad is not None for map_ in maps] == [False, False, False, True]  # from the last map alone
    assert all(parameter.grad is not None for parameter in neck.parameters())


def test_resampler_keeps_a_constant_where_it_pools():
    assert torch.equal(resampler(3, 4, 16)(torch.ones(1, 3, 8, 8)), torch.ones(1, 3, 2, 2))
    assert isinstance(resampler(3, 8, 8), nn.Identity)
    norms = [type(layer).__name__ for layer in resampler(3, 16, 2)]
    up = "ConvTranspose2d"
    assert norms == [up, "LayerNorm2d", "GELU", up, "LayerNorm2d", "GELU", up]


def test_bad_strides_are_refused():
    for strides in ((12, 4), (16, 24)):
        with pytest.raises(InputError, match="power of two"):
            resampler(3, *strides)
    with pytest.raises(InputError, match="one of each"):
        build("LevelResampling", in_channels=[8], in_strides=[4] * 4)
    with pytest.raises(InputError, match="num_outs is 1"):
        build("SimpleFeaturePyramid", in_channels=8, in_stride=4, num_outs=1)
