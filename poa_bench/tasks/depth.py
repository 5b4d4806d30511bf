"""Depth: linear regression of the logarithm of each patch's depth on its frozen features."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from poa_bench.tasks.base import Metric, Task
from poa_bench.tasks.linear import LinearProtocol
from poa_bench.tasks.patches import FrozenPatches, PatchProtocol

if TYPE_CHECKING:
    from poa_bench.downstream.patch_heads import Fitted


@dataclass(frozen=True)
class DepthProtocol(PatchProtocol):
    """Ridge regression of patches, see `poa_bench.downstream.depth`."""

    grid: int = 13

    version: ClassVar[int] = 1
    truth: ClassVar[str] = "depth_maps"
    pattern: ClassVar[str] = rf"depth-ridge-grid(?P<grid>[1-9]\d*)-{PatchProtocol.looks}"

    @classmethod
    def parse(cls, match: re.Match) -> DepthProtocol:
        """The protocol of a name that matches `pattern`."""
        return cls(grid=int(match["grid"]), **cls.looks_of(match))

    @property
    def settings(self) -> str:
        """As in `depth-ridge-grid13-s16-n100000-slide2`."""
        return f"depth-ridge-grid{self.grid}-{self.seen}"

    @property
    def regularisers(self) -> tuple[float, ...]:
        """The grid of the linear probe."""
        return LinearProtocol(self.grid).regularisers

    @property
    def description(self) -> str:
        """One sentence for the report."""
        return (
            "Ridge regression of the mean log(depth) of a train patch on its frozen features, in closed form, the "
            f"penalty chosen among {self.grid} values by the squared error on the patches of validation pictures; "
            "predictions are resized to the depth map's pixels, and errors are means over pictures (rmse in the unit "
            f"of the maps; less is better). {self.seen_described}"
        )

    def fit(self, patches: FrozenPatches) -> Fitted:
        """The heads of the chosen penalty."""
        from poa_bench.downstream.depth import ridge_heads

        return ridge_heads(patches.train, patches.val, self.regularisers, patches.place.device, refit=patches.held_out)


TASK = Task(
    "depth",
    place=56,
    protocols=(DepthProtocol,),
    defaults=(DepthProtocol(),),
    metrics={"rmse": Metric("m", higher_is_better=False), "abs_rel": Metric("%", higher_is_better=False)},
)
