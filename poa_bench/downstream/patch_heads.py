"""Heads on patch features that are fitted without a learning rate: label transfer, and a linear classifier."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from poa_bench.downstream.features import check_finite
from poa_bench.downstream.knn import nearest_neighbours
from poa_bench.downstream.linear import classifiers, has_risen
from poa_bench.downstream.patches import Head, Patches
from poa_bench.errors import InputError


class Fitted(NamedTuple):
    """What a protocol found.

    Attributes:
        of_val: the head that has not seen the validation pictures.
        of_test: the head whose scores are reported.
        facts: what else the result says.
    """

    of_val: Head
    of_test: Head
    facts: dict[str, float]


def voting_head(bank: Patches, k: int, temperature: float, device: torch.device | str) -> Head:
    """Label transfer: soft labels of the k nearest patches of the bank, weighted by softmax(similarity / temperature).

    Cosine similarity, exact search (`knn.py`). Targets are shares of a patch's pixels, (N, C): of what is ignored
    nothing is transferred.

    Raises:
        InputError: features are not finite, or the bank has fewer than k patches.
    """
    check_finite(patches=bank.features)
    if k > len(bank.features):
        raise InputError(
            f"k is {k}, but there are {len(bank.features)} train patches: take a smaller k or more pictures"
        )
    features = bank.features.to(device)
    targets = bank.targets.to(device).double()

    def predict(queries: Tensor) -> Tensor:
        found = nearest_neighbours(queries, features, k)
        weights = (found.similarities / temperature).softmax(1).to(targets.device)
        return torch.einsum("qk,qkc->qc", weights, targets[found.indices.to(targets.device)])

    return predict


def linear_head(weight: Tensor, bias: Tensor) -> Head:
    """features @ weight (D, P) + bias (P,), in float32."""
    return lambda features: torch.addmm(bias.float(), features, weight.float())


def linear_heads(
    train: Patches,
    val: Patches,
    regularisers: Sequence[float],
    device: torch.device | str,
    refit: bool,
    balance: float = 0.0,
) -> Fitted:
    """Multinomial logistic regression on soft labels, to the minimum; see `linear.py`.

    The mean over patches, each weighted by its labelled share, of the cross-entropy with the shares of its classes,
    plus the L2 penalty, which is that of the lowest cross-entropy on the validation patches.

    Args:
        train, val, regularisers, device, refit: see `penalised_heads`.
        balance: a class weighs (its share of the train patches) ** -balance: 0 as often as it is seen, 1 all alike.
    """
    weights = train.targets.double().sum(0)
    weights = torch.where(weights > 0, weights, torch.inf) ** -balance
    train, val = (Patches(each.features, each.targets * weights.float(), each.pictures) for each in (train, val))
    return penalised_heads(partial(_logistic_path, device=device), _log_loss, train, val, regularisers, device, refit)


def penalised_heads(
    path: Callable[[Patches, Sequence[float]], Iterator[Head]],
    loss: Callable[[Tensor, Tensor], float],
    train: Patches,
    val: Patches,
    regularisers: Sequence[float],
    device: torch.device | str,
    refit: bool,
) -> Fitted:
    """Fit a head for each penalty, and take the one of the lowest loss on the validation patches.

    Args:
        path: fits heads, one for each penalty.
        loss: of predictions and targets.
        train, val: patches of the pictures that are fitted, and of those by which the penalty is chosen.
        regularisers: strongest first; those behind some rises of the loss in a row are not tried, see
            `linear.has_risen`.
        device: where to compute.
        refit: fit the chosen penalty again to the patches of both, as is right where val was held out of train.

    Raises:
        InputError: features are not finite.
    """
    check_finite(validation_patches=val.features)
    features, targets = val.features.to(device), val.targets.to(device)
    losses, heads = [], []
    for head in path(train, regularisers):
        heads.append(head)
        losses.append(loss(head(features).double(), targets))
        if has_risen(losses):
            break
    chosen = min(range(len(losses)), key=losses.__getitem__)
    facts = {"regulariser": regularisers[chosen], "val_loss": losses[chosen]}
    if refit:
        *_, again = path(train.joined(val), regularisers[: chosen + 1])
    return Fitted(heads[chosen], again if refit else heads[chosen], facts)


def _log_loss(logits: Tensor, targets: Tensor) -> float:
    return F.cross_entropy(logits, weighted(targets)).item()


def weighted(targets: Tensor) -> Tensor:
    """Shares (N, C) as float64 soft labels whose sum is N: `cross_entropy` of them is a weighted mean over patches."""
    targets = targets.double()
    return targets * (len(targets) / targets.sum())


def _logistic_path(patches: Patches, regularisers: Sequence[float], device: torch.device | str) -> Iterator[Head]:
    for found in classifiers((patches.features, weighted(patches.targets)), regularisers, device):
        weight = found.weight / found.scale.unsqueeze(1)
        yield linear_head(weight, found.bias - found.mean @ weight)  # of features as they are
