"""Top-1, top-5 and balanced accuracy against scikit-learn and hand-made cases."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score

from poa_bench.downstream.accuracy import accuracies, class_counts, class_facts, named
from poa_bench.downstream.knn import knn_accuracy
from poa_bench.downstream.linear import linear_probe
from tests.downstream.test_knn import clusters

# scikit-learn warns where a class is predicted that has no test picture; it leaves the class out as we do
pytestmark = pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")


def test_an_imbalanced_case_by_hand():
    """Nine of ten pictures are of class 0; class 3 has no test picture; class 2 is never found."""
    labels = torch.tensor([0] * 18 + [1, 2])
    ranks = torch.tensor([0] * 17 + [1] + [0, 5])
    found = named(accuracies(class_counts(ranks, labels, 4)))
    assert found["top1"] == 90 and found["top5"] == 95
    assert found["balanced_top1"] == pytest.approx(100 * (17 / 18 + 1 + 0) / 3)
    predicted = [0] * 17 + [3] + [1, 0]
    assert found["balanced_top1"] == pytest.approx(100 * balanced_accuracy_score(labels, predicted))


@pytest.mark.parametrize("seed", range(3))
def test_random_cases_are_scikit_learns(seed):
    random = np.random.default_rng(seed)
    labels = random.choice(8, 300, p=[0.5, 0.3, 0.1, 0.05, 0.03, 0.02, 0, 0])
    scores = random.random((300, 8)) + np.eye(8)[labels] * 0.3
    ranks = torch.from_numpy((scores > scores[np.arange(300), labels][:, None]).sum(1))
    counts = class_counts(ranks, torch.from_numpy(labels), 8)
    halves = [class_counts(ranks[part], torch.from_numpy(labels[part]), 8) for part in (slice(120), slice(120, 300))]
    assert torch.equal(counts, sum(halves))
    found = named(accuracies(counts))
    assert found["top1"] == pytest.approx(100 * (scores.argmax(1) == labels).mean())
    assert found["top5"] == pytest.approx(100 * top_k_accuracy_score(labels, scores, k=5, labels=range(8)))
    assert found["balanced_top1"] == pytest.approx(100 * balanced_accuracy_score(labels, scores.argmax(1)))


def test_both_probes_report_it_for_an_imbalanced_test_set():
    """Of three classes one has no test picture and one has most of them; noise makes the classes overlap."""
    train = clusters(90, classes=3, noise=1.5)
    features, labels = clusters(200, classes=3, noise=1.5, seed=1)
    kept = torch.cat([(labels == 0).nonzero()[:60], (labels == 1).nonzero()[:7]]).squeeze(1)
    test = features[kept], labels[kept]
    knn = knn_accuracy(*train, *test, [(5, 0.07)])[5, 0.07]
    probe = linear_probe(train, test, test, [1e-2]).metrics
    for found in (knn, probe):
        assert 0 < found["balanced_top1"] != found["top1"] < 100
    alike = torch.cat([features[labels == 0][:60]]), labels[labels == 0][:60]
    assert knn_accuracy(*train, *alike, [(5, 0.07)])[5, 0.07]["balanced_top1"] == pytest.approx(
        knn_accuracy(*train, *alike, [(5, 0.07)])[5, 0.07]["top1"]
    )


def test_what_a_result_says_about_its_classes():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train, test = torch.tensor([0, 1, 2, 4]), torch.tensor([0] * 6 + [1] * 2 + [4])
        facts = class_facts(train, test)
    assert facts == {
        "classes": 4, "test_largest_class": 6, "test_smallest_class": 0, "test_balanced_images": 5.4
    }  # fmt: skip
    even = class_facts(torch.arange(5), torch.arange(5).repeat(7))
    assert even["test_balanced_images"] == 35 and even["test_largest_class"] == even["test_smallest_class"] == 7


def test_the_noise_of_the_balanced_accuracy_is_that_of_so_many_pictures():
    """20,000 test sets whose pictures are recognised with probability 0.7: numpy's spread of the mean recall."""
    sizes, random = [100, 100, 12, 12, 5], np.random.default_rng(0)
    recalls = np.mean([random.binomial(size, 0.7, 20_000) / size for size in sizes], axis=0)
    labels = torch.arange(5).repeat_interleave(torch.tensor(sizes))
    pictures = class_facts(labels, labels)["test_balanced_images"]
    assert recalls.std() == pytest.approx((0.7 * 0.3 / pictures) ** 0.5, rel=0.02)
