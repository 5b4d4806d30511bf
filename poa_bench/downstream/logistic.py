"""Logistic regression as the field's fine-grained and few-shot evaluations do it (DINOv2's `log_regression.py`)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from poa_bench.downstream.accuracy import of_ranks, ranks_of
from poa_bench.downstream.linear import Split, check_classes, fit_path

STRIDE = 4  # on the way to the chosen strength, every so many are fitted, so that each fit starts near its end


@dataclass(frozen=True)
class Fitted:
    """One classifier.

    Attributes:
        accuracies: of the test split, `accuracy.ACCURACIES` in percent.
        validation: of the validation split, by what was fitted to train alone.
        strength: the chosen C.
        ranks, val_ranks: how many classes stand before the true one, of each picture of test and validation, (N,).
    """

    accuracies: dict[str, float]
    validation: dict[str, float]
    strength: float
    ranks: Tensor
    val_ranks: Tensor


def logistic_regression(
    train: Split,
    val: Split,
    test: Split,
    strengths: Sequence[float],
    judge: str = "top1",
    refit: bool = True,
    device: torch.device | str = "cpu",
) -> Fitted:
    """L2-regularised multinomial logistic regression on normalised features, to the minimum.

    Args:
        train, val, test: features (N, D) and labels (N,); features are divided by their length.
        strengths: scikit-learn's C, weakest (the strongest penalty) first.
        judge: accuracy on val by which C is chosen, the first of equals.
        refit: fit again with the chosen C to train and val together.
        device: where to compute, in float64.

    Raises:
        InputError: a class of val or test is not in train, or a feature is not finite.
    """
    check_classes(train[1], val=val[1], test=test[1])
    inputs = [F.normalize(features.double(), dim=1).to(device) for features, _ in (train, val, test)]
    labels = [each.to(device) for _, each in (train, val, test)]
    classes, judged, found = int(labels[0].max()) + 1, [], []
    for weight, bias in _path(inputs[0], labels[0], classes, strengths):
        judged.append(ranks_of((inputs[1] @ weight + bias).cpu(), val[1]))
        found.append((weight, bias))
    scores = [of_ranks(ranks, val[1]) for ranks in judged]
    chosen = max(range(len(strengths)), key=lambda place: scores[place][judge])
    weight, bias = found[chosen]
    if refit:
        way = [*strengths[:chosen:STRIDE], strengths[chosen]]
        *_, (weight, bias) = _path(torch.cat(inputs[:2]), torch.cat(labels[:2]), classes, way)
    ranks = ranks_of((inputs[2] @ weight + bias).cpu(), test[1])
    return Fitted(of_ranks(ranks, test[1]), scores[chosen], strengths[chosen], ranks, judged[chosen])


def _path(features: Tensor, labels: Tensor, classes: int, strengths: Sequence[float]):
    """(weight, bias) for each C: C times the summed loss is the mean loss with the penalty 1 / (C N)."""
    for _, weight, bias in fit_path(features, labels, classes, [1 / (c * len(features)) for c in strengths]):
        yield weight, bias
