"""Robustness to another test set with the same classes, or some of them: ImageNet-V2, ReaL, -A, -R, -Sketch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from poa_bench.runs.outcomes import MeanOutcome, Outcome, RatioOutcome
from poa_bench.tasks.base import FrozenFeatures, Measurement, ViewProtocol
from poa_bench.tasks.linear import LinearProtocol, probe

if TYPE_CHECKING:
    from torch import Tensor

    from poa_bench.downstream.images import EvaluationData
    from poa_bench.downstream.labelled_images import LabelledImages
    from poa_bench.downstream.robustness import Onlooker


def onlooker(features: FrozenFeatures) -> tuple[Onlooker, Tensor]:
    """The default linear probe of one size and what it says of clean test pictures; their logits (N, C)."""
    from poa_bench.downstream.robustness import Onlooker, correct

    found, splits = probe(LinearProtocol(), features)
    labels = splits["test"][1]
    return Onlooker(found.classifier, labels, correct(found.test_logits.argmax(1), labels)), found.test_logits


def concluded(outcomes: dict[str, Outcome], facts: dict[str, str | int | float]) -> Measurement:
    """A measurement whose metrics are the scores of these outcomes."""
    return Measurement({name: outcome.score for name, outcome in outcomes.items()}, facts, outcomes=outcomes)


@dataclass(frozen=True)
class ShiftProtocol(ViewProtocol):
    """The test sets that the evaluation config names as `shifted`."""

    version: ClassVar[int] = 1
    pattern: ClassVar[str] = r"robustness-logreg-shifted"
    reads: ClassVar[frozenset[str]] = frozenset({"shifted"})

    @classmethod
    def parse(cls, match: re.Match) -> ShiftProtocol:
        """The protocol."""
        return cls()

    @property
    def settings(self) -> str:
        """`robustness-logreg-shifted`."""
        return "robustness-logreg-shifted"

    @property
    def description(self) -> str:
        """One sentence for the report."""
        return (
            f"The linear probe `{LinearProtocol().name}`, fitted once to clean pictures, on other test sets: the mean "
            "of their top-1 accuracies, and each of them. Where a set has only some of the classes, predictions are "
            "limited to these. ..._clean_top1 is the accuracy on clean test pictures of the same classes, so limited. "
            "Where a picture has several labels (ReaL), any of them is right."
        )

    def measure(self, features: FrozenFeatures) -> Onlooker:
        """The probe, and what it says of clean test pictures of each set's classes, which is seen already."""
        from poa_bench.downstream.robustness import correct

        made, logits = onlooker(features)
        for name, images in features.data.shifted_splits.items():
            known = images.labels()
            classes = known.unique() if known.ndim == 1 else known.sum(0).nonzero().squeeze(1)
            if known.ndim == 1 and len(classes) < logits.shape[1]:
                made.classes[name] = classes
                chosen = (made.labels.unsqueeze(1) == classes).any(1)
                made.seen[f"{name}_clean"] = correct(classes[logits[chosen][:, classes].argmax(1)], made.labels[chosen])
            else:
                made.seen[f"{name}_clean"] = made.clean
        return made

    def views(self, data: EvaluationData, seed: int) -> Iterator[LabelledImages]:
        """One for each set."""
        yield from data.shifted_splits.values()

    def conclude(self, onlooker: Onlooker, data: EvaluationData) -> Measurement:
        """Each set's accuracy and their mean."""
        import numpy as np

        seen = {name: onlooker.seen[name].numpy() for name in data.shifted_splits}
        member = np.concatenate([np.eye(len(seen))[[place] * len(right)] for place, right in enumerate(seen.values())])
        right = member * np.concatenate([*seen.values()])[:, None]
        outcomes = {"shifted_top1": RatioOutcome(right, member, split="shifted")}
        for name, right in seen.items():
            outcomes[f"{name}_top1"] = MeanOutcome(right, split=name)
            of_classes = f"classes of {name}" if name in onlooker.classes else ""
            outcomes[f"{name}_clean_top1"] = MeanOutcome(onlooker.seen[f"{name}_clean"].numpy(), split=of_classes)
        outcomes["clean_top1"] = MeanOutcome(onlooker.clean.numpy())
        facts = {f"{name}_images": len(right) for name, right in seen.items()}
        facts |= {f"{name}_classes": len(classes) for name, classes in onlooker.classes.items()}
        return concluded(outcomes, facts)
