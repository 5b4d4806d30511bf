"""Several labels a picture: average precision by hand and by scikit-learn, fits by scikit-learn, the whole way."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_recall_curve
from torch.nn import functional as F

from poa_bench.downstream import logistic
from poa_bench.downstream.features import Features, Place
from poa_bench.downstream.images import EvaluationData
from poa_bench.downstream.several_labels import MeanPrecisionOutcome, _logits, classwise_regression
from poa_bench.errors import InputError
from poa_bench.tasks.base import FrozenFeatures
from poa_bench.tasks.logistic import LogisticProtocol

DRAW = np.random.default_rng(0)
STRENGTHS = [10.0**power for power in (-3, -1, 1, 3)]


def eleven_points(scores, truth) -> float:
    """The definition, over scikit-learn's curve without the point that it adds at recall 0."""
    precision, recall = (values[:-1] for values in precision_recall_curve(truth, scores)[:2])
    return np.mean([precision[recall >= least - 1e-12].max() for least in np.arange(11) / 10])


def test_average_precision_by_hand():
    """Right, wrong, right: precision 1 up to recall 0.5 (six points), 2/3 above (five)."""
    outcome = MeanPrecisionOutcome(np.array([[3.0], [2.0], [1.0]]), np.array([[1], [0], [1]]))
    assert outcome.score == pytest.approx(100 * (6 + 5 * 2 / 3) / 11)
    difficult = MeanPrecisionOutcome(np.array([[3.0], [2.5], [2.0], [1.0]]), np.array([[1], [-1], [0], [1]]))
    assert difficult.score == outcome.score, "a difficult picture is as if it were not there"
    worst = MeanPrecisionOutcome(np.array([[1.0, 1], [2.0, 2]]), np.array([[1, 1], [0, 1]]))
    assert worst.score == pytest.approx(100 * (0.5 + 1) / 2)


def made(count: int, classes: int = 3, seed: int = 0, noise: float = 1.0):
    """Features, and labels that they say something of; one in ten is difficult."""
    draw = np.random.default_rng(seed)
    direction = np.random.default_rng(9).normal(size=(8, classes))
    features = draw.normal(size=(count, 8))
    labels = (features @ direction + noise * draw.normal(size=(count, classes)) > 0.5).astype(np.int8)
    labels[draw.random((count, classes)) < 0.1] = -1
    return torch.tensor(features, dtype=torch.float32), torch.tensor(labels)


def test_mean_over_classes_is_scikit_learns_also_when_pictures_are_drawn_again():
    values, labels = DRAW.normal(size=(60, 4)), made(60, 4)[1].numpy()
    outcome = MeanPrecisionOutcome(values, labels)

    def expected(places):
        kept = [(values[places, c], labels[places, c]) for c in range(4)]
        return 100 * np.mean([eleven_points(s[t >= 0], t[t >= 0]) for s, t in kept])

    assert outcome.score == pytest.approx(expected(np.arange(60)))
    drawn = DRAW.integers(60, size=(5, 60))
    counts = np.stack([np.bincount(places, minlength=60) for places in drawn])
    assert outcome.scores(counts) == pytest.approx([expected(places) for places in drawn])


def test_each_class_is_fitted_as_by_scikit_learn():
    (features, labels), (others, _) = made(200), made(50, seed=1)
    found = _logits(features.double(), labels, others.double(), STRENGTHS)
    for place, strength in enumerate(STRENGTHS):
        for c in range(3):
            judged = labels[:, c] >= 0
            fitted = LogisticRegression(C=strength, tol=1e-10, max_iter=5000)
            fitted.fit(features[judged].double().numpy(), labels[judged, c].numpy())
            expected = fitted.decision_function(others.double().numpy())
            np.testing.assert_allclose(found[place, :, c], expected, atol=2e-3 * np.abs(expected).max())


def test_the_strength_is_chosen_on_val_and_fitted_again_to_both():
    train, val, test = made(60), made(60, seed=1), made(300, seed=2)
    found = classwise_regression(train, val, test, STRENGTHS)
    each = [classwise_regression(train, val, test, [strength]) for strength in STRENGTHS]
    assert (
        found.validation.score == max(one.validation.score for one in each) > min(one.validation.score for one in each)
    )
    inputs, labels = (torch.cat([first, second]) for first, second in zip(train, val, strict=True))
    scores = []
    for c in range(3):
        judged = labels[:, c] >= 0
        fitted = LogisticRegression(C=found.strength, tol=1e-10, max_iter=5000)
        fitted.fit(F.normalize(inputs[judged].double()).numpy(), labels[judged, c].numpy())
        truth = test[1][:, c].numpy()
        said = fitted.decision_function(F.normalize(test[0].double()).numpy())
        scores.append(eleven_points(said[truth >= 0], truth[truth >= 0]))
    assert found.test.score == pytest.approx(100 * np.mean(scores), abs=0.3) and found.test.score > 60


def frozen(metric: str | None, **splits) -> FrozenFeatures:
    data = EvaluationData("made", {}, {}, metric=metric, image_size=1, mean=(0.0,) * 3, std=(1.0,) * 3)
    return FrozenFeatures({name: Features(*pair, 0.0) for name, pair in splits.items()}, data, Place())


def test_the_logistic_task_judges_by_what_the_data_set_asks_for(monkeypatch):
    several = {name: made(80, seed=place) for place, name in enumerate(("train", "val", "test"))}
    found = LogisticProtocol(5).measure(frozen("map11", **several))
    assert list(found.metrics) == ["map11", "val_map11"] == list(found.outcomes)
    assert {name: outcome.score for name, outcome in found.outcomes.items()} == pytest.approx(found.metrics)
    one = {name: (features, (labels[:, 0] > 0).long()) for name, (features, labels) in several.items()}
    judges, real = [], logistic.logistic_regression
    monkeypatch.setattr(
        logistic, "logistic_regression", lambda *given, **rest: judges.append(given[4]) or real(*given, **rest)
    )
    for metric in ("top1", "balanced_top1"):
        found = LogisticProtocol(5).measure(frozen(metric, **one))
        assert next(iter(found.metrics)) == metric and f"val_{metric}" in found.metrics
        assert {name: outcome.score for name, outcome in found.outcomes.items()} == pytest.approx(found.metrics)
    assert judges == ["top1", "balanced_top1"], "test_logistic.py says what it does with them"
    with pytest.raises(InputError, match="is 'top1': it is 'map11' where pictures have several labels"):
        LogisticProtocol(5).measure(frozen(None, **several))
    with pytest.raises(InputError, match="needs all labels and a validation split"):
        LogisticProtocol(5).measure(frozen("map11", train=several["train"], test=several["test"]))
