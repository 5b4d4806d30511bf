"""Named, versioned ways to measure; the name is part of every result row.

A protocol's name says its settings and is read back from them, so that the two cannot differ:
`KnnProtocol(k=20, temperature=0.07).name == "knn-k20-T0.07/1"`. The version after the slash rises whenever the code
that measures changes a number.
"""

import re
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, NamedTuple

from poa_bench.errors import InputError


@dataclass(frozen=True)
class KnnProtocol:
    """Weighted k-nearest-neighbour vote, see `poa_bench.downstream.knn`."""

    k: int = 20
    temperature: float = 0.07

    task: ClassVar[str] = "knn"
    version: ClassVar[int] = 1
    pattern: ClassVar[str] = rf"knn-k(?P<k>[1-9]\d*)-T(?P<temperature>\d*\.?\d+)/{version}"

    @classmethod
    def parse(cls, match: re.Match) -> "KnnProtocol":
        """The protocol of a name that matches `pattern`."""
        return cls(int(match["k"]), float(match["temperature"]))

    @property
    def name(self) -> str:
        """As in `knn-k20-T0.07/1`."""
        return f"knn-k{self.k}-T{self.temperature:g}/{self.version}"

    @property
    def description(self) -> str:
        """One sentence for the report."""
        return (
            f"Exact {self.k}-nearest-neighbour classification by cosine similarity of frozen class features, test "
            "split against the whole train split, with votes weighted by "
            f"softmax(similarity / {self.temperature:g}); nothing is selected."
        )


@dataclass(frozen=True)
class LinearProtocol:
    """Linear probe by multinomial logistic regression, see `poa_bench.downstream.linear`."""

    grid: int = 13

    task: ClassVar[str] = "linear"
    version: ClassVar[int] = 2  # 1 chose by accuracy
    pattern: ClassVar[str] = rf"linear-logreg-grid(?P<grid>[1-9]\d*)-valsplit/{version}"
    strongest: ClassVar[float] = 1.0
    weakest: ClassVar[float] = 1e-6

    @classmethod
    def parse(cls, match: re.Match) -> "LinearProtocol":
        """The protocol of a name that matches `pattern`."""
        return cls(int(match["grid"]))

    @property
    def name(self) -> str:
        """As in `linear-logreg-grid13-valsplit/2`."""
        return f"linear-logreg-grid{self.grid}-valsplit/{self.version}"

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
            "log-loss on a validation split (after two rises in a row, weaker ones are not tried), and fitted again to "
            "both where that was held out of train; the test split is looked at once, with the chosen one "
            "(best_on_test_top1 is what choosing on the test split would have claimed)."
        )


class Head(NamedTuple):
    """One head of the SGD linear probe: class features of the last `blocks` blocks, with `pooled` the patches' mean."""

    blocks: int
    pooled: bool
    rate: float  # for a batch of 256

    def __str__(self) -> str:
        return f"blocks {self.blocks}, {'patches' if self.pooled else 'no patches'}, rate {self.rate:g}"


@dataclass(frozen=True)
class LinearSgdProtocol:
    """DINOv2's linear probe, the one of POA's published numbers, see `poa_bench.downstream.linear_sgd`.

    Attributes:
        iterations, batch: of the training; the published ones.
        chosen_on: split whose accuracy picks the head: `val`, or `test` as it was done for the published numbers.
    """

    iterations: int = 12_500
    batch: int = 2048
    chosen_on: str = "val"

    task: ClassVar[str] = "linear"
    prefix: ClassVar[str] = "linear-sgd-"
    version: ClassVar[int] = 1
    pattern: ClassVar[str] = (
        rf"linear-sgd-i(?P<iterations>[1-9]\d*)-b(?P<batch>[1-9]\d*)-(?P<split>val|test)split/{version}"
    )
    rates: ClassVar[tuple[float, ...]] = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1)

    @classmethod
    def parse(cls, match: re.Match) -> "LinearSgdProtocol":
        """The protocol of a name that matches `pattern`."""
        return cls(int(match["iterations"]), int(match["batch"]), match["split"])

    @property
    def name(self) -> str:
        """As in `linear-sgd-i12500-b2048-valsplit/1`."""
        return f"linear-sgd-i{self.iterations}-b{self.batch}-{self.chosen_on}split/{self.version}"

    @property
    def heads(self) -> tuple[Head, ...]:
        """All that are trained; of equal ones the first is chosen."""
        return tuple(Head(*settings) for settings in product((1, 4), (False, True), self.rates))

    @property
    def description(self) -> str:
        """One sentence for the report."""
        chosen = {
            "val": "a validation split held out of train; the test split is looked at once, with the chosen one",
            "test": "the test split itself, as for the published numbers, so that the score is too high for new images",
        }[self.chosen_on]
        return (
            f"{len(self.heads)} linear heads on frozen features of one or four blocks, with and without the mean of "
            f"the patches, each with its learning rate, trained for {self.iterations} steps of {self.batch} randomly "
            "cropped and flipped pictures (SGD, momentum 0.9, cosine to 0); the best head is chosen by accuracy on "
            f"{chosen}."
        )


@dataclass(frozen=True)
class ProfileProtocol:
    """Cost of one size, see `poa_bench.downstream.profile`.

    Attributes:
        batch_sizes: of the latencies.
        seconds: spent on each batch size, beside warm-up. A quarter gives medians as steady as 1 s does where a pass
            takes milliseconds, and is what sweeps over hundreds of sizes want.
    """

    batch_sizes: tuple[int, ...] = (1, 32)
    seconds: float = 1.0

    task: ClassVar[str] = "profile"
    version: ClassVar[int] = 1
    pattern: ClassVar[str] = rf"profile(?P<batches>(-b[1-9]\d*)+)(-s(?P<seconds>\d*\.?\d+))?/{version}"
    warm_up: ClassVar[int] = 5
    least_runs: ClassVar[int] = 20

    @classmethod
    def parse(cls, match: re.Match) -> "ProfileProtocol":
        """The protocol of a name that matches `pattern`."""
        batch_sizes = tuple(int(size) for size in match["batches"].removeprefix("-b").split("-b"))
        return cls(batch_sizes, float(match["seconds"] or cls.seconds))

    @property
    def name(self) -> str:
        """As in `profile-b1-b32/1`, or `profile-b1-b32-s0.25/1` where it is not 1 s."""
        window = "" if self.seconds == type(self).seconds else f"-s{self.seconds:g}"
        return f"profile{''.join(f'-b{size}' for size in self.batch_sizes)}{window}/{self.version}"

    @property
    def description(self) -> str:
        """One sentence for the report."""
        sizes = " and ".join(map(str, self.batch_sizes))
        return (
            f"Latency of the stock network of each size on this machine at batch {sizes}: percentiles over at least "
            f"{self.least_runs} forward passes or {self.seconds:g} s after {self.warm_up} for warm-up; MACs are the "
            "multiply-accumulates of all matrix products and convolutions, attention included."
        )


VALIDATION = "val_"  # begins the name of a metric of the validation split, which sizes are chosen by
Protocol = KnnProtocol | LinearProtocol | LinearSgdProtocol | ProfileProtocol

KINDS: tuple[type[Protocol], ...] = (KnnProtocol, LinearProtocol, LinearSgdProtocol, ProfileProtocol)
DEFAULTS: dict[str, tuple[Protocol, ...]] = {
    "knn": (KnnProtocol(k=20), KnnProtocol(k=10)),
    "linear": (LinearProtocol(),),
    "profile": (ProfileProtocol(),),
}


def check_task(task: str) -> str:
    """Return the light task, or raise InputError if there is none of this name."""
    if task not in DEFAULTS:
        raise InputError(f"unknown task {task!r}: light evaluation knows {', '.join(DEFAULTS)}")
    return task


def todays(name: str) -> str:
    """The name with the version that this code measures, `linear-.../2` for `linear-.../1`; others stay as they are."""
    for kind in KINDS:
        newer = f"{name.rpartition('/')[0]}/{kind.version}"
        if re.fullmatch(kind.pattern, newer):
            return newer
    return name


def parse_protocol(name: str, task: str | None = None) -> Protocol:
    """The protocol of a name such as `knn-k20-T0.07/1`.

    Args:
        name: as in a result row.
        task: what it must measure; any by default.

    Raises:
        InputError: no protocol has such a name, or it belongs to another task.
    """
    kinds = [kind for kind in KINDS if task is None or kind.task == check_task(task)]
    for kind in kinds:
        if match := re.fullmatch(kind.pattern, name):
            return kind.parse(match)
    examples = ", ".join(kind().name for kind in kinds)
    raise InputError(
        f"unknown protocol {name!r}{f' of task {task}' if task else ''}: write it like {examples} (settings, then the "
        "version that this code measures)"
    )
