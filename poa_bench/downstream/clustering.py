"""k-means on features, and how well clusters agree with classes."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, fowlkes_mallows_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix
from torch import Tensor

from poa_bench.downstream.features import check_finite
from poa_bench.errors import InputError


def kmeans_scores(
    fitted: Tensor, features: Tensor, labels: NDArray, clusters: int, repeats: int, seed: int
) -> tuple[dict[str, float], float]:
    """Cluster, assign, compare with the labels; means over repeats of the random start (k-means++).

    Args:
        fitted: (M, D) on the CPU, what the centres are found on.
        features: (N, D) on the CPU, what is assigned to them; may be the same.
        labels: (N,) of the latter.
        clusters: number of centres, that is of classes.
        repeats: how often; start r draws with the seed (seed, r).
        seed: the measurement seed.

    Returns:
        `accuracy`, `nmi`, `ari`, `fmi` in percent, and the standard deviation of the accuracy over the repeats.

    Raises:
        InputError: fewer pictures than clusters, or a feature is not finite.
    """
    if len(fitted) < clusters:
        raise InputError(f"k-means needs as many pictures as the {clusters} classes, and has {len(fitted)}")
    check_finite(pictures=fitted, test_pictures=features)
    found = []
    for repeat in range(repeats):
        state = int(np.random.SeedSequence((seed, repeat)).generate_state(1)[0])
        kmeans = KMeans(clusters, n_init=1, random_state=state).fit(fitted.numpy())
        found.append(agreement(kmeans.predict(features.numpy()), labels, clusters))
    means = {name: float(np.mean([scores[name] for scores in found])) for name in found[0]}
    accuracies = [scores["accuracy"] for scores in found]
    return means, float(np.std(accuracies, ddof=1)) if repeats > 1 else 0.0


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
