"""Profile: what a size costs on this machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from poa_bench.tasks.base import Measurement, Metric, NetworkProtocol, Task

if TYPE_CHECKING:
    from torch import nn

    from poa_bench.downstream.features import Place


@dataclass(frozen=True)
class ProfileProtocol(NetworkProtocol):
    """Cost of one size, see `poa_bench.downstream.profile`.

    Attributes:
        batch_sizes: of the latencies.
        seconds: spent on each batch size, beside warm-up. A quarter gives medians as steady as 1 s does where a pass
            takes milliseconds, and is what sweeps over hundreds of sizes want.
    """

    batch_sizes: tuple[int, ...] = (1, 32)
    seconds: float = 1.0

    version: ClassVar[int] = 1
    pattern: ClassVar[str] = r"profile(?P<batches>(-b[1-9]\d*)+)(-s(?P<seconds>\d*\.?\d+))?"
    warm_up: ClassVar[int] = 5
    least_runs: ClassVar[int] = 20

    @classmethod
    def parse(cls, match: re.Match) -> ProfileProtocol:
        """The protocol of a name that matches `pattern`."""
        batch_sizes = tuple(int(size) for size in match["batches"].removeprefix("-b").split("-b"))
        return cls(batch_sizes, float(match["seconds"] or cls.seconds))

    @property
    def settings(self) -> str:
        """As in `profile-b1-b32`, or `profile-b1-b32-s0.25` where it is not 1 s."""
        window = "" if self.seconds == type(self).seconds else f"-s{self.seconds:g}"
        return f"profile{''.join(f'-b{size}' for size in self.batch_sizes)}{window}"

    @property
    def description(self) -> str:
        """One sentence for the report."""
        sizes = " and ".join(map(str, self.batch_sizes))
        return (
            f"Latency of the stock network of each size on this machine at batch {sizes}: percentiles over at least "
            f"{self.least_runs} forward passes or {self.seconds:g} s after {self.warm_up} for warm-up; MACs are the "
            "multiply-accumulates of all matrix products and convolutions, attention included. Measurements "
            "that other work disturbed are repeated, and marked if they stay disturbed."
        )

    @property
    def duration(self) -> float:
        """Warm-up apart."""
        return self.seconds * len(self.batch_sizes)

    def measure(self, network: nn.Module, image_size: int, place: Place) -> Measurement:
        """Latency and memory of the stock network."""
        from poa_bench.downstream.profile import profile_module

        metrics, facts = profile_module(network, image_size, self, place.device, place.amp)
        return Measurement(metrics, facts, split="random images")


TASK = Task(
    "profile",
    place=90,
    protocols=(ProfileProtocol,),
    defaults=(ProfileProtocol(),),
    is_cost=True,
    metrics={
        "latency": Metric("ms", higher_is_better=False),
        "memory": Metric("MB", higher_is_better=False),
        "images_per_second": Metric("images/s"),
    },
)
