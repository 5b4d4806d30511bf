"""What dense protocols on frozen features have in common: how they look at pictures, which their names say."""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from poa_bench.tasks.base import Protocol

if TYPE_CHECKING:
    from poa_bench.downstream.features import Place
    from poa_bench.downstream.patch_heads import Fitted
    from poa_bench.downstream.patches import Patches


@dataclass
class FrozenPatches:
    """Patches of one size on one data set.

    Attributes:
        train, val: of the pictures that a head is fitted to, and of those by which is chosen.
        held_out: whether the latter were held out of train, so that the last head may be fitted to both.
        place: where to compute.
    """

    train: Patches
    val: Patches
    held_out: bool
    place: Place


@dataclass(frozen=True)
class PatchProtocol(Protocol):
    """Measured on patch features of pictures with maps, extracted once for all protocols that look at pictures alike.

    Attributes:
        stride: the last map of the network; where that is coarser than so many pixels, see
            `patch_maps.patch_extractor`.
        context: patches have the class feature of their window, too.
        patches: at most so many of the train split are used.
        overlap: pictures pass in windows that begin every `1 / overlap` of their side; 0: as a whole.
        looks: the end of `pattern`, which says these settings.
    """

    stride: int = 16
    context: bool = False
    patches: int = 100_000
    overlap: int = 2

    takes_pixels: ClassVar[bool] = True
    reads: ClassVar[frozenset[str]] = frozenset({"truth"})
    looks: ClassVar[str] = (
        r"s(?P<stride>[1-9]\d*)(?P<context>cls)?-n(?P<patches>[1-9]\d*)-(whole|slide(?P<overlap>[1-9]\d*))"
    )

    @staticmethod
    def looks_of(match: re.Match) -> dict[str, Any]:
        """The settings that `looks` found, by name."""
        numbers = {name: int(match[name] or 0) for name in ("stride", "patches", "overlap")}
        return {**numbers, "context": match["context"] is not None}

    @property
    def seen(self) -> str:
        """The end of the name, as in `s16-n100000-slide2` and `s8cls-n100000-whole`."""
        windows = f"slide{self.overlap}" if self.overlap else "whole"
        return f"s{self.stride}{'cls' * self.context}-n{self.patches}-{windows}"

    @property
    def seen_described(self) -> str:
        """The end of a sentence for the report."""
        windows = (
            f"each patch is a Gaussian-weighted mean over windows of the pre-training's size, placed every "
            f"1/{self.overlap} of their side"
        )
        return (
            f"Patches are taken from the last map (joined by all maps of {self.stride} px a patch or more, where it is "
            f"coarser){', each with the class feature beside it' * self.context}; "
            f"{windows if self.overlap else 'pictures are seen whole, with interpolated positions'}; at most "
            f"{self.patches} patches of the train split are used."
        )

    def passes(self, side: int | None, window: int) -> float:
        """How many windows' worth of pixels a network sees of a square picture of this side (None: of one window)."""
        side = max(side or window, window)
        return (((side - window) * self.overlap / window + 1) if self.overlap else side / window) ** 2

    @abstractmethod
    def fit(self, patches: FrozenPatches) -> Fitted:
        """The heads whose predictions of maps are compared with the truth."""
