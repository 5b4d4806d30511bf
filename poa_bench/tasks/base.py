"""What a task is: a name, a place in reports, and protocols, each of which fixes everything that changes the number.

A protocol's name says its settings and is read back from them, so that the two cannot differ:
`KnnProtocol(k=20, temperature=0.07).name == "knn-k20-T0.07/1"`. The version after the slash rises whenever the code
that measures changes a number. Which class a protocol extends says what it measures on.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from poa_bench.runs.results import SIGNS, VALIDATION

if TYPE_CHECKING:
    from typing import Self  # Python 3.11

    from rich.progress import Progress
    from torch import Tensor, nn

    from poa_bench.downstream.features import Features, Key, Place
    from poa_bench.downstream.images import EvaluationData
    from poa_bench.downstream.labelled_images import LabelledImages
    from poa_bench.downstream.robustness import Onlooker
    from poa_bench.runs.galleries import Gallery
    from poa_bench.runs.outcomes import Outcome


class Metric(NamedTuple):
    """Unit and direction of a number; None where neither more nor less is better."""

    unit: str = "%"
    higher_is_better: bool | None = True

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is, else 0: of numbers times it, the larger is the better one."""
        return SIGNS[self.higher_is_better]


@dataclass
class Measurement:
    """What was found of one size.

    Attributes:
        metrics: by name, the primary one first.
        facts: what else the result says, such as which penalty was chosen.
        split: what the metrics are of.
        outcomes: what happened on each picture, by the name of the metric; its `score` is the metric.
        galleries: a handful of test pictures (`runs.galleries.handful`) with what was found of them.
    """

    metrics: dict[str, float]
    facts: dict[str, str | int | float] = field(default_factory=dict)
    split: str = "test"
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    galleries: Sequence[Gallery] = ()


@dataclass
class FrozenFeatures:
    """Class features of one size on one data set; of the raw pixels, for the control.

    Attributes:
        splits: `train` and `test`, and `val` where the data have one; labels are those of train.
        data: where the pictures are from.
        place: where to compute.
        seed: the measurement seed.
    """

    splits: dict[str, Features]
    data: EvaluationData
    place: Place
    seed: int = 0
    _made: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` returns, made once for all protocols of this size that ask for the same key."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def inputs(self, split: str) -> tuple[Tensor, Tensor]:
        """Features (N, D) float32 and labels (N,) int64 of a split, on the CPU."""
        return self.splits[split].features, self.splits[split].labels


class Protocol(ABC):
    """One way to measure; its subclasses are frozen dataclasses of the settings.

    Attributes:
        truth: what data it is for, see `EvaluationData`; None takes any.
        takes_pixels: whether it can be measured of raw pixels.
        version: of the code that measures; it rises whenever a number changes.
        pattern: regular expression of what a name says before the version; `parse` reads its groups.
        reads: entries of an evaluation config, of those that only some protocols look at, which change its number.
    """

    truth: ClassVar[str | None] = None
    takes_pixels: ClassVar[bool] = False
    version: ClassVar[int]
    pattern: ClassVar[str]
    reads: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    @abstractmethod
    def parse(cls, match: re.Match) -> Self:
        """The protocol whose settings match `pattern`."""

    @property
    @abstractmethod
    def settings(self) -> str:
        """The name without its version, as in `knn-k20-T0.07`."""

    @property
    @abstractmethod
    def description(self) -> str:
        """One sentence for the report."""

    @property
    def name(self) -> str:
        """Settings and version, as in `knn-k20-T0.07/1`."""
        return f"{self.settings}/{self.version}"


class FeatureProtocol(Protocol):
    """Measured on class features, which are extracted once for all protocols that need them.

    Attributes:
        takes_several_labels: whether pictures may have several labels each, rows (N, C) instead of numbers (N,).
    """

    takes_several_labels: ClassVar[bool] = False

    truth: ClassVar[str] = "classes"
    takes_pixels: ClassVar[bool] = True

    def measure(self, features: FrozenFeatures) -> Measurement:
        """Measure one size."""
        raise NotImplementedError(f"{type(self).__name__} has neither `measure` nor `measure_all`")

    @classmethod
    def measure_all(
        cls, protocols: Sequence[Self], features: FrozenFeatures
    ) -> Iterator[tuple[Self, Measurement | Exception]]:
        """Measure one size by several protocols of this class; for those that can share their work."""
        for protocol in protocols:
            try:
                yield protocol, protocol.measure(features)
            except Exception as error:  # handed on in full: the others must not end with it
                yield protocol, error


class ViewProtocol(FeatureProtocol):
    """Measured by a probe of clean features on views of test pictures; each view is extracted once for all sizes."""

    @abstractmethod
    def measure(self, features: FrozenFeatures) -> Onlooker:
        """What will look at the views; features are not kept."""

    @abstractmethod
    def views(self, data: EvaluationData, seed: int) -> Iterator[LabelledImages]:
        """The views, one after the other, each named by its `split`; nothing of them is kept."""

    @abstractmethod
    def conclude(self, onlooker: Onlooker, data: EvaluationData) -> Measurement:
        """What the onlooker found, after it has seen all views."""


class PictureProtocol(Protocol):
    """Measured by something that looks at pictures again and again; sizes share the decoding."""

    truth: ClassVar[str] = "classes"

    @abstractmethod
    def measure_sizes(
        self,
        networks: Mapping[Key, nn.Module],
        data: EvaluationData,
        place: Place,
        seed: int,
        progress: Progress | None = None,
    ) -> Iterator[tuple[Key, Measurement | Exception]]:
        """Measure sizes, each a stock network in evaluation mode."""


class NetworkProtocol(Protocol):
    """Measured on the network alone; no picture is opened."""

    @property
    def duration(self) -> float | None:
        """Seconds that it spends by its settings, whatever the network; None where they do not say it."""
        return None

    @abstractmethod
    def measure(self, network: nn.Module, image_size: int, place: Place) -> Measurement:
        """Measure one size, a stock network in evaluation mode, for square images of so many pixels."""


@dataclass(frozen=True)
class Task:
    """One thing that is measured of a size.

    Attributes:
        name: in results and on the command line.
        place: of its columns in reports, counted from the left.
        protocols: the classes of its protocols. None for what trains the network: there a config says the protocol, and
            measures (`measurement`, see `downstream/README.md`).
        defaults: its protocols where none is named, the main one first.
        is_cost: its numbers are costs of a network and no scores.
        metrics: unit and direction of those that are not percentages of which more is better, by the begin of their
            names.
        sentences: of protocols of configs, by the begin of their names.
    """

    name: str
    place: int = 50
    protocols: tuple[type[Protocol], ...] = ()
    defaults: tuple[Protocol, ...] = ()
    is_cost: bool = False
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    sentences: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_light(self) -> bool:
        """Whether many sizes are measured in one process, without training them."""
        return bool(self.protocols)

    @property
    def takes_pixels(self) -> bool:
        """Whether raw pixels can be measured, too."""
        return any(kind.takes_pixels for kind in self.protocols)

    def metric(self, name: str) -> Metric:
        """Unit and direction of a metric."""
        plain = name.removeprefix(VALIDATION)
        begins = [begin for begin in self.metrics if plain.startswith(begin)]
        return self.metrics[max(begins, key=len)] if begins else Metric()

    def units(self, metrics: Mapping[str, Any]) -> dict[str, str]:
        """The unit of each metric that has one."""
        return {name: unit for name in metrics if (unit := self.metric(name).unit)}

    def directions(self, metrics: Mapping[str, Any]) -> dict[str, bool | None]:
        """Whether more of each metric is better, None where neither is."""
        return {name: self.metric(name).higher_is_better for name in metrics}
