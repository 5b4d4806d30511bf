"""What happened on each picture, so that a score is known together with its noise.

A score is a function of how often each picture counts: once each gives the score of the split, and counts that are
drawn at random give its bootstrap (Efron, 1979). An `Outcome` keeps what that function needs, some bytes a picture.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

ROWS = 256  # draws whose products are made at once


@dataclass(frozen=True)
class Outcome(ABC):
    """What one metric is made of; subclasses are frozen dataclasses whose fields are arrays, numbers or texts.

    A subclass is known by its name as soon as it is imported (`kinds`), so that files can say which one they hold. That
    of a task in a package of yours is defined in, or imported by, the task's file.

    Attributes:
        split: which pictures, where they are not those of the measurement's split: `val`, or another name for every
            draw of held-out pictures. Runs of one data set are compared picture by picture where the names agree.
    """

    kinds: ClassVar[dict[str, type[Outcome]]] = {}

    split: str = field(default="", kw_only=True)

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        Outcome.kinds[cls.__name__] = cls

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

    @classmethod
    def together(cls, outcomes: Sequence[Outcome], counts: np.ndarray) -> np.ndarray:
        """`scores` of many runs at the same pictures, (runs, draws); for those that can share their work.

        Args:
            outcomes: of this class, equal in all but their values.
            counts: as for `scores`.
        """
        return np.stack([outcome.scores(counts) for outcome in outcomes])

    @property
    def width(self) -> int:
        """Numbers that `together` holds for each picture, in float32."""
        return 1

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
        return self.scale * ((counts @ self.values.astype(float)) / counts.sum(1))

    @classmethod
    def together(cls, outcomes: Sequence[MeanOutcome], counts: np.ndarray) -> np.ndarray:
        """One matrix product; float32 is exact for right and wrong."""
        values = np.stack([np.asarray(outcome.values, np.float32) for outcome in outcomes], 1)
        scales = np.array([outcome.scale for outcome in outcomes])
        return scales[:, None] * _products(counts, values).T / counts.sum(1, dtype=np.int64)


def _products(counts: NDArray, values: NDArray) -> NDArray:
    """Sums of values (pictures, columns) float32 in every draw, (draws, columns) float64, some draws at a time."""
    parts = [counts[start : start + ROWS].astype(np.float32) @ values for start in range(0, len(counts), ROWS)]
    return np.concatenate(parts).astype(float)


@dataclass(frozen=True)
class ClassMeanOutcome(Outcome):
    """A mean over classes of means over their pictures, as balanced accuracy is; one without a picture does not count.

    Attributes:
        values: of each picture, (pictures,).
        labels: true classes, (pictures,) from 0.
        scale: of the metric: 100 for percent.
    """

    values: np.ndarray
    labels: np.ndarray
    scale: float = 100.0

    @property
    def pictures(self) -> int:
        return len(self.values)

    def scores(self, counts: np.ndarray) -> np.ndarray:
        return self._scores([self], counts)[0]

    @classmethod
    def together(cls, outcomes: Sequence[ClassMeanOutcome], counts: np.ndarray) -> np.ndarray:
        """One matrix product for each class, of the runs with the same labels."""
        same: dict[bytes, list[int]] = {}
        for place, outcome in enumerate(outcomes):
            same.setdefault(np.asarray(outcome.labels, np.int64).tobytes(), []).append(place)
        found = np.empty((len(outcomes), len(counts)))
        for places in same.values():
            found[places] = cls._scores([outcomes[place] for place in places], counts)
        return found

    @staticmethod
    def _scores(outcomes: Sequence[ClassMeanOutcome], counts: np.ndarray) -> np.ndarray:
        """Of runs with the same labels: a picture weighs as much less as its class has more of them in a draw."""
        _, label = np.unique(outcomes[0].labels, return_inverse=True)
        order = np.argsort(label, kind="stable")
        starts = np.flatnonzero(np.diff(label[order], prepend=-1))
        values = np.stack([np.asarray(outcome.values, np.float32) for outcome in outcomes], 1)[order]
        found = []
        for start in range(0, len(counts), ROWS):
            times = counts[start : start + ROWS][:, order]
            pictures = np.add.reduceat(times, starts, axis=1, dtype=np.int32)
            weights = (1 / np.maximum(pictures, 1)).astype(np.float32)[:, label[order]] * times
            known = (pictures > 0).sum(1)
            found.append((weights @ values) / np.maximum(known, 1)[:, None])
        return np.array([outcome.scale for outcome in outcomes])[:, None] * np.concatenate(found).T


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

    @property
    def width(self) -> int:
        return 2 * self.denominators.shape[1]

    @classmethod
    def together(cls, outcomes: Sequence[RatioOutcome], counts: np.ndarray) -> np.ndarray:
        """Two matrix products for runs with as many classes."""
        found = np.empty((len(outcomes), len(counts)))
        classes = np.array([outcome.denominators.shape[1] for outcome in outcomes])
        for count in np.unique(classes):
            places = np.flatnonzero(classes == count)
            above, below = (
                _products(counts, np.concatenate([np.asarray(part, np.float32) for part in parts], 1))
                for parts in (
                    [outcomes[place].numerators for place in places],
                    [outcomes[place].denominators for place in places],
                )
            )
            shape = (len(counts), len(places), count)
            above, known = above.reshape(shape), below.reshape(shape) > 0
            ratios = np.where(known, above / np.where(known, below.reshape(shape), 1), 0)
            scales = np.array([outcomes[place].scale for place in places])
            found[places] = scales[:, None] * (ratios.sum(2) / np.maximum(known.sum(2), 1)).T
        return found
