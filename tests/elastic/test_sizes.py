"""The list of sizes: its counts, against timm's own networks, and the command."""

import json

import pytest
import timm
import torch

from poa_bench.cli import main
from poa_bench.downstream.sizes import affine_in_depths, sizes_table
from poa_bench.elastic import SearchSpace, SubnetSpec, Supernet
from poa_bench.elastic.family import get_family
from poa_bench.elastic.macs import count_macs, count_parameters

NAMED = {
    "vit-s": ("vit_small_patch16_224", {"init_values": 1e-5}),
    "vit-b": ("vit_base_patch16_224", {"init_values": 1e-5}),
    "vit-l": ("vit_large_patch16_224", {"init_values": 1e-5}),
    # head_dim 16 as in the paper
    "swin-t": ("swin_tiny_patch4_window7_224", {"num_heads": (6, 12, 24, 48)}),
    "swin-s": ("swin_small_patch4_window7_224", {"num_heads": (6, 12, 24, 48)}),
    "swin-b": ("swin_base_patch4_window7_224", {"num_heads": (8, 16, 32, 64)}),
    "resnet-50": ("resnet50_gn", {}),
    "resnet-101": ("resnet101", {"norm_layer": "groupnorm"}),
    "resnet-152": ("resnet152", {"norm_layer": "groupnorm"}),
}


@pytest.mark.parametrize("family, count", [("vit", 143), ("swin", 39), ("resnet", 465)])
def test_sizes_command(family, count, capsys):
    assert main(["sizes", family, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    space = SearchSpace.paper(family)
    assert [row["spec"] for row in rows] == [str(spec) for spec in space] and len(rows) == count
    assert sum(row["probability"] for row in rows) == pytest.approx(1)
    named = {row["alias"]: row for row in rows if row["alias"]}
    assert set(named) == {alias for alias in NAMED if alias.startswith(family)}
    for alias, row in named.items():
        name, options = NAMED[alias]
        with torch.device("meta"):
            network = timm.create_model(name, num_classes=0, **options)
        assert row["parameters"] == count_parameters(network), alias
        assert row["macs"] > rows[0]["macs"] or row is rows[0]
    assert rows[-1]["width"] == space.intact.width and rows[-1]["depths"] == list(space.intact.depths)


@pytest.mark.parametrize(
    "text, options", [("vit-w448-d20", {"init_values": 1e-5}), ("swin-w112-d11", {}), ("resnet-w96-d5-20", {})]
)
def test_costs_are_those_of_the_whole_network(text, options):
    spec = SubnetSpec.parse(text)
    space = SearchSpace(
        spec.family, (spec.width,), tuple((depth,) for depth in spec.depths), {"v": 64, "s": 16}.get(text[0])
    )
    network = get_family(spec.family).skeleton(space, spec, options)
    for measure in (count_parameters, lambda network: count_macs(network, 224)):
        assert affine_in_depths(space, options, measure) == {spec: measure(network)}


def test_macs_by_hand():
    space = SearchSpace("vit", widths=[32], depths=[2], head_dim=16)
    tokens, width = 1 + 16, 32
    block = tokens * width * (3 + 1 + 4 + 4) * width + 2 * tokens * tokens * width
    embedding = 16 * width * 3 * 4 * 4
    (macs,) = sizes_table(space, {"img_size": 16, "patch_size": 4}, 16)["macs"]
    assert macs == embedding + 2 * block


def test_sizes_of_a_checkpoint(tmp_path, capsys):
    supernet = Supernet(SearchSpace("vit", widths=[16, 32], depths=[2, 3], head_dim=16), image_size=16, patch_size=4)
    torch.save({"state_dict": {}, "meta": {"poa_bench": supernet.describe()}}, tmp_path / "epoch_1.pth")
    assert main(["sizes", str(tmp_path / "epoch_1.pth")]) == 0
    table = capsys.readouterr().out
    assert "4 sizes" in table and f"{count_parameters(supernet.extract(supernet.space.smallest)):,}" in table


def test_unknown_space(capsys):
    assert main(["sizes", "convnext"]) == 2
    assert "vit, swin, resnet" in capsys.readouterr().err
