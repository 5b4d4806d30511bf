"""Pictures with a map of what is known of each pixel: what dense evaluation of frozen features looks at.

Data sets are mmseg's, so that pictures and label maps are read as mmseg's training reads them (`reduce_zero_label`,
class names, turned pictures), or any whose items have `inputs` (3, H, W) uint8 RGB and `depth` (H, W) float32.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision.transforms.v2 import functional as transforms

from poa_bench.datasets.labels import classes_of, label_map
from poa_bench.downstream.images import LABEL_MAPS, EvaluationData, build_dataset
from poa_bench.downstream.labelled_images import IN_MEMORY_BYTES
from poa_bench.errors import InputError

IGNORE = 255  # a pixel of no class, as in mmseg
# of a data set of mmseg's whose config has none
_PIPELINE = [{"type": "LoadImageFromFile"}, {"type": "mmseg.LoadAnnotations"}]


class Scene(NamedTuple):
    """One picture.

    Attributes:
        picture: (3, H, W) uint8 RGB, as the network gets it.
        truth: at the size of the file: class numbers (H', W') int64, or depths float32; `IGNORE` or 0 is not known.
    """

    picture: Tensor
    truth: Tensor


@dataclass
class Scenes(Dataset):
    """One split.

    Attributes:
        data: what it is a split of.
        split: `train`, `val` or `test`.
        dataset: its pictures.
        classes: names of train's classes; none of depth maps.
        numbers: train's number of each of the split's classes; None takes these as they are.
    """

    data: EvaluationData
    split: str
    dataset: Dataset
    classes: tuple[str, ...] = ()
    numbers: np.ndarray | None = None
    _kept: list[Scene] = field(default_factory=list, repr=False)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, position: int) -> Scene:
        """One picture.

        Raises:
            InputError: picture and map differ in size, or the map has other numbers than those of classes.
        """
        item = self.dataset[position]
        name = item.get("img_path") or item.get("name", f"picture {position} of {self.split}")
        if self.data.truth == LABEL_MAPS:
            picture = torch.from_numpy(np.ascontiguousarray(item["img"][..., ::-1])).permute(2, 0, 1)
            truth = self._class_numbers(item["gt_seg_map"], name)
        else:
            picture, truth = item["inputs"], item["depth"]
        if picture.shape[1:] != truth.shape:
            sizes = f"{tuple(picture.shape[1:])}, its map {tuple(truth.shape)}"
            raise InputError(
                f"{name} has (height, width) {sizes}: they must be equal; `poa-bench check-data` finds all"
            )
        return Scene(self._fit(picture), truth)

    @property
    def is_small(self) -> bool:
        """Whether pictures of the usual shapes and their maps surely stay in memory after the first pass."""
        side = self.data.resize
        return side is not None and len(self) * 20 * side**2 <= IN_MEMORY_BYTES

    @property
    def parts(self) -> int:
        """Pictures that are read together."""
        return max(1, self.data.batch_size // 16)

    def batches(self, positions: range | list[int] | None = None) -> Iterator[list[tuple[int, Scene]]]:
        """Pictures with their positions, a few at a time; a split that is small is read once and kept."""
        positions = range(len(self)) if positions is None else positions
        if self._kept:
            found = ((place, self._kept[place]) for place in positions)
            while batch := list(islice(found, self.parts)):
                yield batch
            return
        kept, room = [], IN_MEMORY_BYTES if len(positions) == len(self) else 0
        loader = DataLoader(
            Subset(self, positions),
            self.parts,
            num_workers=self.data.workers,
            collate_fn=list,
            persistent_workers=False,
        )
        start = 0
        for scenes in loader:
            room -= sum(part.nbytes for scene in scenes for part in scene)
            kept = kept + scenes if room > 0 else []
            yield list(zip(positions[start : start + len(scenes)], scenes, strict=True))
            start += len(scenes)
        self._kept = kept if room > 0 else []

    def _class_numbers(self, values: np.ndarray, name: str) -> Tensor:
        known = len(classes_of(self.dataset) or self.classes)
        if values.ndim != 2 or ((values >= known) & (values != IGNORE)).any():
            wrong = f"the shape {values.shape}" if values.ndim != 2 else f"the value {values[values != IGNORE].max()}"
            raise InputError(
                f"the label map of {name} has {wrong}: it must have one number per pixel, 0 to {known - 1} or {IGNORE}"
                "; `poa-bench check-data` finds all"
            )
        if self.numbers is not None:
            table = np.full(IGNORE + 1, IGNORE)
            table[: len(self.numbers)] = self.numbers
            values = table[values]
        return torch.from_numpy(np.asarray(values)).long()

    def _fit(self, picture: Tensor) -> Tensor:
        if self.data.resize is None:
            return picture
        mode = transforms.InterpolationMode(self.data.interpolation)
        return transforms.resize(picture, [self.data.resize], mode, antialias=True)


def scenes_of(data: EvaluationData) -> dict[str, Scenes]:
    """`train`, `val` where the config has one, and `test`; classes are known by their names, as numbered in train.

    Raises:
        InputError: a data set is not there or empty, or a split has a class that train has not.
    """
    names = ("train", "test") if data.val is None else ("train", "val", "test")
    datasets = {name: build_dataset(dataset_config(data, name)) for name in names}
    if data.truth != LABEL_MAPS:
        return {name: Scenes(data, name, dataset) for name, dataset in datasets.items()}
    train = datasets["train"]
    if not (classes := classes_of(train)):
        raise InputError(f"the train split of {data.name} does not name its classes: set metainfo=dict(classes=[...])")
    return {
        name: Scenes(data, name, dataset, classes, label_map(dataset, train, f"the {name} split"))
        for name, dataset in datasets.items()
    }


def dataset_config(data: EvaluationData, split: str) -> dict[str, Any]:
    """The config of a split's data set; label maps are read as mmseg does where it says no pipeline."""
    config = getattr(data, split)
    return {"pipeline": _PIPELINE, **config} if data.truth == LABEL_MAPS else config
