"""Data sets of labelled pictures for pre-training, k-NN and linear evaluation."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from poa_bench.datasets import digits
from poa_bench.datasets.draws import drawn
from poa_bench.datasets.labels import readable
from poa_bench.datasets.sources import ArraySource, ImageSource, open_images
from poa_bench.errors import InputError
from poa_bench.registry import DATASETS

Indices = int | Sequence[int] | Mapping[str, int] | None


def chosen_positions(indices: Indices, labels: np.ndarray) -> np.ndarray:
    """Positions of the chosen pictures, (N,) int64.

    Args:
        indices: None takes all, a number the first (or, negative, the last) so many, a list these, and the rule
            ``dict(start=1, step=10)`` every tenth from the second one on (``stop`` ends it). The rule
            ``dict(shots=30, seed=0)`` draws thirty of each class, ``dict(shots=30, seed=0, rest=True)`` takes all
            others.
        labels: of all pictures, (M,) int64.

    Raises:
        InputError: unknown entries of a rule, or a position that there is not.
    """
    total = len(labels)
    everything = np.arange(total)
    if indices is None:
        return everything
    if isinstance(indices, Mapping) and "shots" in indices:
        return _drawn(labels, **indices)
    if isinstance(indices, Mapping):
        if not set(indices) <= {"start", "stop", "step"} or not all(isinstance(n, int) for n in indices.values()):
            raise InputError(f"indices is {dict(indices)}; a rule has whole numbers for start, stop and step")
        return everything[indices.get("start", 0) : indices.get("stop") : indices.get("step", 1)]
    if isinstance(indices, int):
        return everything[:indices] if indices >= 0 else everything[indices:]
    positions = np.array(indices, np.int64)
    if len(positions) and not -total <= positions.min() <= positions.max() < total:
        raise InputError(f"indices go from {positions.min()} to {positions.max()}, but there are {total} pictures")
    return everything[positions]


def _drawn(labels: np.ndarray, shots: int, seed: int, rest: bool = False) -> np.ndarray:
    chosen = drawn(torch.from_numpy(labels), seed, shots).numpy()
    return np.setdiff1d(np.arange(len(labels)), chosen) if rest else chosen


class ImageDataset(BaseDataset):
    """Pictures of a source, as mmengine data set.

    Item ``i`` is what the pipeline makes of ``dict(inputs=(3, H, W) uint8 RGB, label=int, name=str, sample_idx=i)``.

    Args:
        source: where the pictures come from.
        pipeline: transforms from dict to dict; none by default.
        indices: which pictures to take, see :func:`chosen_positions`.
        broken_share: so many of the pictures may be unreadable: the next one takes the place of each, and the log names
            it. 0, for evaluations: the first one is an error.
        **kwargs: further arguments of mmengine's BaseDataset (``lazy_init``, ...).
    """

    def __init__(
        self, source: ImageSource, pipeline: list = (), indices: Indices = None, broken_share: float = 0.0, **kwargs
    ):
        if not 0 <= broken_share < 1:
            raise InputError(f"broken_share is {broken_share}: it must be at least 0 and below 1")
        self.source, self.broken_share = source, broken_share
        self._broken: set[int] = set()  # positions, in this process
        self.positions = chosen_positions(indices, source.labels)
        super().__init__(metainfo={"classes": source.classes}, pipeline=list(pipeline), **kwargs)

    @property
    def labels(self) -> np.ndarray:
        """The label of each chosen picture, (N,) int64; where pictures have several, rows (N, C) int8."""
        return self.source.labels[self.positions]

    def load_data_list(self) -> list[dict]:
        """List the pictures, none of which is opened."""
        names = self.source.names[self.positions].tolist()
        labels = self.labels.tolist() if self.labels.ndim == 1 else list(self.labels)
        rows = zip(names, labels, self.positions.tolist(), strict=True)
        return [{"name": readable(name), "label": label, "position": position} for name, label, position in rows]

    def prepare_data(self, idx: int) -> dict:
        """Read picture ``idx`` and pass it through the pipeline."""
        item = self.get_data_info(idx)
        item["inputs"] = self._read(idx, item.pop("position"))
        return self.pipeline(item)

    def _read(self, idx: int, position: int) -> torch.Tensor:
        """A picture, or where it is broken and some may be, the next one that is not."""
        while True:
            try:
                return self.source.read(position)
            except (InputError, OSError) as error:
                self._count(position, error)
            idx = (idx + 1) % len(self.positions)
            position = int(self.positions[idx])

    def _count(self, position: int, error: Exception) -> None:
        """Raise the error unless so many may be broken; each of the processes that read has its part of them."""
        worker = torch.utils.data.get_worker_info()
        self._broken.add(position)
        allowed = self.broken_share * len(self.positions) / (worker.num_workers if worker else 1)
        if len(self._broken) > allowed:
            raise (
                InputError(
                    f"{error}; {len(self._broken)} pictures are broken, and broken_share={self.broken_share} allows "
                    f"{allowed:g} (of one process)"
                )
                if self.broken_share
                else error
            )
        print_log(f"{error}; another picture takes its place", logger="current", level=logging.WARNING)


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
        path, folder, ann_file, split, classes: see :func:`poa_bench.datasets.sources.open_images`.
        numbered: the names of class folders are the classes' numbers from 0, as in ImageNet-V2; classes have no names.
        **kwargs: see :class:`ImageDataset`.

    Raises:
        InputError: something is missing or does not fit.
    """

    def __init__(
        self,
        path: str,
        folder: str = "",
        ann_file: str | None = None,
        split: str = "train",
        classes: Sequence[str] | str | None = None,
        numbered: bool = False,
        **kwargs,
    ):
        source = open_images(path, folder, ann_file, split, classes)
        if numbered:
            if not all(name.isdecimal() for name in source.classes):
                raise InputError(
                    f"class folders of {path} are not all numbers, e.g. {source.classes[-1]!r}: numbered=False"
                )
            source.labels = np.array([int(name) for name in source.classes], np.int64)[source.labels]
            source.classes = None
        super().__init__(source, **kwargs)
