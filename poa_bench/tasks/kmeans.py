"""k-means: do clusters that were found without labels agree with the classes?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from poa_bench.tasks.base import FeatureProtocol, FrozenFeatures, Measurement, Task


@dataclass(frozen=True)
class KmeansProtocol(FeatureProtocol):
    """k-means with as many clusters as classes, see `poa_bench.downstream.clustering`.

    Attributes:
        fitted_on: `test`, whose pictures are clustered themselves (POA's and the field's way), or `train`, to whose
            centres the test pictures are assigned.
        repeats: of the random start; scores are means over them.
    """

    fitted_on: str = "test"
    repeats: int = 5

    version: ClassVar[int] = 1
    pattern: ClassVar[str] = r"kmeans-(?P<split>test|train)-r(?P<repeats>[1-9]\d*)"

    @classmethod
    def parse(cls, match: re.Match) -> KmeansProtocol:
        """The protocol of a name that matches `pattern`."""
        return cls(match["split"], int(match["repeats"]))

    @property
    def settings(self) -> str:
        """As in `kmeans-test-r5`."""
        return f"kmeans-{self.fitted_on}-r{self.repeats}"

    @property
    def description(self) -> str:
        """One sentence for the report."""
        whose = {"test": "test split", "train": "train split, to whose centres test pictures are assigned"}
        return (
            f"k-means on frozen class features of the {whose[self.fitted_on]}, with as many clusters as classes "
            f"and no labels, mean over {self.repeats} starts; accuracy under the best assignment of clusters to "
            "classes (Hungarian), normalised mutual information, adjusted Rand index, Fowlkes-Mallows index."
        )

    def measure(self, features: FrozenFeatures) -> Measurement:
        """Scores of one size."""
        from poa_bench.downstream.clustering import kmeans_scores

        fitted, _ = features.inputs(self.fitted_on)
        inputs, labels = features.inputs("test")
        classes = int(max(features.inputs(split)[1].max() for split in features.splits)) + 1
        scores, outcomes, spread = kmeans_scores(fitted, inputs, labels.numpy(), classes, self.repeats, features.seed)
        return Measurement(scores, {"accuracy_std": spread, "clusters": classes}, outcomes=outcomes)


TASK = Task("kmeans", place=25, protocols=(KmeansProtocol,), defaults=(KmeansProtocol(),))
