"""The digit scenes as mmdet and mmseg data sets. Importing this module needs both packages."""

from copy import deepcopy
from typing import Any

from mmengine.dataset import Compose
from mmseg.datasets import BaseSegDataset

from poa_bench.datasets import digits
from poa_bench.datasets.coco import NamedCocoDataset, NamedCocoMetric
from poa_bench.datasets.scenes import PALETTE, SCANS_OF, SEMANTIC_CLASSES, SINGLE_CLASS, scenes_folder
from poa_bench.errors import InputError
from poa_bench.registry import DATASETS, METRICS

DRAW_NOTHING = ("LoadImageFromFile", "LoadAnnotations", "Resize")  # transforms that make the same of a scene each time


class _KeptScenes:
    """Opens each train scene once: a training passes it many times, and decoding costs more than all the rest.

    What the pipeline makes of it before the first transform that may draw at random is kept in memory.
    """

    _kept: dict[int, dict[str, Any]] | None = None  # of test scenes, which are passed once, nothing is

    def prepare_data(self, idx: int) -> Any:
        """The item at a position, as mmengine's data sets make it."""
        if self._kept is None:
            return super().prepare_data(idx)
        transforms = self.pipeline.transforms
        names = [type(transform).__name__ for transform in transforms]
        first = next((place for place, name in enumerate(names) if name not in DRAW_NOTHING), len(names))
        if idx not in self._kept:
            self._kept[idx] = Compose(transforms[:first])(self.get_data_info(idx))
        return Compose(transforms[first:])(deepcopy(self._kept[idx]))  # some transforms work in place


def _check_split(split: str) -> str:
    if split not in SCANS_OF:
        raise InputError(f"unknown split {split!r} of the digit scenes; use one of {', '.join(SCANS_OF)}")
    return split


@DATASETS.register_module()
class DigitsDetection(_KeptScenes, NamedCocoDataset):
    """Scenes with boxes and instance masks of ten classes, made at first use.

    Args:
        split: 'train', 'val' or 'dev', see :mod:`poa_bench.datasets.scenes`.
        single_class: every digit is of the one class "digit": to find digits, not to read them.
        **kwargs: further arguments of mmdet's CocoDataset (``pipeline``, ``indices``, ``filter_cfg``, ...).

    Raises:
        InputError: unknown split, or the cache folder cannot be written.
    """

    METAINFO = {"classes": digits.CLASSES, "palette": PALETTE}

    def __init__(self, split: str = "train", single_class: bool = False, **kwargs):
        images = f"images/{_check_split(split)}/"
        annotations = _annotations(split, single_class)
        if single_class:
            kwargs = {"metainfo": {"classes": (SINGLE_CLASS,), "palette": PALETTE[:1]}, **kwargs}
        super().__init__(ann_file=annotations, data_root=str(scenes_folder()), data_prefix={"img": images}, **kwargs)
        self._kept = {} if split == "train" else None


@DATASETS.register_module()
class DigitsSegmentation(_KeptScenes, BaseSegDataset):
    """Scenes with semantic maps of eleven classes (background, then the ten digits), made at first use.

    Args:
        split: 'train', 'val' or 'dev', see :mod:`poa_bench.datasets.scenes`.
        **kwargs: further arguments of mmseg's BaseSegDataset (``pipeline``, ``indices``, ...).

    Raises:
        InputError: unknown split, or the cache folder cannot be written.
    """

    METAINFO = {"classes": SEMANTIC_CLASSES, "palette": [(0, 0, 0), *PALETTE]}

    def __init__(self, split: str = "train", **kwargs):
        folders = {"img_path": f"images/{_check_split(split)}", "seg_map_path": f"semantic/{split}"}
        super().__init__(data_root=str(scenes_folder()), data_prefix=folders, reduce_zero_label=False, **kwargs)
        self._kept = {} if split == "train" else None


@METRICS.register_module()
class DigitsCocoMetric(NamedCocoMetric):
    """COCO's average precision over the scenes of ``split``: mmdet's metric with the annotation file found for it."""

    def __init__(self, split: str = "val", single_class: bool = False, **kwargs):
        super().__init__(ann_file=str(scenes_folder() / _annotations(_check_split(split), single_class)), **kwargs)


def _annotations(split: str, single_class: bool) -> str:
    return f"{'objects' if single_class else 'instances'}_{split}.json"
