"""Patch features of whole pictures of any size, by a frozen network.

A network sees pictures of the size it was pre-trained with. Larger ones pass through it as a whole, with interpolated
position embeddings, or in overlapping windows of the pre-training's size; then a patch is a mean over the windows that
show it, most of all those that show it in their middle (with MONAI's Gaussian weights), as objects stood in
pre-training.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from poa_bench.downstream.backbone import pad_to_multiple
from poa_bench.downstream.features import Place, autocast
from poa_bench.outside.network import has_class_token

LEAST_WEIGHT = 1e-3  # of a patch at the border of a window, beside 1 in its middle
PIXEL_PATCH = 8  # side in pixels of the patches of the raw-pixel control


@dataclass(frozen=True)
class PatchExtractor:
    """What makes patch features.

    Attributes:
        run: normalised images (B, 3, H, W), H and W multiples of `multiple` -> (B, D, H / stride, W / stride).
        stride: pixels from patch to patch.
        multiple: of which sides must be; a multiple of the stride.
        width: D.
    """

    run: Callable[[Tensor], Tensor]
    stride: int
    multiple: int
    width: int


def patch_extractor(network: nn.Module, stride: int, context: bool = False) -> PatchExtractor:
    """The last map of a stock network, after its last norm.

    Where that is coarser than `stride` pixels and there are finer ones (Swin, ResNet): all stages that are at least as
    coarse as `stride`, one after the other at the grid of the finest of them.

    Args:
        network: a timm network in evaluation mode.
        stride: pixels from patch to patch, at most, where the network has such a map.
        context: behind its own features a patch has the class feature of the window that shows it.
    """
    info = network.feature_info
    last = info[-1]["reduction"]
    # networks of one resolution (ViT) list their blocks, all of the same reduction
    coarse = [place for place, level in enumerate(info) if level["reduction"] >= min(stride, last)]
    chosen = coarse if len({info[place]["reduction"] for place in coarse}) > 1 else [len(info) - 1]
    prefixed = {"return_prefix_tokens": True} if has_class_token(network) else {}  # of others they are registers

    def run(images: Tensor) -> Tensor:
        maps = network.forward_intermediates(
            images, indices=chosen, norm=True, output_fmt="NCHW", intermediates_only=True, **prefixed
        )
        classes = None
        if prefixed:
            maps, (*_, tokens) = zip(*maps, strict=True)
            classes = tokens[:, 0]
        return _together(maps, (maps[-1].mean((2, 3)) if classes is None else classes) if context else None)

    width = sum(info[place]["num_chs"] for place in chosen) + context * info[-1]["num_chs"]
    return PatchExtractor(run, info[chosen[0]]["reduction"], last, width)


def pixel_extractor(context: bool = False) -> PatchExtractor:
    """The raw-pixel control: a patch of 8 x 8 pixels is its own colours, and its context the window at 8 x 8 pixels."""

    def run(images: Tensor) -> Tensor:
        window = F.adaptive_avg_pool2d(images, PIXEL_PATCH).flatten(1) if context else None
        return _together([F.pixel_unshuffle(images, PIXEL_PATCH)], window)

    return PatchExtractor(run, PIXEL_PATCH, PIXEL_PATCH, (1 + context) * 3 * PIXEL_PATCH**2)


def _together(maps: Sequence[Tensor], context: Tensor | None) -> Tensor:
    """Maps (B, D, h, w), finest first, and features (B, D) of the whole; several parts have length 1 each."""
    size = maps[0].shape[-2:]
    parts = [maps[0], *(F.interpolate(map_.float(), size, mode="bilinear") for map_ in maps[1:])]
    if context is not None:
        parts.append(context[:, :, None, None].expand(-1, -1, *size))
    return parts[0] if len(parts) == 1 else torch.cat([F.normalize(part.float(), dim=1) for part in parts], dim=1)


def starts(length: int, window: int, step: int) -> list[int]:
    """Where windows begin, so that they cover `length`: every `step`, the last one at the end (mmseg's way)."""
    return [*range(0, max(length - window, 0), step), max(length - window, 0)]


@torch.no_grad()
def patch_features(
    extractor: PatchExtractor, pictures: Sequence[Tensor], place: Place, window: int | None, overlap: int, batch: int
) -> list[Tensor]:
    """Features of pictures.

    Args:
        extractor: of one network.
        pictures: normalised, (3, H, W) each, on the device; padded by zeros at the bottom and right to whole patches.
        place: says the autocast.
        window: side of the windows in pixels, rounded down to what the network can take; None for whole pictures.
        overlap: a window begins every `window / overlap` pixels, rounded down to whole patches.
        batch: windows that pass together.

    Returns:
        (h, w, D) float32 of each picture.
    """
    padded = [pad_to_multiple(picture[None], (extractor.multiple,) * 2)[0] for picture in pictures]
    if window is not None:
        window = max(window // extractor.multiple, 1) * extractor.multiple
    corners = [_corners(picture.shape[1:], window, overlap, extractor.multiple) for picture in padded]
    cuts = [
        picture[:, top : top + (window or picture.shape[1]), left : left + (window or picture.shape[2])]
        for picture, places in zip(padded, corners, strict=True)
        for top, left in places
    ]
    maps = iter(_run(extractor, cuts, place, batch))
    return [
        _assemble([next(maps) for _ in places], places, picture.shape[1:], extractor.stride)
        for picture, places in zip(padded, corners, strict=True)
    ]


def _corners(size: Sequence[int], window: int | None, overlap: int, multiple: int) -> list[tuple[int, int]]:
    if window is None:
        return [(0, 0)]
    step = max(window // overlap // multiple, 1) * multiple
    return list(product(*(starts(length, window, step) for length in size)))


def _run(extractor: PatchExtractor, cuts: list[Tensor], place: Place, batch: int) -> list[Tensor]:
    """Maps (D, h, w) float32 of images, those of one size that follow each other together."""
    maps: list[Tensor] = []
    for _, alike in groupby(cuts, lambda cut: cut.shape):
        for images in torch.stack(list(alike)).split(batch):
            with autocast(place.device, place.amp):
                maps += extractor.run(images).float()
    return maps


def _assemble(maps: list[Tensor], places: list[tuple[int, int]], size: Sequence[int], stride: int) -> Tensor:
    """The weighted mean over windows, (h, w, D)."""
    if len(maps) == 1:
        return maps[0].permute(1, 2, 0)
    height, width = (side // stride for side in size)
    total = maps[0].new_zeros(len(maps[0]), height, width)
    weights = maps[0].new_zeros(height, width)
    for map_, (top, left) in zip(maps, places, strict=True):
        rows, columns = (gaussian(length).to(map_) for length in map_.shape[1:])
        inside = slice(top // stride, top // stride + len(rows)), slice(left // stride, left // stride + len(columns))
        total[(slice(None), *inside)] += map_ * torch.outer(rows, columns)
        weights[inside] += torch.outer(rows, columns)
    return (total / weights).permute(1, 2, 0)


def gaussian(length: int) -> Tensor:
    """MONAI's weights of the patches of a window along one axis, (length,): the deviation is 1/8 of the length."""
    places = torch.arange(length) - (length - 1) / 2
    return torch.exp(-((places / (length / 8)) ** 2) / 2).clamp(min=LEAST_WEIGHT)


def patch_of_pixels(size: Sequence[int], stride: int, grid: Sequence[int]) -> Tensor:
    """The number of the patch, counted row by row, that each pixel of a picture lies in, (H, W) int64."""
    rows, columns = (torch.arange(side) // stride for side in size)
    return rows[:, None] * grid[1] + columns
