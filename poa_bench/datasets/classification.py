"""Data sets of labelled pictures for pre-training, k-NN and linear evaluation."""

import numpy as np
from mmengine.dataset import BaseDataset

from poa_bench.datasets import digits
from poa_bench.datasets.sources import ArraySource, ImageSource, open_images
from poa_bench.registry import DATASETS


class ImageDataset(BaseDataset):
    """Pictures of a source, as mmengine data set.

    Item ``i`` is what the pipeline makes of ``dict(inputs=(3, H, W) uint8 RGB, label=int, name=str, sample_idx=i)``.

    Args:
        source: where the pictures come from.
        pipeline: transforms from dict to dict; none by default.
        **kwargs: further arguments of mmengine's BaseDataset (``indices``, ``lazy_init``, ...).
    """

    def __init__(self, source: ImageSource, pipeline: list = (), **kwargs):
        self.source = source
        super().__init__(metainfo={"classes": source.classes}, pipeline=list(pipeline), **kwargs)

    def load_data_list(self) -> list[dict]:
        """List the pictures, none of which is opened."""
        rows = enumerate(zip(self.source.names.tolist(), self.source.labels.tolist(), strict=True))
        return [{"name": name.decode(), "label": label, "position": position} for position, (name, label) in rows]

    def prepare_data(self, idx: int) -> dict:
        """Read picture ``idx`` and pass it through the pipeline."""
        item = self.get_data_info(idx)
        item["inputs"] = self.source.read(item.pop("position"))
        return self.pipeline(item)


@DATASETS.register_module()
class DigitsClassification(ImageDataset):
    """The embedded digits as 32x32 RGB pictures, see :mod:`poa_bench.datasets.digits`.

    Args:
        split: 'train', 'val' or 'test'; no scan appears in two of them.
        **kwargs: see :class:`ImageDataset`.

    Raises:
        InputError: unknown split, or the cache folder cannot be written.
    """

    def __init__(self, split: str = "train", **kwargs):
        images, labels = digits.classification_arrays(split)
        names = np.array([f"digits/{split}/{i}".encode() for i in range(len(labels))])
        super().__init__(ArraySource(images, labels, digits.CLASSES, names), **kwargs)


@DATASETS.register_module()
class Images(ImageDataset):
    """Your own pictures: a folder of class folders, an annotation file, a tar or zip left packed, or an ``.npz``.

    Args:
        path, folder, ann_file, split: see :func:`poa_bench.datasets.sources.open_images`.
        **kwargs: see :class:`ImageDataset`.

    Raises:
        InputError: something is missing or does not fit.
    """

    def __init__(self, path: str, folder: str = "", ann_file: str | None = None, split: str = "train", **kwargs):
        super().__init__(open_images(path, folder, ann_file, split), **kwargs)
