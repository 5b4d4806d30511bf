"""Passes pictures through a data set's own pipeline, step by step and on all cores, and says what happened to each."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from rich.console import Console
from rich.progress import track
from torch.utils.data import DataLoader, Dataset

from poa_bench.checks.result import METRIC, reason
from poa_bench.machine import cores
from poa_bench.pretraining.samplers import SampleIndex

READING = "reading"  # the step before those of the pipeline
_CHUNK = 8  # pictures that a process takes at a time
_WORTH_A_PROCESS = 64  # pictures

Finish = Callable[[dict, Any], bytes]  # what is done with a picture's entry and with what the pipeline made of it


@dataclass
class Seen:
    """What happened to one picture.

    Attributes:
        position: its place in the data set.
        whole: whether it was to pass through the whole pipeline, or to be loaded alone.
        step: the step of the pipeline that came last.
        failed: why this step failed, if it did.
        left_out: whether this step left the picture out, which training replaces by another one.
        size: (width, height) in pixels, as loaded by the pipeline: turned by its EXIF tag or not.
        map_shape: of its label map, as loaded; (height, width) where all is well.
        map_values: the values in its label map, as training sees them.
        packed: names of what the pipeline hands to the model: `boxes`, `masks`, `label map`.
        packed_shape, packed_map_shape: (height, width) that the pipeline hands to the model.
        finished: what `Finish` made of it.
    """

    position: int
    whole: bool
    step: str = READING
    failed: str | None = None
    left_out: bool = False
    size: tuple[int, int] | None = None
    map_shape: tuple[int, ...] | None = None
    map_values: tuple[int, ...] = ()
    packed: frozenset[str] = frozenset()
    packed_shape: tuple[int, ...] | None = None
    packed_map_shape: tuple[int, ...] | None = None
    finished: bytes | None = None


def look(
    dataset: BaseDataset, positions: Sequence[int], whole: Collection[int], finish: Finish | None = None
) -> Iterator[Seen]:
    """Pass pictures through a data set's pipeline, with a progress bar on standard error.

    Args:
        dataset: the data set.
        positions: of the pictures.
        whole: those that pass through the whole pipeline; of the others only the loading steps are done.
        finish: is called with the entry and the outcome of each picture that came through the whole pipeline.
    """
    pictures = _Looked(dataset, positions, frozenset(whole), finish)
    workers = cores() if len(positions) >= _WORTH_A_PROCESS else 0
    chunks = DataLoader(pictures, _CHUNK, num_workers=workers, collate_fn=list)
    console = Console(stderr=True)
    seen = (one for chunk in chunks for one in chunk)
    yield from track(seen, "reading pictures", len(positions), console=console, disable=not console.is_terminal)


class _Looked(Dataset):
    def __init__(self, dataset: BaseDataset, positions: Sequence[int], whole: frozenset, finish: Finish | None):
        self.dataset, self.positions, self.whole, self.finish = dataset, positions, whole, finish

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, place: int) -> Seen:
        position = self.positions[place]
        seen = Seen(position, position in self.whole)
        pipeline = self.dataset.pipeline
        self.dataset.pipeline = _Steps(pipeline.transforms, seen)
        try:
            outcome = self.dataset.prepare_data(SampleIndex(position))  # views of pre-training need the seed in it
            if self.finish is not None and seen.whole and outcome is not None:
                seen.step = METRIC
                seen.finished = self.finish(self.dataset.get_data_info(position), outcome)
        except Exception as error:  # transforms raise of many kinds, and all of them are the answer here
            seen.failed = reason(error)
        finally:
            self.dataset.pipeline = pipeline
        return seen


class _Steps:
    """Stands in for a pipeline and writes down what its steps do to a picture."""

    def __init__(self, transforms: Sequence[Callable], seen: Seen):
        self.transforms, self.seen = transforms, seen

    def __call__(self, item: dict) -> Any:
        self._note(item)
        for transform in self.transforms:
            name = type(transform).__name__
            if not (self.seen.whole or name.startswith("Load")):
                continue
            self.seen.step = name
            item = transform(item)
            if item is None:
                self.seen.left_out = True
                return None
            self._note(item)
        if self.seen.whole:
            self._note_packed(item)
        return item

    def _note(self, item: Any) -> None:
        seen = self.seen
        if not isinstance(item, dict):
            return
        if seen.size is None and ("ori_shape" in item or hasattr(item.get("inputs"), "shape")):
            height, width = item.get("ori_shape") or item["inputs"].shape[-2:]
            seen.size = int(width), int(height)
        if seen.map_shape is None and "gt_seg_map" in item:
            seen.map_shape = item["gt_seg_map"].shape
            seen.map_values = tuple(np.unique(item["gt_seg_map"]).tolist())

    def _note_packed(self, item: Any) -> None:
        sample = item.get("data_samples") if isinstance(item, dict) else None
        if sample is None:
            return
        self.seen.packed_shape = tuple(item["inputs"].shape[-2:]) if hasattr(item.get("inputs"), "shape") else None
        instances = sample.get("gt_instances", {})
        names = {"boxes": "bboxes" in instances, "masks": "masks" in instances, "label map": "gt_sem_seg" in sample}
        self.seen.packed = frozenset(name for name, there in names.items() if there)
        if "gt_sem_seg" in sample:
            self.seen.packed_map_shape = tuple(sample.gt_sem_seg.data.shape[-2:])
