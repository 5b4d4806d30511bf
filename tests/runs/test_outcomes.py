"""Outcomes: with every picture once they are the score, by scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, jaccard_score

from poa_bench.runs.outcomes import MeanOutcome, RatioOutcome

CLASSES = 4


@pytest.fixture
def labels_and_guesses():
    draw = np.random.default_rng(0)
    return draw.integers(CLASSES, size=50), draw.integers(CLASSES, size=50)


def test_mean_is_the_accuracy_of_the_pictures_that_count(labels_and_guesses):
    labels, guesses = labels_and_guesses
    outcome = MeanOutcome(labels == guesses)
    counts = np.random.default_rng(1).multinomial(50, [1 / 50] * 50, size=7)
    expected = [100 * accuracy_score(labels, guesses, sample_weight=count) for count in counts]
    np.testing.assert_allclose(outcome.scores(counts), expected)
    assert outcome.score == pytest.approx(100 * accuracy_score(labels, guesses))


def test_ratio_is_balanced_accuracy_and_mean_intersection_over_union(labels_and_guesses):
    labels, guesses = labels_and_guesses
    labels[labels == 3] = 2  # a class that no picture has counts in no recall
    truth, said = np.eye(CLASSES)[labels], np.eye(CLASSES)[guesses]
    recall = RatioOutcome(truth * said, truth)
    assert recall.score == pytest.approx(100 * balanced_accuracy_score(labels, guesses))
    union = RatioOutcome(truth * said, np.maximum(truth, said))
    assert union.score == pytest.approx(100 * jaccard_score(labels, guesses, average="macro"))


def test_pictures_that_do_not_count_are_as_if_not_there(labels_and_guesses):
    labels, guesses = labels_and_guesses
    truth, said = np.eye(CLASSES)[labels], np.eye(CLASSES)[guesses]
    counts = np.r_[np.ones(20), np.zeros(30)][None]
    whole, part = (RatioOutcome(truth[:n] * said[:n], np.maximum(truth, said)[:n]) for n in (50, 20))
    assert whole.scores(counts)[0] == pytest.approx(part.score)
