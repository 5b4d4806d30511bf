"""Logistic regression: the field's fine-grained, few-shot and few-label evaluation of frozen features."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import mean, stdev
from typing import TYPE_CHECKING, ClassVar

from poa_bench.errors import InputError
from poa_bench.tasks.base import FeatureProtocol, FrozenFeatures, Measurement, Task

if TYPE_CHECKING:
    from poa_bench.downstream.linear import Split

LEAST_DRAWS = 2  # of fewer there is no spread


@dataclass(frozen=True)
class LogisticProtocol(FeatureProtocol):
    """L2 logistic regression, see `poa_bench.downstream.logistic`.

    Attributes:
        grid: values of C between 1e-6 and 1e5.
        labels: `all`; `shot5`: five pictures of each class; `share10`: ten percent of each class.
        draws: of the few pictures; scores are means over them.
    """

    grid: int = 45
    labels: str = "all"
    draws: int = 5

    version: ClassVar[int] = 1
    takes_several_labels: ClassVar[bool] = True
    reads: ClassVar[frozenset[str]] = frozenset({"metric"})
    pattern: ClassVar[str] = (
        r"logistic-c(?P<grid>[1-9]\d*)-(all|(?P<few>shot[1-9]\d*|share\d*\.?\d+)x(?P<draws>[1-9]\d*))"
    )

    @classmethod
    def parse(cls, match: re.Match) -> LogisticProtocol:
        """The protocol of a name that matches `pattern`."""
        return cls(int(match["grid"]), match["few"] or "all", int(match["draws"] or cls.draws))

    @property
    def settings(self) -> str:
        """As in `logistic-c45-all`, `logistic-c45-shot5x5`, `logistic-c45-share10x5`."""
        return f"logistic-c{self.grid}-{self.labels}" + (f"x{self.draws}" if self.labels != "all" else "")

    @property
    def strengths(self) -> list[float]:
        """Values of C, weakest first, equally spaced in the logarithm."""
        steps = max(self.grid - 1, 1)
        return [10 ** (-6 + 11 * step / steps) for step in range(self.grid)]

    @property
    def description(self) -> str:
        """One sentence for the report."""
        few = "" if self.labels == "all" else f", on {self._few()}, mean over {self.draws} draws"
        again = ", then fitted again to train and validation" if self.labels == "all" else ""
        return (
            f"L2-regularised multinomial logistic regression on normalised frozen class features{few}; C is chosen "
            f"among {self.grid} values from 1e-6 to 1e5 by accuracy on a validation split (or by the mean "
            f"accuracy of the classes or the 11-point mAP of one classifier per class, where the data set requires "
            f"it){again} (DINOv2's protocol)."
        )

    def _few(self) -> str:
        kind, number = self._kind_and_number()
        return f"{number} pictures of each class" if kind == "shot" else f"{number} % of the labels"

    def _kind_and_number(self) -> tuple[str, str]:
        return re.fullmatch(r"(shot|share)(.*)", self.labels).groups()

    def measure(self, features: FrozenFeatures) -> Measurement:
        """Scores of one size."""
        from poa_bench.downstream.accuracy import accuracy_outcomes
        from poa_bench.downstream.linear import val_split, validated
        from poa_bench.downstream.logistic import logistic_regression

        judge = features.data.metric or "top1"
        if (judge == "map11") != (features.inputs("train")[1].ndim > 1):
            raise InputError(
                f"evaluation.metric is {judge!r}: it is 'map11' where pictures have several labels, only there"
            )
        if judge == "map11":
            return self._of_several_labels(features)
        splits, held_out = validated(features)
        rest = (splits["val"], splits["test"], self.strengths)
        if self.labels == "all":
            found = [logistic_regression(splits["train"], *rest, judge, device=features.place.device)]
        else:
            found = [
                logistic_regression(few, *rest, judge, refit=False, device=features.place.device)
                for few in self._draws(splits["train"], features.seed)
            ]
        metrics = {name: mean(each.accuracies[name] for each in found) for name in found[0].accuracies}
        metrics = {judge: metrics[judge]} | metrics  # the primary one stands first
        metrics[f"val_{judge}"] = mean(each.validation[judge] for each in found)
        facts = {"C": found[0].strength} if len(found) == 1 else {"draws": len(found)}
        if len(found) >= LEAST_DRAWS:
            facts[f"{judge}_std"] = stdev(each.accuracies[judge] for each in found)
        outcomes = accuracy_outcomes([each.ranks for each in found], splits["test"][1])
        judged = ([each.val_ranks for each in found], splits["val"][1], val_split(held_out, features.seed))
        outcomes[f"val_{judge}"] = accuracy_outcomes(*judged)[judge]
        return Measurement(metrics, facts, outcomes=outcomes)

    def _of_several_labels(self, features: FrozenFeatures) -> Measurement:
        from poa_bench.downstream.several_labels import classwise_regression

        if "val" not in features.splits or self.labels != "all":
            raise InputError(
                f"{self.name} on pictures with several labels needs all labels and a validation split: name it by "
                "evaluation.val, and the protocol logistic-c45-all"
            )
        splits = [features.inputs(name) for name in ("train", "val", "test")]
        found = classwise_regression(*splits, self.strengths, features.place.device)
        outcomes = {"map11": found.test, "val_map11": found.validation}
        return Measurement(
            {name: outcome.score for name, outcome in outcomes.items()}, {"C": found.strength}, outcomes=outcomes
        )

    def _draws(self, train: Split, seed: int) -> Iterator[Split]:
        from numpy.random import SeedSequence

        from poa_bench.datasets.draws import drawn

        kind, number = self._kind_and_number()
        wanted = {"shots": int(number)} if kind == "shot" else {"share": float(number) / 100}
        for draw in range(self.draws):
            chosen = drawn(train[1], int(SeedSequence((seed, draw)).generate_state(1)[0]), **wanted)
            yield train[0][chosen], train[1][chosen]


TASK = Task("logistic", place=22, protocols=(LogisticProtocol,), defaults=(LogisticProtocol(),))
