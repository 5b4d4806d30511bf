"""The linear probe that is trained step by step on random crops: the one of published numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from poa_bench.errors import InputError
from poa_bench.tasks.base import Measurement, PictureProtocol

if TYPE_CHECKING:
    from rich.progress import Progress
    from torch import Tensor, nn

    from poa_bench.downstream.features import Key, Place
    from poa_bench.downstream.images import EvaluationData
    from poa_bench.downstream.labelled_images import LabelledImages
    from poa_bench.downstream.linear_sgd import HeadScores
    from poa_bench.runs.outcomes import Outcome


class Head(NamedTuple):
    """One head: class features of the last `blocks` blocks, with `pooled` the patches' mean."""

    blocks: int
    pooled: bool
    rate: float  # for a batch of 256

    def __str__(self) -> str:
        return f"blocks {self.blocks}, {'patches' if self.pooled else 'no patches'}, rate {self.rate:g}"


@dataclass(frozen=True)
class LinearSgdProtocol(PictureProtocol):
    """DINOv2's linear probe, the one of POA's published numbers, see `poa_bench.downstream.linear_sgd`.

    Attributes:
        iterations, batch: of the training; the published ones.
        chosen_on: split that picks the head: `val` by log-loss, or `test` by accuracy, as for the published numbers.
    """

    iterations: int = 12_500
    batch: int = 2048
    chosen_on: str = "val"

    pattern: ClassVar[str] = r"linear-sgd-i(?P<iterations>[1-9]\d*)-b(?P<batch>[1-9]\d*)-(?P<split>val|test)split"
    rates: ClassVar[tuple[float, ...]] = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1)

    @classmethod
    def parse(cls, match: re.Match) -> LinearSgdProtocol:
        """The protocol of a name that matches `pattern`."""
        return cls(int(match["iterations"]), int(match["batch"]), match["split"])

    @property
    def version(self) -> int:
        """2 on the validation split, where 1 chose by accuracy; 1 on the test split."""
        return {"val": 2, "test": 1}[self.chosen_on]

    @property
    def settings(self) -> str:
        """As in `linear-sgd-i12500-b2048-valsplit`."""
        return f"linear-sgd-i{self.iterations}-b{self.batch}-{self.chosen_on}split"

    @property
    def heads(self) -> tuple[Head, ...]:
        """All that are trained; of equal ones the first is chosen."""
        return tuple(Head(*settings) for settings in product((1, 4), (False, True), self.rates))

    @property
    def description(self) -> str:
        """One sentence for the report."""
        chosen = {
            "val": "log-loss on a validation split held out of train; the test split is looked at once, with that head",
            "test": "accuracy on the test split itself, as for the published numbers, so that the score is too high "
            "for new images",
        }[self.chosen_on]
        return (
            f"{len(self.heads)} linear heads on frozen features of one or four blocks, with and without the mean of "
            f"the patches, each with its learning rate, trained for {self.iterations} steps of {self.batch} randomly "
            f"cropped and flipped pictures (SGD, momentum 0.9, cosine to 0); one head is chosen by {chosen}."
        )

    def measure_sizes(
        self,
        networks: Mapping[Key, nn.Module],
        data: EvaluationData,
        place: Place,
        seed: int,
        progress: Progress | None = None,
    ) -> Iterator[tuple[Key, Measurement | Exception]]:
        """Train and choose the heads of all sizes; pictures are decoded once for all of them.

        The seed is of the heads at the start, the order of the pictures, their crops, and what is held out.

        Raises:
            InputError: a class of the validation or test split is not in train.
        """
        from poa_bench.downstream.accuracy import class_facts
        from poa_bench.downstream.blocks import block_features
        from poa_bench.downstream.linear import check_classes, val_split
        from poa_bench.downstream.linear_sgd import head_scores, train_heads
        from poa_bench.downstream.training_crops import TrainingCrops

        extractors = {key: block_features(network) for key, network in networks.items()}
        train, positions, scored = self._roles(data, seed)
        called = val_split("val" not in data.splits, seed)
        labels = train.labels(positions.tolist())
        scored_labels = {name: split.labels() for name, split in scored.items()}
        check_classes(labels, **scored_labels)
        crops = TrainingCrops(train, positions.tolist(), self.iterations * self.batch, seed)
        batches = crops.batches(self.batch)
        if progress is not None:
            batches = progress.track(batches, total=self.iterations, description=f"{data.name} heads")
        failures: dict[Key, Exception] = {}
        heads = train_heads(extractors, batches, int(labels.max()) + 1, self, data, place, seed, failures)
        scores = {
            name: head_scores(extractors, heads, split.batches(), data, place, failures)
            for name, split in scored.items()
        }
        yield from failures.items()
        facts = {"batch": self.batch, "chosen_on": self.chosen_on, "train_images": len(positions)}
        facts |= {f"{name}_images": len(split) for name, split in scored.items()}
        facts |= class_facts(labels, scored_labels["test"])
        for key in [key for key in extractors if key not in failures]:
            if not heads[key].finite:
                yield key, InputError(_DIVERGED)
                continue
            metrics, outcomes, head = self.choose({name: found[key] for name, found in scores.items()}, called)
            yield key, Measurement(metrics, {**facts, "head": str(head)}, outcomes=outcomes)

    def choose(
        self, scores: Mapping[str, HeadScores], val_split: str = "val"
    ) -> tuple[dict[str, float], dict[str, Outcome], Head]:
        """The head chosen on the protocol's split (of equal ones the first): its metrics, their outcomes, which it is.

        Args:
            scores: of the heads, by split.
            val_split: what outcomes call the validation pictures.
        """
        from poa_bench.downstream.accuracy import chosen_by, named

        test = scores["test"]
        by_loss = self.chosen_on == "val"
        position = int(scores["val"].log_loss.argmin() if by_loss else test.accuracies[:, 0].argmax())
        metrics, outcomes = named(test.accuracies[position]), test.outcomes(position)
        if by_loss:
            metrics |= chosen_by(named(scores["val"].accuracies[position]))
            outcomes |= chosen_by(scores["val"].outcomes(position, val_split))
        best = int(test.accuracies[:, 0].argmax())
        metrics["best_on_test_top1"] = test.accuracies[best, 0].item()
        outcomes["best_on_test_top1"] = test.outcomes(best)["top1"]
        return metrics, outcomes, self.heads[position]

    def _roles(self, data: EvaluationData, seed: int) -> tuple[LabelledImages, Tensor, dict[str, LabelledImages]]:
        """The training split, the positions in it that are trained on, and the splits that are scored."""
        import torch

        from poa_bench.downstream.linear import hold_out

        train = data.splits["train"]
        everything = torch.arange(len(train))
        if self.chosen_on == "test":
            return train, everything, {"test": data.splits["test"]}
        if "val" in data.splits:
            return train, everything, {name: data.splits[name] for name in ("val", "test")}
        fitted, held = hold_out(train.labels(), data.val_share, seed)
        return train, fitted, {"val": train.part(held.tolist(), "val"), "test": data.splits["test"]}


_DIVERGED = (
    "none of the heads is finite after training: the features hold NaN or infinite values, because the network has "
    "diverged or its numbers overflow under AMP (evaluate it with amp off)"
)
