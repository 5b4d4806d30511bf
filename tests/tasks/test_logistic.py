"""Logistic regression against scikit-learn: the fits, the choice of C, the draws of a few pictures."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from poa_bench.datasets.draws import drawn
from poa_bench.downstream.features import Features, Place
from poa_bench.downstream.logistic import logistic_regression
from poa_bench.errors import InputError
from poa_bench.tasks import parse_protocol
from poa_bench.tasks.base import FrozenFeatures
from poa_bench.tasks.logistic import LogisticProtocol
from tests.downstream.test_knn import clusters

STRENGTHS = [10.0**power for power in (-3, -1, 0, 1, 2)]


def accuracies(train, test, strength: float) -> tuple[float, np.ndarray]:
    """Top-1 in percent and the probabilities, by scikit-learn."""
    fitted = LogisticRegression(C=strength, tol=1e-10, max_iter=5000)
    fitted.fit(F.normalize(train[0].double(), dim=1).numpy(), train[1].numpy())
    inputs = F.normalize(test[0].double(), dim=1).numpy()
    return 100 * fitted.score(inputs, test[1].numpy()), fitted.predict_proba(inputs)


@pytest.mark.parametrize("refit", [True, False])
def test_choice_and_score_are_scikit_learns(refit):
    train, val, test = (clusters(count, seed=place, noise=2.5) for place, count in enumerate((150, 80, 400)))
    by_strength = [accuracies(train, val, strength)[0] for strength in STRENGTHS]
    best = STRENGTHS[int(np.argmax(by_strength))]
    assert STRENGTHS[0] < best and max(by_strength) > by_strength[0] + 3
    found = logistic_regression(train, val, test, STRENGTHS, refit=refit)
    assert found.strength == best and found.validation["top1"] == pytest.approx(max(by_strength))
    fitted = tuple(torch.cat(parts) for parts in zip(train, val, strict=True)) if refit else train
    assert found.accuracies["top1"] == pytest.approx(accuracies(fitted, test, best)[0], abs=0.26)  # one of 400 at most


def test_balanced_accuracy_can_choose():
    train, val, test = (clusters(count, seed=place, noise=2.5) for place, count in enumerate((150, 80, 100)))
    keep = (val[1] == 0) | (torch.arange(80) % 8 == 0)
    val = val[0][keep], val[1][keep]
    for judge in ("top1", "balanced_top1"):
        found = logistic_regression(train, val, test, STRENGTHS, judge=judge)
        others = [logistic_regression(train, val, test, [c]).validation[judge] for c in STRENGTHS]
        assert found.validation[judge] == max(others)


@pytest.mark.parametrize(("wanted", "expected"), [({"shots": 3}, [3, 3, 3]), ({"share": 0.1}, [4, 1, 1])])
def test_a_few_of_each_class_are_drawn(wanted, expected):
    labels = torch.tensor([0] * 40 + [1] * 12 + [5] * 3)
    first, again, other = (drawn(labels, seed, **wanted) for seed in (1, 1, 2))
    assert labels[first].bincount(minlength=6)[[0, 1, 5]].tolist() == expected
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert len(first.unique()) == len(first)
    with pytest.raises(InputError, match="class 5 has 3 pictures in train, and 4 are to be drawn"):
        drawn(labels, 0, shots=4)


@dataclass
class Data:
    val_share: float = 0.2
    metric: str | None = None


def frozen(seed: int = 0, **splits: int) -> FrozenFeatures:
    made = {name: clusters(count, seed=place, noise=2.0) for place, (name, count) in enumerate(splits.items())}
    return FrozenFeatures({name: Features(*pair, 0.0) for name, pair in made.items()}, Data(), Place(), seed)


def test_few_shots_are_means_over_draws_and_grow_with_the_shots():
    features = frozen(train=400, val=200, test=500)
    scores = {}
    for shots in (1, 5, 20):
        found = LogisticProtocol(7, f"shot{shots}", 5).measure(features)
        assert found.facts["draws"] == 5 and found.facts["top1_std"] > 0
        scores[shots] = found.metrics["top1"]
    whole = LogisticProtocol(7).measure(features).metrics["top1"]
    assert scores[1] + 5 < scores[5] < scores[20] < whole + 3
    again = LogisticProtocol(7, "shot5", 5).measure(features)
    assert again.metrics["top1"] == scores[5]
    assert LogisticProtocol(7, "shot5", 5).measure(frozen(1, train=400, val=200, test=500)).metrics != again.metrics


def test_the_few_pictures_are_all_that_is_fitted():
    """One draw of one picture a class: scikit-learn on exactly these."""
    features = frozen(train=100, val=60, test=300)
    protocol = LogisticProtocol(1, "shot2", 1)
    ((inputs, labels),) = protocol._draws(features.inputs("train"), 0)
    assert labels.bincount().tolist() == [2] * 7
    expected, _ = accuracies((inputs, labels), features.inputs("test"), protocol.strengths[0])
    assert protocol.measure(features).metrics["top1"] == pytest.approx(expected, abs=0.34)


def test_names():
    for name in (
        "logistic-c45-all/1",
        "logistic-c45-shot5x5/1",
        "logistic-c9-share10x3/1",
        "logistic-c45-share0.5x5/1",
    ):
        assert parse_protocol(name).name == name and len(parse_protocol(name).description) > 100
    strengths = LogisticProtocol().strengths
    assert len(strengths) == 45 and strengths[0] == pytest.approx(1e-6) and strengths[-1] == pytest.approx(1e5)
    with pytest.raises(InputError, match="unknown protocol 'logistic-c45-shot5/1'"):
        parse_protocol("logistic-c45-shot5/1")
