"""What training did with its pictures is what other libraries do with them, from each kind of file that we write."""

import json
import re

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors import safe_open
from timm.data import create_transform, resolve_data_config, resolve_model_data_config

from poa_bench.cli import main
from poa_bench.downstream.features import extract_features
from poa_bench.downstream.images import EvaluationData
from poa_bench.elastic import SearchSpace, Supernet, load_subnet
from poa_bench.elastic.checkpoint import read_preprocessing
from poa_bench.elastic.preprocessing import IMAGENET_MEAN, Preprocessing, differing

# the same in none of its values as timm's defaults, and another deviation for each channel
TRAINING = Preprocessing((127.5, 102.0, 51.0), (63.75, 76.5, 51.0), image_size=32, crop_share=0.8)
SPEC = "vit-w16-d2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint, one of an older version, and a photo-like picture that is not square."""
    folder = tmp_path_factory.mktemp("preprocessing")
    supernet = Supernet(SearchSpace("vit", [16, 32], [2, 3], head_dim=16), image_size=32, patch_size=8).eval()
    state = {f"teacher.backbone.{name}": tensor for name, tensor in supernet.state_dict().items()}
    description = supernet.describe()
    del description["preprocessing"]
    torch.save({"state_dict": state, "meta": {"poa_bench": description}}, folder / "old.pth")
    supernet.preprocessing = TRAINING
    torch.save({"state_dict": state, "meta": {"poa_bench": supernet.describe()}}, folder / "new.pth")
    (folder / "pictures" / "a").mkdir(parents=True)
    rough = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    Image.fromarray(rough).resize((75, 53), Image.Resampling.BICUBIC).save(folder / "pictures" / "a" / "0.png")
    return folder


@pytest.fixture(scope="module")
def ours(folder):
    """What our evaluation feeds a network with, of the one picture: (3, 32, 32)."""
    pictures = {"type": "poa_bench.Images", "path": str(folder / "pictures")}
    data = EvaluationData("one", pictures, pictures).resolved(read_preprocessing(folder / "new.pth"))
    found = extract_features({"inputs": lambda images: images.flatten(1)}, data.splits["test"])
    return found["inputs"].features.view(3, 32, 32)


def assert_same(found: torch.Tensor, ours: torch.Tensor) -> None:
    """Equal but for rounding: pictures are resized as bytes, by Pillow there and by torchvision here."""
    steps = (found - ours) * torch.tensor(TRAINING.std).view(3, 1, 1)
    assert steps.abs().max() < 1.01 and steps.abs().mean() < 0.05


def timm_inputs(folder, network) -> torch.Tensor:
    config = resolve_model_data_config(network)
    return create_transform(**config, is_training=False)(Image.open(folder / "pictures" / "a" / "0.png"))


def export(folder, target: str, output: str, capsys, *options: str, checkpoint: str = "new.pth") -> str:
    command = ["export", str(folder / checkpoint), SPEC, "--to", target, "-o", str(folder / output)]
    assert main([*command, *options]) == 0
    return capsys.readouterr().out


def test_timm(folder, ours, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    for target, output in (("hf", "hub"), ("timm", "vit.safetensors")):
        printed = export(folder, target, output, capsys)
        network = eval(printed[printed.index("timm.create_model(") :].strip(), {"timm": timm})
        assert_same(timm_inputs(folder, network), ours)
    # the path without timm's registry: the class, and what the file itself says
    with safe_open(folder / "vit.safetensors", "pt") as file:
        written = json.loads(file.metadata()["timm_pretrained_cfg"])
    assert written["mean"] == [0.5, 0.4, 0.2] and written["crop_pct"] == 0.8
    assert resolve_data_config(pretrained_cfg=written)["std"] == [0.25, 0.3, 0.2]
    network, _ = load_subnet(folder / "vit.safetensors")
    assert_same(timm_inputs(folder, network), ours)
    assert read_preprocessing(folder / "vit.safetensors") == TRAINING


def test_a_hub_folder_claims_no_weights_of_others(folder, capsys):
    export(folder, "hf", "claims", capsys)
    text = (folder / "claims" / "config.json").read_text()
    written = json.loads(text)["pretrained_cfg"]
    assert not re.search("augreg|in21k|http|timm/", text) and written["crop_pct"] == 0.8
    assert not {"tag", "origin_url", "license", "test_input_size"} & written.keys()


def test_mmpretrain(folder, ours, capsys):
    pytest.importorskip("mmpretrain")
    from mmengine.registry import init_default_scope
    from mmpretrain.registry import MODELS, TRANSFORMS

    init_default_scope("mmpretrain")  # whatever a test before this one has set
    printed = export(folder, "mmpretrain", "vit_mm.pth", capsys)
    meta = torch.load(folder / "vit_mm.pth", weights_only=True)["meta"]
    for name in ("data_preprocessor", "test_pipeline"):
        assert f"{name}={meta[name]!r}" in printed
    item = {"img_path": str(folder / "pictures" / "a" / "0.png")}
    for transform in meta["test_pipeline"]:
        item = TRANSFORMS.build(transform)(item)
    preprocessor = MODELS.build(meta["data_preprocessor"])
    found = preprocessor({"inputs": item["inputs"][None], "data_samples": [item["data_samples"]]})
    assert_same(found["inputs"][0], ours)


def test_without_facts_nothing_is_invented(folder, capsys):
    """A checkpoint of an older version: said, and given by hand."""
    printed = export(folder, "timm", "old.safetensors", capsys, checkpoint="old.pth")
    assert "does not say how its training preprocessed pictures" in printed
    assert read_preprocessing(folder / "old.safetensors") is None and read_preprocessing(folder / "old.pth") is None
    given = ["--mean", "0.5", "0.4", "0.2", "--std", "0.25", "0.3", "0.2"]
    printed = export(folder, "timm", "given.safetensors", capsys, *given, checkpoint="old.pth")
    assert "does not say" not in printed
    found = read_preprocessing(folder / "given.safetensors")
    assert (found.mean, found.std, found.image_size) == (TRAINING.mean, TRAINING.std, 32)
    command = ["export", str(folder / "old.pth"), SPEC, "--to", "hf", "-o", str(folder / "half")]
    assert main([*command, *given[:4]]) == 2 and "give both" in capsys.readouterr().err


def test_a_difference_is_refused(folder, capsys):
    command = ["export", str(folder / "new.pth"), SPEC, "--to", "hf", "-o", str(folder / "other")]
    assert main([*command, "--mean", "0.485", "0.456", "0.406"]) == 2
    assert "trained with another normalisation: mean [123.675, 116.28" in capsys.readouterr().err
    assert not (folder / "other").exists()


def test_every_size_of_a_folder(folder, tmp_path):
    assert main(["export", str(folder / "new.pth"), "--all", "--to", "timm", "-o", str(tmp_path)]) == 0
    assert {read_preprocessing(path) for path in tmp_path.iterdir()} == {TRAINING}


def test_differences_are_those_of_numbers_and_not_of_writing():
    assert Preprocessing.from_dict(json.loads(json.dumps(TRAINING.to_dict()))) == TRAINING
    assert Preprocessing.from_timm_config(json.loads(json.dumps(TRAINING.timm_config()))) == TRAINING
    uneven = Preprocessing((100.0, 110.0, 123.675), (57.12, 58.395, 63.75))  # of 255 no short numbers
    assert Preprocessing.from_timm_config(uneven.timm_config()) == uneven
    imagenet = Preprocessing().to_dict()
    assert differing({"mean": tuple(255 * v for v in (0.485, 0.456, 0.406)), "std": None, "new": 3}, imagenet) == ""
    assert differing({"mean": (0.485, 0.456, 0.406)}, imagenet) == (
        f"mean [0.485, 0.456, 0.406] instead of {[*IMAGENET_MEAN]}"
    )
    assert [Preprocessing(image_size=size).resize() for size in (224, 96)] == [256, 109]
