"""The labelled images of an evaluation: read once, for all sizes.

An evaluation config has one entry, `evaluation = dict(name=..., train=..., test=...)`, see `EvaluationData`. Those that
come with the project are `configs/_base_/datasets/evaluation_<name>.py`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision.transforms.v2 import functional as transforms

from poa_bench.config_files import evaluation_configs, read_config
from poa_bench.config_values import check_call, check_parts
from poa_bench.datasets.labels import label_map
from poa_bench.elastic.preprocessing import INTERPOLATIONS, Preprocessing, differing
from poa_bench.errors import InputError
from poa_bench.registry import DATASETS

IN_MEMORY_BYTES = 2 * 2**30  # a split of at most this size is decoded once and kept as uint8


@dataclass(frozen=True)
class EvaluationData:
    """What the images of an evaluation are.

    How they become inputs is a fact of the network's training, which `resolved` fills in; a config may say otherwise.

    Attributes:
        name: of the data set, in result rows.
        train, test: data set configs; items are dict(inputs=(3, H, W) uint8 RGB, label=int).
        val: data set config whose pictures show other originals than train; None holds `val_share` out of train.
        val_share: part of train that becomes the validation split where there is none.
        image_size: side in pixels of what the network sees.
        resize: length in pixels of the shorter side before the central crop to `image_size`.
        mean, std: per channel of pixels in 0..255.
        interpolation: of the resizing, `bicubic` or `bilinear`.
        batch_size: images per forward pass.
        workers: processes that decode.
    """

    name: str
    train: dict[str, Any]
    test: dict[str, Any]
    val: dict[str, Any] | None = None
    val_share: float = 0.1
    image_size: int | None = None
    resize: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    interpolation: str | None = None
    batch_size: int = 256
    workers: int = 0

    def __post_init__(self) -> None:
        if self.interpolation not in (None, *INTERPOLATIONS):
            raise InputError(f"evaluation.interpolation is {self.interpolation!r}: use {' or '.join(INTERPOLATIONS)}")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values is not None and (len(values) != 3 or (name == "std" and min(values) <= 0)):
                raise InputError(f"evaluation.{name} is {values}: it must be 3 numbers{' above 0' * (name == 'std')}")
        if not 0 < self.val_share < 1:
            raise InputError(f"evaluation.val_share is {self.val_share}: it must lie between 0 and 1")

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
        entry = config.to_dict()["evaluation"]
        check_call("evaluation", cls, entry)
        check_parts(config)
        try:
            return cls(**entry)
        except TypeError as error:
            fields = ", ".join(cls.__dataclass_fields__)
            raise InputError(f"evaluation config {source}: {error}; its entries are {fields}") from error

    def resolved(self, training: Preprocessing | None, image_size: int | None = None) -> "EvaluationData":
        """With everything that this config leaves open, from the network's training.

        Args:
            training: what the checkpoint says; None (it is of an older version) gives ImageNet's mean and deviation,
                and images are not resized.
            image_size: of the network, for where `training` is None.

        Raises:
            InputError: neither the config nor the checkpoint says the size of the images, or they would be resized to
                less than their crop.
        """
        size = self.image_size or (training.image_size if training else image_size)
        if size is None:
            raise InputError(
                f"neither the evaluation config of {self.name} nor the checkpoint, which is of an older version, says "
                "the size of the images: set evaluation.image_size"
            )
        known = training or Preprocessing()
        resize = self.resize or (training and training.resize(size))
        if resize and resize < size:
            raise InputError(
                f"evaluation.resize is {resize}, smaller than the crop of {size} px: make it {size} or more"
            )
        names = ("mean", "std", "interpolation")
        rest = {name: getattr(self, name) or getattr(known, name) for name in names}
        return replace(self, image_size=size, resize=resize, **rest)

    def remarks(self, training: Preprocessing | None) -> Iterator[str]:
        """Sentences on what this config says otherwise than training did, or what neither of them says."""
        if training is None:
            unsaid = [name for name in ("mean", "std", "resize") if getattr(self, name) is None]
            if unsaid:
                yield (
                    f"neither the evaluation config of {self.name} nor the checkpoint, which is of an older version, "
                    f"says {', '.join(unsaid)}: mean and deviation are ImageNet's, and pictures are not resized"
                )
            return
        ours = {name: getattr(self, name) for name in ("image_size", "mean", "std", "interpolation", "resize")}
        if other := differing(ours, {**training.to_dict(), "resize": training.resize(self.image_size)}):
            yield f"the evaluation config of {self.name} makes other inputs of pictures than training did: {other}"

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

    def read(self, position: int) -> tuple[Tensor, int, str]:
        """One picture as it is stored (3, H, W) uint8, its label in train, and its name.

        Raises:
            InputError: it cannot be decoded, or has no label.
        """
        item = self.dataset[position]
        name = item.get("name", f"image {position} of {self.split}")
        return item["inputs"], self._label(item, name), name

    def labels(self, positions: Sequence[int] | None = None) -> Tensor:
        """Labels in train of these pictures (default: all), (N,) int64; not decoded where the data set allows it."""
        info = getattr(self.dataset, "get_data_info", self.dataset.__getitem__)  # mmengine's data sets know labels
        positions = range(len(self)) if positions is None else positions
        return torch.tensor(
            [self._label(info(position), f"image {position} of {self.split}") for position in positions]
        )

    def part(self, positions: Sequence[int], split: str) -> "LabelledImages":
        """Some of the pictures as a split of its own."""
        return LabelledImages(self.data, split, Subset(self.dataset, positions), self.label_map)

    def _label(self, item: dict[str, Any], name: str) -> int:
        if "label" not in item:
            raise InputError(f"{name} has no label: its entries are {', '.join(item)}; evaluation needs `label`")
        return item["label"] if self.label_map is None else int(self.label_map[item["label"]])

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
        return self._fit(image, name), label

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
