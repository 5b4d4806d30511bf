"""Rank: how many directions do features use? Quality without labels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from poa_bench.tasks.base import FeatureProtocol, FrozenFeatures, Measurement, Metric, Task


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
        import torch

        from poa_bench.downstream.spectrum import alpha_req, rank_me

        inputs, _ = features.inputs("train")
        chosen = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(features.seed))[: self.images]
        inputs = inputs[chosen].to(features.place.device)
        rank, width = rank_me(inputs), inputs.shape[1]
        metrics = {"rankme_share": 100 * rank / width, "rankme": rank}
        alpha = alpha_req(inputs)
        metrics |= {} if alpha is None else {"alpha_req": alpha}
        return Measurement(metrics, {"images": len(chosen), "width": width}, split="train")


TASK = Task(
    "rank",
    place=27,
    protocols=(RankProtocol,),
    defaults=(RankProtocol(),),
    metrics={"rankme": Metric(""), "rankme_share": Metric("%"), "alpha_req": Metric("", higher_is_better=None)},
)
