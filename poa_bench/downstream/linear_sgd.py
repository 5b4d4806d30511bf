"""Linear probe by SGD on cropped and flipped pictures: DINOv2's, by which POA's published numbers were measured.

Heads that differ in what they see and in their learning rate are trained together, on the same pictures, each as if it
were alone. The result is the one with the lowest log-loss on a validation split (`linear.py` says why not the best
accuracy) or, as for the published numbers, the one with the best accuracy on the test split.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from poa_bench.downstream.accuracy import accuracies, accuracy_outcomes, class_counts
from poa_bench.downstream.blocks import BlockFeatures
from poa_bench.downstream.features import Place, autocast, normalised
from poa_bench.downstream.images import EvaluationData

if TYPE_CHECKING:
    from poa_bench.runs.outcomes import Outcome
    from poa_bench.tasks.linear_sgd import LinearSgdProtocol

_MOMENTUM = 0.9
_DEVIATION = 0.01  # of the weights at the start; biases start at 0

Key = TypeVar("Key", bound=Hashable)  # what names a size
Extractor = Callable[[Tensor], BlockFeatures]
Batch = tuple[Tensor, Tensor]  # images (B, 3, S, S) uint8, labels (B,)


class HeadScores(NamedTuple):
    """Of the heads of one size on one split.

    Attributes:
        accuracies: (heads, 3) float64.
        log_loss: the mean, (heads,) float64.
        ranks: how many classes stand before the true one, at most 5, (heads, pictures) uint8.
        labels: of the pictures, (pictures,).
    """

    accuracies: Tensor
    log_loss: Tensor
    ranks: Tensor
    labels: Tensor

    def outcomes(self, head: int, split: str = "") -> dict[str, "Outcome"]:
        """Of the accuracies of one head, see `accuracy.accuracy_outcomes`."""
        return accuracy_outcomes(self.ranks[head], self.labels, split)


class LinearHeads:
    """The heads of one size and their training.

    Args:
        sample: features of any pictures, which say the lengths.
        classes: number of classes.
        protocol: its settings.
        seed: of the weights at the start.
    """

    def __init__(self, sample: BlockFeatures, classes: int, protocol: "LinearSgdProtocol", seed: int) -> None:
        self.settings = protocol.heads
        generator = torch.Generator().manual_seed(seed)
        self.heads = nn.ModuleList()
        for head in self.settings:
            linear = nn.Linear(sample.length(head.blocks, head.pooled), classes)
            nn.init.normal_(linear.weight, std=_DEVIATION, generator=generator)
            nn.init.zeros_(linear.bias)
            self.heads.append(linear)
        self.heads.to(sample.patches.device)
        rates = [head.rate * protocol.batch / 256 for head in self.settings]
        groups = [{"params": head.parameters(), "lr": rate} for head, rate in zip(self.heads, rates, strict=True)]
        self.optimizer = torch.optim.SGD(groups, momentum=_MOMENTUM)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, protocol.iterations)

    def logits(self, features: BlockFeatures) -> list[Tensor]:
        """(B, classes) of every head."""
        joined = {(blocks, pooled): features.join(blocks, pooled) for blocks, pooled in _views(self.settings)}
        return [
            linear(joined[head.blocks, head.pooled]) for linear, head in zip(self.heads, self.settings, strict=True)
        ]

    @property
    def finite(self) -> bool:
        """Whether any head is finite: those with too high a rate may not be, all of them only with bad features."""
        return any(linear.weight.isfinite().all() for linear in self.heads)

    def step(self, features: BlockFeatures, labels: Tensor) -> None:
        """One step of every head; none feels the others."""
        with torch.enable_grad():
            loss = sum(F.cross_entropy(logits, labels) for logits in self.logits(features))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.scheduler.step()

    @torch.no_grad()
    def judge(self, features: BlockFeatures, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Ranks (heads, B) as in `HeadScores`, and each head's log-loss (heads,), summed over the pictures."""
        places, losses = [], []
        for logits in self.logits(features):
            losses.append(
                F.cross_entropy(logits.double(), labels, reduction="sum").nan_to_num(nan=torch.inf, posinf=torch.inf)
            )
            logits = logits.nan_to_num(nan=-torch.inf)  # of a head that has diverged
            first = logits.topk(min(5, logits.shape[1])).indices == labels.unsqueeze(1)
            places.append(torch.where(first.any(1), first.long().argmax(1), 5).to(torch.uint8))
        return torch.stack(places), torch.stack(losses)


def _views(settings: Iterable) -> set[tuple[int, bool]]:
    return {(head.blocks, head.pooled) for head in settings}


@torch.no_grad()
def train_heads(
    extractors: Mapping[Key, Extractor],
    batches: Iterable[list[Batch]],
    classes: int,
    protocol: "LinearSgdProtocol",
    data: EvaluationData,
    place: Place,
    seed: int,
    failures: dict[Key, Exception],
) -> dict[Key, LinearHeads]:
    """Train the heads of all sizes on the same pictures.

    Args:
        extractors: one per size, frozen.
        batches: of `protocol.batch` pictures, each in parts that go through a network together.
        classes: number of classes.
        protocol: its settings.
        data: says the normalisation.
        place: where, and with what numbers the extractors compute.
        seed: of the weights at the start.
        failures: filled with the errors of sizes that do not get through; they are left out.
    """
    heads: dict[Key, LinearHeads] = {}
    for parts in batches:
        images = [normalised(part, data, place.device) for part, _ in parts]
        labels = torch.cat([part for _, part in parts]).to(place.device)

        def step(key: Key, images: list[Tensor] = images, labels: Tensor = labels) -> None:
            features = _together([_run(extractors[key], part, place) for part in images])
            if key not in heads:
                heads[key] = LinearHeads(features, classes, protocol, seed)
            heads[key].step(features, labels)

        _each(extractors, step, failures)
        if len(failures) == len(extractors):
            break
    return heads


def _each(keys: Iterable[Key], work: Callable[[Key], None], failures: dict[Key, Exception]) -> None:
    """Do the work of every size that has not failed; one that needs too much memory must not end the others."""
    for key in keys:
        if key not in failures:
            try:
                work(key)
            except Exception as error:  # handed on in full
                failures[key] = error


def _run(extractor: Extractor, images: Tensor, place: Place) -> BlockFeatures:
    with autocast(place.device, place.amp):
        classes, patches = extractor(images)
    return BlockFeatures([part.float() for part in classes], patches.float())


def _together(parts: list[BlockFeatures]) -> BlockFeatures:
    classes = [torch.cat(block) for block in zip(*(part.classes for part in parts), strict=True)]
    return BlockFeatures(classes, torch.cat([part.patches for part in parts]))


@torch.no_grad()
def head_scores(
    extractors: Mapping[Key, Extractor],
    heads: Mapping[Key, LinearHeads],
    batches: Iterable[Batch],
    data: EvaluationData,
    place: Place,
    failures: dict[Key, Exception],
) -> dict[Key, HeadScores]:
    """Scores of every head of every size; `failures` as in training."""
    judged: dict[Key, list[tuple[Tensor, Tensor]]] = {key: [] for key in extractors}
    every: list[Tensor] = []
    for images, labels in batches:
        every.append(labels)
        images, labels = normalised(images, data, place.device), labels.to(place.device)

        def judge(key: Key, images: Tensor = images, labels: Tensor = labels) -> None:
            ranks, losses = heads[key].judge(_run(extractors[key], images, place), labels)
            judged[key].append((ranks.cpu(), losses.cpu()))

        _each(extractors, judge, failures)
    return {key: _scores(parts, torch.cat(every)) for key, parts in judged.items() if key not in failures}


def _scores(parts: list[tuple[Tensor, Tensor]], labels: Tensor) -> HeadScores:
    """From ranks and summed losses of each batch."""
    ranks = torch.cat([part for part, _ in parts], 1)
    found = accuracies(class_counts(ranks, labels, int(labels.max()) + 1))
    return HeadScores(found, sum(losses for _, losses in parts) / len(labels), ranks, labels)
