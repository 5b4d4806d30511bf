"""How sure a score is, and a difference: the bootstrap over pictures, put together with the spread over repeats.

Pictures and repeats (seeds) are crossed random effects: every repeat saw the same pictures. The variance of a mean over
repeats has three parts,

    pictures:     the variance over draws of the mean score of all repeats,
    repeats:      variance of the repeats' scores / repeats,
    interaction:  variance over draws of each repeat's distance from that mean, which both of the others contain,

and is pictures + max(0, repeats - interaction), the estimate of the analysis of variance (Searle, Casella and
McCulloch, Variance Components, 1992). Its quantile is Cochran's weighted mean of the t quantiles of the parts (Cochran,
Approximate significance levels of the Behrens-Fisher test, Biometrics 1964). Repeats that are not the same on both
sides of a difference have Welch's degrees of freedom. `docs/evaluation.md` has what was simulated.

Draws are the same for all runs of a split, so that a difference of scores is paired picture by picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from poa_bench.runs.outcomes import Outcome

DRAWS = 1000
LEVEL = 0.95
BYTES = 2**28  # of outcomes that are multiplied at once
_FREEDOM = np.concatenate([np.linspace(1, 30, 300), np.geomspace(30.1, 1e6, 300)])
_QUANTILE = stats.t.ppf((1 + LEVEL) / 2, _FREEDOM)

Pictures = tuple[str, str, int]  # data set, split, how many


@lru_cache(maxsize=4)
def picture_counts(pictures: Pictures) -> NDArray:
    """How often each picture counts in each draw, (DRAWS, pictures) uint8; the same in every report."""
    seed = int.from_bytes(hashlib.sha256(repr(pictures).encode()).digest()[:8], "little")
    random, count = np.random.default_rng(seed), pictures[-1]
    counts = np.empty((DRAWS, count), np.uint8)
    for row in counts:
        row[:] = np.bincount(random.integers(count, size=count), minlength=count)
    return counts


def draw(outcomes: Mapping[Hashable, Outcome], pictures: Pictures) -> dict[Hashable, NDArray]:
    """The scores of each draw, (DRAWS,) float32.

    Args:
        outcomes: of runs at the same pictures.
        pictures: which.
    """
    found: dict[Hashable, NDArray] = {}
    counts = picture_counts(pictures)
    for kind in {type(outcome) for outcome in outcomes.values()}:
        keys = [key for key, outcome in outcomes.items() if type(outcome) is kind]
        step = max(1, BYTES // (4 * pictures[-1] * max(outcomes[key].width for key in keys)))
        for start in range(0, len(keys), step):
            some = keys[start : start + step]
            drawn = kind.together([outcomes[key] for key in some], counts)
            found |= dict(zip(some, drawn.astype(np.float32), strict=True))
    return found


@dataclass(frozen=True, eq=False)
class Sample:
    """A score with what chance may have made of it.

    Attributes:
        repeats: names of the repeats; two samples with the same ones are paired repeat by repeat.
        values: of each repeat, (repeats,).
        draws: of each repeat, (repeats, DRAWS).
        pictures: how many there are.
    """

    repeats: tuple[Hashable, ...]
    values: NDArray
    draws: NDArray
    pictures: int

    @property
    def mean(self) -> float:
        """The score: over repeats."""
        return float(self.values.mean())


@dataclass(frozen=True, eq=False)
class Differences:
    """How sure the differences of scores are; arrays are (samples, samples).

    Attributes:
        error: standard errors.
        freedom: degrees of freedom that give the quantile.
        of_pictures: the part of `error` that is of pictures.
    """

    error: NDArray
    freedom: NDArray
    of_pictures: NDArray

    @property
    def margin(self) -> NDArray:
        """Half of the 95 % interval."""
        return self.error * np.interp(self.freedom, _FREEDOM, _QUANTILE)


def differences(samples: Sequence[Sample]) -> Differences:
    """Of every pair of scores."""
    means = np.stack([sample.draws.mean(0, dtype=float) for sample in samples])
    pictures = _between(_covariance(means))
    repeats, freedom = _of_repeats(samples)
    count = np.array([sample.pictures for sample in samples])
    plain = _quantile(np.maximum(np.minimum(count[:, None], count) - 1, 1))
    variance = pictures + repeats
    share = repeats / np.where(variance > 0, variance, 1)
    quantile = (1 - share) * plain + share * _quantile(freedom)
    return Differences(np.sqrt(variance), np.interp(-quantile, -_QUANTILE, _FREEDOM), np.sqrt(pictures))


def _of_repeats(samples: Sequence[Sample]) -> tuple[NDArray, NDArray]:
    """The part of repeats in the variance of each difference, and its degrees of freedom."""
    own = np.array([_paired_repeats([sample, _nothing(sample)])[0, 1] for sample in samples])
    degrees = np.array([max(len(sample.repeats) - 1, 1) for sample in samples])
    variance, parts = own[:, None] + own, own**2 / degrees
    below = parts[:, None] + parts
    freedom = np.where(below > 0, variance**2 / np.where(below > 0, below, 1), 1)  # Welch's
    for places in _same_repeats(samples):
        block = np.ix_(places, places)
        variance[block] = _paired_repeats([samples[place] for place in places])
        freedom[block] = degrees[places[0]]
    return variance, freedom


def _quantile(freedom: NDArray | float) -> NDArray:
    return np.interp(freedom, _FREEDOM, _QUANTILE)


def _covariance(rows: NDArray) -> NDArray:
    centred = rows - rows.mean(1, keepdims=True)
    return centred @ centred.T / (rows.shape[1] - 1)


def _between(covariance: NDArray) -> NDArray:
    """Variances of all differences, from a covariance matrix; what rounding makes of nothing is nothing."""
    own = np.diag(covariance)
    found = own[:, None] + own - 2 * covariance
    return np.where(found > 1e-12 * (own[:, None] + own), found, 0.0)


def _same_repeats(samples: Sequence[Sample]) -> list[list[int]]:
    """Places of samples that have the same repeats, several each."""
    groups: dict[tuple, list[int]] = {}
    for place, sample in enumerate(samples):
        groups.setdefault(sample.repeats, []).append(place)
    return [places for places in groups.values() if len(places) > 1]


def _paired_repeats(samples: Sequence[Sample]) -> NDArray:
    """The part of repeats in the variance of differences that are paired by repeat, interaction left out."""
    count = len(samples[0].repeats)
    if count == 1:
        return np.zeros((len(samples), len(samples)))
    scale = count * (count - 1)
    values = np.stack([sample.values for sample in samples])
    centred = values - values.mean(1, keepdims=True)
    interaction = np.zeros((len(samples), len(samples)))
    means = np.stack([sample.draws.mean(0, dtype=float) for sample in samples])
    for repeat in range(count):
        interaction += _covariance(np.stack([sample.draws[repeat] for sample in samples]) - means)
    return np.maximum(0, _between(centred @ centred.T) / scale - _between(interaction) / scale)


def _nothing(sample: Sample) -> Sample:
    """The number 0, to which the difference is the score itself."""
    return Sample(sample.repeats, np.zeros_like(sample.values), np.zeros_like(sample.draws), sample.pictures)


def error_of(sample: Sample) -> float:
    """Standard error of a score."""
    return float(differences([sample, _nothing(sample)]).error[0, 1])


def interval(sample: Sample, is_share: bool = False) -> tuple[float, float]:
    """The 95 % interval of a score.

    Args:
        sample: of the score.
        is_share: a percentage of something, between 0 and 100: the interval is made on the scale of the logit, where
            it stays within these bounds and covers better near them. If no draw differs from 0 or 100, the other end is
            where so many pictures are all wrong, or right, with a probability of 2.5 % (Clopper and Pearson, 1934).
    """
    mean, margin = sample.mean, float(differences([sample, _nothing(sample)]).margin[0, 1])
    if not is_share or not 0 <= mean <= 100:
        return mean - margin, mean + margin
    if mean in (0, 100) or margin == 0:
        least = 100 * ((1 - LEVEL) / 2) ** (1 / sample.pictures)
        return {100.0: (least, 100.0), 0.0: (0.0, 100 - least)}.get(mean, (mean, mean))
    share = mean / 100
    ends = np.log(share / (1 - share)) + np.array([-1, 1]) * margin / 100 / (share * (1 - share))
    low, high = 100 / (1 + np.exp(-ends))
    return float(low), float(high)


def better(samples: Sequence[Sample], sign: int) -> NDArray:
    """Which scores are better than others: [one, other] is True where the other is better than the one.

    For each score, all the others are compared with it together (multiple comparisons with the best; Hsu, Multiple
    Comparisons, 1996; by the smallest p-value of the draws, Westfall and Young, 1993): the score that is truly the best
    is beaten by any other with a probability of at most 5 %, whichever of the sizes it is compared with.

    Args:
        samples: of the scores.
        sign: 1 where more is better, -1 where less is.
    """
    merits = sign * np.array([sample.mean for sample in samples])
    found = differences(samples)
    means = np.stack([sample.draws.mean(0, dtype=float) for sample in samples]).astype(np.float32)
    means = sign * (means - means.mean(1, keepdims=True))
    beaten = np.zeros(found.error.shape, bool)
    for one, merit in enumerate(merits):
        gaps, error = merits - merit, found.error[one]
        known = error > 0
        beaten[one, ~known] = gaps[~known] > 0
        p_values = stats.t.sf(gaps[known] / error[known], found.freedom[one, known])
        drawn = found.of_pictures[one] > 0
        if drawn.any():
            largest = ((means[drawn] - means[one]) / found.of_pictures[one, drawn, None].astype(np.float32)).max(0)
            limit = np.quantile(stats.norm.sf(largest), 1 - LEVEL)
        else:
            limit = (1 - LEVEL) / max(known.sum(), 1)
        beaten[one, known] = (p_values < limit) & (gaps[known] > 0)
    return beaten


def p_value(first: Sample, second: Sample) -> float:
    """Two-sided p of the difference of two scores; 1 where nothing differs, 0 where it differs without noise."""
    found, gap = differences([first, second]), second.mean - first.mean
    if found.error[0, 1] == 0:
        return float(gap == 0)
    return float(2 * stats.t.sf(abs(gap) / found.error[0, 1], found.freedom[0, 1]))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values of several tests, so that with each below 5 % the chance of any false one is (Holm, 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values)
    adjusted = np.minimum(1, np.maximum.accumulate(np.asarray(p_values)[order] * np.arange(len(order), 0, -1)))
    found = np.empty(len(order))
    found[order] = adjusted
    return found.tolist()
