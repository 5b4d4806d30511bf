"""Robustness: what is left of the linear probe's accuracy on pictures that are corrupted, occluded, shuffled or others?

One probe is fitted to clean pictures, the default one of the task `linear`, and looks at every view.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from poa_bench.runs.outcomes import MeanOutcome, RatioOutcome
from poa_bench.tasks.base import FrozenFeatures, Measurement, Metric, Task, ViewProtocol
from poa_bench.tasks.linear import LinearProtocol
from poa_bench.tasks.shifted_sets import ShiftProtocol, concluded, onlooker

if TYPE_CHECKING:
    from poa_bench.downstream.images import EvaluationData
    from poa_bench.downstream.labelled_images import LabelledImages
    from poa_bench.downstream.robustness import Onlooker

_PROBE = "The linear probe `{}`, fitted once to clean pictures, on "
_REST = " Also its accuracy on clean test pictures, and the share of it that is left (retention)."


class _ChangedPictures(ViewProtocol):
    """What the protocols have in common whose views are the test pictures, changed."""

    primary: ClassVar[str]

    @abstractmethod
    def groups(self, data: EvaluationData) -> Mapping[str, Sequence[str]]:
        """Names of views by the metric that they give, a mean over them; the primary metric is over all."""

    def measure(self, features: FrozenFeatures) -> Onlooker:
        """The probe, before it has seen a view."""
        return onlooker(features)[0]

    def conclude(self, onlooker: Onlooker, data: EvaluationData) -> Measurement:
        """Means over views."""
        every, clean = onlooker.outcome([*onlooker.seen]), onlooker.clean.numpy()
        outcomes = {
            self.primary: every,
            "clean_top1": MeanOutcome(clean),
            "retention": RatioOutcome(every.values[:, None], clean[:, None], every.scale),
        }
        outcomes |= {name: onlooker.outcome(views) for name, views in self.groups(data).items()}
        return concluded(outcomes, {"views": len(onlooker.seen)})


@dataclass(frozen=True)
class CorruptionProtocol(_ChangedPictures):
    """The 15 corruptions of ImageNet-C, see `poa_bench.downstream.corruptions`.

    Attributes:
        severities: of 1 to 5, as digits.
    """

    severities: str = "12345"

    version: ClassVar[int] = 1
    pattern: ClassVar[str] = r"robustness-logreg-corruptions15-s(?P<severities>1?2?3?4?5?)(?<=\d)"
    primary: ClassVar[str] = "corrupted_top1"

    @classmethod
    def parse(cls, match: re.Match) -> CorruptionProtocol:
        """The protocol of a name that matches `pattern`."""
        return cls(match["severities"])

    @property
    def settings(self) -> str:
        """As in `robustness-logreg-corruptions15-s12345`."""
        return f"robustness-logreg-corruptions15-s{self.severities}"

    @property
    def description(self) -> str:
        """One sentence for the report."""
        severities = ", ".join(self.severities)
        return (
            _PROBE.format(LinearProtocol().name) + "test pictures with each of the 15 corruptions of ImageNet-C, drawn "
            f"from the measurement seed, at severity {severities}: mean top-1 accuracy, overall, by corruption and by "
            "severity." + _REST
        )

    def views(self, data: EvaluationData, seed: int) -> Iterator[LabelledImages]:
        """One for each corruption and severity."""
        from poa_bench.downstream.corruption_settings import CORRUPTIONS
        from poa_bench.downstream.robustness import corrupted

        for corruption in CORRUPTIONS:
            for severity in self.severities:
                yield corrupted(data.splits["test"], corruption, int(severity), seed)

    def groups(self, data: EvaluationData) -> Mapping[str, Sequence[str]]:
        """By corruption, and by severity."""
        from poa_bench.downstream.corruption_settings import CORRUPTIONS

        by_corruption = {
            f"{corruption}_top1": [f"{corruption}-{severity}" for severity in self.severities]
            for corruption in CORRUPTIONS
        }
        by_severity = {
            f"severity{severity}_top1": [f"{corruption}-{severity}" for corruption in CORRUPTIONS]
            for severity in self.severities
        }
        return by_corruption | (by_severity if len(self.severities) > 1 else {})

    def conclude(self, onlooker: Onlooker, data: EvaluationData) -> Measurement:
        """On ImageNet at all severities with mCE, by AlexNet's errors on the published pictures."""
        from poa_bench.downstream.corruption_settings import CORRUPTIONS
        from poa_bench.downstream.robustness import mean_corruption_error

        found = super().conclude(onlooker, data)
        if data.name.startswith("imagenet") and len(onlooker.classifier.bias) == 1000 and self.severities == "12345":
            top1 = {corruption: found.outcomes[f"{corruption}_top1"] for corruption in CORRUPTIONS}
            return concluded(found.outcomes | {"mce": mean_corruption_error(top1)}, found.facts)
        return found


@dataclass(frozen=True)
class OcclusionProtocol(_ChangedPictures):
    """Patches that are black, as in the paper's Figure 5.

    Attributes:
        grid: patches a side.
        draws: of the patches of each picture.
    """

    grid: int = 14
    draws: int = 1

    version: ClassVar[int] = 1
    pattern: ClassVar[str] = r"robustness-logreg-occlusion-g(?P<grid>[1-9]\d*)-draws(?P<draws>[1-9]\d?)"
    primary: ClassVar[str] = "occluded_top1"

    @classmethod
    def parse(cls, match: re.Match) -> OcclusionProtocol:
        """The protocol of a name that matches `pattern`."""
        return cls(int(match["grid"]), int(match["draws"]))

    @property
    def settings(self) -> str:
        """As in `robustness-logreg-occlusion-g14-draws1`."""
        return f"robustness-logreg-occlusion-g{self.grid}-draws{self.draws}"

    @property
    def description(self) -> str:
        """One sentence for the report."""
        return (
            _PROBE.format(LinearProtocol().name) + f"test pictures of which 10, 20, ... 90 % of the {self.grid} x "
            f"{self.grid} patches are black, drawn anew for each picture from the measurement seed ({self.draws} "
            "times): mean top-1 accuracy, overall and for each share." + _REST
        )

    def views(self, data: EvaluationData, seed: int) -> Iterator[LabelledImages]:
        """One for each share and draw."""
        from poa_bench.downstream.robustness import DROPS, occluded

        for percent in DROPS:
            for draw in range(self.draws):
                yield occluded(data.splits["test"], percent, self.grid, draw, seed)

    def groups(self, data: EvaluationData) -> Mapping[str, Sequence[str]]:
        """By share."""
        from poa_bench.downstream.robustness import DROPS

        return {f"drop{each}_top1": [f"drop{each}-{draw}" for draw in range(self.draws)] for each in DROPS}


@dataclass(frozen=True)
class ShuffleProtocol(_ChangedPictures):
    """Tiles in another order, as in the paper's Figure 5.

    Attributes:
        draws: of the order of each picture.
    """

    draws: int = 1

    version: ClassVar[int] = 1
    pattern: ClassVar[str] = r"robustness-logreg-shuffle-draws(?P<draws>[1-9]\d?)"
    primary: ClassVar[str] = "shuffled_top1"

    @classmethod
    def parse(cls, match: re.Match) -> ShuffleProtocol:
        """The protocol of a name that matches `pattern`."""
        return cls(int(match["draws"]))

    @property
    def settings(self) -> str:
        """As in `robustness-logreg-shuffle-draws1`."""
        return f"robustness-logreg-shuffle-draws{self.draws}"

    @property
    def description(self) -> str:
        """One sentence for the report."""
        return (
            _PROBE.format(LinearProtocol().name)
            + "test pictures whose tiles are in another order, drawn anew for each "
            f"picture from the measurement seed ({self.draws} times); grids of 2 x 2, 2 x 4, 4 x 4, 4 x 8, 8 x 8, "
            "14 x 14 and 16 x 16 tiles, where they divide the picture: mean top-1 accuracy, overall and for each grid."
            + _REST
        )

    def views(self, data: EvaluationData, seed: int) -> Iterator[LabelledImages]:
        """One for each grid and draw."""
        from poa_bench.downstream.robustness import fitting_shuffles, shuffled

        for grid in fitting_shuffles(data.image_size):
            for draw in range(self.draws):
                yield shuffled(data.splits["test"], grid, draw, seed)

    def groups(self, data: EvaluationData) -> Mapping[str, Sequence[str]]:
        """By grid."""
        from poa_bench.downstream.robustness import fitting_shuffles

        names = [f"shuffle{rows}x{columns}" for rows, columns in fitting_shuffles(data.image_size)]
        return {f"{name}_top1": [f"{name}-{draw}" for draw in range(self.draws)] for name in names}


TASK = Task(
    "robustness",
    place=29,
    protocols=(CorruptionProtocol, OcclusionProtocol, ShuffleProtocol, ShiftProtocol),
    defaults=(CorruptionProtocol(), OcclusionProtocol(), ShuffleProtocol()),
    metrics={"mce": Metric("%", higher_is_better=False)},
)
