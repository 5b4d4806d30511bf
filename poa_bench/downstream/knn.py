"""Exact k-nearest-neighbour classification of frozen features, with DINO's weighted vote.

The neighbours are found in two steps. A float32 matrix product, in chunks over queries and bank with a running top-k,
proposes more candidates than are needed; these are scored again in float64. The largest possible rounding error of the
first step says whether a better neighbour could have been missed; where it could, the query is compared with the whole
bank in float64. So the answer depends neither on the chunk sizes nor on the number of processes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmengine.dist import all_reduce, get_dist_info
from torch import Tensor
from torch.nn import functional as F

from poa_bench.downstream.accuracy import of_ranks
from poa_bench.downstream.features import check_finite
from poa_bench.errors import InputError

GRID = 2.0**-30  # similarities are rounded to this grid: equal ones are equal whatever the order of summation
INDEX_BITS = 32
SPARE = 8  # candidates beyond k that are scored again
SCORED = 64  # queries whose candidates are scored together: those of many would not fit into a processor's cache


class Neighbours(NamedTuple):
    """The k nearest bank entries of each query, nearest first; equal ones by their place in the bank.

    Attributes:
        similarities: cosine, (Q, k) float64 on the CPU.
        indices: places in the bank, (Q, k) int64 on the CPU.
    """

    similarities: Tensor
    indices: Tensor


@torch.no_grad()
def nearest_neighbours(
    queries: Tensor,
    bank: Tensor,
    k: int,
    query_chunk: int = 512,
    bank_chunk: int = 16384,
    device: torch.device | str | None = None,
    bank_dtype: torch.dtype = torch.float32,
) -> Neighbours:
    """Find the k bank entries of highest cosine similarity, exactly.

    Args:
        queries: (Q, D).
        bank: (N, D); it may stay on the CPU while the products run elsewhere.
        k: neighbours per query, at most N.
        query_chunk: queries compared at once.
        bank_chunk: bank entries compared at once.
        device: where to compute; the queries' device by default.
        bank_dtype: float16 or bfloat16 halve the bank's memory; its entries are rounded once, the search stays exact.

    Raises:
        InputError: the bank has fewer than k entries, the widths differ, or a value is not finite.
    """
    _check(queries, bank, k)
    device = torch.device(device or queries.device)
    bank = F.normalize(bank.float(), dim=1).to(bank_dtype)
    found = [
        _search(F.normalize(chunk.to(device).float(), dim=1), bank, k, bank_chunk)
        for chunk in queries.split(query_chunk)
    ]
    return _decode(torch.cat(found))


def _check(queries: Tensor, bank: Tensor, k: int) -> None:
    if queries.shape[1] != bank.shape[1]:
        raise InputError(f"queries have {queries.shape[1]} features and the bank {bank.shape[1]}: they must be equal")
    if not 1 <= k <= len(bank):
        raise InputError(f"k is {k}, but the bank has {len(bank)} entries: choose k from 1 to {len(bank)}")
    check_finite(queries=queries, bank=bank)


def _search(queries: Tensor, bank: Tensor, k: int, bank_chunk: int) -> Tensor:
    """The keys (see `_encode`) of the k nearest neighbours of unit queries, (Q, k) int64 on the CPU."""
    proposed = min(k + SPARE, len(bank))
    scores, places = _propose(queries, bank, proposed, bank_chunk)
    scored = [_score(*part, bank) for part in zip(queries.split(SCORED), places.split(SCORED), strict=True)]
    keys = _encode(torch.cat(scored), places).topk(k).values
    # whatever was not proposed is at most this similar
    bound = scores[:, -1].double() + _rounding_error(queries) + GRID
    doubtful = (_similarities(keys)[:, -1] <= bound).nonzero().squeeze(1)
    if proposed < len(bank) and len(doubtful):
        keys[doubtful] = _search_in_float64(queries[doubtful], bank, k, bank_chunk)
    return keys.cpu()


def _propose(queries: Tensor, bank: Tensor, count: int, bank_chunk: int) -> tuple[Tensor, Tensor]:
    """The `count` largest float32 similarities and their places, (Q, count) each."""
    best, places = None, None
    for start in range(0, len(bank), bank_chunk):
        chunk = bank[start : start + bank_chunk].to(queries.device).float()
        scores, columns = (queries @ chunk.T).topk(min(count, len(chunk)))
        columns += start
        if best is not None:
            scores, columns = torch.cat([best, scores], 1), torch.cat([places, columns], 1)
            scores, order = scores.topk(min(count, scores.shape[1]))
            columns = columns.gather(1, order)
        best, places = scores, columns
    return best, places


def _score(queries: Tensor, places: Tensor, bank: Tensor) -> Tensor:
    """The float64 similarities of each query with the bank entries at its places, (Q, proposed)."""
    candidates = bank.index_select(0, places.flatten().to(bank.device)).to(queries.device).double()
    return torch.bmm(candidates.view(*places.shape, -1), queries.double().unsqueeze(2)).squeeze(2)


def _search_in_float64(queries: Tensor, bank: Tensor, k: int, bank_chunk: int) -> Tensor:
    """As `_search`, by comparing with every bank entry in float64."""
    best = None
    for start in range(0, len(bank), bank_chunk):
        chunk = bank[start : start + bank_chunk].to(queries.device).double()
        places = torch.arange(start, start + len(chunk), device=queries.device)
        keys = _encode(queries.double() @ chunk.T, places)
        keys = keys.topk(min(k, len(chunk))).values
        best = keys if best is None else torch.cat([best, keys], 1)
        best = best.topk(min(k, best.shape[1])).values
    return best


def _rounding_error(queries: Tensor) -> float:
    """The largest error of a float32 dot product of two unit vectors."""
    error = queries.shape[1] * 2.0**-24 * 1.01  # n u / (1 - n u), Higham, Accuracy and Stability, eq. 3.5
    if queries.is_cuda and torch.backends.cuda.matmul.allow_tf32:
        error += 2.0**-10  # both factors are cut to 10 bits
    return error


def _encode(similarities: Tensor, places: Tensor) -> Tensor:
    """One integer per pair, larger for more similar and, among equals, for earlier places; so a top-k has no ties."""
    steps = (similarities / GRID).round().long()
    return (steps << INDEX_BITS) | (2**INDEX_BITS - 1 - places)


def _similarities(keys: Tensor) -> Tensor:
    return (keys >> INDEX_BITS).double() * GRID


def _decode(keys: Tensor) -> Neighbours:
    return Neighbours(_similarities(keys), 2**INDEX_BITS - 1 - (keys & (2**INDEX_BITS - 1)))


def vote(neighbours: Neighbours, labels: Tensor, k: int, temperature: float, classes: int) -> Tensor:
    """Weighted vote of the first k neighbours: softmax(similarity / temperature), summed per class.

    Args:
        neighbours: of Q queries, at least k each.
        labels: of the bank, (N,) int64.
        k: neighbours that vote.
        temperature: 0.07 in DINO.
        classes: number of classes C.

    Returns:
        (Q, C) float64; rows sum to 1.
    """
    weights = (neighbours.similarities[:, :k] / temperature).softmax(dim=1)
    scores = torch.zeros(len(weights), classes, dtype=weights.dtype)
    # on the CPU, where scatter_add sums in a fixed order
    return scores.scatter_add_(1, labels.cpu()[neighbours.indices[:, :k]], weights)


def ranks(scores: Tensor, labels: Tensor) -> Tensor:
    """How many classes stand before the true one, (Q,); equal scores stand by class number, no score stands last."""
    true = scores.gather(1, labels.unsqueeze(1))
    earlier = torch.arange(scores.shape[1]) < labels.unsqueeze(1)
    rank = ((scores > true) | ((scores == true) & earlier)).sum(dim=1)
    return rank.masked_fill(true.squeeze(1) == 0, scores.shape[1])


def knn_accuracy(
    bank: Tensor,
    bank_labels: Tensor,
    queries: Tensor,
    query_labels: Tensor,
    votes: Sequence[tuple[int, float]] = ((20, 0.07), (10, 0.07)),
    **search,
) -> dict[tuple[int, float], dict[str, float]]:
    """Top-1, top-5 and balanced top-1 accuracy of the weighted vote (DINO, Caron et al. 2021), in percent.

    Args:
        bank, bank_labels, queries, query_labels, votes, search: see `knn_ranks`.

    Returns:
        `{(k, temperature): {"top1": ..., "top5": ..., "balanced_top1": ...}}`, see `accuracy.accuracies`.

    Raises:
        InputError: see `nearest_neighbours`.
    """
    found = knn_ranks(bank, bank_labels, queries, query_labels, votes, **search)
    return {pair: of_ranks(each, query_labels.cpu()) for pair, each in zip(votes, found.ranks, strict=True)}


class Voted(NamedTuple):
    """What votes said.

    Attributes:
        ranks: how many classes stand before the true one, see `ranks`, (votes, Q) int64 on the CPU.
        nearest: places in the bank of the neighbours of the queries that were asked for, (shown, k) int64 on the CPU.
    """

    ranks: Tensor
    nearest: Tensor


def knn_ranks(
    bank: Tensor,
    bank_labels: Tensor,
    queries: Tensor,
    query_labels: Tensor,
    votes: Sequence[tuple[int, float]],
    shown: Sequence[int] = (),
    **search,
) -> Voted:
    """How many classes stand before the true one by the weighted vote, and the neighbours of some queries.

    Under torch.distributed each process takes a share of the queries against the *whole* bank, which every process must
    hold; all of them return the same numbers, equal to those of one process.

    Args:
        bank: training features, (N, D).
        bank_labels: (N,) int64.
        queries: test features, (Q, D).
        query_labels: (Q,) int64.
        votes: pairs of k and temperature; the search is done once, for the largest k.
        shown: queries whose neighbours are returned.
        search: chunk sizes, device and bank dtype, see `nearest_neighbours`.
    """
    rank, world = get_dist_info()
    classes = int(max(bank_labels.max(), query_labels.max())) + 1
    labels = query_labels[rank::world].cpu()
    neighbours = nearest_neighbours(queries[rank::world], bank, max(k for k, _ in votes), **search)
    places = [ranks(vote(neighbours, bank_labels, *pair, classes), labels) for pair in votes]
    found = torch.zeros(len(votes), len(query_labels), dtype=torch.long)
    found[:, rank::world] = torch.stack(places)
    nearest = torch.zeros(len(shown), neighbours.indices.shape[1], dtype=torch.long)
    for place, query in enumerate(shown):
        if query % world == rank:
            nearest[place] = neighbours.indices[query // world]
    for part in (found, nearest):
        all_reduce(part)  # whole numbers, of which all but one are 0
    return Voted(found, nearest)
