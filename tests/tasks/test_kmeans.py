"""k-means: scikit-learn's own scores, a brute force over assignments, and clusters that are known."""

from itertools import permutations

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs

from poa_bench.downstream.clustering import agreement, kmeans_scores
from poa_bench.errors import InputError
from tests.conftest import golden


def test_agreement_is_that_of_the_reference():
    with np.load(golden("baselines/cluster_scores.npz")) as numbers:
        cases = sorted({name.split("/")[1] for name in numbers.files if name.startswith("cluster/")})
        assert len(cases) == 7
        for case in cases:
            known = {name.split("/")[2]: numbers[name] for name in numbers.files if name.startswith(f"cluster/{case}/")}
            found = agreement(known["clusters"], known["labels"], 0)
            expected = {"accuracy": "acc", "nmi": "nmi", "ari": "ari", "fmi": "fmi"}
            for ours, theirs in expected.items():
                assert found[ours] == pytest.approx(100 * float(known[theirs]), abs=1e-9), (case, ours)


@pytest.mark.parametrize("clusters", [3, 4, 5])
def test_accuracy_is_the_best_of_all_assignments(clusters):
    draw = np.random.default_rng(clusters)
    labels, assigned = draw.integers(4, size=60), draw.integers(clusters, size=60)
    most = max(4, clusters)
    best = max(np.mean(np.array(names)[assigned] == labels) for names in permutations(range(most), most))
    assert agreement(assigned, labels, 4)["accuracy"] == pytest.approx(100 * best)


def blobs(count: int, seed: int) -> tuple[torch.Tensor, np.ndarray]:
    centres = np.random.default_rng(0).normal(size=(5, 8)) * 12
    features, labels = make_blobs(count, centers=centres, random_state=seed)
    return torch.tensor(features, dtype=torch.float32), labels


def test_separate_classes_are_found_and_noise_is_not():
    train, _ = blobs(200, 1)
    test, labels = blobs(100, 2)
    found, *_ = kmeans_scores(train, test, labels, 5, repeats=20, seed=0)
    once, *_ = kmeans_scores(test, test, labels, 5, repeats=20, seed=0)
    # a single start may put two centres into one class; most do not
    assert found["accuracy"] > 85 and once["accuracy"] > 85 and found["ari"] > 80
    noise = torch.randn(400, 8, generator=torch.Generator().manual_seed(0))
    random, *_ = kmeans_scores(noise, noise, np.arange(400) % 5, 5, repeats=3, seed=0)
    assert 20 < random["accuracy"] < 32 and abs(random["ari"]) < 2


def test_repeats_are_means_of_single_starts_and_seeds_matter():
    inputs, _ = blobs(60, 3)
    inputs = inputs + 8 * torch.randn(60, 8, generator=torch.Generator().manual_seed(1))
    labels = np.arange(60) % 5
    one = [kmeans_scores(inputs, inputs, labels, 5, repeats, seed=7)[0] for repeats in (1, 2)]
    again = kmeans_scores(inputs, inputs, labels, 5, 2, seed=7)
    assert again[0] == one[1] and one[0] != one[1]
    second = 2 * one[1]["accuracy"] - one[0]["accuracy"]
    assert again[2] == pytest.approx(abs(one[0]["accuracy"] - second) / 2**0.5)


def test_bad_features_are_one_sentence():
    inputs, labels = blobs(10, 0)
    with pytest.raises(InputError, match="as many pictures as the 11 classes, and has 10"):
        kmeans_scores(inputs, inputs, labels, 11, 1, 0)
    inputs[3, 2] = torch.nan
    with pytest.raises(InputError, match="1 of 10 pictures hold NaN"):
        kmeans_scores(inputs, inputs, labels, 5, 1, 0)
