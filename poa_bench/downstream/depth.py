"""Depths of pixels: for patches as the mean of their logarithm, for predicted maps the field's errors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from poa_bench.downstream.linear import standardisation
from poa_bench.downstream.patch_heads import Fitted, linear_head, penalised_heads
from poa_bench.downstream.patch_maps import patch_of_pixels
from poa_bench.downstream.patches import Head, Patches
from poa_bench.runs.outcomes import MeanOutcome, Outcome

DELTA = 1.25  # the largest ratio, either way, of a prediction that counts as right


@dataclass(frozen=True)
class DepthMaps:
    """Maps of depths above 0, of which 0 means not known; see `patches.Truth`. Predicted are their logarithms."""

    def targets(self, truth: Tensor, size: Sequence[int], stride: int, grid: Sequence[int]) -> Tensor:
        """Sum of log(depth) and number of known pixels of each patch, by the number of all, (h, w, 2) float32."""
        depths = F.interpolate(truth[None, None].float(), tuple(size), mode="nearest")[0, 0]
        places, known = patch_of_pixels(size, stride, grid), depths > 0
        sums = torch.stack([depths.where(known, 1).log(), known.float()], -1)
        total = sums.new_zeros(grid[0] * grid[1], 2).index_add_(0, places.flatten(), sums.flatten(0, 1))
        return total.view(*grid, 2) / stride**2

    def weights(self, targets: Tensor) -> Tensor:
        """The share of known pixels of each patch, (..., 2) -> (...)."""
        return targets[..., 1]

    def compare(self, predicted: Tensor, truth: Tensor) -> np.ndarray:
        """Root mean squared error, mean relative error, share of right pixels, (3,) float64; NaN: none is known."""
        known = truth > 0
        true, found = truth[known].double(), predicted[0].cpu()[known].double().exp()
        ratio = torch.maximum(true / found, found / true)
        errors = [
            (found - true).square().mean().sqrt(),
            ((found - true).abs() / true).mean(),
            (ratio < DELTA).double().mean(),
        ]
        return torch.stack(errors).numpy()

    def decided(self, predicted: Tensor) -> Tensor:
        """Depths, (1, H', W') -> (H', W') float32."""
        return predicted[0].exp()

    def scores(self, rows: np.ndarray) -> dict[str, Outcome]:
        """The field's errors: each is the mean over pictures of the picture's own (Eigen et al., 2014; BTS, AdaBins).

        `rmse` is in the unit of the maps, `abs_rel` and `delta1` (the share of pixels less than 25 % off) in percent.

        Args:
            rows: of `compare`, (pictures, 3); pictures of which nothing is known do not count.
        """
        known = rows[~np.isnan(rows).any(1)]
        return {
            "rmse": MeanOutcome(known[:, 0], 1.0),
            "abs_rel": MeanOutcome(known[:, 1]),
            "delta1": MeanOutcome(known[:, 2]),
        }


def ridge_heads(
    train: Patches, val: Patches, regularisers: Sequence[float], device: torch.device | str, refit: bool
) -> Fitted:
    """Ridge regression of the mean log(depth) of patches, each weighted by its known share, in closed form.

    Minimises mean squared error + weight * |W|^2 of standardised features; the penalty is that of the lowest squared
    error on the validation patches. Predictions stay within the range of the patches that were fitted.

    Args:
        train, val, regularisers, device, refit: see `patch_heads.penalised_heads`.
    """
    return penalised_heads(partial(_ridge_path, device=device), _squared_error, train, val, regularisers, device, refit)


def _squared_error(predicted: Tensor, targets: Tensor) -> float:
    depths, weights = _depths_and_weights(targets)
    return ((predicted[:, 0] - depths).square() @ weights / weights.sum()).item()


def _depths_and_weights(targets: Tensor) -> tuple[Tensor, Tensor]:
    """The mean log(depth) of each patch, and its known share, (N,) float64 each."""
    total, weights = targets.double().unbind(1)
    return total / weights, weights


def _ridge_path(patches: Patches, regularisers: Sequence[float], device: torch.device | str) -> Iterator[Head]:
    depths, weights = _depths_and_weights(patches.targets.to(device))
    weights = weights / weights.sum()
    _, scale = standardisation(patches.features)
    features = patches.features.to(device).double()
    centre, level = weights @ features, weights @ depths
    features = (features - centre) / scale.to(device)
    values, basis = torch.linalg.eigh(features.T @ (features * weights.unsqueeze(1)))
    projected = basis.T @ (features.T @ (weights * (depths - level)))
    low, high = depths.min().item(), depths.max().item()
    for regulariser in regularisers:
        weight = (basis @ (projected / (values.clamp(min=0) + regulariser)) / scale.to(device)).unsqueeze(1)
        yield _Bounded(linear_head(weight, level - centre @ weight), low, high)


class _Bounded(NamedTuple):
    """A head whose predictions stay within bounds."""

    head: Head
    low: float
    high: float

    def __call__(self, features: Tensor) -> Tensor:
        return self.head(features).clamp(self.low, self.high)
