"""Weights that nobody should take: NaN, infinity, other kinds of numbers, damaged or changed files, and descriptions
of networks that are none; by every way that reads a network.
"""

import hashlib
import json
import os
import re
import time
import zipfile
import zlib
from pathlib import Path

import pytest
import safetensors.numpy
import timm
import torch
from safetensors.torch import load_file, save_file

from poa_bench.cli import main
from poa_bench.elastic import checkpoint as checkpoint_module
from poa_bench.elastic import load_subnet, load_supernet, save_subnet
from poa_bench.elastic.checkpoint import read_metadata
from poa_bench.errors import InputError
from poa_bench.outside.name import OutsideSpec
from poa_bench.outside.weights import load_weights
from poa_bench.plain_checkpoints import load_from_file
from tests.pretraining.teaching import write_teacher

NAME = "network.blocks.1.mlp.fc1.weight"
BROKEN = {
    "NaN": lambda tensor: tensor.index_fill(0, torch.tensor([3]), torch.nan),
    "infinity": lambda tensor: tensor.index_fill(1, torch.tensor([0]), -torch.inf),
    "whole": lambda tensor: (100 * tensor).int(),
    "complex": lambda tensor: tensor + 1j,
    "truth": lambda tensor: tensor > 0,
}


@pytest.fixture(params=BROKEN)
def broken(request, tmp_path) -> str:
    path = write_teacher(tmp_path)
    checkpoint = torch.load(path, weights_only=True)
    for name in checkpoint["state_dict"]:
        if name.endswith(NAME):
            checkpoint["state_dict"][name] = BROKEN[request.param](checkpoint["state_dict"][name])
    torch.save(checkpoint, path)
    return str(path)


def test_checkpoint_is_refused_by_name_of_its_tensor(broken, tmp_path, capsys):
    with pytest.raises(InputError, match=rf"{NAME} (holds NaN or infinity|are )"):
        load_supernet(broken)
    output = tmp_path / "vit.safetensors"
    assert main(["export", broken, "vit-w32-d3", "-o", str(output)]) == 2 and not output.exists()
    assert NAME in capsys.readouterr().err


def test_half_precision_is_taken(tmp_path):
    path = write_teacher(tmp_path)
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["state_dict"] = {name: tensor.bfloat16() for name, tensor in checkpoint["state_dict"].items()}
    torch.save(checkpoint, path)
    assert load_supernet(path).mask_token.dtype == torch.float32


def test_extracted_file_with_nan_is_refused(tmp_path, capsys):
    net = load_supernet(write_teacher(tmp_path))
    with torch.no_grad():
        net.network.norm.bias[5] = torch.nan
    save_subnet(net, net.space.intact, tmp_path / "vit.safetensors", "0" * 64)
    command = ["evaluate", str(tmp_path / "vit.safetensors"), "--data", "digits", "-o", str(tmp_path / "r")]
    assert main(["slice", str(tmp_path / "vit.safetensors"), "-o", str(tmp_path / "s.pth")]) == 2
    assert "norm.bias holds NaN or infinity" in capsys.readouterr().err
    assert main(command) == 2


def test_network_from_outside_with_nan_is_refused(tmp_path):
    network = timm.create_model("vit_tiny_patch16_224", num_classes=0, embed_dim=16, depth=1, num_heads=2)
    with torch.no_grad():
        network.cls_token[0, 0, 0] = torch.inf
    torch.save(network.state_dict(), tmp_path / "vit.pth")
    with pytest.raises(InputError, match="cls_token holds NaN or infinity"):
        load_weights(network, tmp_path / "vit.pth", OutsideSpec("vit_tiny_patch16_224"))


def damage(path, name: str) -> None:
    """Zeros in the middle of one tensor of a file, which stays as long as it is; its times too."""
    state, data = os.stat(path), bytearray(Path(path).read_bytes())
    known = dict(safetensors_places(path) if str(path).endswith(".safetensors") else zip_places(path))
    start, length = next(place for key, place in known.items() if key.endswith(name))
    data[start + length // 4 : start + length // 2] = bytes(length // 2 - length // 4)
    with open(path, "r+b") as file:
        file.write(data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def safetensors_places(path):
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    for name, about in header.items():
        if name != "__metadata__":
            first, last = about["data_offsets"]
            yield name, (8 + length + first, last - first)


def zip_places(path):
    """The largest entry, whatever tensor it is."""
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    start = Path(path).read_bytes().index(largest.filename.encode())
    yield NAME, (start + len(largest.filename) + 4096, largest.file_size - 8192)


def test_damaged_checkpoint_is_taken_by_nobody(tmp_path, capsys):
    path = write_teacher(tmp_path)
    load_supernet(path)  # it was whole a moment ago, and is as long and as old as it was then
    damage(path, NAME)
    with pytest.raises(InputError, match="cut short or damaged"):
        load_supernet(path)
    for command in (
        ["export", path, "vit-w32-d3", "-o", str(tmp_path / "vit.safetensors")],
        ["export", path, "--all", "-o", str(tmp_path / "all")],
        ["evaluate", path, "--data", "digits", "-o", str(tmp_path / "results")],
        ["slice", path, "-o", str(tmp_path / "slices.pth")],
    ):
        assert main(list(map(str, command))) == 2 and "cut short or damaged" in capsys.readouterr().err
    with pytest.raises(InputError, match="cut short or damaged"):  # by mmengine's loader: a resume, tools/test.py
        load_from_file(str(path))
    assert not list(tmp_path.rglob("*.safetensors"))


def test_damaged_export_is_found_and_written_again(tmp_path, capsys):
    path, folder = write_teacher(tmp_path), tmp_path / "all"
    assert main(["export", str(path), "--all", "-o", str(folder)]) == 0
    files = sorted(folder.iterdir())
    kept = [file.read_bytes() for file in files]
    damage(files[0], "fc1.weight")
    with pytest.raises(InputError, match="is damaged: the check sum"):
        load_subnet(files[0])
    files[1].write_bytes(kept[1][:-100])
    capsys.readouterr()
    assert main(["export", str(path), "--all", "-o", str(folder)]) == 0
    assert f"wrote 2 of {len(files)} sizes" in capsys.readouterr().out
    assert [file.read_bytes() for file in files] == kept


def test_file_that_is_changed_while_it_is_read_is_not_believed(tmp_path, monkeypatch):
    path, other = write_teacher(tmp_path / "a"), write_teacher(tmp_path / "b", seed=1)
    read = checkpoint_module.load_strictly

    def replaced(*arguments):
        os.replace(other, path)  # another training's file gets this name between its weights and its hash
        return read(*arguments)

    monkeypatch.setattr(checkpoint_module, "load_strictly", replaced)
    with pytest.raises(InputError, match="was changed while it was read"):
        load_supernet(path)


def test_hash_is_of_what_was_loaded(tmp_path):
    path = write_teacher(tmp_path)
    assert load_supernet(path).source_sha256 == hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _described(path, change) -> str:
    checkpoint = torch.load(path, weights_only=True)
    change(checkpoint["meta"]["poa_bench"])
    torch.save(checkpoint, path)
    return str(path)


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda said: said.pop("space"), "lacks 'space'"),
        (lambda said: said.update(space=[1]), "meta.poa_bench.space is"),
        (lambda said: said.update(alpha="yes"), "meta.poa_bench.alpha is 'yes': it must be bool"),
        (lambda said: said["space"].update(widths=[32, 10**9]), "must lie between 1 and"),
        (lambda said: said["space"].update(depths=[list(range(1, 10**6))]), "must lie between 1 and"),
        (lambda said: said["space"].update(depths=[[3, 999]]), "does not fit the network it describes"),
        (lambda said: said["space"].update(s_w=float("nan")), "s_w is nan"),
        (lambda said: said["space"].update(family=["vit"]), r"family \['vit'\]"),
        (lambda said: said["options"].update(patch_size="eight"), "cannot be built|does not fit"),
        (lambda said: said["options"].update(patch_size=0), "cannot be built|does not fit"),
        (lambda said: said["options"].update(nonsense=1), "nonsense"),
        (lambda said: said["options"].update(img_size=10**30), "cannot be built|does not fit"),
        (lambda said: said.update(preprocessing={"mean": [1]}), "meta.poa_bench.preprocessing"),
    ],
)
def test_what_a_checkpoint_says_of_its_network_is_checked(change, sentence, tmp_path, capsys):
    path = _described(write_teacher(tmp_path), change)
    start = time.perf_counter()
    command = ["export", path, "vit-w32-d3", "-o", str(tmp_path / "vit.safetensors")]
    assert main(command) == 2 and re.search(sentence, capsys.readouterr().err)
    assert time.perf_counter() - start < 60  # and nothing is built that stops the machine


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"spec": "vit-w32-d2"}, "says that it is vit-w32-d2, and its timm_arguments build vit-w32-d3"),
        ({"timm_arguments": "{"}, "timm_arguments in its metadata"),
        ({"timm_arguments": "[" * 100_000}, "timm_arguments in its metadata"),
        ({"timm_arguments": "{}"}, "cannot be built"),
        ({"timm_pretrained_cfg": '{"mean": "red"}'}, "timm_pretrained_cfg in its metadata"),
        ({"spec": "vit-w3٢-d2"}, "unknown sub-network"),
    ],
)
def test_what_an_extracted_file_says_of_its_network_is_checked(change, sentence, tmp_path):
    net = load_supernet(write_teacher(tmp_path))
    save_subnet(net, net.space.parse("vit-w32-d3"), tmp_path / "good.safetensors", "0" * 64)
    tensors, metadata = load_file(tmp_path / "good.safetensors"), read_metadata(tmp_path / "good.safetensors")
    save_file(tensors, tmp_path / "changed.safetensors", {**metadata, **change})
    with pytest.raises(InputError, match=sentence):
        load_subnet(tmp_path / "changed.safetensors")


@pytest.mark.parametrize("mean", ["nan", "inf", "1e999"])
def test_mean_that_is_no_number_is_refused(mean, tmp_path, capsys):
    path = _described(write_teacher(tmp_path), lambda said: said.update(preprocessing=None))
    command = ["export", path, "vit-w32-d3", "-o", str(tmp_path / "vit.safetensors"), "--std", "1", "1", "1"]
    assert main([*command, "--mean", "0.5", "0.5", mean]) == 2 and "finite" in capsys.readouterr().err
    assert not (tmp_path / "vit.safetensors").exists()


def test_check_sum_is_zlibs_over_names_and_bytes(tmp_path):
    net = load_supernet(write_teacher(tmp_path))
    save_subnet(net, net.space.smallest, tmp_path / "vit.safetensors", "0" * 64)
    arrays = safetensors.numpy.load_file(tmp_path / "vit.safetensors")
    content = b"".join(name.encode() + arrays[name].tobytes() for name in sorted(arrays))
    assert read_metadata(tmp_path / "vit.safetensors")["crc32"] == f"{zlib.crc32(content):08x}"
