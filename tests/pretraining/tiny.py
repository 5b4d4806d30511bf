"""A POA model of the size of the reference numbers, and a batch for it."""

import json
from functools import cache

import numpy as np
import torch
from torch import Tensor

from poa_bench.elastic import SubnetSpec
from poa_bench.pretraining.objective import Crops
from poa_bench.pretraining.objectives.poa import POA
from tests.conftest import golden

SPACE = {"family": "vit", "widths": [32, 48, 64], "depths": [3, 4, 5, 6], "head_dim": 16}


def tiny_poa(**settings) -> POA:
    """A POA model with four heads; ``settings`` are POA's."""
    network = {"space": SPACE, "image_size": 32, "patch_size": 8, "init_values": 1e-5}
    backbone = {"type": "poa_bench.Supernet", **network}
    sizes = {"prototypes": [64, 128, 192, 256], "hidden_features": 96, "bottleneck_features": 32}
    head = {"type": "poa_bench.ProjectionHead", **sizes}
    return POA(**{"backbone": backbone, "head": head, **settings}).train()


@cache
def numbers() -> dict[str, np.ndarray]:
    """The official implementation's numbers."""
    with np.load(golden("poa_vit_step.npz"), allow_pickle=False) as archive:
        return dict(archive)


def golden_poa(**settings) -> POA:
    """``tiny_poa`` with the reference weights."""
    model = tiny_poa(**settings)
    for branch in ("student", "teacher"):
        prefix = f"{branch}/"
        weights = {our_name(key[len(prefix) :]): value for key, value in numbers().items() if key.startswith(prefix)}
        weights = {name: torch.from_numpy(value) for name, value in weights.items()}
        getattr(model, branch).load_state_dict(weights, strict=True)
    return model


def golden_crops() -> Crops:
    """The reference batch."""
    return Crops(*(torch.from_numpy(numbers()[key]) for key in ("global_crops", "local_crops", "masks")))


def golden_specs() -> dict[str, SubnetSpec]:
    """Name in the file -> spec."""
    subnets = json.loads(str(numbers()["meta_json"]))["subnets"]
    return {subnet["name"]: SubnetSpec("vit", subnet["width"], (subnet["depth"],)) for subnet in subnets}


def our_name(name: str) -> str:
    """The parameter of a ``Branch`` that the file calls ``backbone/...`` or ``head/...``."""
    part, _, parameter = name.partition("/")
    return f"{part}.network.{parameter}" if part == "backbone" and parameter != "mask_token" else f"{part}.{parameter}"


def random_crops(images: int = 4, local_views: int = 3, seed: int = 0, masked: float = 0.3) -> Crops:
    """A batch of noise: 32 px global and 16 px local crops, view by view."""
    generator = torch.Generator().manual_seed(seed)

    def noise(count: int, size: int) -> Tensor:
        return torch.randn(count, 3, size, size, generator=generator)

    masks = torch.rand(2 * images, 16, generator=generator) < masked
    return Crops(noise(2 * images, 32), noise(local_views * images, 16), masks)
