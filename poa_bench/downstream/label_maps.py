"""Classes of pixels: for patches as soft labels, for predicted maps as mmseg's scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from poa_bench.downstream.patch_maps import patch_of_pixels
from poa_bench.downstream.scenes import IGNORE
from poa_bench.runs.outcomes import Outcome, RatioOutcome


@dataclass(frozen=True)
class LabelMaps:
    """Maps of so many classes, see `patches.Truth`."""

    classes: int

    def targets(self, truth: Tensor, size: Sequence[int], stride: int, grid: Sequence[int]) -> Tensor:
        """The share of each class in the pixels of each patch, (h, w, classes) float32.

        What is ignored, or lies outside of the picture, is missing: rows add up to the labelled share.
        """
        labels = F.interpolate(truth[None, None].float(), tuple(size), mode="nearest")[0, 0].long()
        columns = self.classes + 1  # the last one: ignored
        places = patch_of_pixels(size, stride, grid) * columns + labels.where(labels != IGNORE, self.classes)
        counts = places.flatten().bincount(minlength=grid[0] * grid[1] * columns).view(*grid, columns)
        return counts[..., : self.classes].float() / stride**2

    def weights(self, targets: Tensor) -> Tensor:
        """The labelled share of each patch, (..., classes) -> (...)."""
        return targets.sum(-1)

    def compare(self, predicted: Tensor, truth: Tensor) -> np.ndarray:
        """Labelled pixels of each class that are right, predicted and true, (3, classes) int64.

        Of equal predictions the class with the lower number counts.
        """
        known = truth != IGNORE
        true, found = truth[known], self.decided(predicted).cpu()[known]
        pairs = (true * self.classes + found).bincount(minlength=self.classes**2).view(self.classes, -1)
        return torch.stack([pairs.diagonal(), pairs.sum(0), pairs.sum(1)]).numpy()

    def decided(self, predicted: Tensor) -> Tensor:
        """The class of each pixel, (classes, H', W') -> (H', W') int64."""
        return predicted.argmax(0)

    def scores(self, rows: np.ndarray) -> dict[str, Outcome]:
        """mmseg's scores, of which each outcome's `score` is the number in percent.

        `mIoU` and `mAcc` are means over the classes that appear in any picture, predicted (`mIoU` alone) or true, of
        counts that are added up over all pictures; `aAcc` is the share of pixels that are right.

        Args:
            rows: of `compare`, (pictures, 3, classes).
        """
        right, predicted, true = rows.astype(np.int32).transpose(1, 0, 2)
        return {
            "mIoU": RatioOutcome(right, predicted + true - right),
            "aAcc": RatioOutcome(right.sum(1, keepdims=True), true.sum(1, keepdims=True)),
            "mAcc": RatioOutcome(right, true),
        }
