"""The labelled images of an evaluation: read once, for all sizes.

An evaluation config has one entry, `evaluation = dict(name=..., train=..., test=...)`, see `EvaluationData`. Those that
come with the project are `configs/_base_/datasets/evaluation_<name>.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.utils.data import Dataset

from poa_bench.config_files import evaluation_configs, read_config
from poa_bench.config_values import check_call, check_parts
from poa_bench.datasets.labels import label_map
from poa_bench.downstream.labelled_images import LabelledImages
from poa_bench.elastic.preprocessing import INTERPOLATIONS, Preprocessing, differing
from poa_bench.errors import InputError
from poa_bench.registry import DATASETS

METRICS = ("top1", "balanced_top1", "map11")  # the last one of pictures with several labels
CLASSES, LABEL_MAPS, DEPTH_MAPS = TRUTHS = ("classes", "label_maps", "depth_maps")

if TYPE_CHECKING:
    from poa_bench.downstream.scenes import Scenes


@dataclass(frozen=True)
class EvaluationData:
    """What the images of an evaluation are.

    How they become inputs is a fact of the network's training, which `resolved` fills in; a config may say otherwise.

    Attributes:
        name: of the data set, in result rows.
        train, test: data set configs; items are dict(inputs=(3, H, W) uint8 RGB, label=int), or see `scenes.py`.
        val: data set config whose pictures show other originals than train; None holds `val_share` out of train.
        val_share: part of train that becomes the validation split where there is none.
        truth: what is known of a picture: its class (`classes`), or that of each pixel (`label_maps`), or how far away
            each pixel is (`depth_maps`).
        image_size: side in pixels of what the network sees: the whole picture, or with maps a window of it.
        resize: length in pixels of the shorter side before the central crop to `image_size`; with maps nothing is
            cropped, and None leaves pictures as they are.
        mean, std: per channel of pixels in 0..255.
        interpolation: of the resizing, `bicubic` or `bilinear`.
        batch_size: images per forward pass.
        workers: processes that decode.
        metric: what the data set is judged by, one of `METRICS`; None: top-1 accuracy.
        shifted: configs of other test sets with classes of train, such as ImageNet-A, by their names.
    """

    name: str
    train: dict[str, Any]
    test: dict[str, Any]
    val: dict[str, Any] | None = None
    val_share: float = 0.1
    truth: str = CLASSES
    image_size: int | None = None
    resize: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    interpolation: str | None = None
    batch_size: int = 256
    workers: int = 0
    metric: str | None = None
    shifted: dict[str, dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        if self.interpolation not in (None, *INTERPOLATIONS):
            raise InputError(f"evaluation.interpolation is {self.interpolation!r}: use {' or '.join(INTERPOLATIONS)}")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values is not None and (len(values) != 3 or (name == "std" and min(values) <= 0)):
                raise InputError(f"evaluation.{name} is {values}: it must be 3 numbers{' above 0' * (name == 'std')}")
        if self.metric not in (None, *METRICS):
            raise InputError(f"evaluation.metric is {self.metric!r}: use one of {', '.join(METRICS)}")
        if self.truth not in TRUTHS:
            raise InputError(f"evaluation.truth is {self.truth!r}: use one of {', '.join(TRUTHS)}")
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
            raise InputError(f"{source} is not an evaluation config: it has no entry `evaluation = dict(...)`")
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
        resize = self.resize or (training and self.truth == CLASSES and training.resize(size)) or None
        if resize and resize < size and self.truth == CLASSES:
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
        theirs = training.to_dict()
        if self.truth == CLASSES:
            theirs["resize"] = training.resize(self.image_size)
        if other := differing(ours, theirs):
            yield f"the evaluation config of {self.name} makes other inputs of pictures than training did: {other}"

    @cached_property
    def splits(self) -> dict[str, LabelledImages]:
        """`train`, `val` and `test`; a validation split that is held out of train is a part of `train` there.

        Classes are known by their names: all splits have the labels of `train`.

        Raises:
            InputError: a data set is not there or empty, or a split has a class that train has not.
        """
        names = ("train", "test") if self.val is None else ("train", "val", "test")
        return self._labelled({name: build_dataset(getattr(self, name)) for name in names})

    @cached_property
    def shifted_splits(self) -> dict[str, LabelledImages]:
        """The other test sets by name, with the labels of train.

        Raises:
            InputError: there are none, or as `splits`.
        """
        if not self.shifted:
            raise InputError(f"{self.name} has no other test sets: name them by evaluation.shifted={{name: dict(...)}}")
        return self._labelled({name: build_dataset(config) for name, config in self.shifted.items()})

    def _labelled(self, datasets: dict[str, Dataset]) -> dict[str, LabelledImages]:
        train = datasets["train"] if "train" in datasets else self.splits["train"].dataset
        return {
            name: LabelledImages(self, name, dataset, label_map(dataset, train, f"the {name} split"))
            for name, dataset in datasets.items()
        }

    @cached_property
    def scenes(self) -> dict[str, "Scenes"]:
        """`train`, `val` where there is one and `test`, of pictures with maps, see `scenes_of`."""
        from poa_bench.downstream.scenes import scenes_of  # which is built on this module

        return scenes_of(self)


def _find(source: str | Path) -> Path:
    if Path(source).is_file():
        return Path(source)
    configs = evaluation_configs()
    if str(source) not in configs:
        raise InputError(
            f"there is no data set {str(source)!r}: give the path of an evaluation config or {list(configs)}"
        )
    return configs[str(source)]


def build_dataset(config: dict[str, Any]) -> Dataset:
    """A data set of a config; InputError where it is empty."""
    dataset = DATASETS.build(dict(config))
    if len(dataset) == 0:
        raise InputError(f"the data set {config} is empty")
    return dataset
