"""Networks from outside: their features are those of timm's own network, and every tensor of a file has its place."""

import argparse
import pickle

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from mmengine.analysis import get_model_complexity_info

from poa_bench.downstream.blocks import block_features
from poa_bench.downstream.patch_maps import patch_extractor
from poa_bench.elastic.macs import count_macs
from poa_bench.errors import InputError
from poa_bench.outside.name import OutsideSpec, parse_spec
from poa_bench.outside.network import build, build_described, check_name, feature_length, has_class_token
from poa_bench.outside.source import find_source
from poa_bench.outside.weights import load_weights, read_tensors
from tests.outside.networks import (
    ARGUMENTS,
    CONVNEXT,
    DINO2,
    DINO3,
    DISTILLED,
    REGISTERS,
    RESNET,
    SIDE,
    SWIN,
    TOKEN,
    stock,
    write,
)

IMAGES = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def loaded(name, path):
    """The network that is measured, and what was said of its loading."""
    network = build(name, ARGUMENTS[name])
    report = load_weights(network, path, OutsideSpec(name))
    return network.eval(), report


@torch.no_grad()
@pytest.mark.parametrize("name", ARGUMENTS)
def test_features_are_those_of_timms_own_network(name, tmp_path):
    theirs = stock(name)
    ours, report = loaded(name, write(theirs, tmp_path / "weights.safetensors"))
    assert report.loaded == report.total == len(timm.create_model(name, num_classes=0, **ARGUMENTS[name]).state_dict())
    tokens = theirs.forward_features(IMAGES)
    expected = theirs.forward_head(tokens, pre_logits=True)
    if name == DINO3:  # timm's classifier would average patches; the field takes the class token
        assert not torch.allclose(expected, tokens[:, 0], rtol=1e-2)
        expected = tokens[:, 0]
    found = ours(IMAGES)
    torch.testing.assert_close(found, expected)
    assert found.shape[1] == feature_length(ours)


@torch.no_grad()
@pytest.mark.parametrize("name", ARGUMENTS)
def test_patches_are_the_last_map_without_prefix_tokens(name, tmp_path):
    theirs = stock(name)
    ours, _ = loaded(name, write(theirs, tmp_path / "weights.safetensors"))
    extractor = patch_extractor(ours, stride=64)
    tokens = theirs.forward_features(IMAGES)
    prefix = {TOKEN: 1, REGISTERS: 4, DISTILLED: 2, DINO2: 5, DINO3: 5}.get(name)
    if prefix:
        expected = tokens[:, prefix:].transpose(1, 2).unflatten(2, (SIDE // 8, SIDE // 8))
    else:
        expected = tokens.permute(0, 3, 1, 2) if name == SWIN else tokens
    torch.testing.assert_close(extractor.run(IMAGES), expected)
    assert extractor.width == expected.shape[1] and extractor.stride == SIDE // expected.shape[2]
    blocks = block_features(ours)(IMAGES)
    classes = tokens[:, 0] if has_class_token(ours) else expected.mean((2, 3))
    torch.testing.assert_close(blocks.classes[-1], classes)
    torch.testing.assert_close(blocks.patches, expected.mean((2, 3)))
    context = patch_extractor(ours, stride=64, context=True).run(IMAGES)[:, -expected.shape[1] :, 0, 0]
    torch.testing.assert_close(context, torch.nn.functional.normalize(classes, dim=1))


@pytest.mark.parametrize("name", [RESNET, CONVNEXT])
def test_macs_are_those_that_mmengine_counts(name):
    found = get_model_complexity_info(build(name, ARGUMENTS[name]).eval(), (3, SIDE, SIDE), show_table=False)
    counted = count_macs(build(name, ARGUMENTS[name]), SIDE)
    # mmengine counts norms and pooling too, some percent of such a small network
    assert counted <= found["flops"] <= 1.15 * counted


def changed(theirs, path, change):
    tensors = {name: tensor.clone() for name, tensor in theirs.state_dict().items()}
    change(tensors)
    safetensors.torch.save_file(tensors, path)
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("blocks.1.attn.qkv.weight"), r"1 of its \d+ tensors are not there \(blocks.1.attn.qkv.weight"),
        (lambda t: t.update({"blocks.2.norm1.weight": t["norm.weight"].clone()}), "1 tensors that it has no place for"),
        (
            lambda t: t.update({"blocks.1.mlp.fc9.bias": t.pop("blocks.1.mlp.fc1.bias")}),
            "while it has blocks.1.mlp.fc9",
        ),
        (
            lambda t: t.update({"norm.weight": torch.ones(5)}),
            r"have another shape \(norm.weight: \[5\] instead of \[32",
        ),
    ],
)
def test_a_file_of_another_network_is_refused(change, said, tmp_path):
    path = changed(stock(TOKEN), tmp_path / "weights.safetensors", change)
    with pytest.raises(InputError, match=said):
        loaded(TOKEN, path)


def test_what_belongs_to_pretraining_is_left_out(tmp_path, caplog):
    theirs = stock(TOKEN)
    beside = {
        "decoder_blocks.0.norm1.weight": torch.ones(3),
        "decoder_pos_embed": torch.ones(3),
        "mask_token": torch.ones(1, 1, 32),
        "fc_norm.weight": torch.ones(32),
    }
    torch.save({"model": {**theirs.state_dict(), **beside}, "args": argparse.Namespace(lr=1)}, tmp_path / "mae.pth")
    with caplog.at_level("INFO", "poa_bench"):
        _, report = loaded(TOKEN, tmp_path / "mae.pth")
    assert f"loaded {report.total}/{report.total} tensors" in caplog.text
    assert (
        "left out: decoder of pre-training, heads, mask token of pre-training, norm of another pooling" in caplog.text
    )


@torch.no_grad()
def test_official_dinov2_names(tmp_path):
    """Registers have another name there, and the class token has a position of its own, which timm adds to it."""
    theirs = stock(DINO2, classes=0)
    own = dict(theirs.state_dict())
    place = torch.full((1, 1, 32), 0.25)
    official = {name: tensor for name, tensor in own.items() if name not in ("reg_token", "cls_token", "pos_embed")}
    official |= {"register_tokens": own["reg_token"], "mask_token": torch.zeros(1, 32)}
    official |= {"cls_token": own["cls_token"] - place, "pos_embed": torch.cat([place, own["pos_embed"]], 1)}
    torch.save(official, tmp_path / "dinov2.pth")
    ours, _ = loaded(DINO2, tmp_path / "dinov2.pth")
    torch.testing.assert_close(ours(IMAGES), theirs.forward_features(IMAGES)[:, 0])


def test_official_dinov3_names_and_a_bias_that_timm_would_drop(tmp_path):
    theirs = stock(DINO3, classes=0)
    names = {"reg_token": "storage_tokens", "gamma_1": "ls1.gamma", "gamma_2": "ls2.gamma"}
    official = {}
    for name, tensor in theirs.state_dict().items():
        for ours, official_name in names.items():
            name = name.replace(ours, official_name)
        official[name] = tensor
    official |= {"mask_token": torch.zeros(1, 64), "rope_embed.periods": torch.ones(8)}
    official |= {f"blocks.{block}.attn.qkv.bias": torch.zeros(192) for block in (0, 1)}
    torch.save(official, tmp_path / "dinov3.pth")
    ours, _ = loaded(DINO3, tmp_path / "dinov3.pth")
    with torch.no_grad():
        torch.testing.assert_close(ours(IMAGES), theirs.forward_features(IMAGES)[:, 0])
    official["blocks.1.attn.qkv.bias"] = torch.ones(192)
    torch.save(official, tmp_path / "biased.pth")
    with pytest.raises(InputError, match="no place for .blocks.1.attn.qkv.bias"):
        loaded(DINO3, tmp_path / "biased.pth")


class Harmful:
    """Whoever unpickles it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_no_pickle_is_executed(tmp_path):
    made = tmp_path / "made"
    torch.save({"model": stock(TOKEN).state_dict(), "args": Harmful(str(made))}, tmp_path / "bad.pth")
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Harmful(str(made))))
    for name in ("bad.pth", "raw.pth"):
        with pytest.raises(InputError, match="can be read safely"):
            loaded(TOKEN, tmp_path / name)
    assert not made.exists()
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(InputError, match="holds no tensors by name"):
        read_tensors(tmp_path / "empty.pth")


def test_names_that_timm_does_not_know():
    with pytest.raises(InputError, match="did you mean vit_tiny_patch16_224"):
        check_name("vit_tinny_patch16_224")
    with pytest.raises(InputError, match=r"knows no weights 'lvd143m' .* it has vit_small_patch14_dinov2.lvd142m"):
        check_name("vit_small_patch14_dinov2.lvd143m")
    with pytest.raises(InputError, match="cannot build resnet10t with {'depht': 2}"):
        build(RESNET, {"depht": 2})
    with pytest.raises(InputError, match="names no network"):
        parse_spec("timm:")


def test_pictures_and_facts_are_what_timm_says(tmp_path):
    source = find_source(DINO2, image_size=98, with_weights=False)
    config = timm.get_pretrained_cfg(DINO2)
    said = source.description["preprocessing"]
    np.testing.assert_allclose(np.array([said["mean"], said["std"]]) / 255, [config.mean, config.std], atol=1e-6)
    assert (said["image_size"], said["interpolation"], said["crop_share"]) == (98, "bicubic", config.crop_pct)
    assert source.facts["licence"] == config.license and source.facts["training_data"] == "lvd142m"
    # whose weights a file has that is given for a name without tag is not known
    path = write(stock(TOKEN), tmp_path / "own.safetensors")
    assert find_source(TOKEN, path).facts == {"timm": TOKEN}
    assert find_source(TOKEN, path, facts={"licence": "MIT"}).facts == {"timm": TOKEN, "licence": "MIT"}


@torch.no_grad()
def test_a_folder_as_timm_writes_it(tmp_path):
    theirs = stock(TOKEN)
    theirs.pretrained_cfg.update(mean=(0.1, 0.2, 0.3), license="cc-by-4.0", tag="mine")
    timm.models.save_for_hf(theirs, str(tmp_path / "folder"), model_args=ARGUMENTS[TOKEN])
    source = find_source(f"local-dir:{tmp_path / 'folder'}")
    assert str(source.spec) == f"timm:{TOKEN}" and source.weights.endswith("pytorch_model.bin")
    assert source.facts["licence"] == "cc-by-4.0" and source.description["preprocessing"]["mean"] == [25.5, 51.0, 76.5]
    ours = build_described(source.description)
    load_weights(ours, source.weights, source.spec)
    expected = timm.create_model(f"local-dir:{tmp_path / 'folder'}", pretrained=True, dynamic_img_size=True).eval()
    torch.testing.assert_close(ours.eval()(IMAGES), expected.forward_features(IMAGES)[:, 0])
    (tmp_path / "folder" / "config.json").write_text('{"model_type": "dinov2"}')
    with pytest.raises(InputError, match="says no architecture"):
        find_source(f"local-dir:{tmp_path / 'folder'}")


def test_weights_that_cannot_be_had(monkeypatch):
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *names, **more: (_ for _ in ()).throw(OSError("no")))
    with pytest.raises(InputError, match="neither in the cache nor can they be downloaded .* --weights FILE"):
        find_source(DINO2)
    with pytest.raises(InputError, match="there is no file nowhere.pth"):
        find_source(DINO2, "nowhere.pth")
