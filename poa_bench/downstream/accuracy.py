"""Accuracies of a classification, from counts per class: these can be added up over batches and processes."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from poa_bench.runs.outcomes import ClassMeanOutcome, MeanOutcome, Outcome
from poa_bench.runs.results import VALIDATION

Value = TypeVar("Value")
ACCURACIES = ("top1", "top5", "balanced_top1")


def class_counts(ranks: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Pictures of each class, those recognised, and those whose class is among the first five, (..., classes, 3) int64.

    Args:
        ranks: how many classes stand before the true one, (..., N).
        labels: true classes, (N,) int64.
        classes: number of classes.
    """
    rows = torch.stack([torch.ones_like(ranks, dtype=torch.long), (ranks < 1).long(), (ranks < 5).long()], -1)
    return rows.new_zeros(*ranks.shape[:-1], classes, 3).index_add_(-2, labels, rows)


def accuracies(counts: Tensor) -> Tensor:
    """`ACCURACIES` in percent, (..., 3) float64 on the CPU.

    The balanced one is the mean of the classes' recalls (scikit-learn's `balanced_accuracy_score`): every class counts
    alike, however many pictures it has. A class without a picture counts in none of the three.

    Args:
        counts: of `class_counts`.
    """
    pictures, first, five = counts.double().cpu().unbind(-1)
    recalls = torch.where(pictures > 0, first / pictures, torch.nan)
    total = pictures.sum(-1)
    return 100 * torch.stack([first.sum(-1) / total, five.sum(-1) / total, recalls.nanmean(-1)], -1)


def ranks_of(logits: Tensor, labels: Tensor) -> Tensor:
    """How many classes stand before the true one, (N,); of equal logits (N, C) the lower class stands first."""
    order = logits.sort(dim=1, descending=True, stable=True).indices
    return (order == labels.unsqueeze(1)).long().argmax(1)


def of_ranks(ranks: Tensor, labels: Tensor) -> dict[str, float]:
    """`ACCURACIES` of one classification; arguments as for `class_counts`."""
    return named(accuracies(class_counts(ranks, labels, int(labels.max()) + 1)))


def accuracy_outcomes(ranks: Tensor | Sequence[Tensor], labels: Tensor, split: str = "") -> dict[str, Outcome]:
    """What `ACCURACIES` are made of, picture by picture.

    Args:
        ranks: as for `class_counts`, (N,); several where the accuracies are means over these.
        labels: true classes, (N,) int64.
        split: of the pictures, see `Outcome`.
    """
    several = [ranks] if isinstance(ranks, Tensor) else ranks
    first, five = (_share([each < depth for each in several]) for depth in (1, 5))
    return {
        "top1": MeanOutcome(first, split=split),
        "top5": MeanOutcome(five, split=split),
        "balanced_top1": ClassMeanOutcome(first, labels.cpu().numpy(), split=split),
    }


def _share(found: Sequence[Tensor]):
    """Right or wrong as booleans (N,), or how often where there are several."""
    if len(found) == 1:
        return found[0].cpu().numpy()
    return torch.stack([each.double() for each in found]).mean(0).cpu().numpy()


def named(percent: Tensor) -> dict[str, float]:
    """The three numbers of `accuracies` by name."""
    return dict(zip(ACCURACIES, percent.tolist(), strict=True))


def chosen_by(validation: Mapping[str, Value]) -> dict[str, Value]:
    """The accuracies of the validation split by which sizes are chosen, under the names that result rows give them.

    Args:
        validation: by name; their outcomes have the same names.
    """
    return {f"{VALIDATION}{name}": validation[name] for name in ("top1", "balanced_top1")}


def class_facts(train: Tensor, test: Tensor) -> dict[str, int | float]:
    """What a result says about its classes: how many, and how many test pictures the largest and smallest one have.

    `test_balanced_images` is the number of pictures that give an accuracy the noise which the balanced one has, if all
    classes have about the same recall: C^2 / sum(1 / n) over the C classes with n > 0 test pictures.

    Args:
        train, test: labels, (N,) int64, or (N, C) of pictures with several.
    """
    if test.ndim > 1:
        return {"classes": test.shape[1]}
    pictures = test.bincount(minlength=int(train.max()) + 1)[train.unique()]
    known = pictures[pictures > 0].double()
    return {
        "classes": len(pictures),
        "test_largest_class": int(pictures.max()),
        "test_smallest_class": int(pictures.min()),
        "test_balanced_images": round(len(known) ** 2 / (1 / known).sum().item(), 2),
    }
