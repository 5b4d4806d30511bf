"""Linear probe: a classifier on frozen features, fitted to the minimum or trained step by step."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from poa_bench.tasks.base import FeatureProtocol, FrozenFeatures, Measurement, Task
from poa_bench.tasks.linear_sgd import LinearSgdProtocol

if TYPE_CHECKING:
    from poa_bench.downstream.linear import LinearAccuracy, Split


@dataclass(frozen=True)
class LinearProtocol(FeatureProtocol):
    """Linear probe by multinomial logistic regression, see `poa_bench.downstream.linear`."""

    grid: int = 13

    version: ClassVar[int] = 2  # 1 chose by accuracy
    pattern: ClassVar[str] = r"linear-logreg-grid(?P<grid>[1-9]\d*)-valsplit"
    strongest: ClassVar[float] = 1.0
    weakest: ClassVar[float] = 1e-6

    @classmethod
    def parse(cls, match: re.Match) -> LinearProtocol:
        """The protocol of a name that matches `pattern`."""
        return cls(int(match["grid"]))

    @property
    def settings(self) -> str:
        """As in `linear-logreg-grid13-valsplit`."""
        return f"linear-logreg-grid{self.grid}-valsplit"

    @property
    def regularisers(self) -> tuple[float, ...]:
        """The grid, strongest first, equally spaced in the logarithm."""
        if self.grid == 1:
            return (self.strongest,)
        ratio = (self.weakest / self.strongest) ** (1 / (self.grid - 1))
        return tuple(self.strongest * ratio**step for step in range(self.grid))

    @property
    def description(self) -> str:
        """One sentence for the report."""
        return (
            "Multinomial logistic regression on frozen class features of the train split, standardised per feature, "
            f"with the L2 penalty chosen among {self.grid} values from {self.strongest:g} to {self.weakest:g} by "
            "log-loss on a validation split (after two rises in a row, weaker ones are not tried); where that split "
            "was held out of train, the chosen one is fitted again to both; the test split is looked at once, with it "
            "(best_on_test_top1 is what choosing on the test split would have claimed)."
        )

    def measure(self, features: FrozenFeatures) -> Measurement:
        """The measurement seed matters only where the validation split is held out of train."""
        found, splits = probe(self, features)
        facts = {"regulariser": found.regulariser, "val_log_loss": found.val_log_loss}
        facts["val_images"] = len(splits["val"][1])
        return Measurement(found.metrics, facts, outcomes=found.outcomes)


def probe(protocol: LinearProtocol, features: FrozenFeatures) -> tuple[LinearAccuracy, dict[str, Split]]:
    """The fitted probe, and the splits that it was fitted, chosen and tested on; fitted once for all who ask."""
    from poa_bench.downstream.linear import linear_probe, val_split, validated

    def fit() -> tuple[LinearAccuracy, dict[str, Split]]:
        splits, held_out = validated(features)
        three = [splits[name] for name in ("train", "val", "test")]
        called = val_split(held_out, features.seed)
        return linear_probe(*three, protocol.regularisers, features.place.device, held_out, called), splits

    return features.once(protocol, fit)


TASK = Task("linear", place=20, protocols=(LinearProtocol, LinearSgdProtocol), defaults=(LinearProtocol(),))
