"""Features of the official implementation, with its weights in stock timm networks."""

import json

import numpy as np
import pytest
import torch

from poa_bench.elastic import SearchSpace, SubnetSpec, Supernet

SUBNETS = ["w64-d6", "w32-d3", "w48-d4", "w64-d4", "w32-d6"]


@pytest.mark.parametrize("name", SUBNETS)
def test_vit_features(golden, name):
    numbers = np.load(golden("poa_vit_step.npz"))
    assert {subnet["name"] for subnet in json.loads(str(numbers["meta_json"]))["subnets"]} == set(SUBNETS)
    check_features(numbers, name)


def test_vit_features_of_the_part_that_every_clone_has(golden):
    """What the sub-network must not touch is NaN."""
    check_features(np.load(golden("poa_vit_w32-d3.npz")), "w32-d3")


def kept_blocks(numbers, name):
    """The full network's blocks that a sub-network of the file keeps."""
    return {one["name"]: one["block_ids"] for one in json.loads(str(numbers["meta_json"]))["subnets"]}[name]


def check_features(numbers, name):
    """Class and patch features of one sub-network are those of the file."""
    space = SearchSpace("vit", widths=[32, 48, 64], depths=[3, 4, 6], head_dim=16)
    supernet = Supernet(space, image_size=32, patch_size=8, init_values=1e-5).eval()
    prefix = "student/backbone/"
    weights = {key.removeprefix(prefix): torch.from_numpy(numbers[key]) for key in numbers if key.startswith(prefix)}
    supernet.mask_token.data.copy_(weights.pop("mask_token"))
    for parameter, full in supernet.network.state_dict().items():
        if parameter.startswith("blocks.") and int(parameter.split(".")[1]) not in kept_blocks(numbers, name):
            weights.setdefault(parameter, torch.full_like(full, torch.nan))
    supernet.network.load_state_dict(weights, strict=True)

    spec = SubnetSpec.parse(f"vit-{name}")
    with torch.no_grad():
        student = supernet.bind(spec)
        views = student(torch.from_numpy(numbers["global_crops"]), torch.from_numpy(numbers["masks"]))
        local = student(torch.from_numpy(numbers["local_crops"]))
    for feature, expected in ((views.cls, "global_cls"), (views.patches, "global_patch"), (local.cls, "local_cls")):
        stored = torch.from_numpy(numbers[f"{name}/features/{expected}"])
        torch.testing.assert_close(feature, stored, atol=1e-5, rtol=0)
