"""Exports: each file is loaded by the other library in a process of its own and gives the same features."""

import json
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import timm
import torch
from safetensors import safe_open

from poa_bench.cli import main
from poa_bench.elastic import SearchSpace, SubnetSpec, Supernet, load_backbone, save_subnet
from poa_bench.elastic import export as export_module
from poa_bench.elastic.preprocessing import Preprocessing
from tests.conftest import but_slow

SUPERNETS = {
    "vit": Supernet(
        SearchSpace("vit", widths=[16, 32], depths=[2, 3], head_dim=16), image_size=32, patch_size=8, init_values=0.5
    ),
    "swin": Supernet(
        SearchSpace("swin", widths=[16, 32], depths=[2, 3], head_dim=16), image_size=64, patch_size=4, window_size=4
    ),
    "resnet": Supernet(SearchSpace("resnet", widths=[32, 64], depths=([2, 4], [2, 6])), channels=[32, 64, 128, 256]),
}
SPECS = {"vit": "vit-w16-d2", "swin": "swin-w16-d3", "resnet": "resnet-w32-d4-6"}
SIZES = {"vit": 32, "swin": 64, "resnet": 96}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, randomised) -> Path:
    """Training checkpoints of all families, one batch of images each, and the features they must give."""
    folder = tmp_path_factory.mktemp("export")
    for family, supernet in SUPERNETS.items():
        supernet.preprocessing = Preprocessing(image_size=SIZES[family])
        write_checkpoint(randomised(supernet), folder / f"{family}.pth")
        images = torch.randn(2, 3, SIZES[family], SIZES[family])
        with torch.no_grad():
            features = supernet(images, SubnetSpec.parse(SPECS[family])).cls
        torch.save({"images": images, "features": features}, folder / f"{family}_expected.pt")
    return folder


def write_checkpoint(supernet: Supernet, path: Path) -> None:
    state = {f"teacher.backbone.{name}": tensor for name, tensor in supernet.state_dict().items()}
    torch.save({"state_dict": state, "meta": {"poa_bench": supernet.describe()}}, path)


def export(folder: Path, family: str, target: str, output: str, capsys, spec: str | None = None) -> str:
    """Run the command; returns what it printed about loading the file."""
    arguments = ["export", str(folder / f"{family}.pth"), spec or SPECS[family], "--to", target]
    if target in ("onnx", "hf") and family == "resnet":  # takes any size
        arguments += ["--image-size", str(SIZES[family])]
    assert main([*arguments, "-o", str(folder / output)]) == 0
    return capsys.readouterr().out


def run_without_poa_bench(folder: Path, script: str) -> None:
    """Run a script in its own process, where importing poa_bench is an error."""
    head = "import sys\nsys.modules['poa_bench'] = None\nimport torch, timm\n"
    check = """
def check(module, family):
    expected = torch.load(family + "_expected.pt")
    with torch.no_grad():
        features = module(expected["images"])
    features = features[0] if isinstance(features, tuple) else features
    features = features.mean((2, 3)) if features.ndim == 4 else features
    torch.testing.assert_close(features, expected["features"], atol=1e-4, rtol=1e-4)
"""
    result = subprocess.run([sys.executable, "-c", head + check + script], cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_timm_and_hugging_face(folder, capsys):
    script = ""
    for family in SUPERNETS:
        for target, output in (("timm", f"{family}.safetensors"), ("hf", f"{family}_hub")):
            printed = export(folder, family, target, output, capsys)
            call = printed[printed.index("timm.create_model(") :].strip()
            script += f"network = {call}.eval()\ncheck(network, {family!r})\n"
            new = (
                call.replace("num_classes=0", "num_classes=10") if target == "timm" else f"{call[:-1]}, num_classes=10)"
            )
            script += f"check_classifier({new}, network)\n"
    assert sorted(path.name for path in (folder / "vit_hub").iterdir()) == ["config.json", "model.safetensors"]
    config = json.loads((folder / "vit_hub" / "config.json").read_text())
    assert config["pretrained_cfg"]["input_size"] == [3, 32, 32]
    assert config["pretrained_cfg"]["mean"] == [0.485, 0.456, 0.406]
    head = """
def check_classifier(network, source):
    # what most users load weights for: all but the last layer, which is new, is as it was
    assert network.get_classifier().out_features == 10
    tensors, expected = network.state_dict(), source.state_dict()
    assert len(tensors) == len(expected) + 2 and all(torch.equal(tensors[name], expected[name]) for name in expected)
"""
    run_without_poa_bench(folder, head + script)


def test_files_say_for_which_images_timm_is_exact(folder, capsys):
    printed = export(folder, "swin", "timm", "exact.safetensors", capsys)
    assert "computes the same for images with sides of 64 px only, as it shifts windows before it pads" in printed
    with safe_open(folder / "exact.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["timm_image_sides"]) == [64]
    for family in ("vit", "resnet"):  # for all
        assert "only" not in export(folder, family, "timm", "other.safetensors", capsys)
        with safe_open(folder / "other.safetensors", framework="pt") as file:
            assert "timm_image_sides" not in file.metadata()


def test_hugging_face_refuses_what_timm_computes_otherwise(tmp_path, capsys):
    space = SUPERNETS["swin"].space
    write_checkpoint(Supernet(space, image_size=72, patch_size=4, window_size=4), tmp_path / "off_grid.pth")
    assert main(["export", str(tmp_path / "off_grid.pth"), "swin-w16-d3", "--to", "hf", "-o", str(tmp_path / "x")]) == 2
    assert "computes the same for" in capsys.readouterr().err and not (tmp_path / "x").exists()


def test_mmpretrain(folder, capsys):
    pytest.importorskip("mmpretrain")
    script = "from mmpretrain.registry import MODELS\n"
    for family in SUPERNETS:
        printed = export(folder, family, "mmpretrain", f"{family}_mm.pth", capsys)
        config = printed[printed.index("dict(") :].strip()
        script += f"""
module = MODELS.build({config})
module.eval()
tensors = torch.load({family!r} + "_mm.pth", weights_only=True)["state_dict"]
module.load_state_dict(tensors, strict=True)
check(module, {family!r})
module.init_weights()  # from init_cfg, as a user's config does it
check(module, {family!r})
"""
    assert "(equal outputs for square images of 64 px or more)" in export(
        folder, "swin", "mmpretrain", "swin_mm.pth", capsys
    )
    images, spec = torch.randn(1, 3, 88, 88), SubnetSpec.parse(SPECS["swin"])  # maps of 22, 11, 6 and 3: all are padded
    with torch.no_grad():
        torch.save({"images": images, "features": SUPERNETS["swin"](images, spec).cls}, folder / "padded_expected.pt")
    script = script.replace("check(module, 'swin')", "check(module, 'swin')\ncheck(module, 'padded')")
    # twice the mid width needs half the expansion there
    supernet, spec = SUPERNETS["resnet"], SubnetSpec.parse("resnet-w64-d4-6")
    printed = export(folder, "resnet", "mmpretrain", "wide_mm.pth", capsys, str(spec))
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.save({"images": images, "features": supernet(images, spec).cls}, folder / "wide_expected.pt")
    script += f"""
module = MODELS.build({printed[printed.index("dict(") :].strip()})
module.init_weights()
module.eval()
check(module, "wide")
"""
    assert "expansion=2" in script and "expansion=4" in script
    run_without_poa_bench(folder, script)


@pytest.mark.parametrize("family", but_slow(["vit", "swin", "resnet"], ["vit"]))
def test_onnx(folder, family, capsys):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    assert "checked with onnxruntime" in export(folder, family, "onnx", f"{family}.onnx", capsys)
    metadata = onnxruntime.InferenceSession(folder / f"{family}.onnx").get_modelmeta().custom_metadata_map
    found = {name: json.loads(value) for name, value in metadata.items()}
    assert found == json.loads(json.dumps(SUPERNETS[family].preprocessing.timm_config()))
    script = f"""
import onnxruntime
session = onnxruntime.InferenceSession("{family}.onnx", providers=["CPUExecutionProvider"])
expected = torch.load("{family}_expected.pt")
for batch in (2, 1):
    images, stored = expected["images"][:batch], expected["features"][:batch]
    (features,) = session.run(None, {{"images": images.numpy()}})
    assert float((torch.from_numpy(features) - stored).abs().max() / stored.abs().max()) < 1e-4
assert session.get_inputs()[0].shape[1:] == list(expected["images"].shape[1:])
"""
    run_without_poa_bench(folder, script)
    assert not [path for path in folder.iterdir() if path.name.startswith(f".{family}")]


@pytest.mark.parametrize(
    "space, options, name",
    [
        (SearchSpace("vit", [384], [12], head_dim=64), {"init_values": 1e-5}, "vit_small_patch16_224"),
        (SearchSpace("swin", [96], [6], head_dim=32), {}, "swin_tiny_patch4_window7_224"),
        (SearchSpace("swin", [96], [6], head_dim=16), {}, None),  # timm's has half as many heads
        (SearchSpace("resnet", [64], ([4], [6])), {}, "resnet50_gn"),
        (SearchSpace("resnet", [64], ([4], [23])), {}, None),
    ],
)
def test_architectures_that_timm_knows(space, options, name, tmp_path):
    supernet = Supernet(space, **options).eval()
    path = tmp_path / "known.safetensors"
    module = save_subnet(supernet, space.intact, path, "0" * 64)
    with safe_open(path, framework="pt") as file:
        assert file.metadata().get("timm_architecture") == name
    if name:
        arguments = {"num_classes": 0, **options}
        created = timm.create_model(name, checkpoint_path=str(path), **arguments).eval()
        images = torch.randn(1, 3, 224, 224)
        with torch.no_grad():
            torch.testing.assert_close(created(images), module(images))


def test_all_sizes_stream_and_resume(folder, tmp_path, monkeypatch, capsys):
    supernet = Supernet(SearchSpace("vit", range(4, 45, 4), range(1, 14), head_dim=4), image_size=16, patch_size=4)
    assert len(supernet.space) == 143
    write_checkpoint(supernet.eval(), tmp_path / "vit.pth")
    command = ["export", str(tmp_path / "vit.pth"), "--all", "--to", "timm", "-o", str(tmp_path / "sizes")]
    modules = []

    def interrupted(*arguments):
        assert not any(module() for module in modules), "an earlier size is still in memory"
        if len(modules) == 5:
            raise KeyboardInterrupt
        modules.append(weakref.ref(save_subnet(*arguments)))

    monkeypatch.setattr(export_module, "save_subnet", interrupted)
    assert main(command) == 130
    assert "run the same command again" in capsys.readouterr().out
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "sizes").iterdir()}
    assert len(written) == 5
    monkeypatch.undo()
    (tmp_path / "sizes" / ".vit-w4-d6.safetensors.x1y2.tmp").write_text("half a file, of a killed export")
    assert main(command) == 0
    assert "wrote 138 of 143 sizes, 5 were there already" in capsys.readouterr().out
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())
    assert {path.stem for path in (tmp_path / "sizes").iterdir()} == {str(spec) for spec in supernet.space}
    spec = SubnetSpec.parse("vit-w24-d7")
    module, _ = load_backbone(tmp_path / "sizes" / f"{spec}.safetensors", spec)
    images = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(module(images), supernet(images, spec).cls)
    assert main([*command, "--branch", "student"]) == 2  # the checkpoint has none
    write_checkpoint(Supernet.from_description(supernet.describe()), tmp_path / "vit.pth")
    assert main(command) == 2
    assert "another checkpoint" in capsys.readouterr().err


def test_extract_is_another_name_of_export(folder, tmp_path, monkeypatch, capsys):
    """The same options, the same words, the same bytes, with targets and defaults alike, and every time again."""
    files = [("vit.pth", "vit-w16-d2", "x.safetensors"), ("vit.pth", "vit-w16-d2", "--to", "mmpretrain", "x.pth")]
    made = []
    for name in ("extract", "export", "export"):
        (tmp_path / str(len(made))).mkdir()
        monkeypatch.chdir(tmp_path / str(len(made)))
        for checkpoint, *options, output in files:
            assert main([name, str(folder / checkpoint), *options, "-o", output]) == 0
        contents = {path.name: path.read_bytes() for path in (tmp_path / str(len(made))).iterdir()}
        made.append((capsys.readouterr().out, contents))
    assert made[0] == made[1] == made[2] and set(made[0][1]) == {"x.safetensors", "x.pth"}
    helps = []
    for name in ("extract", "export"):
        with pytest.raises(SystemExit):
            main([name, "-h"])
        helps.append(capsys.readouterr().out)
    assert helps[0] == helps[1] and "`extract` is another name for the same command" in helps[0]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["vit.pth", "vit-w16-d2", "--to", "onnx", "-o", "x.pth"], "give a name with .onnx"),
        (["vit.pth", "vit-w16-d2", "--to", "hf", "-o", "x.pth"], "give a folder"),
        (["vit.pth", "vit-w64-d2", "--to", "timm", "-o", "x.safetensors"], "not in this supernet's space"),
        (["vit.pth", "--to", "timm", "-o", "x.safetensors"], "has many sizes: give one of them"),
        (["vit.pth", "vit-w16-d2", "--all", "-o", "x"], "--all and the size vit-w16-d2 are given"),
        (["vit.pth", "--all", "--to", "onnx", "-o", "x"], "for timm only"),
        (
            ["vit.pth", "vit-w16-d2", "--to", "onnx", "-o", "x.onnx", "--image-size", "48"],
            "--image-size is 48, but this network is built for 32 px",
        ),
        (["resnet.pth", "resnet-w64-d2-2", "--to", "mmpretrain", "-o", "x.pth"], "50, 101, 152|depths"),
        (["groups.pth", "resnet-w24-d4-6", "--to", "mmpretrain", "-o", "x.pth"], "multiple of the mid width"),
        (["groups.pth", "resnet-w24-d4-6", "--to", "hf", "-o", "x"], "32 groups, this one has 8"),
        (["registers.pth", "vit-w16-d2", "--to", "mmpretrain", "-o", "x.pth"], "cannot express timm's reg_tokens"),
    ],
)
def test_refusals(folder, tmp_path, capsys, arguments, message):
    groups = SearchSpace("resnet", widths=[16, 24], depths=([4], [6]))
    write_checkpoint(Supernet(groups, channels=[16, 32, 64, 128], num_groups=8), folder / "groups.pth")
    space = SUPERNETS["vit"].space
    write_checkpoint(Supernet(space, image_size=32, patch_size=8, reg_tokens=2), folder / "registers.pth")
    arguments[arguments.index("-o") + 1] = str(tmp_path / arguments[arguments.index("-o") + 1])
    assert main(["export", str(folder / arguments[0]), *arguments[1:]]) == 2
    error = capsys.readouterr().err
    assert any(part in error for part in message.split("|"))
    assert not list(tmp_path.iterdir())


def test_other_groups_load_through_the_class(folder, capsys):
    groups = SearchSpace("resnet", widths=[16, 24], depths=([1, 2], [2]))
    supernet = Supernet(groups, channels=[16, 32, 64, 128], num_groups=8).eval()
    write_checkpoint(supernet, folder / "eight.pth")
    printed = export(folder, "eight", "timm", "eight.safetensors", capsys, "resnet-w24-d2-2")
    assert "timm.models.resnet.ResNet" in printed
    module, _ = load_backbone(folder / "eight.safetensors")
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(module(images), supernet(images, SubnetSpec.parse("resnet-w24-d2-2")).cls)
