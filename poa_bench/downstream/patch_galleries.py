"""Galleries of dense evaluation on frozen features: predicted maps, and the principal components of patches."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from poa_bench.downstream.drawing import (
    DEPTH_MAPS_NAMED,
    LABEL_MAPS_NAMED,
    component_colours,
    depth_maps_drawn,
    drawn,
    enlarged,
    fitted,
    label_maps_drawn,
    shrunk,
)
from poa_bench.runs.galleries import Gallery, Row

if TYPE_CHECKING:
    from poa_bench.downstream.scenes import Scene, Scenes

GRID = 24  # patches along the longer side that are looked at for components; more are thinned out evenly
_COMPONENTS = (
    "Principal components of patches",
    "test picture",
    "The first three principal components of the patch features of these pictures together, as red, green and blue: "
    "patches of like colours are alike to this network. Colours of two networks mean different things.",
)


@dataclass
class KeptPictures:
    """Some pictures of a split that passes by, with patches of each size and what heads predict.

    Attributes:
        positions: of the pictures.
        scenes: by position.
        maps: patch features (h, w, D) on the CPU, every so many-th, and how many, by size and position.
        predicted: maps of the truth's kind, no larger than they are drawn, by size, name of the head, and position.
    """

    positions: Sequence[int] = ()
    scenes: dict[int, Scene] = field(default_factory=dict)
    maps: dict[Hashable, dict[int, tuple[Tensor, int]]] = field(default_factory=dict)
    predicted: dict[tuple[Hashable, Any], dict[int, Tensor]] = field(default_factory=dict)

    def see(self, key: Hashable, batch: Sequence[tuple[int, Scene]], maps: Sequence[Tensor]) -> None:
        """Keep patches of one size."""
        for (position, scene), map_ in zip(batch, maps, strict=True):
            if position in self.positions:
                step = -(-max(map_.shape[:2]) // GRID)
                self.scenes[position] = scene
                self.maps.setdefault(key, {})[position] = map_[::step, ::step].contiguous().cpu(), step

    def predict(self, key: Hashable, name: Any, position: int, make: Callable[[], Tensor]) -> None:
        """Keep what a head predicts."""
        if position in self.positions:
            self.predicted.setdefault((key, name), {})[position] = shrunk(make().cpu())


def components(kept: KeptPictures, key: Hashable, stride: int) -> Gallery:
    """The components of a size whose patches have `stride` pixels."""
    maps = sorted(kept.maps[key].items())
    coloured = component_colours([map_ for _, (map_, _) in maps])
    rows = []
    for (position, (_, step)), colours in zip(maps, coloured, strict=True):
        picture = kept.scenes[position].picture
        found = drawn(enlarged(colours, stride * step, picture))
        rows.append(Row(name=_called(position), truth=drawn(fitted(picture)), found=found))
    return _gallery(_COMPONENTS, rows)


def predicted_maps(kept: KeptPictures, key: Hashable, name: Any, scenes: Scenes) -> Gallery:
    """What a head of a size predicts, beside the truth; `scenes` are of train, which number the classes."""
    rows = []
    for position, found in sorted(kept.predicted[key, name].items()):
        picture, truth = kept.scenes[position]
        if scenes.classes:
            given = getattr(scenes.dataset, "metainfo", {}).get("palette")
            pair = label_maps_drawn(picture, truth, found, scenes.classes, given)
        else:
            pair = depth_maps_drawn(picture, truth, found)
        rows.append(Row(name=_called(position), truth=pair[0], found=pair[1]))
    return _gallery(LABEL_MAPS_NAMED if scenes.classes else DEPTH_MAPS_NAMED, rows)


def _called(position: int) -> str:
    return f"test picture {position}"


def _gallery(named: tuple[str, str, str], rows: Sequence[Row]) -> Gallery:
    return Gallery(name=named[0], truth=named[1], about=named[2], rows=tuple(rows))
