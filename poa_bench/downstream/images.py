"""The labelled images of an evaluation: read once, for all sizes.

An evaluation config has one entry, `evaluation = dict(name=..., image_size=..., train=..., test=...)`, see
`EvaluationData`. Those that come with the project are `configs/_base_/datasets/evaluation_<name>.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision.transforms.v2 import functional as transforms

from poa_bench.config_files import evaluation_configs, read_config
from poa_bench.datasets.labels import label_map
from poa_bench.errors import InputError
from poa_bench.registry import DATASETS

IN_MEMORY_BYTES = 2 * 2**30  # a split of at most this size is decoded once and kept as uint8


@dataclass(frozen=True)
class EvaluationData:
    """What the images of an evaluation are.

    Attributes:
        name: of the data set, in result rows.
        image_size: side in pixels of what the network sees.
        train, test: data set configs; items are dict(inputs=(3, H, W) uint8 RGB, label=int).
        val: data set config whose pictures show other originals than train; None holds `val_share` out of train.
        val_share: part of train that becomes the validation split where there is none.
        resize: length in pixels of the shorter side before the central crop to `image_size`; None: images have that
            size already.
        mean, std: per channel of pixels in 0..255; the ones of pre-training.
        batch_size: images per forward pass.
        workers: processes that decode.
    """

    name: str
    image_size: int
    train: dict[str, Any]
    test: dict[str, Any]
    val: dict[str, Any] | None = None
    val_share: float = 0.1
    resize: int | None = None
    mean: tuple[float, ...] = (123.675, 116.28, 103.53)
    std: tuple[float, ...] = (58.395, 57.12, 57.375)
    batch_size: int = 256
    workers: int = 0

    @classmethod
    def load(cls, source: str | Path, options: dict[str, Any] | None = None) -> "EvaluationData":
        """Read an evaluation config: a file, or the name of one that comes with the project (`digits`).

        Args:
            source: the file or the name.
            options: values that replace the file's, `{"evaluation.workers": 8}`.

        Raises:
            InputError: no such file, or an entry is missing or unknown.
        """
        config = read_config(_find(source), options)
        if "evaluation" not in config:
            raise InputError(f"{source} is no evaluation config: it has no entry `evaluation = dict(...)`")
        try:
            return cls(**config.to_dict()["evaluation"])
        except TypeError as error:
            fields = ", ".join(cls.__dataclass_fields__)
            raise InputError(f"evaluation config {source}: {error}; its entries are {fields}") from error

    @cached_property
    def splits(self) -> dict[str, "LabelledImages"]:
        """`train`, `val` and `test`; a validation split that is held out of train is a part of `train` there.

        Classes are known by their names: all splits have the labels of `train`.

        Raises:
            InputError: a data set is not there or empty, or a split has a class that train has not.
        """
        names = ("train", "test") if self.val is None else ("train", "val", "test")
        datasets = {name: _build(getattr(self, name)) for name in names}
        return {
            name: LabelledImages(self, name, dataset, label_map(dataset, datasets["train"], f"the {name} split"))
            for name, dataset in datasets.items()
        }


@dataclass
class LabelledImages:
    """One split.

    Attributes:
        data: what it is a split of.
        split: `train`, `val` or `test`.
        dataset: its pictures.
        label_map: label of train for each of the data set's labels; None takes these as they are.
    """

    data: EvaluationData
    split: str
    dataset: Dataset
    label_map: np.ndarray | None = None
    _kept: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def in_memory(self) -> bool:
        """Whether the decoded images are kept between passes."""
        return len(self) * 3 * self.data.image_size**2 <= IN_MEMORY_BYTES

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
        item = self.images.dataset[position]
        name = item.get("name", f"image {position} of {self.images.split}")
        if "label" not in item:
            raise InputError(f"{name} has no label: its entries are {', '.join(item)}; evaluation needs `label`")
        label = item["label"] if self.images.label_map is None else int(self.images.label_map[item["label"]])
        return self._fit(item["inputs"], name), label

    def _fit(self, image: Tensor, name: str) -> Tensor:
        data = self.images.data
        if data.resize is not None:
            image = transforms.resize(image, [data.resize], transforms.InterpolationMode.BICUBIC, antialias=True)
            image = transforms.center_crop(image, [data.image_size, data.image_size])
        if image.shape != (3, data.image_size, data.image_size) or image.dtype != torch.uint8:
            raise InputError(
                f"{name} is {tuple(image.shape)} {image.dtype}, not (3, {data.image_size}, {data.image_size}) "
                "torch.uint8: set `resize` and `image_size` in the evaluation config"
            )
        return image


def _find(source: str | Path) -> Path:
    if Path(source).is_file():
        return Path(source)
    configs = evaluation_configs()
    if str(source) not in configs:
        raise InputError(
            f"there is no data set {str(source)!r}: give the path of an evaluation config or {list(configs)}"
        )
    return configs[str(source)]


def _build(config: dict[str, Any]) -> Dataset:
    dataset = DATASETS.build(dict(config))
    if len(dataset) == 0:
        raise InputError(f"the data set {config} is empty")
    return dataset
