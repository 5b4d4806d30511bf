"""Rows of features: what a pass over crops gives, and what the projection heads make of it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from poa_bench.pretraining.objective import Crops

Rows = dict[str, Tensor]
"""Features of one pass: `global` (2, B, w), `local` (v, B, w), `patch` (1, M, w), M masked patches in all."""


def places_of_masked(masks: Tensor) -> Tensor:
    """(M,) numbers of the masked patches of masks (2B, N); find them once a step: it makes the CPU wait for the GPU."""
    return masks.flatten().nonzero()[:, 0]


def student_rows(network: Callable, crops: Crops, masked: Tensor) -> Rows:
    """What a student sees: global crops with masked patches, and local crops.

    Args:
        network: from `Supernet.bind`.
        crops: of B pictures.
        masked: `places_of_masked` of the crops' masks.
    """
    images = len(crops.global_crops) // 2
    output = network(crops.global_crops, crops.masks)
    rows = {"global": output.cls.unflatten(0, (2, images)), "patch": _masked_rows(output.patches, masked)}
    if len(crops.local_crops):
        rows["local"] = network(crops.local_crops).cls.unflatten(0, (-1, images))
    return rows


@torch.no_grad()
def teacher_rows(network: Callable, crops: Crops, masked: Tensor) -> Rows:
    """What a teacher sees: whole global crops; its patches are those that students do not see."""
    output = network(crops.global_crops)
    return {"global": output.cls.unflatten(0, (2, -1)), "patch": _masked_rows(output.patches, masked)}


def project(head: nn.Module, rows: Rows) -> list[Rows]:
    """All rows of a pass through every head of a `ProjectionHead`, in one call each."""
    flat = torch.cat([features.flatten(0, 1) for features in rows.values()])
    sizes = [features.shape[0] * features.shape[1] for features in rows.values()]
    shapes = [features.shape[:2] for features in rows.values()]
    return [
        {name: part.unflatten(0, shape) for name, part, shape in zip(rows, projected.split(sizes), shapes, strict=True)}
        for projected in head(flat)
    ]


def patch_weights(masks: Tensor, masked: Tensor) -> Tensor:
    """(M,) weight of every masked patch of masks (2B, N): each image with masked patches counts 1 / 2B."""
    return (1 / (masks.sum(dim=1) * len(masks)))[masked // masks.shape[1]]


def _masked_rows(patches: Tensor, masked: Tensor) -> Tensor:
    """(1, M, w): the masked ones of patches (2B, N, w)."""
    return patches.flatten(0, 1).index_select(0, masked)[None]
