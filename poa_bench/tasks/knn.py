"""k-NN: a weighted vote of the nearest train pictures."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from poa_bench.runs.galleries import Gallery, handful, without_harm
from poa_bench.tasks.base import FeatureProtocol, FrozenFeatures, Measurement, Task


@dataclass(frozen=True)
class KnnProtocol(FeatureProtocol):
    """Weighted k-nearest-neighbour vote, see `poa_bench.downstream.knn`."""

    k: int = 20
    temperature: float = 0.07

    version: ClassVar[int] = 1
    pattern: ClassVar[str] = r"knn-k(?P<k>[1-9]\d*)-T(?P<temperature>\d*\.?\d+)"

    @classmethod
    def parse(cls, match: re.Match) -> KnnProtocol:
        """The protocol of a name that matches `pattern`."""
        return cls(int(match["k"]), float(match["temperature"]))

    @property
    def settings(self) -> str:
        """As in `knn-k20-T0.07`."""
        return f"knn-k{self.k}-T{self.temperature:g}"

    @property
    def description(self) -> str:
        """One sentence for the report."""
        return (
            f"Exact {self.k}-nearest-neighbour classification by cosine similarity of frozen class features, test "
            "split against the whole train split, with votes weighted by "
            f"softmax(similarity / {self.temperature:g}); nothing is selected."
        )

    @classmethod
    def measure_all(
        cls, protocols: Sequence[KnnProtocol], features: FrozenFeatures
    ) -> Iterator[tuple[KnnProtocol, Measurement | Exception]]:
        """All protocols for which the bank is large enough with one search; the others are refused one by one."""
        bank = len(features.splits["train"].labels)
        enough = [protocol for protocol in protocols if protocol.k <= bank]
        for together in [enough] * bool(enough) + [[protocol] for protocol in protocols if protocol.k > bank]:
            try:
                found = _measure(together, features)
            except Exception as error:  # handed on in full: the others must not end with it
                found = [error] * len(together)
            yield from zip(together, found, strict=True)


def _measure(protocols: Sequence[KnnProtocol], features: FrozenFeatures) -> list[Measurement]:
    """With `val_...` too, for choosing sizes, where there is a validation split."""
    from poa_bench.downstream.accuracy import accuracy_outcomes, chosen_by, of_ranks
    from poa_bench.downstream.knn import knn_ranks
    from poa_bench.downstream.linear import check_classes
    from poa_bench.downstream.neighbours import neighbour_gallery

    bank, labels = features.inputs("train")
    check_classes(labels, **{name: split.labels for name, split in features.splits.items() if name != "train"})
    votes = [(protocol.k, protocol.temperature) for protocol in protocols]
    measured = [Measurement({}) for _ in votes]
    for split in [name for name in ("test", "val") if name in features.splits]:
        queries, true = features.inputs(split)
        shown = handful(len(true)) if split == "test" else []
        voted = knn_ranks(bank, labels, queries, true, votes, shown, device=features.place.device)
        for found, of_vote in zip(measured, voted.ranks, strict=True):
            metrics, outcomes = of_ranks(of_vote, true), accuracy_outcomes(of_vote, true, split)
            found.metrics |= metrics if split == "test" else chosen_by(metrics)
            found.outcomes |= outcomes if split == "test" else chosen_by(outcomes)
        if split == "test":
            _draw(measured, partial(neighbour_gallery, features.data, shown, voted.nearest, true, labels))
    return measured


def _draw(measured: Sequence[Measurement], make: Callable[[], Gallery]) -> None:
    """One gallery for all: the nearest neighbours are the same for every k and temperature."""
    said: dict[str, str | int | float] = {}
    with without_harm(said):
        gallery = make()
        for found in measured:
            found.galleries = [gallery]
    for found in measured:
        found.facts |= said


TASK = Task("knn", place=10, protocols=(KnnProtocol,), defaults=(KnnProtocol(k=20), KnnProtocol(k=10)))
