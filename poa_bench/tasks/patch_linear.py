"""Linear segmentation: a linear classifier of frozen patch features, fitted to the minimum in seconds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from poa_bench.tasks.base import Task
from poa_bench.tasks.linear import LinearProtocol
from poa_bench.tasks.patches import FrozenPatches, PatchProtocol

if TYPE_CHECKING:
    from poa_bench.downstream.patch_heads import Fitted


@dataclass(frozen=True)
class PatchLinearProtocol(PatchProtocol):
    """Multinomial logistic regression of patches, see `poa_bench.downstream.patch_heads`.

    Attributes:
        grid: penalties.
        balance: a class weighs its share of the train patches to the power of -balance.
    """

    grid: int = 13
    balance: float = 0.0

    version: ClassVar[int] = 1
    truth: ClassVar[str] = "label_maps"
    pattern: ClassVar[str] = rf"patch-linear-grid(?P<grid>[1-9]\d*)(-b(?P<balance>\d*\.?\d+))?-{PatchProtocol.looks}"

    @classmethod
    def parse(cls, match: re.Match) -> PatchLinearProtocol:
        """The protocol of a name that matches `pattern`."""
        return cls(grid=int(match["grid"]), balance=float(match["balance"] or 0), **cls.looks_of(match))

    @property
    def settings(self) -> str:
        """As in `patch-linear-grid13-s16-n100000-slide2` and `patch-linear-grid13-b0.5-s16-n100000-slide2`."""
        return f"patch-linear-grid{self.grid}" + (f"-b{self.balance:g}" if self.balance else "") + f"-{self.seen}"

    @property
    def regularisers(self) -> tuple[float, ...]:
        """The grid of the linear probe."""
        return LinearProtocol(self.grid).regularisers

    @property
    def description(self) -> str:
        """One sentence for the report."""
        weights = f", classes weighted by frequency ^ -{self.balance:g}" * bool(self.balance)
        return (
            "Linear segmentation: multinomial logistic regression of the share of each class in a train patch on its "
            f"frozen features, fitted to convergence{weights}, with the L2 penalty chosen among {self.grid} values by "
            "log-loss on the patches of validation pictures (and fitted again to both where these were held out "
            f"of train); logits are resized to the label map's pixels. {self.seen_described}"
        )

    def fit(self, patches: FrozenPatches) -> Fitted:
        """The heads of the chosen penalty."""
        from poa_bench.downstream.patch_heads import linear_heads

        return linear_heads(
            patches.train,
            patches.val,
            self.regularisers,
            patches.place.device,
            refit=patches.held_out,
            balance=self.balance,
        )


TASK = Task("patch-linear", place=54, protocols=(PatchLinearProtocol,), defaults=(PatchLinearProtocol(),))
