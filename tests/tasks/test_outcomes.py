"""Outcomes of light tasks: drawing pictures again gives what the task's own measure gives on the pictures drawn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score, fowlkes_mallows_score, normalized_mutual_info_score

from poa_bench.downstream.accuracy import accuracy_outcomes, of_ranks
from poa_bench.downstream.calibration import calibration_scores
from poa_bench.downstream.clustering import agreement, picture_shares
from poa_bench.downstream.features import Features, Place
from poa_bench.downstream.images import EvaluationData
from poa_bench.downstream.knn import knn_accuracy, knn_ranks
from poa_bench.downstream.retrieval import retrieval_scores
from poa_bench.tasks import light_tasks
from poa_bench.tasks.base import FeatureProtocol, FrozenFeatures, ViewProtocol
from tests.downstream.test_knn import clusters

PICTURES = 80
DRAW = np.random.default_rng(0)
COUNTS = DRAW.multinomial(PICTURES, [1 / PICTURES] * PICTURES, size=4)
DRAWN = [np.repeat(np.arange(PICTURES), count) for count in COUNTS]  # the pictures that each row of counts draws


@pytest.fixture(scope="module")
def splits():
    return {"train": clusters(200), "test": clusters(PICTURES, seed=1), "val": clusters(PICTURES, seed=2)}


def test_knn_and_retrieval_of_queries_drawn_again(splits):
    bank, queries = splits["train"], splits["test"]
    outcomes = accuracy_outcomes(knn_ranks(*bank, *queries, [(5, 0.07)]).ranks[0], queries[1])
    _, found, _ = retrieval_scores(*queries, *bank)
    for draw, places in enumerate(DRAWN):
        again = [part[places] for part in queries]
        expected = knn_accuracy(*bank, *again, [(5, 0.07)])[5, 0.07]
        assert {name: each.scores(COUNTS)[draw] for name, each in outcomes.items()} == pytest.approx(expected)
        expected, *_ = retrieval_scores(*again, *bank)
        assert {name: each.scores(COUNTS)[draw] for name, each in found.items()} == pytest.approx(expected)


def test_means_over_draws_of_labels_are_means_of_accuracies():
    labels = torch.from_numpy(DRAW.integers(3, size=PICTURES))
    ranks = [torch.from_numpy(DRAW.integers(8, size=PICTURES)) for _ in range(3)]
    for draw, places in enumerate(DRAWN):
        each = [of_ranks(some[places], labels[places]) for some in ranks]
        expected = {name: np.mean([scores[name] for scores in each]) for name in each[0]}
        outcomes = accuracy_outcomes(ranks, labels)
        assert {name: each.scores(COUNTS)[draw] for name, each in outcomes.items()} == pytest.approx(expected)


def test_calibration_of_pictures_drawn_again():
    logits = torch.from_numpy(DRAW.normal(size=(PICTURES, 4)))
    labels = torch.from_numpy(DRAW.integers(4, size=PICTURES))
    scores, outcomes = calibration_scores(logits, labels, 5)
    for draw, places in enumerate(DRAWN):
        again, _ = calibration_scores(logits[places], labels[places], 5)
        for name in ("nll", "brier"):
            assert outcomes[name].scores(COUNTS)[draw] == pytest.approx(again[name])
    assert {name: outcome.score for name, outcome in outcomes.items()} == pytest.approx(scores)


def spread_drawn_again(score, *parts, draws=400):
    drawn = DRAW.integers(len(parts[0]), size=(draws, len(parts[0])))
    return np.std([score(*(part[places] for part in parts)) for places in drawn])


def test_the_calibration_error_moves_as_that_of_pictures_drawn_again():
    logits = 3 * torch.from_numpy(DRAW.normal(size=(2000, 4)))  # overconfident in every bin
    labels = torch.from_numpy(DRAW.integers(4, size=2000))
    _, outcomes = calibration_scores(logits, labels, 15)
    expected = spread_drawn_again(lambda *drawn: calibration_scores(*drawn, 15)[0]["ece"], logits, labels)
    assert 100 * outcomes["ece"].values.std() / 2000**0.5 == pytest.approx(expected, rel=0.12)


SKLEARN = {"nmi": normalized_mutual_info_score, "ari": adjusted_rand_score, "fmi": fowlkes_mallows_score}


@pytest.mark.parametrize("name", ["accuracy", *SKLEARN])
@pytest.mark.parametrize("clusters", [5, 6])
def test_clusterings_move_as_those_of_pictures_drawn_again(name, clusters):
    labels = DRAW.choice(5, p=[0.45, 0.3, 0.15, 0.07, 0.03], size=1500)  # where classes differ, so do the slopes
    assigned = np.where(DRAW.random(1500) < 0.7, labels % clusters, DRAW.integers(clusters, size=1500))
    values = picture_shares(assigned, labels)[name]
    score = SKLEARN.get(name, lambda true, said: agreement(said, true, 5)["accuracy"] / 100)
    assert values.mean() == pytest.approx(score(labels, assigned))
    assert values.std() / 1500**0.5 == pytest.approx(spread_drawn_again(score, labels, assigned), rel=0.15)


@pytest.mark.parametrize("name", SKLEARN)
def test_one_more_picture_of_a_kind_moves_a_clustering_as_scikit_learn_says(name):
    """In so many pictures that one more is little: the value of each kind is the score plus its change."""
    labels = DRAW.choice(4, p=[0.5, 0.3, 0.15, 0.05], size=60)
    assigned = np.where(DRAW.random(60) < 0.6, labels, DRAW.integers(4, size=60))
    many = [np.tile(each, 500) for each in (labels, assigned)]
    values, score = picture_shares(many[1], many[0])[name], SKLEARN[name](*many)
    for place in range(60):
        more = SKLEARN[name](*(np.append(each, each[place]) for each in many))
        assert values[place] - score == pytest.approx(30_000 * (more - score), abs=2e-3)


@pytest.mark.parametrize("assigned", [[0, 0, 1, 1], [0, 0, 0, 0], [0, 1, 2, 3]])
def test_clusterings_without_noise_or_sense_are_numbers(assigned):
    labels = np.array([0, 0, 1, 1])
    expected = agreement(np.array(assigned), labels, 2)
    means = {name: 100 * values.mean() for name, values in picture_shares(np.array(assigned), labels).items()}
    assert means == pytest.approx(expected)


def protocols():
    kinds = [protocol for task in light_tasks().values() for protocol in task.defaults]
    kinds = [each for each in kinds if isinstance(each, FeatureProtocol) and not isinstance(each, ViewProtocol)]
    return [each for each in kinds if not each.name.startswith("rank")]


@pytest.mark.parametrize("with_val", [True, False])
@pytest.mark.parametrize("protocol", protocols(), ids=lambda protocol: protocol.settings)
def test_every_metric_of_a_light_task_has_outcomes(protocol, with_val, splits):
    """Of the split that they are of: pictures that the seed held out are others for every seed."""
    kept = {name: Features(*part, 0.0) for name, part in splits.items() if with_val or name != "val"}
    data = EvaluationData("made", train={}, test={}, image_size=1, mean=(0.0,) * 3, std=(1.0,) * 3)
    ((_, found),) = type(protocol).measure_all([protocol], FrozenFeatures(kept, data, Place(), seed=3))
    assert found.outcomes.keys() == found.metrics.keys()
    assert {name: outcome.score for name, outcome in found.outcomes.items()} == pytest.approx(found.metrics)
    called = {outcome.split for name, outcome in found.outcomes.items() if name.startswith("val_")}
    assert called <= {"val" if with_val else "val held out by seed 3"}
