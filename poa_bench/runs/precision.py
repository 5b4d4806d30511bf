"""Average precision of detections, as COCO counts it, from what was matched in each picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poa_bench.runs.outcomes import Outcome

RECALLS = np.linspace(0, 1, 101)  # pycocotools' own, at which precision is read


@dataclass(frozen=True)
class PrecisionOutcome(Outcome):
    """Mean over classes and overlaps of the precision at 101 recalls; a class without an object does not count.

    Every picture that counts twice is as another picture with the same objects and detections.

    Attributes:
        picture: of each detection, (detections,); those of a class stand together, the surest first.
        starts: place of the first detection of each class, and the number of all, (classes + 1,).
        hits: whether it was matched with an object, (overlaps, detections) bool.
        ignored: whether it does not count, because what it found is a crowd, (overlaps, detections) bool.
        objects: to be found in each picture, (classes, pictures).
        scale: of the metric: 100 for percent.
    """

    picture: NDArray
    starts: NDArray
    hits: NDArray
    ignored: NDArray
    objects: NDArray
    scale: float = 100.0

    @property
    def pictures(self) -> int:
        return self.objects.shape[1]

    def scores(self, counts: NDArray) -> NDArray:
        sums, known = np.zeros(len(counts)), np.zeros(len(counts))
        starts = self.starts.astype(int)
        for place, objects in enumerate(self.objects.astype(np.int64)):
            wanted = counts @ objects
            own = slice(*starts[place : place + 2])
            times = counts[:, self.picture[own]]
            found = _precision(times, self.hits[:, own], self.ignored[:, own], np.maximum(wanted, 1))
            sums += np.where(wanted > 0, found, 0)
            known += wanted > 0
        return self.scale * np.where(known > 0, sums / np.maximum(known, 1), -1)  # pycocotools says -1


def _precision(times: NDArray, hits: NDArray, ignored: NDArray, wanted: NDArray) -> NDArray:
    """Of one class, the mean over overlaps, (draws,).

    Args:
        times: how often each detection counts, (draws, detections).
        hits, ignored: (overlaps, detections).
        wanted: objects, (draws,), at least 1.
    """
    every = times.cumsum(1, dtype=np.int64)
    found = np.zeros(len(times))
    for hit, left_out in zip(hits, ignored, strict=True):
        places = np.flatnonzero(hit & ~left_out)
        if not len(places):
            continue
        right = times[:, places].cumsum(1, dtype=np.int64)
        said = every[:, places] - _before(times, left_out, places)
        best = np.maximum.accumulate((right / np.maximum(said, 1))[:, ::-1], axis=1)[:, ::-1]
        # how many of the recalls are reached at each hit, and not before
        reached = np.searchsorted(RECALLS, right / wanted[:, None], side="right")
        found += (best * np.diff(reached, axis=1, prepend=0)).sum(1) / len(RECALLS)
    return found / len(hits)


def _before(times: NDArray, left_out: NDArray, places: NDArray) -> NDArray:
    """How often detections that are left out count before each place, (draws, places)."""
    out = np.flatnonzero(left_out)
    sums = np.zeros((len(times), len(out) + 1), np.int64)
    np.cumsum(times[:, out], axis=1, out=sums[:, 1:])
    return sums[:, np.searchsorted(out, places)]
