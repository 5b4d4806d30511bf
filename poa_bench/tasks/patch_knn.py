"""Label transfer: a patch gets the labels of the nearest train patches, and no training is needed for a label map."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from poa_bench.tasks.base import Task
from poa_bench.tasks.patches import FrozenPatches, PatchProtocol

if TYPE_CHECKING:
    from poa_bench.downstream.patch_heads import Fitted


@dataclass(frozen=True)
class PatchKnnProtocol(PatchProtocol):
    """Weighted vote of the nearest patches (HummingBird's evaluation), see `poa_bench.downstream.patch_heads`."""

    k: int = 30
    temperature: float = 0.02

    version: ClassVar[int] = 1
    truth: ClassVar[str] = "label_maps"
    pattern: ClassVar[str] = rf"patch-knn-k(?P<k>[1-9]\d*)-T(?P<temperature>\d*\.?\d+)-{PatchProtocol.looks}"

    @classmethod
    def parse(cls, match: re.Match) -> PatchKnnProtocol:
        """The protocol of a name that matches `pattern`."""
        return cls(k=int(match["k"]), temperature=float(match["temperature"]), **cls.looks_of(match))

    @property
    def settings(self) -> str:
        """As in `patch-knn-k30-T0.02-s16-n100000-slide2`."""
        return f"patch-knn-k{self.k}-T{self.temperature:g}-{self.seen}"

    @property
    def description(self) -> str:
        """One sentence for the report."""
        return (
            "Label transfer between frozen patch features: each test patch gets the mean of the labels of the "
            f"{self.k} most similar train patches (cosine, exact search), weighted by softmax(similarity / "
            f"{self.temperature:g}), and these are resized to the label map's pixels; nothing is selected. "
            f"{self.seen_described}"
        )

    def fit(self, patches: FrozenPatches) -> Fitted:
        """Banks; that of the test split has the pictures that were held out, too."""
        from poa_bench.downstream.patch_heads import Fitted, voting_head

        banks = [patches.train, patches.train.joined(patches.val) if patches.held_out else patches.train]
        of_val, of_test = (voting_head(bank, self.k, self.temperature, patches.place.device) for bank in banks)
        return Fitted(of_val, of_test, {"bank_patches": len(banks[1].features)})


TASK = Task("patch-knn", place=52, protocols=(PatchKnnProtocol,), defaults=(PatchKnnProtocol(),))
