"""The labelled pictures of one split: decoded, resized and handed out in batches."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset, default_collate
from torchvision.transforms.v2 import functional as transforms

from poa_bench.errors import InputError

if TYPE_CHECKING:
    from poa_bench.downstream.images import EvaluationData

IN_MEMORY_BYTES = 2 * 2**30  # a split of at most this size is decoded once and kept as uint8


@dataclass
class LabelledImages:
    """One split.

    Attributes:
        data: what it is a split of.
        split: `train`, `val` or `test`.
        dataset: its pictures.
        label_map: label of train for each of the data set's labels; None takes these as they are.
        change: what is done to each picture (S, S, 3) uint8 of a name, after resizing; such pictures are not kept.
    """

    data: "EvaluationData"
    split: str
    dataset: Dataset
    label_map: np.ndarray | None = None
    change: Callable[[np.ndarray, str], np.ndarray] | None = None
    _kept: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def in_memory(self) -> bool:
        """Whether the decoded images are kept between passes."""
        return self.change is None and len(self) * 3 * self.data.image_size**2 <= IN_MEMORY_BYTES

    def read(self, position: int) -> tuple[Tensor, int | Tensor, str]:
        """One picture as it is stored (3, H, W) uint8, its label in train, and its name.

        A label is a number; of a picture with several labels a row (C,) int8, above 0 where it has the label.

        Raises:
            InputError: it cannot be decoded, or has no label.
        """
        item = self.dataset[position]
        name = item.get("name", f"image {position} of {self.split}")
        return item["inputs"], self._label(item, name), name

    def seen(self, position: int) -> Tensor:
        """One picture as networks see it before it is normalised, (3, S, S) uint8.

        Raises:
            InputError: see `batches`.
        """
        return _Decoded(self)[position][0]

    def labels(self, positions: Sequence[int] | None = None) -> Tensor:
        """Labels in train of these pictures (default: all), (N,) or (N, C); not decoded where possible."""
        info = getattr(self.dataset, "get_data_info", self.dataset.__getitem__)  # mmengine's data sets know labels
        positions = range(len(self)) if positions is None else positions
        return default_collate([self._label(info(each), f"image {each} of {self.split}") for each in positions])

    def part(self, positions: Sequence[int], split: str) -> "LabelledImages":
        """Some of the pictures as a split of its own."""
        return LabelledImages(self.data, split, Subset(self.dataset, positions), self.label_map)

    def changed(self, change: Callable[[np.ndarray, str], np.ndarray], split: str) -> "LabelledImages":
        """The same pictures, each changed after resizing, under another name of the split."""
        return LabelledImages(self.data, split, self.dataset, self.label_map, change)

    def _label(self, item: dict[str, Any], name: str) -> int | Tensor:
        if "label" not in item:
            raise InputError(f"{name} has no label: its entries are {', '.join(item)}; evaluation needs `label`")
        label = item["label"]
        if isinstance(label, int):
            return label if self.label_map is None else int(self.label_map[label])
        label = torch.as_tensor(label)
        if self.label_map is None:
            return label
        row = label.new_zeros(self.label_map.max() + 1)
        row[self.label_map[self.label_map >= 0]] = label[torch.from_numpy(self.label_map >= 0)]
        return row

    def batches(self, rank: int = 0, world: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, 3, S, S) uint8 and labels (B,) of every `world`-th image from `rank` on, in order.

        Raises:
            InputError: an image cannot be decoded, has another size than the config says, or has no label.
        """
        if self._kept:
            yield from self._kept
            return
        share = Subset(_Decoded(self), range(rank, len(self), world))
        kept = []
        for batch in DataLoader(share, self.data.batch_size, num_workers=self.data.workers):
            if self.in_memory:
                kept.append(batch)
            yield batch
        self._kept = kept


class _Decoded(Dataset):
    """Items (image uint8, label), resized and cropped."""

    def __init__(self, images: LabelledImages) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images.dataset)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        image, label, name = self.images.read(position)
        image = self._fit(image, name)
        if (change := self.images.change) is not None:
            image = torch.from_numpy(change(image.permute(1, 2, 0).numpy(), name)).permute(2, 0, 1)
        return image, label

    def _fit(self, image: Tensor, name: str) -> Tensor:
        data = self.images.data
        if data.resize is not None:
            mode = transforms.InterpolationMode(data.interpolation)
            image = transforms.resize(image, [data.resize], mode, antialias=True)
            image = transforms.center_crop(image, [data.image_size, data.image_size])
        if image.shape != (3, data.image_size, data.image_size) or image.dtype != torch.uint8:
            raise InputError(
                f"{name} is {tuple(image.shape)} {image.dtype}, not (3, {data.image_size}, {data.image_size}) "
                "torch.uint8: set `resize` and `image_size` in the evaluation config"
            )
        return image
