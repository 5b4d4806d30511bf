"""AutoFormer's slices are ours without factors, of the first blocks: features of the official supernet."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from poa_bench.elastic import SearchSpace, SubnetSpec, Supernet
from tests.conftest import golden

NAMES = {
    "attn_layer_norm": "norm1",
    "ffn_layer_norm": "norm2",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
    "patch_embed_super": "patch_embed",
}


@pytest.fixture(scope="module")
def official():
    with np.load(golden("baselines/autoformer_supernet.npz"), allow_pickle=False) as archive:
        return {key: torch.from_numpy(archive[key]) for key in archive if archive[key].dtype.kind in "fi"}


def load(found: dict) -> Supernet:
    """Rows of queries, keys and values are interleaved there; the biases of these are 0 in this variant of the file."""
    space = SearchSpace("vit", widths=(16, 32, 48), depths=((2, 3, 4),), head_dim=16, depth_rule="first")
    options = {"image_size": 32, "patch_size": 8, "norm_layer": partial(nn.LayerNorm, eps=1e-5)}
    net = Supernet(space, alpha=False, **options).eval()
    tensors = {}
    for key, tensor in found.items():
        name = key.removeprefix("param/")
        if name == key or "rel_pos" in name or name.startswith("head."):
            continue
        for theirs, ours in NAMES.items():
            name = name.replace(theirs, ours)
        if name.endswith("qkv.weight"):
            tensor = torch.cat([tensor[part::3] for part in range(3)])
        tensors[name] = torch.zeros_like(tensor) if name.endswith("qkv.bias") else tensor
    net.network.load_state_dict(tensors)
    return net


@pytest.mark.parametrize("name, size", [("full", "vit-w48-d4"), ("d", "vit-w32-d3"), ("e", "vit-w16-d2")])
def test_features_of_plain_sizes_are_the_official_ones(official, name, size):
    """Sizes with one ratio of the feed-forward layers and heads of the width; the others are not in our space."""
    with torch.no_grad():
        features = load(official)(official["images"], SubnetSpec.parse(size)).cls
    torch.testing.assert_close(features, official[f"nobias/{name}/features"], rtol=1e-5, atol=1e-5)
