"""k-means on features, and how well clusters agree with classes."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, fowlkes_mallows_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix
from torch import Tensor

from poa_bench.downstream.features import check_finite
from poa_bench.errors import InputError
from poa_bench.runs.outcomes import MeanOutcome

STEP = 1e-2  # pictures more or less of a cell, for the slopes of the pair-counting indices


def kmeans_scores(
    fitted: Tensor, features: Tensor, labels: NDArray, clusters: int, repeats: int, seed: int
) -> tuple[dict[str, float], dict[str, MeanOutcome], float]:
    """Cluster, assign, compare with the labels; means over repeats of the random start (k-means++).

    Args:
        fitted: (M, D) on the CPU, what the centres are found on.
        features: (N, D) on the CPU, what is assigned to them; may be the same.
        labels: (N,) of the latter.
        clusters: number of centres, that is of classes.
        repeats: how often; start r draws with the seed (seed, r).
        seed: the measurement seed.

    Returns:
        `accuracy`, `nmi`, `ari`, `fmi` in percent; what they are made of, see `picture_shares` (the clusters count as
        fixed); and the standard deviation of the accuracy over the repeats.

    Raises:
        InputError: fewer pictures than clusters, or a feature is not finite.
    """
    if len(fitted) < clusters:
        raise InputError(f"k-means needs as many pictures as the {clusters} classes, and has {len(fitted)}")
    check_finite(pictures=fitted, test_pictures=features)
    found, shares = [], []
    for repeat in range(repeats):
        state = int(np.random.SeedSequence((seed, repeat)).generate_state(1)[0])
        kmeans = KMeans(clusters, n_init=1, random_state=state).fit(fitted.numpy())
        assigned = kmeans.predict(features.numpy())
        found.append(agreement(assigned, labels, clusters))
        shares.append(picture_shares(assigned, labels))
    means = {name: float(np.mean([scores[name] for scores in found])) for name in found[0]}
    accuracies = [scores["accuracy"] for scores in found]
    outcomes = {name: MeanOutcome(np.mean([share[name] for share in shares], axis=0)) for name in means}
    return means, outcomes, float(np.std(accuracies, ddof=1)) if repeats > 1 else 0.0


def agreement(assigned: NDArray, labels: NDArray, classes: int) -> dict[str, float]:
    """How well clusters (N,) and labels (N,) agree, in percent.

    `accuracy`: share of pictures whose cluster is matched with their class by the assignment that makes it largest;
    what is unmatched, with fewer or more clusters than classes, is wrong. `nmi` with the arithmetic mean, `ari` and
    `fmi` as in scikit-learn; `ari` is 0 for chance and may be negative.

    >>> agreement(np.array([1, 1, 0, 0]), np.array([0, 0, 1, 0]), 2)["accuracy"]
    75.0
    """
    table = contingency_matrix(labels, assigned)
    rows, columns = linear_sum_assignment(table, maximize=True)
    scores = {
        "accuracy": table[rows, columns].sum() / len(labels),
        "nmi": normalized_mutual_info_score(labels, assigned),
        "ari": adjusted_rand_score(labels, assigned),
        "fmi": fowlkes_mallows_score(labels, assigned),
    }
    return {name: 100 * float(value) for name, value in scores.items()}


def picture_shares(assigned: NDArray, labels: NDArray) -> dict[str, NDArray]:
    """Values (N,) of each picture whose means are the scores of `agreement` / 100.

    Of the accuracy right or wrong, by the assignment that is best on all pictures. Of the others the score plus how it
    changes, to the first order, with the weight of the picture: the infinitesimal jackknife (Efron, The Jackknife, the
    Bootstrap and Other Resampling Plans, 1982), by which a bootstrap needs no contingency table for each draw.
    """
    table = contingency_matrix(labels, assigned)
    rows, columns = (np.unique(each, return_inverse=True)[1] for each in (labels, assigned))
    matched = np.zeros(table.shape, bool)
    matched[linear_sum_assignment(table, maximize=True)] = True
    slopes = {
        "nmi": _mutual_information_slopes(table),
        "ari": _pair_slopes(table, _adjusted_rand),
        "fmi": _pair_slopes(table, _fowlkes_mallows),
    }
    values = {"accuracy": matched[rows, columns]}
    for name, (score, slope) in slopes.items():
        own = slope[rows, columns]
        values[name] = score + own - own.mean()
    return values


def _mutual_information_slopes(table: NDArray) -> tuple[float, NDArray]:
    """Normalised mutual information, and by cell how it changes with the weight of a picture there, times pictures."""
    joint = table / table.sum()
    of_rows, of_columns = joint.sum(1, keepdims=True), joint.sum(0, keepdims=True)
    ratio = np.log(np.where(joint > 0, joint / (of_rows * of_columns), 1))
    shared = (joint * ratio).sum()
    entropies = [-(share * np.log(share)).sum() for share in (of_rows, of_columns)]
    mean = sum(entropies) / 2
    if mean == 0:  # one class and one cluster
        return 1.0, np.zeros(table.shape)
    slope_of_mean = (-np.log(of_rows) - entropies[0] - np.log(of_columns) - entropies[1]) / 2
    return shared / mean, (ratio - shared - shared / mean * slope_of_mean) / mean


def _pair_slopes(table: NDArray, index: Callable[..., NDArray]) -> tuple[float, NDArray]:
    """The same of an index of pair counts: a function of the pictures and the squares of cells, rows and columns."""
    table = table.astype(float)
    rows, columns, total = table.sum(1, keepdims=True), table.sum(0, keepdims=True), table.sum()
    squares = [np.square(each).sum() for each in (table, rows, columns)]

    def moved(step: float) -> NDArray:
        changed = [square + 2 * step * each for square, each in zip(squares, (table, rows, columns), strict=True)]
        return index(total + step, *(each + step**2 for each in changed))

    return float(index(total, *squares)), total * (moved(STEP) - moved(-STEP)) / (2 * STEP)


def _adjusted_rand(total: float, cells: NDArray, rows: NDArray, columns: NDArray) -> NDArray:
    """Hubert and Arabie's index of sums of squares, as scikit-learn counts pairs; 1 where all pairs agree."""
    both, first, second = cells - total, rows - cells, columns - cells
    neither = total**2 - first - second - cells
    below = (both + first) * (first + neither) + (both + second) * (second + neither)
    agree = (first == 0) & (second == 0)
    return np.where(agree, 1.0, 2 * (both * neither - first * second) / np.where(agree, 1.0, below))


def _fowlkes_mallows(total: float, cells: NDArray, rows: NDArray, columns: NDArray) -> NDArray:
    """The geometric mean of precision and recall of pairs; 0 where no pair is together in both."""
    both = np.maximum(cells - total, 0)
    return both / np.sqrt(np.maximum((rows - total) * (columns - total), np.finfo(float).tiny))
