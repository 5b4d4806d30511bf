"""The digit scenes as mmdet and mmseg data sets. Importing this module needs both packages."""

from mmseg.datasets import BaseSegDataset

from poa_bench.datasets import digits
from poa_bench.datasets.coco import NamedCocoDataset, NamedCocoMetric
from poa_bench.datasets.scenes import PALETTE, SCANS_OF, SEMANTIC_CLASSES, SINGLE_CLASS, scenes_folder
from poa_bench.errors import InputError
from poa_bench.registry import DATASETS, METRICS


def _check_split(split: str) -> str:
    if split not in SCANS_OF:
        raise InputError(f"unknown split {split!r} of the digit scenes; use one of {', '.join(SCANS_OF)}")
    return split


@DATASETS.register_module()
class DigitsDetection(NamedCocoDataset):
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


@DATASETS.register_module()
class DigitsSegmentation(BaseSegDataset):
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


@METRICS.register_module()
class DigitsCocoMetric(NamedCocoMetric):
    """COCO's average precision over the scenes of ``split``: mmdet's metric with the annotation file found for it."""

    def __init__(self, split: str = "val", single_class: bool = False, **kwargs):
        super().__init__(ann_file=str(scenes_folder() / _annotations(_check_split(split), single_class)), **kwargs)


def _annotations(split: str, single_class: bool) -> str:
    return f"{'objects' if single_class else 'instances'}_{split}.json"
