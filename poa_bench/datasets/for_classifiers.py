"""Our labelled pictures for mmpretrain's pipelines."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dataset import Compose
from torch.utils.data import ConcatDataset, Dataset

from poa_bench.errors import InputError
from poa_bench.registry import DATASETS


@DATASETS.register_module()
class ClassifierImages(Dataset):
    """Data sets of this project, one behind the other, as mmpretrain's pipelines take pictures: read, with their label.

    Args:
        parts: configs of data sets with the same classes, such as the train and the validation split.
        pipeline: mmpretrain's transforms without the one that reads the file.

    Raises:
        InputError: the parts have different classes.
    """

    def __init__(self, parts: Sequence[dict[str, Any]], pipeline: Sequence[dict[str, Any]]):
        built = [DATASETS.build(dict(part)) for part in parts]
        self.metainfo = built[0].metainfo
        for part in built[1:]:
            if part.metainfo["classes"] != self.metainfo["classes"]:
                raise InputError(f"the classes of {parts} are not the same: give a class list to each of them")
        self.pictures = ConcatDataset(built)
        self.pipeline = Compose(list(pipeline))

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, number: int) -> dict[str, Any]:
        item = self.pictures[number]
        picture = np.ascontiguousarray(item["inputs"].permute(1, 2, 0).numpy()[..., ::-1])  # BGR, as mmcv reads files
        shape = picture.shape[:2]
        known = {"img": picture, "gt_label": item["label"], "img_shape": shape, "ori_shape": shape}
        return self.pipeline(known | {"img_path": item["name"], "sample_idx": number})
