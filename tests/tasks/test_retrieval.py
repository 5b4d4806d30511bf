"""Retrieval against scikit-learn's average precision, a case by hand, and any chunk size."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity

from poa_bench.downstream import retrieval
from poa_bench.downstream.retrieval import retrieval_scores
from poa_bench.errors import InputError


def classes(count: int, seed: int, noise: float = 1.5) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(6, (count,), generator=draw)
    centres = torch.randn(6, 16, generator=torch.Generator().manual_seed(9))
    return centres[labels] + noise * torch.randn(count, 16, generator=draw), labels


def by_scikit_learn(queries, labels, gallery, gallery_labels, own):
    similarities = cosine_similarity(queries.double(), gallery.double())
    precisions, recalls = [], {depth: [] for depth in (1, 5, 10)}
    for query, row in enumerate(similarities):
        others = np.arange(len(row)) != query if own else np.ones(len(row), bool)
        relevant = (gallery_labels.numpy() == int(labels[query]))[others]
        if not relevant.any():
            continue
        precisions.append(average_precision_score(relevant, row[others]))
        order = np.argsort(-row[others])
        for depth, found in recalls.items():
            found.append(relevant[order[:depth]].any())
    return {"map": 100 * np.mean(precisions), **{f"recall@{k}": 100 * np.mean(v) for k, v in recalls.items()}}


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_scores_are_those_of_scikit_learn(own, chunk, monkeypatch):
    queries, labels = classes(60, 0)
    gallery, gallery_labels = (queries, labels) if own else classes(90, 1)
    monkeypatch.setattr(retrieval, "CHUNK_BYTES", 8 * len(gallery) * chunk)
    found, _, left_out = retrieval_scores(queries, labels, gallery, gallery_labels, leave_one_out=own)
    expected = by_scikit_learn(queries, labels, gallery, gallery_labels, own)
    assert found == pytest.approx(expected, abs=1e-9) and left_out == 0
    assert 30 < expected["map"] < 90 and expected["recall@1"] < expected["recall@10"]


def test_by_hand():
    """Angles on a circle: the query's ranking is b (wrong), c (right), d (wrong), e (right)."""
    angles = torch.tensor([10.0, 20, 30, 40]).deg2rad()
    gallery = torch.stack([angles.cos(), angles.sin()], 1)
    query = torch.tensor([[1.0, 0.0]])
    found, *_ = retrieval_scores(query, torch.tensor([3]), gallery, torch.tensor([1, 3, 2, 3]), depths=(1, 2))
    assert found == {"map": pytest.approx(100 * (1 / 2 + 2 / 4) / 2), "recall@1": 0, "recall@2": 100}


def test_queries_with_nothing_to_find_are_counted_and_left_out():
    features = torch.eye(3)[[0, 0, 1, 2]]
    found, _, left_out = retrieval_scores(
        features, torch.tensor([0, 0, 1, 2]), features, torch.tensor([0, 0, 1, 2]), leave_one_out=True
    )
    assert left_out == 2 and found["map"] == 100  # the two of class 0 find each other
    with pytest.raises(InputError, match="nothing to retrieve"):
        retrieval_scores(features, torch.arange(4), features, torch.arange(4), leave_one_out=True)


def test_bad_features_are_one_sentence():
    features, labels = classes(5, 0)
    with pytest.raises(InputError, match="16 features and the gallery 15"):
        retrieval_scores(features, labels, features[:, 1:], labels)
    features[2] = torch.inf
    with pytest.raises(InputError, match="1 of 5 queries hold NaN or infinite"):
        retrieval_scores(features, labels, features, labels)
