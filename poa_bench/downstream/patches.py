"""Dense evaluation of frozen patch features: a head is fitted to patches of some pictures and predicts maps of others.

Many sizes share one pass over the pictures. Of the pictures that heads are fitted to, a bounded number of patches is
kept; those that are predicted pass by, a few at a time. So memory does not grow with the number of pictures.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from poa_bench.downstream.features import Key, Place, normalised
from poa_bench.downstream.patch_galleries import KeptPictures
from poa_bench.downstream.patch_maps import PatchExtractor, patch_features
from poa_bench.downstream.scenes import Scene, Scenes
from poa_bench.errors import InputError

Head = Callable[[Tensor], Tensor]  # features (N, D) on the device -> what is predicted (N, P), any device


class Truth(Protocol):
    """What is known of pixels, for patches and for predicted maps; see `label_maps.py` and `depth.py`."""

    def targets(self, truth: Tensor, size: Sequence[int], stride: int, grid: Sequence[int]) -> Tensor:
        """What is known of each patch, (h, w, T).

        Args:
            truth: of a `Scene`.
            size: height and width of its picture.
            stride: pixels from patch to patch.
            grid: rows and columns of patches.
        """

    def weights(self, targets: Tensor) -> Tensor:
        """The share of each patch's pixels that something is known of, (..., T) -> (...)."""

    def compare(self, predicted: Tensor, truth: Tensor) -> np.ndarray:
        """What a picture adds to the scores; predicted is (P, H', W') at the size of the truth, on any device."""

    def decided(self, predicted: Tensor) -> Tensor:
        """What is predicted as a map of the truth's kind, (P, H', W') -> (H', W')."""


@dataclass(frozen=True)
class View:
    """How patches of pictures are looked at; part of a protocol's name.

    Attributes:
        stride, context: see `patch_extractor`.
        overlap: windows begin every `1 / overlap` of their side; 0: pictures pass as a whole.
        patches: at most so many of all pictures that heads are fitted to (at least one of each picture).
    """

    stride: int
    context: bool
    overlap: int
    patches: int


@dataclass
class Patches:
    """Patches of some pictures.

    Attributes:
        features: (N, D) float32 on the CPU.
        targets: what is known of each, (N, T) float32, see `Truth.targets`.
        pictures: the positions of their pictures, (N,) int64.
    """

    features: Tensor
    targets: Tensor
    pictures: Tensor

    def of(self, pictures: Tensor) -> "Patches":
        """Those of these pictures."""
        chosen = torch.isin(self.pictures, pictures)
        return Patches(self.features[chosen], self.targets[chosen], self.pictures[chosen])

    def joined(self, others: "Patches") -> "Patches":
        """These and others."""
        return Patches(*(torch.cat(parts) for parts in zip(vars(self).values(), vars(others).values(), strict=True)))


@dataclass
class PatchPass:
    """Passes of many sizes over pictures.

    Attributes:
        extractors: of each size.
        view: how pictures are looked at.
        truth: what is known of them.
        place: where to compute.
        track: wraps batches of pictures to show how far it is.
        failures: takes the error of a size that fails, which is left out from then on.
        seconds: that each size spent in its network, by (size, None), and in each head, by (size, name).
    """

    extractors: Mapping[Key, PatchExtractor]
    view: View
    truth: Truth
    place: Place
    track: Callable[[Iterator, Scenes], Iterator] = lambda batches, _: batches
    failures: dict[Key, Exception] = field(default_factory=dict)
    seconds: dict[tuple[Key, Any], float] = field(default_factory=lambda: defaultdict(float))

    @torch.no_grad()
    def sample(self, scenes: Scenes, seed: int) -> dict[Key, Patches]:
        """Patches of all pictures of a split, drawn at random from those of which something is known.

        Which ones is a function of (seed, split, place of the picture) alone: the same for all sizes of a network.

        Raises:
            InputError: nothing is known of any patch.
        """
        quota = max(1, self.view.patches // len(scenes))
        features: dict[Key, list[Tensor]] = {key: [] for key in self.extractors}
        targets, pictures = [], []
        for batch in self.track(scenes.batches(), scenes):
            chosen = []
            for position, scene in batch:
                places, known = self._choose(scene, quota, (seed, sum(map(ord, scenes.split)), position))
                chosen.append(places)
                targets.append(known)
                pictures.append(torch.full((len(places),), position))
            for key, maps in self._maps(scenes, batch):
                features[key] += [map_.flatten(0, 1)[at].cpu() for map_, at in zip(maps, chosen, strict=True)]
        if not sum(map(len, targets)):
            raise InputError(
                f"nothing is known of any pixel of {scenes.data.name}'s {scenes.split} split: check its maps"
            )
        rest = torch.cat(targets), torch.cat(pictures)
        return {key: Patches(torch.cat(parts), *rest) for key, parts in features.items() if key not in self.failures}

    def _choose(self, scene: Scene, quota: int, key: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Places (n,) of patches of one picture, ascending, and their targets (n, T)."""
        extractor = next(iter(self.extractors.values()))  # all sizes of a network have the same grid
        size = scene.picture.shape[1:]
        grid = [-(-side // extractor.multiple) * extractor.multiple // extractor.stride for side in size]
        targets = self.truth.targets(scene.truth, size, extractor.stride, grid).flatten(0, 1)
        known = (self.truth.weights(targets) > 0).nonzero().squeeze(1)
        generator = torch.Generator().manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
        places = known[torch.randperm(len(known), generator=generator)[:quota]].sort().values
        return places, targets[places]

    @torch.no_grad()
    def compare(
        self,
        scenes: Scenes,
        heads: Mapping[Key, Mapping[Any, Head]],
        positions: Sequence[int] | None = None,
        kept: KeptPictures | None = None,
    ) -> dict[tuple[Key, Any], np.ndarray]:
        """Predict the maps of pictures, and compare them with what is known.

        Args:
            scenes: the split.
            heads: of each size, by any name.
            positions: of the pictures; all by default.
            kept: takes some of the pictures, with their patches and what is predicted.

        Returns:
            By size and name what `Truth.compare` says of each picture, one after the other.
        """
        rows: dict[tuple[Key, Any], list[np.ndarray]] = defaultdict(list)
        kept = kept or KeptPictures()
        for batch in self.track(scenes.batches(positions), scenes):
            for key, maps in self._maps(scenes, batch):
                kept.see(key, batch, maps)
                for name, head in heads.get(key, {}).items():
                    with self.guarded(key, name):
                        for predicted, (position, scene) in zip(_predicted(head, maps), batch, strict=True):
                            full = self._full_size(predicted, scene, self.extractors[key].stride)
                            rows[key, name].append(self.truth.compare(full, scene.truth))
                            kept.predict(key, name, position, partial(self.truth.decided, full))
        return {name: np.stack(of_pictures) for name, of_pictures in rows.items() if name[0] not in self.failures}

    def _full_size(self, predicted: Tensor, scene: Scene, stride: int) -> Tensor:
        """(h, w, P) -> (P, H', W') by mmseg's two steps: to the picture without its padding, and to the file's size."""
        height, width = scene.picture.shape[1:]
        maps = predicted.permute(2, 0, 1)[None].float()
        maps = F.interpolate(maps, scale_factor=stride, mode="bilinear")[..., :height, :width]
        if maps.shape[-2:] != scene.truth.shape:
            maps = F.interpolate(maps, scene.truth.shape, mode="bilinear")
        return maps[0]

    def _maps(self, scenes: Scenes, batch: Sequence[tuple[int, Scene]]) -> Iterator[tuple[Key, list[Tensor]]]:
        """Features (h, w, D) of a few pictures by each size that has not failed."""
        pictures = [normalised(scene.picture, scenes.data, self.place.device) for _, scene in batch]
        window = scenes.data.image_size if self.view.overlap else None
        for key in [key for key in self.extractors if key not in self.failures]:
            options = (self.place, window, max(self.view.overlap, 1), scenes.data.batch_size)
            with self.guarded(key):
                maps = patch_features(self.extractors[key], pictures, *options)
            if key not in self.failures:
                yield key, maps

    @contextmanager
    def guarded(self, key: Key, name: Any = None, errors: dict[Any, Exception] | None = None) -> Iterator[None]:
        """Counts seconds, and hands an error on in full: one size that needs too much memory must not end the others.

        Args:
            key: the size.
            name: of what of it is done.
            errors: takes an error that is of this (size, name) alone; the others are of the size.
        """
        start = time.perf_counter()
        try:
            yield
        except Exception as error:
            if errors is None:
                self.failures[key] = error
            else:
                errors[key, name] = error
        self.seconds[key, name] += time.perf_counter() - start


def _predicted(head: Head, maps: Sequence[Tensor]) -> list[Tensor]:
    """What a head predicts of each map (h, w, D), (h, w, P)."""
    counts = [map_.shape[0] * map_.shape[1] for map_ in maps]
    found = head(torch.cat([map_.flatten(0, 1) for map_ in maps])).split(counts)
    return [rows.view(*map_.shape[:2], -1) for rows, map_ in zip(found, maps, strict=True)]
