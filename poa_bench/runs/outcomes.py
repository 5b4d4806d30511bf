"""What happened on each picture, so that a score is known together with its noise.

A score is a function of how often each picture counts: once each gives the score of the split, and counts that are
drawn at random give its bootstrap (Efron, 1979). An `Outcome` keeps what that function needs, some bytes a picture.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np


class Outcome(ABC):
    """What one metric is made of; subclasses are dataclasses whose fields are arrays or numbers."""

    @property
    @abstractmethod
    def pictures(self) -> int:
        """How many pictures there are: what is drawn."""

    @abstractmethod
    def scores(self, counts: np.ndarray) -> np.ndarray:
        """The metric for every draw, (draws,) float64, in the unit of the metric.

        Args:
            counts: how often each picture counts in each draw, (draws, pictures).
        """

    @property
    def score(self) -> float:
        """The metric itself: every picture counts once."""
        return float(self.scores(np.ones((1, self.pictures)))[0])


@dataclass(frozen=True)
class MeanOutcome(Outcome):
    """A mean over pictures, as an accuracy is.

    Attributes:
        values: of each picture, (pictures,); booleans for right and wrong.
        scale: of the metric: 100 for percent.
    """

    values: np.ndarray
    scale: float = 100.0

    @property
    def pictures(self) -> int:
        return len(self.values)

    def scores(self, counts: np.ndarray) -> np.ndarray:
        return self.scale * (counts @ self.values.astype(float)) / counts.sum(1)


@dataclass(frozen=True)
class RatioOutcome(Outcome):
    """A mean over classes of ratios of sums over pictures, as mIoU and balanced accuracy are.

    A class whose denominators add up to 0 does not count.

    Attributes:
        numerators: of each picture and class, (pictures, classes).
        denominators: the same.
        scale: of the metric: 100 for percent.
    """

    numerators: np.ndarray
    denominators: np.ndarray
    scale: float = 100.0

    @property
    def pictures(self) -> int:
        return len(self.numerators)

    def scores(self, counts: np.ndarray) -> np.ndarray:
        below = counts @ self.denominators.astype(float)
        above = counts @ self.numerators.astype(float)
        known = below > 0
        return self.scale * np.where(known, above / np.where(known, below, 1), 0).sum(1) / known.sum(1)
