"""Frozen features of many sizes: one supernet, one pass over the images for all of them."""

import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from mmengine.dist import all_gather, get_dist_info
from rich.progress import Progress
from torch import Tensor

from poa_bench.downstream.images import EvaluationData
from poa_bench.downstream.labelled_images import LabelledImages
from poa_bench.elastic import SubnetSpec, Supernet
from poa_bench.errors import InputError
from poa_bench.outside.name import OutsideSpec
from poa_bench.outside.network import OutsideNetwork

AMP_DTYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}
PIXEL_SIDE = 32  # the raw-pixel control sees larger images at this side

Extractor = Callable[[Tensor], Tensor]  # (B, 3, H, W) normalised -> (B, D)
Key = TypeVar("Key", bound=Hashable)  # what names a size


@dataclass(frozen=True)
class Place:
    """Where and with what numbers something is measured: `device`, and `amp` as in `AMP_DTYPES`."""

    device: torch.device | str = "cpu"
    amp: str = "off"


@dataclass
class Features:
    """Features of one split and one size.

    Attributes:
        features: (N, D) float32 on the CPU, in the order of the data set.
        labels: (N,) int64.
        seconds: spent in the network, of this process.
    """

    features: Tensor
    labels: Tensor
    seconds: float


def class_features(
    net: Supernet | OutsideNetwork, specs: Mapping[Key, SubnetSpec | OutsideSpec]
) -> dict[Key, Extractor]:
    """One extractor per size: the class token after the final norm (ViT), or the pooled last map (Swin, ResNet).

    Of networks from outside, see `outside.network.build`.
    """
    with torch.no_grad():
        return {key: net.class_feature(spec) for key, spec in specs.items()}


def pixel_features(images: Tensor) -> Tensor:
    """The raw-pixel control: the image itself, shrunk to 32 pixels a side where it is larger, (B, 3 * 32 * 32)."""
    if images.shape[-1] > PIXEL_SIDE:
        images = torch.nn.functional.interpolate(images, PIXEL_SIDE, mode="area")
    return images.flatten(1)


def normalised(images: Tensor, data: EvaluationData, device: torch.device | str) -> Tensor:
    """Images (B, 3, S, S) uint8 as the network wants them, on the device."""
    mean, std = (torch.tensor(values, device=device).view(-1, 1, 1) for values in (data.mean, data.std))
    return (images.to(device).float() - mean) / std


@torch.no_grad()
def extract_features(
    extractors: Mapping[Key, Extractor],
    images: LabelledImages,
    device: torch.device | str = "cpu",
    amp: str = "off",
    progress: Progress | None = None,
    failures: dict[Key, Exception] | None = None,
) -> dict[Key, Features]:
    """Run every extractor on each batch; the images are decoded once.

    Under torch.distributed each process takes a share of the images and every one returns all features.

    Args:
        extractors: what makes features, by any key.
        images: one split.
        device: where to compute.
        amp: `off`, or autocast to `bf16` or `fp16`.
        progress: where to show how far it is.
        failures: takes the error of an extractor that fails, which has no features then; those of its keys are left
            out. None (a must under torch.distributed): an error ends all.

    Raises:
        InputError: unknown `amp`, or see `LabelledImages.batches`.
    """
    check_amp(amp)
    rank, world = get_dist_info()
    batches = images.batches(rank, world)
    if progress is not None:
        total = -(-len(images) // (images.data.batch_size * world))
        batches = progress.track(batches, total=total, description=f"{images.data.name} {images.split}")
    left_out = failures if failures is not None else {}
    found: dict[Key, list[Tensor]] = {key: [] for key in extractors}
    seconds = dict.fromkeys(extractors, 0.0)
    labels = []
    for inputs, batch_labels in batches:
        if extractors and len(left_out) == len(extractors):
            return {}
        inputs = normalised(inputs, images.data, device)
        labels.append(batch_labels)
        for key in [key for key in extractors if key not in left_out]:
            start = time.perf_counter()
            try:
                with autocast(device, amp):
                    found[key].append(extractors[key](inputs).float().cpu())
            except Exception as error:  # handed on in full: one size that needs too much memory must not end the others
                if failures is None:
                    raise
                failures[key] = error
            seconds[key] += time.perf_counter() - start
    all_labels = _in_order(torch.cat(labels), len(images))
    return {
        key: Features(_in_order(torch.cat(parts), len(images)), all_labels, seconds[key])
        for key, parts in found.items()
        if key not in left_out
    }


def check_amp(amp: str) -> None:
    """Raise InputError for an unknown `amp` setting."""
    if amp not in AMP_DTYPES:
        raise InputError(f"unknown amp {amp!r}: use one of {', '.join(AMP_DTYPES)}")


def autocast(device: torch.device | str, amp: str):
    """The autocast context of an `amp` setting.

    Raises:
        InputError: unknown setting.
    """
    check_amp(amp)
    dtype = AMP_DTYPES[amp]
    return nullcontext() if dtype is None else torch.autocast(torch.device(device).type, dtype)


def check_finite(**features: Tensor) -> None:
    """Raise InputError if a feature (N, D) is NaN or infinite; the names say whose they are."""
    for name, rows in features.items():
        if not rows.sum(dtype=torch.float64).isfinite():  # much faster than to look at each value
            broken = int((~rows.isfinite()).any(dim=1).sum())
            raise InputError(
                f"{broken} of {len(rows)} {name} hold NaN or infinite features: the network has diverged, or its "
                "numbers overflow under AMP (evaluate it with --amp off)"
            )


def _in_order(share: Tensor, total: int) -> Tensor:
    """Put the shares of all processes together: image i was done by process i % world."""
    _, world = get_dist_info()
    if world == 1:
        return share
    padded = torch.cat([share, share.new_zeros(-(-total // world) - len(share), *share.shape[1:])])
    return torch.stack(all_gather(padded), dim=1).flatten(0, 1)[:total]


def groups_of_sizes(data: EvaluationData, widths: Mapping[Key, int], budget_bytes: int) -> list[list[Key]]:
    """Sizes that share one pass over the images.

    Images that stay in memory are decoded once anyway: then each size is a group of its own and its results are there
    soonest. Otherwise as many share a pass as the memory for their features allows.
    """
    splits = data.splits.values()
    if all(images.in_memory for images in splits):
        return [[key] for key in widths]
    return packed(
        {key: 4 * width * sum(len(images) for images in splits) for key, width in widths.items()}, budget_bytes
    )


def packed(needs: Mapping[Key, int], budget: int) -> list[list[Key]]:
    """Neighbours in groups whose needs fit a budget together; what does not fit alone is a group of its own."""
    groups: list[list[Key]] = []
    room = 0
    for key, need in needs.items():
        if not groups or room < need:
            groups.append([])
            room = budget
        groups[-1].append(key)
        room -= need
    return groups
