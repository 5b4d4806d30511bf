"""Views of test pictures that a network was not trained for: corrupted, occluded, shuffled, or of other test sets.

Occlusion and shuffling are those of Naseer et al., Intriguing Properties of Vision Transformers (NeurIPS 2021), with
one draw for each picture instead of one for each batch, from the measurement seed and the name of the picture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from poa_bench.downstream.corruption_settings import ALEXNET_ERRORS
from poa_bench.downstream.corruptions import corrupt, generator_for
from poa_bench.downstream.labelled_images import LabelledImages
from poa_bench.downstream.linear import Classifier
from poa_bench.errors import InputError
from poa_bench.runs.outcomes import MeanOutcome

SHUFFLES = ((2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (14, 14), (16, 16))  # rows and columns of tiles
DROPS = tuple(range(10, 100, 10))  # percent of the patches


def corrupted(test: LabelledImages, corruption: str, severity: int, seed: int) -> LabelledImages:
    """The test pictures with one corruption, see `corruptions`."""

    def change(image: np.ndarray, name: str) -> np.ndarray:
        return corrupt(image, corruption, severity, generator_for(seed, name, corruption, severity))

    return test.changed(change, f"{corruption}-{severity}")


def occluded(test: LabelledImages, percent: int, grid: int, draw: int, seed: int) -> LabelledImages:
    """The test pictures without this share of the cells of a grid, which are black; other ones in each picture."""

    def change(image: np.ndarray, name: str) -> np.ndarray:
        return drop_patches(image, percent, grid, generator_for(seed, name, "occlusion", 1000 * draw + percent))

    return test.changed(change, f"drop{percent}-{draw}")


def drop_patches(image: np.ndarray, percent: int, grid: int, generator: np.random.Generator) -> np.ndarray:
    """A copy of a picture (H, W, 3) in which percent * grid^2 // 100 cells of a grid are 0.

    Sides that the grid does not divide have cells that differ by a pixel.
    """
    dropped = np.zeros(grid * grid, bool)
    dropped[generator.permutation(grid * grid)[: percent * grid * grid // 100]] = True
    rows, columns = (np.arange(side) * grid // side for side in image.shape[:2])
    return np.where(dropped.reshape(grid, grid)[rows[:, None], columns][..., None], 0, image).astype(image.dtype)


def shuffled(test: LabelledImages, grid: tuple[int, int], draw: int, seed: int) -> LabelledImages:
    """The test pictures with their tiles in another order, which differs from picture to picture."""

    def change(image: np.ndarray, name: str) -> np.ndarray:
        return shuffle_tiles(image, grid, generator_for(seed, name, "shuffle", 10000 * draw + 100 * grid[0] + grid[1]))

    return test.changed(change, f"shuffle{grid[0]}x{grid[1]}-{draw}")


def shuffle_tiles(image: np.ndarray, grid: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """A copy of a picture (H, W, C) whose tiles, rows x columns of them, are permuted; both must divide its sides."""
    (height, width, channels), (rows, columns) = image.shape, grid
    tiles = image.reshape(rows, height // rows, columns, width // columns, channels).swapaxes(1, 2)
    tiles = tiles.reshape(rows * columns, height // rows, width // columns, channels)
    tiles = tiles[generator.permutation(rows * columns)].reshape(rows, columns, *tiles.shape[1:])
    return np.ascontiguousarray(tiles.swapaxes(1, 2)).reshape(image.shape)


def fitting_shuffles(side: int) -> list[tuple[int, int]]:
    """Those of `SHUFFLES` that divide the side of a picture.

    Raises:
        InputError: none does.
    """
    fitting = [grid for grid in SHUFFLES if side % grid[0] == 0 and side % grid[1] == 0]
    if not fitting:
        raise InputError(f"pictures of {side} px cannot be cut into tiles: set evaluation.image_size to an even number")
    return fitting


def mean_corruption_error(top1: Mapping[str, MeanOutcome]) -> MeanOutcome:
    """mCE: the mean over corruptions of the error relative to AlexNet's, in percent.

    Args:
        top1: accuracy in percent by corruption, each the mean over severities 1 to 5.
    """
    errors = [(100 - top1[name].scale * top1[name].values) / error for name, error in ALEXNET_ERRORS.items()]
    return MeanOutcome(np.mean(errors, 0))


@dataclass
class Onlooker:
    """One size's probe, fitted to clean pictures, and which pictures of each view it was right about.

    Attributes:
        classifier: the probe.
        labels: of the test split, (N,).
        clean: whether it is right about each test picture, (N,) bool.
        classes: of views with fewer classes than train, by view: predictions are among these.
        seen: the same as `clean` by view.
    """

    classifier: Classifier
    labels: Tensor
    clean: Tensor
    classes: dict[str, Tensor] = field(default_factory=dict)
    seen: dict[str, Tensor] = field(default_factory=dict)

    def predictions(self, features: Tensor, view: str) -> Tensor:
        """The predicted class (B, 1) of each row of features (B, D)."""
        self.classifier = self.classifier.to(features.device)
        logits = self.classifier(features.double())
        if (classes := self.classes.get(view)) is not None:
            return classes.to(logits.device)[logits[:, classes].argmax(1)].unsqueeze(1)
        return logits.argmax(1, keepdim=True)

    def see(self, view: str, predictions: Tensor, labels: Tensor) -> None:
        """Note which pictures of a view are right.

        Args:
            view: its name.
            predictions: (N, 1).
            labels: (N,), or (N, C) of which several are right.
        """
        self.seen[view] = correct(predictions.squeeze(1).long(), labels)

    def outcome(self, views: Sequence[str]) -> MeanOutcome:
        """The mean accuracy in percent over these views, and in how many of them each picture was right."""
        right = torch.stack([self.seen[view] for view in views]).sum(0).numpy()
        return MeanOutcome(right.astype(np.uint8 if len(views) < 256 else np.uint16), 100 / len(views))


def correct(predictions: Tensor, labels: Tensor) -> Tensor:
    """Whether each prediction (N,) is its label (N,), or among its labels (N, C); (N,) bool."""
    if labels.ndim == 1:
        return predictions == labels
    padded = F.pad(labels, (0, max(0, int(predictions.max()) + 1 - labels.shape[1])))
    return padded.gather(1, predictions.unsqueeze(1)).squeeze(1) > 0
