"""k-NN against a plain brute force, for any chunking and number of processes."""

import pytest
import torch
from torch.nn import functional as F

from poa_bench.downstream import knn
from poa_bench.downstream.knn import Neighbours, knn_accuracy, nearest_neighbours, ranks, vote
from poa_bench.errors import InputError
from tests.downstream.processes import in_two_processes


def clusters(count: int, classes: int = 7, width: int = 12, noise: float = 1.5, seed: int = 0):
    """Overlapping classes: (features (count, width), labels)."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, width, generator=torch.Generator().manual_seed(99))
    labels = torch.randint(classes, (count,), generator=generator)
    return centres[labels] + noise * torch.randn(count, width, generator=generator), labels


def brute_force(bank, bank_labels, queries, query_labels, k, temperature):
    """The definition, one query at a time, in Python."""
    hits = 0
    for query, label in zip(queries.double(), query_labels.tolist(), strict=True):
        similarities = F.cosine_similarity(query[None], bank.double())
        nearest = sorted(range(len(bank)), key=lambda i: (-similarities[i].item(), i))[:k]
        weights = torch.softmax(torch.stack([similarities[i] for i in nearest]) / temperature, 0)
        votes: dict[int, float] = {}
        for i, weight in zip(nearest, weights.tolist(), strict=True):
            votes[int(bank_labels[i])] = votes.get(int(bank_labels[i]), 0) + weight
        hits += max(votes, key=lambda c: (votes[c], -c)) == label
    return 100 * hits / len(queries)


@pytest.mark.parametrize("k, temperature", [(1, 0.07), (10, 0.07), (20, 0.07), (20, 1.0), (150, 0.07)])
def test_accuracy_is_the_brute_force_one(k, temperature):
    bank, bank_labels = clusters(150)
    queries, query_labels = clusters(60, seed=1)
    found = knn_accuracy(bank, bank_labels, queries, query_labels, [(k, temperature)])
    expected = brute_force(bank, bank_labels, queries, query_labels, k, temperature)
    assert 30 < expected < 95  # neither hopeless nor perfect
    assert found[k, temperature]["top1"] == expected


@pytest.mark.parametrize("query_chunk, bank_chunk", [(1, 1), (7, 13), (64, 30), (1000, 1000)])
def test_chunks_do_not_matter(query_chunk, bank_chunk):
    bank, _ = clusters(300, width=33)
    bank[200:] = bank[:100]  # exact ties, at every place
    queries, _ = clusters(50, width=33, seed=1)
    expected = nearest_neighbours(queries, bank, 9)
    found = nearest_neighbours(queries, bank, 9, query_chunk, bank_chunk)
    assert torch.equal(found.indices, expected.indices) and torch.equal(found.similarities, expected.similarities)
    similarities = F.normalize(queries.double(), dim=1) @ F.normalize(bank.double(), dim=1).T
    assert torch.allclose(found.similarities, similarities.topk(9).values, atol=1e-6)


@pytest.mark.parametrize("bank_chunk", [3, 8, 100])
def test_equal_neighbours_come_in_order_of_the_bank(bank_chunk):
    bank = torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 0.0], [1.0, 1.0], [5.0, 0.0]] * 5)
    found = nearest_neighbours(torch.tensor([[3.0, 0.0]]), bank, 4, bank_chunk=bank_chunk)
    assert found.indices.tolist() == [[1, 2, 4, 6]]


def test_features_that_are_all_but_equal_are_told_apart(monkeypatch):
    """A collapsed network: float32 products cannot order these neighbours, the whole bank is compared in float64."""
    generator = torch.Generator().manual_seed(0)
    bank = torch.ones(400, 64) + 3e-4 * torch.randn(400, 64, generator=generator)
    queries = torch.ones(20, 64) + 3e-4 * torch.randn(20, 64, generator=generator)
    called = []
    search = knn._search_in_float64
    monkeypatch.setattr(knn, "_search_in_float64", lambda *args: called.append(1) or search(*args))
    found = nearest_neighbours(queries, bank, 5)
    exact = F.normalize(queries, dim=1).double() @ F.normalize(bank, dim=1).double().T
    assert called
    assert torch.allclose(found.similarities, exact.topk(5).values, atol=2 * knn.GRID, rtol=0)
    spread = exact.topk(6).values
    clear = (spread[:, :-1] - spread[:, 1:]).min(dim=1).values > 2 * knn.GRID
    assert clear.any()
    assert torch.equal(found.indices[clear], exact.topk(5).indices[clear])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_bank_is_searched_exactly(dtype):
    bank, _ = clusters(200, width=24)
    queries, _ = clusters(30, width=24, seed=1)
    rounded = F.normalize(bank, dim=1).to(dtype).double()
    expected = (F.normalize(queries, dim=1).double() @ rounded.T).topk(6)
    found = nearest_neighbours(queries, bank, 6, bank_chunk=37, bank_dtype=dtype)
    assert torch.allclose(found.similarities, expected.values, atol=2 * knn.GRID, rtol=0)


def test_vote_by_hand():
    """Two far neighbours of class 0 against one near one of class 2."""
    neighbours = Neighbours(torch.tensor([[0.9, 0.5, 0.5]], dtype=torch.float64), torch.tensor([[3, 0, 1]]))
    labels = torch.tensor([0, 0, 1, 2])
    weights = torch.tensor([0.9, 0.5, 0.5], dtype=torch.float64).div(0.2).softmax(0)
    scores = vote(neighbours, labels, 3, 0.2, classes=4)
    assert torch.allclose(scores, torch.tensor([[weights[1] + weights[2], 0, weights[0], 0]], dtype=torch.float64))
    assert scores.argmax() == 2
    assert vote(neighbours, labels, 3, 10.0, classes=4).argmax() == 0
    assert torch.equal(vote(neighbours, labels, 1, 0.2, classes=4), torch.tensor([[0, 0, 1.0, 0]]).double())


def test_rank_of_the_true_class():
    scores = torch.tensor([[0.2, 0.5, 0.3, 0.0]]).expand(4, 4)
    assert ranks(scores, torch.arange(4)).tolist() == [2, 0, 1, 4]  # no vote is no rank
    assert ranks(torch.tensor([[0.5, 0.5]]).expand(2, 2), torch.arange(2)).tolist() == [0, 1]


def test_top5_is_at_least_top1_and_one_search_serves_all_votes():
    bank, bank_labels = clusters(150)
    queries, query_labels = clusters(60, seed=1)
    votes = [(20, 0.07), (10, 0.07), (3, 0.1)]
    together = knn_accuracy(bank, bank_labels, queries, query_labels, votes)
    assert list(together) == votes
    for pair in votes:
        assert together[pair] == knn_accuracy(bank, bank_labels, queries, query_labels, [pair])[pair]
        assert together[pair]["top5"] >= together[pair]["top1"]


def test_two_processes_give_the_number_of_one(tmp_path):
    def accuracies() -> list:
        found = knn_accuracy(*clusters(150), *clusters(61, seed=1), [(20, 0.07), (1, 0.07)])
        return [list(row.values()) for row in found.values()]

    expected = accuracies()
    assert in_two_processes(accuracies, tmp_path) == [expected, expected]


def test_bad_input_is_explained():
    bank, labels = clusters(30)
    with pytest.raises(InputError, match="k is 31, but the bank has 30 entries"):
        nearest_neighbours(bank, bank, 31)
    with pytest.raises(InputError, match="queries have 5 features and the bank 12"):
        nearest_neighbours(bank[:, :5], bank, 3)
    broken = bank.clone()
    broken[4, 2] = float("nan")
    with pytest.raises(InputError, match="1 of 30 bank hold NaN"):
        nearest_neighbours(bank, broken, 3)
    with pytest.raises(InputError, match="1 of 30 queries hold NaN"):
        knn_accuracy(bank, labels, broken, labels)
