"""`SubnetBackbone`: the network of the supernet, all of its weights, and maps of any image."""

import pytest
import safetensors.torch
import torch
from mmengine.registry import MODELS
from safetensors import safe_open

from poa_bench.downstream.backbone import SubnetBackbone, build_network, levels_of, pad_to_multiple
from poa_bench.elastic import SubnetSpec, save_subnet
from poa_bench.errors import InputError
from tests.downstream.networks import FAMILIES, SMALL, SPACES, backbone_config, tiny_supernet, write_checkpoint
from tests.elastic.torchvision_swin import in_torchvision

each_family = pytest.mark.parametrize("family", list(FAMILIES))


def build(spec, checkpoint=None, **settings) -> SubnetBackbone:
    return MODELS.build(backbone_config(spec, checkpoint, **settings))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    return {family: write_checkpoint(tiny_supernet(family), folder / f"{family}.pth") for family in FAMILIES}


@pytest.mark.parametrize(
    ("depth", "blocks"), [(12, [3, 5, 7, 11]), (24, [7, 11, 15, 23]), (4, [0, 1, 2, 3]), (2, [0, 0, 0, 1])]
)
def test_blocks_follow_the_depth(depth, blocks):
    """12 and 24 blocks: as BEiT, iBOT and POA have it for ViT-S/B and ViT-L."""
    backbone = build(SubnetSpec("vit", 16, (depth,)))
    assert backbone.indices == blocks
    assert [map_.shape for map_ in backbone(torch.rand(1, 3, 32, 32))] == [(1, 16, 4, 4)] * 4


def test_levels_are_the_outputs_of_these_blocks():
    backbone = build("vit-w16-d5").eval()
    seen = {}
    for index, block in enumerate(backbone.network.blocks):
        block.register_forward_hook(lambda _module, _inputs, output, index=index: seen.update({index: output}))
    maps = backbone(torch.rand(2, 3, 40, 24))
    for index, map_ in zip(backbone.indices, maps, strict=True):
        patches = seen[index][:, 1:]  # without the class token
        assert torch.equal(map_, patches.transpose(1, 2).reshape(2, 16, 5, 3))


def test_levels_of_swin_are_torchvisions_for_images_off_its_grid():
    swin = {"image_size": 224, "window_size": 7, "head_dim": 8, "fixed_depths": (2, 2, 2)}
    backbone = build("swin-w16-d4", families={"swin": swin}).eval()
    images, features = torch.rand(1, 3, 200, 332), in_torchvision(backbone.network).features
    with torch.no_grad():
        maps = backbone(images)
        for stage, map_ in enumerate(maps):
            torch.testing.assert_close(map_, features[: 2 * stage + 2](images).permute(0, 3, 1, 2))


def test_final_norm_is_applied_on_request():
    torch.manual_seed(0)
    plain = build("vit-w16-d3").eval()
    normed = build("vit-w16-d3", final_norm=True).eval()
    normed.network.load_state_dict(plain.network.state_dict())
    images = torch.rand(1, 3, 32, 32)
    expected = plain.network.norm(plain(images)[-1].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(normed(images)[-1], expected)


@each_family
def test_levels_have_the_channels_and_strides_that_it_says(family):
    backbone = build(SMALL[family]).eval()
    if family != "vit":
        assert backbone.strides == [4, 8, 16, 32]
    maps = backbone(torch.rand(2, 3, 64, 128))
    assert [map_.shape for map_ in maps] == [
        (2, channels, 64 // stride, 128 // stride)
        for channels, stride in zip(backbone.channels, backbone.strides, strict=True)
    ]


@each_family
@pytest.mark.parametrize("size", [(32, 32), (50, 71), (9, 100)])
def test_any_image_size(family, size):
    """An odd image gives what the padded image gives."""
    backbone = build(SMALL[family]).eval()
    images = torch.rand(1, 3, *size)
    maps = backbone(images)
    assert all(map_.isfinite().all() for map_ in maps)
    if family == "vit":
        padded = pad_to_multiple(images, (8, 8))
        assert padded.shape[-2] % 8 == padded.shape[-1] % 8 == 0
        assert padded[..., size[0] :, :].eq(0).all() and padded[..., : size[0], : size[1]].equal(images)
        assert all(a.equal(b) for a, b in zip(maps, backbone(padded), strict=True))


@each_family
def test_every_tensor_comes_from_the_supernet(family, checkpoints, log):
    for spec in SPACES[family]:
        backbone = build(spec, checkpoints[family])
        backbone.init_weights()
        expected = tiny_supernet(family).extract(spec)
        tensors = backbone.network.state_dict()
        assert tensors.keys() == expected.state_dict().keys()
        assert all(torch.equal(tensors[name], tensor) for name, tensor in expected.state_dict().items())
        total = len(tensors)
        assert backbone.load_report.loaded == backbone.load_report.total == total
        assert f"loaded {total}/{total} tensors (100 %)" in log[-1]


def test_extracted_file_gives_the_same_as_its_supernet(checkpoints, tmp_path):
    spec = SMALL["vit"]
    path = tmp_path / "small.safetensors"
    save_subnet(tiny_supernet("vit"), spec, path, source_sha256="0" * 64)
    images = torch.rand(1, 3, 32, 32)
    outputs = []
    for checkpoint in (path, checkpoints["vit"]):
        backbone = build(spec, checkpoint).eval()
        backbone.init_weights()
        outputs.append(backbone(images)[-1])
    assert torch.equal(*outputs)


def test_without_checkpoint_the_log_says_random(log):
    backbone = build(SMALL["vit"])
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    backbone.init_weights()
    assert "no checkpoint given, random initialisation" in log[-1]
    assert backbone.load_report is None
    assert all(tensor.equal(before[name]) for name, tensor in backbone.state_dict().items())


def test_init_cfg_of_other_backbones_is_understood(checkpoints):
    """`prefix` is what users paste from mmpretrain's benchmark tools; None is what `init_detector` sets."""
    init_cfg = {"type": "Pretrained", "checkpoint": str(checkpoints["vit"]), "prefix": "backbone."}
    build(SMALL["vit"], init_cfg=init_cfg).init_weights()
    build(SMALL["vit"], init_cfg=None).init_weights()
    with pytest.raises(InputError, match="unknown keys.*map_location"):
        build(SMALL["vit"], init_cfg={**init_cfg, "map_location": "cpu"})


def test_weights_of_another_network_are_refused(checkpoints, tmp_path):
    def load(spec, checkpoint=checkpoints["vit"], **options):
        families = {**FAMILIES, "vit": {**FAMILIES["vit"], **options}}
        build(spec, checkpoint, families=families).init_weights()

    load("vit-w32-d5")
    with pytest.raises(InputError, match="vit-w48-d5 is not in this supernet's space"):
        load("vit-w48-d5")
    with pytest.raises(InputError, match="set `families` as it was for pre-training"):
        load("vit-w32-d5", patch_size=16)  # other shapes
    with pytest.raises(InputError, match="computes something else.*head_dim"):
        load("vit-w32-d5", head_dim=32)  # the same shapes
    with pytest.raises(InputError, match="no file"):
        load("vit-w32-d5", tmp_path / "missing.pth")
    with pytest.raises(InputError, match="knows no swin networks"):
        build("swin-w16-d1", families={"vit": FAMILIES["vit"]})


def test_a_file_that_lacks_one_tensor_is_refused(tmp_path):
    path = tmp_path / "small.safetensors"
    save_subnet(tiny_supernet("vit"), SMALL["vit"], path, source_sha256="0" * 64)
    tensors = safetensors.torch.load_file(path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors.pop("blocks.1.mlp.fc2.bias")
    safetensors.torch.save_file(tensors, path, metadata)
    with pytest.raises(InputError, match="is damaged"):
        build(SMALL["vit"], path).init_weights()
    del metadata["crc32"]  # as files of earlier versions
    safetensors.torch.save_file(tensors, path, metadata)
    with pytest.raises(InputError, match="blocks.1.mlp.fc2.bias"):
        build(SMALL["vit"], path).init_weights()


def test_bad_settings_are_refused():
    with pytest.raises(InputError, match="use one of levels, pooled, pooled_stages"):
        build(SMALL["vit"], output="tokens")
    for fractions in ((), (0.5, 2.0), (0.0, 1.0), (0.25, 0.5)):
        with pytest.raises(InputError, match="out_fractions"):
            build(SMALL["vit"], out_fractions=fractions)


@each_family
def test_every_trained_parameter_gets_a_gradient(family):
    """Distributed training would wait for ever for the others (`find_unused_parameters` is off)."""
    backbone = build(SMALL[family]).train()
    sum(map_.square().sum() for map_ in backbone(torch.rand(2, 3, 64, 64))).backward()
    for name, parameter in backbone.named_parameters():
        assert parameter.requires_grad == (parameter.grad is not None), name


FROZEN = {
    "vit": ("patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "blocks.1.attn.qkv.weight"),
    "swin": ("patch_embed.proj.weight", "layers.0.blocks.0.attn.qkv.weight", "layers.1.blocks.0.attn.qkv.weight"),
    "resnet": ("conv1.weight", "layer1.0.conv1.weight", "layer2.0.conv1.weight"),
}


@each_family
def test_frozen_stages(family):
    """-1 trains all, 0 freezes the stem, 1 the first stage (or block), too."""
    for frozen_stages in (-1, 0, 1):
        backbone = build(SMALL[family], frozen_stages=frozen_stages, drop_path_rate=0.5).train()
        parameters = dict(backbone.network.named_parameters())
        trained = [parameters[name].requires_grad for name in FROZEN[family]]
        assert trained == [position > frozen_stages for position in range(3)]
    frozen_block = FROZEN[family][1].rsplit(".", 2)[0]
    assert not backbone.network.get_submodule(frozen_block).training
    assert backbone.network.get_submodule(FROZEN[family][2].rsplit(".", 2)[0]).training


def test_frozen_backbone_has_no_gradient_and_no_drop_path():
    backbone = build(SMALL["vit"], frozen_stages="all", drop_path_rate=0.9).train()
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    images = torch.rand(4, 3, 32, 32)
    first, second = backbone(images)[-1], backbone(images)[-1]
    assert not first.requires_grad
    assert torch.equal(first, second)


def test_checkpointing_changes_no_gradient():
    gradients = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        backbone = build(SMALL["vit"], with_cp=with_cp).train()
        sum(map_.square().sum() for map_ in backbone(torch.ones(1, 3, 32, 32))).backward()
        gradients.append(backbone.network.blocks[0].attn.qkv.weight.grad)
    torch.testing.assert_close(*gradients)


@each_family
def test_pooled_output_is_the_class_feature(family, checkpoints):
    backbone = build(SMALL[family], checkpoints[family], output="pooled").eval()
    backbone.init_weights()
    images = torch.rand(2, 3, 64, 64)
    (pooled,) = backbone(images)
    torch.testing.assert_close(pooled, tiny_supernet(family)(images, SMALL[family]).cls, rtol=1e-4, atol=1e-5)


def test_levels_at_paper_scale():
    families = {"vit": {"img_size": 224, "patch_size": 16, "head_dim": 64}, "swin": {"head_dim": 16}, "resnet": {}}
    found = {}
    for alias in ("vit-s", "swin-t", "resnet-50"):
        spec = SubnetSpec.parse(alias)
        with torch.device("meta"):
            found[alias] = levels_of(build_network(spec, families))[1:]
    assert found["vit-s"] == ([384] * 4, [16] * 4)
    assert found["swin-t"] == ([96, 192, 384, 768], [4, 8, 16, 32])
    assert found["resnet-50"] == ([256, 512, 1024, 2048], [4, 8, 16, 32])
