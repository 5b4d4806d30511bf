"""Pictures with several labels: one logistic regression a class, judged by the 11-point mAP of PASCAL VOC 2007."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from poa_bench.downstream.linear import Split, fit_path
from poa_bench.errors import InputError
from poa_bench.runs.outcomes import Outcome

RECALLS = np.arange(11) / 10


@dataclass(frozen=True)
class MeanPrecisionOutcome(Outcome):
    """Mean over classes of the 11-point average precision, in percent; a class without a picture does not count.

    Attributes:
        values: of each picture and class, (pictures, classes): the larger, the more likely.
        labels: 1 where the picture has the class, 0 where not, -1 where it is not judged, (pictures, classes).
    """

    values: np.ndarray
    labels: np.ndarray

    @property
    def pictures(self) -> int:
        return len(self.values)

    def scores(self, counts: np.ndarray) -> np.ndarray:
        classes = [place for place in range(self.labels.shape[1]) if (self.labels[:, place] > 0).any()]
        found = [self._of_class(place, counts) for place in classes]
        return 100 * np.nanmean(found, axis=0)

    def _of_class(self, place: int, counts: np.ndarray) -> np.ndarray:
        judged = np.flatnonzero(self.labels[:, place] >= 0)
        order = judged[np.argsort(-self.values[judged, place], kind="stable")]
        times = counts[:, order].astype(float)
        right = np.cumsum(times * (self.labels[order, place] > 0), axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0: drawn without a picture of the class
            precision = np.where(times > 0, right / np.cumsum(times, axis=1), 0)
            recall = right / right[:, -1:]
        # the best precision at this recall or more
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        reached = [(recall < least - 1e-12).sum(1).clip(max=len(order) - 1) for least in RECALLS]
        points = np.stack([np.take_along_axis(best, each[:, None], 1)[:, 0] for each in reached])
        return np.where(right[:, -1] > 0, points.mean(0), np.nan)


@dataclass(frozen=True)
class FittedClasses:
    """One classifier for each class.

    Attributes:
        test, validation: what `map11` is of; the latter by what was fitted to train alone.
        strength: the chosen C.
    """

    test: MeanPrecisionOutcome
    validation: MeanPrecisionOutcome
    strength: float


def classwise_regression(
    train: Split, val: Split, test: Split, strengths: Sequence[float], device: torch.device | str = "cpu"
) -> FittedClasses:
    """L2-regularised logistic regression of each class on normalised features; one C for all, by mAP on val.

    Pictures in which a class is not judged take no part in its fit. The chosen C is fitted again to train and val.

    Args:
        train, val, test: features (N, D), and labels (N, C) of 1, 0 and -1, see `MeanPrecisionOutcome`.
        strengths: scikit-learn's C, weakest (the strongest penalty) first.
        device: where to compute, in float64.

    Raises:
        InputError: a class has no picture in train, or is in all of them.
    """
    inputs = [F.normalize(features.double(), dim=1).to(device) for features, _ in (train, val, test)]
    judged = _logits(inputs[0], train[1], inputs[1], strengths)
    of_val = [MeanPrecisionOutcome(logits, val[1].numpy(), split="val") for logits in judged]
    chosen = max(range(len(strengths)), key=lambda place: of_val[place].score)
    both = torch.cat(inputs[:2]), torch.cat([train[1], val[1]])
    (logits,) = _logits(*both, inputs[2], [strengths[chosen]])
    return FittedClasses(MeanPrecisionOutcome(logits, test[1].numpy()), of_val[chosen], strengths[chosen])


def _logits(features: Tensor, labels: Tensor, others: Tensor, strengths: Sequence[float]) -> np.ndarray:
    """Of each C, (number of C, N, C) float32."""
    found = []
    for place in range(labels.shape[1]):
        kept = labels[:, place] >= 0
        targets = labels[kept, place].long().to(features.device)
        if len(targets.unique()) < 2:
            raise InputError(
                f"class {place} is in all pictures of train or in none, so that nothing can be fitted to it"
            )
        rows = features[kept.to(features.device)]
        # two columns of weights share the penalty, so that each may be half as strong
        path = fit_path(rows, targets, 2, [2 / (c * len(rows)) for c in strengths])
        columns = [(weight[:, 1] - weight[:, 0], bias[1] - bias[0]) for _, weight, bias in path]
        found.append(torch.stack([others @ weight + bias for weight, bias in columns]).float().cpu())
    return torch.stack(found, 2).numpy()
