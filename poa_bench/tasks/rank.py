"""Rank: how many directions do features use? Quality without labels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from poa_bench.tasks.base import FeatureProtocol, FrozenFeatures, Measurement, Metric, PictureProtocol, Task

if TYPE_CHECKING:
    from rich.progress import Progress
    from torch import nn

    from poa_bench.downstream.features import Key, Place
    from poa_bench.downstream.images import EvaluationData


@dataclass(frozen=True)
class RankProtocol(FeatureProtocol):
    """RankMe and alpha-ReQ of the train split's features, see `poa_bench.downstream.spectrum`.

    Attributes:
        images: at most so many, the first ones of a random order.
    """

    images: int = 25_600

    version: ClassVar[int] = 1
    takes_several_labels: ClassVar[bool] = True
    pattern: ClassVar[str] = r"rank-n(?P<images>[1-9]\d*)"

    @classmethod
    def parse(cls, match: re.Match) -> RankProtocol:
        """The protocol of a name that matches `pattern`."""
        return cls(int(match["images"]))

    @property
    def settings(self) -> str:
        """As in `rank-n25600`."""
        return f"rank-n{self.images}"

    @property
    def description(self) -> str:
        """One sentence for the report."""
        return (
            f"Without labels, on frozen class features of at most {self.images} train pictures: RankMe (exponential of "
            "the entropy of the singular values), also divided by the width, since wider networks have more directions "
            "to use; and alpha-ReQ, the slope at which the eigenvalues of the covariance fall (best near 1)."
        )

    def measure(self, features: FrozenFeatures) -> Measurement:
        """Scores of one size."""
        from poa_bench.downstream.spectrum import first_of, spectrum_scores

        inputs, _ = features.inputs("train")
        inputs = inputs[first_of(len(inputs), self.images, features.seed)].to(features.place.device)
        return Measurement(spectrum_scores(inputs), {"images": len(inputs), "width": inputs.shape[1]}, split="train")


@dataclass(frozen=True)
class LidarProtocol(PictureProtocol):
    """LiDAR of augmented train pictures, see `poa_bench.downstream.spectrum`.

    Attributes:
        images: at most so many, the first ones of a random order.
        views: of each.
    """

    images: int = 1000
    views: int = 50

    version: ClassVar[int] = 1
    pattern: ClassVar[str] = r"rank-lidar-n(?P<images>[1-9]\d*)-q(?P<views>[2-9]|[1-9]\d+)"

    @classmethod
    def parse(cls, match: re.Match) -> LidarProtocol:
        """The protocol of a name that matches `pattern`."""
        return cls(int(match["images"]), int(match["views"]))

    @property
    def settings(self) -> str:
        """As in `rank-lidar-n1000-q50`."""
        return f"rank-lidar-n{self.images}-q{self.views}"

    @property
    def description(self) -> str:
        """One sentence for the report."""
        return (
            f"Without labels, on frozen class features of {self.views} crops (8 to 100 % of the area, one in two "
            f"flipped) of at most {self.images} train pictures: LiDAR, exponential of the entropy of the eigenvalues "
            "of the covariance between pictures, whitened by that within them; also divided by the width."
        )

    def measure_sizes(
        self,
        networks: Mapping[Key, nn.Module],
        data: EvaluationData,
        place: Place,
        seed: int,
        progress: Progress | None = None,
    ) -> Iterator[tuple[Key, Measurement | Exception]]:
        """Views are made once for all sizes."""
        from poa_bench.downstream.spectrum import lidar
        from poa_bench.downstream.view_statistics import view_statistics

        failures: dict[Key, Exception] = {}
        found = view_statistics(networks, data, self.images, self.views, seed, place, failures)
        yield from failures.items()
        for key, (means, within) in found.items():
            score, (pictures, width) = lidar(means, within), means.shape
            facts = {"images": pictures, "width": width}
            yield key, Measurement({"lidar_share": 100 * score / width, "lidar": score}, facts, split="train")


TASK = Task(
    "rank",
    place=27,
    protocols=(RankProtocol, LidarProtocol),
    defaults=(RankProtocol(),),
    metrics={
        "rankme": Metric(""),
        "rankme_share": Metric("%"),
        "alpha_req": Metric("", higher_is_better=None),
        "lidar": Metric(""),
        "lidar_share": Metric("%"),
    },
)
