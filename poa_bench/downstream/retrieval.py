"""Retrieval by cosine similarity: mean average precision and recall, exactly."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from poa_bench.downstream.features import check_finite
from poa_bench.errors import InputError
from poa_bench.runs.outcomes import RatioOutcome

CHUNK_BYTES = 256 * 2**20  # for the similarities of the queries that are ranked at once, in float64


@torch.no_grad()
def retrieval_scores(
    queries: Tensor,
    labels: Tensor,
    gallery: Tensor,
    gallery_labels: Tensor,
    depths: Sequence[int] = (1, 5, 10),
    leave_one_out: bool = False,
    device: torch.device | str = "cpu",
) -> tuple[dict[str, float], dict[str, RatioOutcome], int]:
    """Rank the gallery for every query; relevant is what has the query's label.

    Similarities are float64; of equal ones the earlier picture is ranked first. Average precision is the mean of the
    precisions at the ranks of the relevant pictures (no interpolation).

    Args:
        queries, labels: (Q, D) and (Q,).
        gallery, gallery_labels: (G, D) and (G,).
        depths: of `recall@k`, the share of queries with a relevant picture among the first k.
        leave_one_out: the gallery are the queries themselves, and none finds itself.
        device: where to compute.

    Returns:
        `map`, then `recall@k` for each depth, in percent; what they are made of, query by query (the gallery counts as
        fixed); and how many queries have nothing to find and are left out.

    Raises:
        InputError: widths differ, a feature is not finite, or no query has anything to find.

    >>> gallery = torch.tensor([[1.0, 0.1], [0.0, 1.0], [1.0, 0.0]])
    >>> scores, *_ = retrieval_scores(torch.tensor([[1.0, 0.0]]), torch.tensor([7]), gallery, torch.tensor([7, 7, 3]))
    >>> round(scores["map"], 2), scores["recall@1"]  # (1 / 2 + 2 / 3) / 2
    (58.33, 0.0)
    """
    _check(queries, gallery)
    bank = F.normalize(gallery.to(device).double(), dim=1)
    bank_labels = gallery_labels.to(device)
    chunk = max(1, CHUNK_BYTES // (8 * len(bank)))
    precisions, firsts = [], []
    for start in range(0, len(queries), chunk):
        rows = F.normalize(queries[start : start + chunk].to(device).double(), dim=1)
        similarities = rows @ bank.T
        if leave_one_out:
            places = torch.arange(len(rows), device=device)
            similarities[places, start + places] = -torch.inf  # last, and not counted below
        order = similarities.argsort(dim=1, descending=True, stable=True)
        relevant = bank_labels[order] == labels[start : start + chunk].to(device)[:, None]
        if leave_one_out:
            relevant[:, -1] = False
        found = _of_ranks(relevant)
        precisions.append(found[0].cpu())
        firsts.append(found[1].cpu())
    average, first = torch.cat(precisions), torch.cat(firsts)
    judged = average.isfinite()
    if not judged.any():
        raise InputError("no picture has another one of its class: there is nothing to retrieve")
    found = {"map": average} | {f"recall@{depth}": (first < depth).double() for depth in depths}
    scores = {name: 100 * values[judged].mean().item() for name, values in found.items()}
    counted = judged[:, None].numpy()
    outcomes = {name: RatioOutcome(values.where(judged, 0)[:, None].numpy(), counted) for name, values in found.items()}
    return scores, outcomes, int((~judged).sum())


def _of_ranks(relevant: Tensor) -> tuple[Tensor, Tensor]:
    """Average precision (Q,), NaN where nothing is relevant, and the rank of the first relevant one, from 0.

    Args:
        relevant: (Q, G) bool, in the order of the ranks.
    """
    count = relevant.cumsum(1)
    ranks = torch.arange(1, relevant.shape[1] + 1, device=relevant.device)
    precision = (count / ranks.double() * relevant).sum(1) / count[:, -1]
    return precision, relevant.to(torch.uint8).argmax(1)


def _check(queries: Tensor, gallery: Tensor) -> None:
    if queries.shape[1] != gallery.shape[1]:
        raise InputError(f"queries have {queries.shape[1]} features and the gallery {gallery.shape[1]}")
    check_finite(queries=queries, gallery=gallery)
