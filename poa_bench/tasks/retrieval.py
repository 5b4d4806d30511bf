"""Retrieval: are the nearest pictures of the same class?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from poa_bench.tasks.base import FeatureProtocol, FrozenFeatures, Measurement, Task


@dataclass(frozen=True)
class RetrievalProtocol(FeatureProtocol):
    """Mean average precision and recall of pictures of the same class, see `poa_bench.downstream.retrieval`.

    Attributes:
        gallery: what is searched: `test`, all other test pictures (leave one out), or `train`.
    """

    gallery: str = "test"

    version: ClassVar[int] = 1
    pattern: ClassVar[str] = r"retrieval-(?P<gallery>test|train)"
    depths: ClassVar[tuple[int, ...]] = (1, 5, 10)

    @classmethod
    def parse(cls, match: re.Match) -> RetrievalProtocol:
        """The protocol of a name that matches `pattern`."""
        return cls(match["gallery"])

    @property
    def settings(self) -> str:
        """As in `retrieval-test`."""
        return f"retrieval-{self.gallery}"

    @property
    def description(self) -> str:
        """One sentence for the report."""
        gallery = {"test": "all other test pictures", "train": "the train split"}[self.gallery]
        return (
            f"Each test picture is a query, {gallery} the gallery, ranked by cosine similarity of frozen class "
            "features; pictures of the same class are relevant. Mean average precision over queries, and the share of "
            "queries with a relevant picture among the first 1, 5 and 10."
        )

    def measure(self, features: FrozenFeatures) -> Measurement:
        """Scores of one size."""
        from poa_bench.downstream.retrieval import retrieval_scores

        own = self.gallery == "test"
        scores, outcomes, left_out = retrieval_scores(
            *features.inputs("test"), *features.inputs(self.gallery), self.depths, own, features.place.device
        )
        return Measurement(scores, {"queries_without_relevant": left_out}, outcomes=outcomes)


TASK = Task("retrieval", place=26, protocols=(RetrievalProtocol,), defaults=(RetrievalProtocol(),))
