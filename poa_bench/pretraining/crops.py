"""Multi-crop views: two global and several local crops of each picture (DINO), and their batch.

The crops of a picture depend on (seed, epoch, picture), the masks of a batch on (seed, iteration) and into how many
groups it is dealt, by default the ranks: not on workers or what was drawn before. The seed is the sampler's, which
mmengine takes from ``randomness``.
"""

import math
from collections.abc import Sequence
from random import Random
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from poa_bench.config_values import check_call
from poa_bench.errors import InputError
from poa_bench.pretraining.masks import batch_masks
from poa_bench.pretraining.photometric import Photometric, change_bytes
from poa_bench.pretraining.samplers import SampleIndex
from poa_bench.registry import FUNCTIONS, TRANSFORMS

_ASPECT = (3 / 4, 4 / 3)  # of a crop, width by height
_TRIES = 10


def draw_box(height: int, width: int, scale: tuple[float, float], random: Random) -> tuple[int, int, int, int]:
    """Draw a crop (top, left, height, width) of an image, as torchvision's RandomResizedCrop does.

    Args:
        height, width: of the image in pixels.
        scale: least and greatest share of the image's area.
        random: source of area, aspect (3/4 to 4/3, uniform in its logarithm) and place.
    """
    for _ in range(_TRIES):
        area = height * width * random.uniform(*scale)
        aspect = math.exp(random.uniform(math.log(_ASPECT[0]), math.log(_ASPECT[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return random.randint(0, height - h), random.randint(0, width - w), h, w
    # no try fits: the greatest centred crop with an allowed aspect
    w, h = min(width, round(height * _ASPECT[1])), min(height, round(width / _ASPECT[0]))
    return (height - h) // 2, (width - w) // 2, h, w


def resize(picture: np.ndarray, size: int) -> np.ndarray:
    """Resize (H, W, 3) uint8 to (size, size, 3) as PIL and torchvision do: bicubic, each side that shrinks filtered."""
    # channels last goes in and comes out: twice as fast as torchvision's resize, which copies to channels first
    tensor = torch.from_numpy(np.ascontiguousarray(picture))[None].permute(0, 3, 1, 2)
    resized = F.interpolate(tensor, (size, size), mode="bicubic", antialias=True)
    return resized[0].permute(1, 2, 0).numpy()


@TRANSFORMS.register_module()
class MultiCrop:
    """Cut the views of a picture.

    Replaces ``inputs`` (3, H, W) uint8 by ``global_crops`` (2, 3, S, S) and ``local_crops`` (v, 3, s, s), uint8,
    channels last in memory. Where the photometric part is left to the device, ``photometric`` (2 + v, 11) holds its
    parameters.

    Args:
        global_size, local_size: side of the crops in pixels.
        local_count: local crops per picture; 0 gives none.
        global_scale, local_scale: least and greatest share of the picture's area.
        flip: probability of a mirrored crop.
        photometric: arguments of :class:`poa_bench.pretraining.photometric.Photometric`; None leaves colours alone.
        on_device: leave the photometric part to the model's data preprocessor.

    Raises:
        InputError: the picture does not come from a ``poa_bench.ResumableSampler``: seed and epoch are not known.
    """

    interpolation = "bicubic"  # what `resize` does

    def __init__(
        self,
        global_size: int = 224,
        local_size: int = 96,
        local_count: int = 8,
        global_scale: tuple[float, float] = (0.32, 1.0),
        local_scale: tuple[float, float] = (0.05, 0.32),
        flip: float = 0.5,
        photometric: dict | None = None,
        on_device: bool = False,
    ):
        self.global_size, self.local_size, self.local_count = global_size, local_size, local_count
        self.global_scale, self.local_scale = tuple(global_scale), tuple(local_scale)
        self.flip = flip
        self.photometric = None if photometric is None else _photometric(photometric)
        self.on_device = on_device and photometric is not None

    def __call__(self, item: dict) -> dict:
        """Replace the picture by its views."""
        index = item["sample_idx"]
        if not isinstance(index, SampleIndex):
            raise InputError(
                f"MultiCrop got picture {index} without seed and epoch; "
                "set the sampler to type='poa_bench.ResumableSampler'"
            )
        random = Random(f"{index.seed} {index.epoch} {int(index)}")
        picture = np.ascontiguousarray(item.pop("inputs").permute(1, 2, 0).numpy())
        item["global_crops"], global_rows = self._views(picture, (0, 1), self.global_scale, self.global_size, random)
        local_views = (2,) * self.local_count
        item["local_crops"], local_rows = self._views(picture, local_views, self.local_scale, self.local_size, random)
        if self.on_device:
            item["photometric"] = torch.tensor(global_rows + local_rows)
        return item

    def _views(
        self, picture: np.ndarray, views: tuple[int, ...], scale: tuple[float, float], size: int, random: Random
    ) -> tuple[Tensor, list[list[float]]]:
        """Return one crop per view, (views, 3, size, size) uint8, and their photometric parameters."""
        crops, rows = np.empty((len(views), size, size, 3), np.uint8), []
        for crop, view in zip(crops, views, strict=True):
            top, left, height, width = draw_box(*picture.shape[:2], scale, random)
            cut = resize(picture[top : top + height, left : left + width], size)
            if random.random() < self.flip:
                cut = cv2.flip(cut, 1)
            if self.photometric is not None:
                rows.append(self.photometric.draw(view, random))
                cut = cut if self.on_device else change_bytes(cut, rows[-1])
            crop[:] = cut
        return torch.from_numpy(crops).permute(0, 3, 1, 2), rows


def _photometric(arguments: dict) -> Photometric:
    check_call("photometric", Photometric, arguments)
    return Photometric(**arguments)


def stack_views(views: Sequence[Tensor]) -> Tensor:
    """B items of (v, ...) -> (v * B, ...): view 1 of all pictures, then view 2, ..."""
    return torch.stack(list(views), dim=1).flatten(0, 1)


def stack_crops(crops: Sequence[Tensor]) -> Tensor:
    """B items of (v, 3, S, S) -> (v * B, 3, S, S) in the same order; channels last in memory stay so, which is fast."""
    return stack_views([crop.permute(0, 2, 3, 1) for crop in crops]).permute(0, 3, 1, 2)


@FUNCTIONS.register_module()
def collate_crops(
    batch: Sequence[dict],
    grid: tuple[int, int],
    mask_probability: float = 0.5,
    mask_ratio: tuple[float, float] = (0.1, 0.5),
    mask_groups: int | None = None,
) -> dict:
    """Make a batch of the items of :class:`MultiCrop`.

    Args:
        batch: B items.
        grid: (rows, columns) of patches of a global crop, as ``Supernet.patch_grid`` says.
        mask_probability: share of the global crops that are masked.
        mask_ratio: least and greatest share of hidden patches in a masked crop.
        mask_groups: into how many groups the pictures of all processes are dealt, each of which has the share of masked
            crops and hidden patches. None: each process is one, as in the official code, and its memory stays the same;
            a number makes the masks independent of that of the processes.

    Returns:
        ``inputs``, a dict of ``global_crops`` (2B, 3, S, S) and ``local_crops`` (v B, 3, s, s), uint8, view by view;
        ``masks`` (2B, rows * columns) bool; ``photometric_global`` (2B, 11) and ``photometric_local`` (v B, 11) where
        that part is left to the device. ``data_samples``, a dict of the arrays ``name``, ``index`` and ``label`` (B,):
        what pins and moves batches walks through every Python object, but leaves arrays alone.
    """
    inputs = {key: stack_crops([item[key] for item in batch]) for key in ("global_crops", "local_crops")}
    indices = [item["sample_idx"] for item in batch]
    inputs["masks"] = _masks(indices, grid, mask_groups, probability=mask_probability, ratio=mask_ratio)
    if "photometric" in batch[0]:
        inputs["photometric_global"] = stack_views([item["photometric"][:2] for item in batch])
        inputs["photometric_local"] = stack_views([item["photometric"][2:] for item in batch])
    samples = {"name": "name", "index": "sample_idx", "label": "label"}
    return {
        "inputs": inputs,
        "data_samples": {key: np.array([item[source] for item in batch]) for key, source in samples.items()},
    }


def _masks(indices: list[SampleIndex], grid: tuple[int, int], groups: int | None, **amounts: Any) -> Tensor:
    """Return the masks (2B, N) of a rank's pictures, those that these pictures have in the batch of all ranks."""
    first = indices[0]
    pictures = len(indices) * first.world_size
    iteration = first.position // pictures
    places = [view * pictures + index.position % pictures for view in range(2) for index in indices]
    key = (first.seed, first.stream, iteration)
    groups = first.world_size if groups is None else groups  # ranks get the pictures in turn, as groups do
    return torch.from_numpy(batch_masks(tuple(grid), places, 2 * pictures, key, groups=groups, **amounts))
